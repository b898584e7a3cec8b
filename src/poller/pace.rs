//! How long a poller waits.

use core::{fmt, time::Duration};

use crate::{
    backoff::Backoff,
    entropy::{below, fresh},
    jitter::Jitter,
    real::nanos,
    unset::Unset,
};

/// The wait that no timer is made for: until a trigger.
pub(super) const FOREVER: u64 = u64::MAX;

/// Answers after a run: [`Unset`] never, a closure always.
pub trait IntervalBy<V, E> {
    /// The new interval in nanoseconds, if it changes.
    fn interval(&mut self, outcome: &Result<V, E>) -> Option<u64>;
}

impl<V, E> IntervalBy<V, E> for Unset {
    fn interval(&mut self, _: &Result<V, E>) -> Option<u64> {
        None
    }
}

impl<V, E, F: FnMut(&Result<V, E>) -> Duration> IntervalBy<V, E> for F {
    fn interval(&mut self, outcome: &Result<V, E>) -> Option<u64> {
        Some(nanos(self(outcome)))
    }
}

/// Answers after a failure: [`Unset`] with nothing, or a [`Backoff`].
pub trait AfterFailures: fmt::Debug {
    /// The least wait after so many failures in a row, in nanoseconds.
    fn wait(&self, failures: u32) -> u64;
}

impl AfterFailures for Unset {
    fn wait(&self, _: u32) -> u64 {
        0
    }
}

impl AfterFailures for Backoff {
    fn wait(&self, failures: u32) -> u64 {
        let (lo, hi) = self.bounds(failures).into_inner();
        nanos(hi) - below(nanos(hi) - nanos(lo), fresh)
    }
}

/// The interval with its jitter, and the backoff after consecutive failures.
pub(super) struct Pace<B> {
    /// The upper bound of the interval's wait.
    hi: u64,
    jitter: Jitter,
    backoff: B,
    failures: u32,
}

impl<B: AfterFailures> Pace<B> {
    pub(super) fn new(interval: u64, jitter: Jitter, backoff: B) -> Self {
        let mut pace = Self {
            hi: 0,
            jitter,
            backoff,
            failures: 0,
        };
        pace.set_interval(interval);
        pace
    }

    pub(super) fn set_interval(&mut self, interval: u64) {
        let curve = Backoff::constant(Duration::from_nanos(interval)).jitter(self.jitter);
        self.hi = match interval {
            FOREVER => FOREVER,
            _ => nanos(*curve.bounds(1).end()).min(FOREVER - 1),
        };
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes in how a run ended.
    pub(super) fn ended(&mut self, ok: bool) {
        self.failures = if ok {
            0
        } else {
            self.failures.saturating_add(1)
        };
    }

    /// Draws the wait before the next run, in nanoseconds.
    pub(super) fn wait(&self) -> u64 {
        if self.hi == FOREVER {
            return FOREVER;
        }
        let interval = self.hi - below(self.jitter.spread().width(self.hi), fresh);
        interval
            .max(self.backoff.wait(self.failures))
            .min(FOREVER - 1)
    }
}
