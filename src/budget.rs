//! How much retrying may be going on at once.

use core::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicUsize;

/// What a retry costs; what a first-try success earns is 1.
const COST: usize = 10;

/// The tokens of a full budget.
const fn full(retries: u32) -> usize {
    (retries as usize).saturating_mul(COST)
}

/// A budget of retries, shared by the sequences that are to be bounded together.
///
/// Each retry takes its price when it is decided and gets it back if it succeeds;
/// each first-try success earns a tenth of a retry. The budget starts full and is
/// never above that. For every interleaving of sequences:
///
/// - in a total outage at most `retries` retries are made, for ever: the load on
///   the server tends to that without retries;
/// - while most retries succeed, all are made;
/// - retries made are at most `retries`, and one for every ten first-try
///   successes, and those that succeeded.
///
/// It is funded by successes alone. A budget funded by attempts or by time keeps
/// an overload alive after its cause has gone; this one does not. Keep it small, a
/// handful of retries for a process and a server: stored retries are all spent
/// when an outage begins.
///
/// Integer tokens, no clock, one compare-and-swap: it is there on targets that have
/// one. Where pointers have 32 bits, it holds at most 429,496,729 retries.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use afterbeat::{RetryBudget, RetryBuilder};
///
/// let budget = Arc::new(RetryBudget::new(10));
/// let policy = RetryBuilder::new().budget(Arc::clone(&budget));
/// # let _ = policy;
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    tokens: AtomicUsize,
    full: usize,
}

impl RetryBudget {
    /// Returns a full budget that holds `retries` retries.
    #[must_use]
    #[cfg(not(afterbeat_loom))]
    pub const fn new(retries: u32) -> Self {
        let full = full(retries);
        Self {
            tokens: AtomicUsize::new(full),
            full,
        }
    }

    /// Returns a full budget; loom's atomics are not const.
    #[must_use]
    #[cfg(afterbeat_loom)]
    pub fn new(retries: u32) -> Self {
        let full = full(retries);
        Self {
            tokens: AtomicUsize::new(full),
            full,
        }
    }

    /// Takes the price of a retry, all or nothing.
    pub(crate) fn withdraw(&self) -> bool {
        let pay = |tokens: usize| tokens.checked_sub(COST);
        // Relaxed: the tokens guard no other memory.
        self.tokens.fetch_update(Relaxed, Relaxed, pay).is_ok()
    }

    /// Takes in a success: of a retry, which gets its price back, or of a first
    /// try.
    pub(crate) fn deposit(&self, of_a_retry: bool) {
        let earned = if of_a_retry { COST } else { 1 };
        let add = |tokens: usize| {
            let sum = tokens.saturating_add(earned).min(self.full);
            // A full budget is not written to, so that health costs no contention.
            (sum != tokens).then_some(sum)
        };
        // An error is the full budget.
        let _ = self.tokens.fetch_update(Relaxed, Relaxed, add);
    }
}
