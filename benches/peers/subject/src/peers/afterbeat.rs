//! What the doors of afterbeat share.

use std::{
    future::{Ready as Once, ready},
    hint::black_box,
    time::Duration,
};

use afterbeat::{Jitter, RetryBuilder, Timer, TokioTimer};

use crate::Knobs;

/// A timer whose sleeps are over at once.
#[derive(Clone, Copy)]
pub struct Instantly;

impl Timer for Instantly {
    type Instant = ();
    type Sleep = Once<()>;

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }

    fn block(&self, wait: Duration) {
        black_box(wait);
    }
}

/// A timer of the measurements.
pub trait Clock: Timer<Instant: Send, Sleep: Send> + Copy + Send + Sync + 'static {
    const CLOCK: Self;
}

impl Clock for TokioTimer {
    const CLOCK: Self = TokioTimer;
}

impl Clock for Instantly {
    const CLOCK: Self = Instantly;
}

pub(super) fn policy<T: Clock>(knobs: Knobs) -> RetryBuilder<T> {
    RetryBuilder::with_timer(T::CLOCK)
        .initial_delay(knobs.first)
        .factor(2.0)
        .max_delay(knobs.cap)
        .jitter(Jitter::NONE)
        .max_retries(knobs.retries)
}
