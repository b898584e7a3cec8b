//! Token buckets whose refusal is final.

use std::cell::Cell;

/// What is paid and earned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The price of a retry.
    pub cost: f64,
    /// What a first try that succeeds earns.
    pub success: f64,
    /// What a retry that succeeds brings back.
    pub refund: f64,
    /// What a first try earns, whatever comes of it.
    pub attempt: f64,
    /// What a second earns.
    pub second: f64,
    /// What each failure costs, retried or not.
    pub failure: f64,
    /// What must be left of the bucket for a retry, as a share.
    pub reserve: f64,
    /// What is stored, for each retry that the bucket is to hold.
    pub stored: f64,
}

impl Terms {
    const FREE: Self = Self {
        cost: 1.0,
        success: 0.0,
        refund: 0.0,
        attempt: 0.0,
        second: 0.0,
        failure: 0.0,
        reserve: 0.0,
        stored: 1.0,
    };

    /// The crate's law before the present one.
    pub const A: Self = Self {
        cost: 10.0,
        success: 1.0,
        refund: 10.0,
        stored: 10.0,
        ..Self::FREE
    };

    /// AWS's standard mode: to store 500 tokens, ask for 500.
    pub const AWS: Self = Self {
        cost: 14.0,
        success: 1.0,
        refund: 14.0,
        ..Self::FREE
    };

    /// gRPC's throttle (A6), of 10 tokens and a tenth a success.
    pub const GRPC: Self = Self {
        cost: 0.0,
        success: 0.1,
        refund: 0.1,
        failure: 1.0,
        reserve: 0.5,
        ..Self::FREE
    };

    /// A tenth of a retry for each success.
    pub const SUCCESSES: Self = Self {
        success: 0.1,
        refund: 0.1,
        ..Self::FREE
    };

    /// A tenth of a retry for each first try.
    pub const ATTEMPTS: Self = Self {
        attempt: 0.1,
        ..Self::FREE
    };

    /// Finagle's: a fifth of a retry for each first try, and ten a second.
    pub const FINAGLE: Self = Self {
        attempt: 0.2,
        second: 10.0,
        ..Self::FREE
    };
}

#[derive(Debug)]
pub struct Bucket {
    terms: Terms,
    full: f64,
    tokens: Cell<f64>,
    filled: Cell<f64>,
}

impl Bucket {
    pub fn new(terms: Terms, retries: u32) -> Self {
        let full = terms.stored * f64::from(retries);
        Self {
            terms,
            full,
            tokens: Cell::new(full),
            filled: Cell::new(0.0),
        }
    }

    /// Takes in a first try, before its outcome.
    pub fn begun(&self, now: f64) {
        let passed = now - self.filled.replace(now);
        self.earn(self.terms.attempt + passed * self.terms.second);
    }

    /// Takes in a failure.
    pub fn failed(&self) {
        self.tokens
            .set((self.tokens.get() - self.terms.failure).max(0.0));
    }

    /// Takes the price of a retry, or refuses.
    pub fn pay(&self) -> bool {
        let left = self.tokens.get() - self.terms.cost;
        let reserve = self.terms.reserve * self.full;
        if left < reserve || (reserve > 0.0 && left <= reserve) {
            return false;
        }
        self.tokens.set(left);
        true
    }

    /// Takes in a success, after so many retries.
    pub fn succeeded(&self, retries: u32) {
        self.earn(match retries {
            0 => self.terms.success,
            _ => self.terms.refund,
        });
    }

    fn earn(&self, tokens: f64) {
        self.tokens.set((self.tokens.get() + tokens).min(self.full));
    }
}
