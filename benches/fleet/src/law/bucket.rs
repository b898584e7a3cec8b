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
    /// What is stored, for each retry that the bucket is to hold.
    pub stored: f64,
}

impl Terms {
    pub const A: Self = Self {
        cost: 10.0,
        success: 1.0,
        refund: 10.0,
        attempt: 0.0,
        second: 0.0,
        stored: 10.0,
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

    /// Takes the price of a retry, or refuses.
    pub fn pay(&self) -> bool {
        let left = self.tokens.get() - self.terms.cost;
        if left < 0.0 {
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
