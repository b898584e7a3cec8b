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

    /// Counts a failure. Returns the iteration that the predicate sees.
    pub(crate) fn fail(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Decides about the failure that `fail` has counted: the wait before the
    /// next attempt, or why there is none.
    pub(crate) fn decide(
        &mut self,
        decision: Decision,
        limits: Limits,
        elapsed: Duration,
        draw: impl FnOnce() -> u64,
    ) -> Result<Duration, GiveUp> {
        let earliest = match decision {
            Decision::GiveUp => return Err(GiveUp::Decision),
            Decision::Retry => 0,
            Decision::RetryAfter(hint) => nanos(hint),
        };
        // The count stops at `u32::MAX`, so a limit of `u32::MAX` is none.
        if self.failures > self.max_retries {
            return Err(GiveUp::MaxRetries);
        }
        if earliest > limits.max_retry_after {
            return Err(GiveUp::MaxRetryAfter);
        }
        let hi = if self.failures == 1 {
            self.walk.first()
        } else {
            self.walk.next()
        };
        let width = self.walk.spread.width(hi);
        let lo = hi - width;
        let wait = if earliest <= lo {
            hi - below(width, draw)
        } else {
            let hi = earliest.saturating_add(width);
            hi - below(hi - earliest, draw)
        };
        if nanos(elapsed).saturating_add(wait) > limits.max_elapsed {
            return Err(GiveUp::MaxElapsed);
        }
        Ok(Duration::from_nanos(wait))
    }
}
