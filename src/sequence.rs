//! The decision core: what happens after a failure.
//!
//! A pure function of policy, state, decision, elapsed time and one random
//! number. Every door drives it; none decides by itself.

use core::time::Duration;

use crate::{
    backoff::Backoff,
    decision::{Decision, GiveUp},
    entropy::below,
    real::nanos,
    walk::Walk,
};

/// The limits that only some policies set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_elapsed: u64,
    pub(crate) max_retry_after: u64,
}

impl Limits {
    /// No limit in time; hints of up to an hour.
    pub(crate) const DEFAULT: Self = Self {
        max_elapsed: u64::MAX,
        max_retry_after: 3_600_000_000_000,
    };
}

/// One sequence of attempts: where it stands on the curve, and its limit on
/// retries. 48 bytes; a plain copy of the policy until the first failure.
#[derive(Clone, Copy)]
pub(crate) struct Sequence {
    walk: Walk,
    max_retries: u32,
    failures: u32,
}

impl Sequence {
    pub(crate) const fn new(backoff: &Backoff, max_retries: u32) -> Self {
        Self {
            walk: backoff.walk(),
            max_retries,
            failures: 0,
        }
    }

    /// How many attempts have failed, at most `u32::MAX`.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The limit on retries, if there is one.
    pub(crate) fn limit(&self) -> Option<u32> {
        (self.max_retries < u32::MAX).then_some(self.max_retries)
    }

    /// Whether failures and refusals have used up all retries.
    // The sum stops at `u32::MAX`, so a limit of `u32::MAX` is none.
    fn is_spent(&self, refusals: u32) -> bool {
        self.failures.saturating_add(refusals) > self.max_retries
    }

    /// Counts anew from zero.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure. Returns the iteration that the predicate sees.
    pub(crate) fn fail(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Decides about the failure that `fail` has counted: the nanoseconds before the next
    /// attempt, or why there is none. Each of the budget's refusals has used up a retry.
    pub(crate) fn decide(
        &mut self,
        decision: Decision,
        refusals: u32,
        limits: Limits,
        elapsed: Duration,
        draw: impl FnOnce() -> u64,
    ) -> Result<u64, GiveUp> {
        // Whatever is decided, so that failure n is always followed by wait n.
        let hi = if self.failures == 1 {
            self.walk.first()
        } else {
            self.walk.next()
        };
        let asked = match decision {
            Decision::GiveUp => return Err(GiveUp::Decision),
            Decision::Retry => 0,
            Decision::RetryAfter(wait) | Decision::RetryIn(wait) => nanos(wait),
        };
        if self.is_spent(refusals) {
            return Err(GiveUp::MaxRetries);
        }
        if asked > limits.max_retry_after {
            return Err(GiveUp::MaxRetryAfter);
        }
        let spread = self.walk.spread;
        let width = spread.width(hi);
        let wait = match decision {
            Decision::RetryIn(_) => asked,
            _ if asked <= hi - width => hi - below(width, draw),
            _ if spread.is_none() => asked,
            // As wide as the hint is long, so that a fleet that was given one hint
            // returns over half of it.
            _ => {
                let hi = asked.saturating_add(width.max(asked / 2));
                hi - below(hi - asked, draw)
            }
        };
        Self::within(limits, elapsed, wait).ok_or(GiveUp::MaxElapsed)
    }

    /// Decides about a retry that the budget has refused: the wait before it asks again,
    /// if the limits allow one. The refusal is one of `refusals`.
    pub(crate) fn postpone(
        &mut self,
        refusals: u32,
        limits: Limits,
        elapsed: Duration,
        draw: impl FnOnce() -> u64,
    ) -> Option<u64> {
        if self.is_spent(refusals) {
            return None;
        }
        let hi = self.walk.next();
        let wait = self.walk.draw(hi, draw);
        // Without a wait between them refusals would spin.
        if wait == 0 {
            return None;
        }
        Self::within(limits, elapsed, wait)
    }

    /// The wait, if it ends in time.
    fn within(limits: Limits, elapsed: Duration, wait: u64) -> Option<u64> {
        let ends = nanos(elapsed).saturating_add(wait);
        (ends <= limits.max_elapsed).then_some(wait)
    }
}
