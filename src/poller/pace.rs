//! How long a poller waits.

use core::time::Duration;

use crate::{
    backoff::{Backoff, Walk},
    entropy::fresh,
    jitter::Jitter,
    real::nanos,
};

/// The wait that no timer is made for: until a trigger.
pub(super) const FOREVER: u64 = u64::MAX;

/// The interval of a poller that has no function for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed;

/// Answers after a run: [`Fixed`], or a closure.
pub trait IntervalBy<V, E> {
    /// The new interval in nanoseconds, if it changes.
    fn interval(&mut self, outcome: &Result<V, E>) -> Option<u64>;
}

impl<V, E> IntervalBy<V, E> for Fixed {
    fn interval(&mut self, _: &Result<V, E>) -> Option<u64> {
        None
    }
}

impl<V, E, F: FnMut(&Result<V, E>) -> Duration> IntervalBy<V, E> for F {
    fn interval(&mut self, outcome: &Result<V, E>) -> Option<u64> {
        Some(nanos(self(outcome)))
    }
}

/// Jitter, and the backoff after consecutive failures.
pub(super) struct Pace {
    jitter: Jitter,
    backoff: Backoff,
    walk: Walk,
    failures: u32,
    /// The backoff's wait after the last run; zero after a success.
    floor: u64,
}

impl Pace {
    pub(super) const fn new(jitter: Jitter, backoff: Backoff) -> Self {
        Self {
            jitter,
            walk: Walk::new(&backoff),
            backoff,
            failures: 0,
            floor: 0,
        }
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes in how a run ended.
    pub(super) fn ended(&mut self, ok: bool) {
        if ok {
            (self.failures, self.floor) = (0, 0);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let hi = if self.failures == 1 {
            self.walk = Walk::new(&self.backoff);
            self.walk.first()
        } else {
            self.walk.next()
        };
        self.floor = self.walk.draw(hi, fresh);
    }

    /// Draws the wait before the next run, in nanoseconds.
    pub(super) fn wait(&self, interval: u64) -> u64 {
        if interval == FOREVER {
            return FOREVER;
        }
        let interval = Backoff::constant(Duration::from_nanos(interval)).jitter(self.jitter);
        let mut walk = Walk::new(&interval);
        let hi = walk.first();
        walk.draw(hi, fresh).max(self.floor).min(FOREVER - 1)
    }
}
