//! What the doors of afterbeat share.

use std::{
    future::{Ready as Once, ready},
    hint::black_box,
    time::Duration,
};

use afterbeat::{Clock, Jitter, RetryBuilder, Timer, TokioTimer};

use crate::Knobs;

/// A timer whose sleeps are over at once.
#[derive(Clone, Copy)]
pub struct Instantly;

impl Clock for Instantly {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn block(&self, wait: Duration) -> std::ops::ControlFlow<()> {
        black_box(wait);
        std::ops::ControlFlow::Continue(())
    }
}

impl Timer for Instantly {
    type Sleep = Once<()>;

    fn sleep(&self, wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }
}

/// A timer of the measurements.
pub trait Measured: Timer<Instant: Send, Sleep: Send> + Copy + Send + Sync + 'static {
    const CLOCK: Self;
}

impl Measured for TokioTimer {
    const CLOCK: Self = TokioTimer;
}

impl Measured for Instantly {
    const CLOCK: Self = Instantly;
}

pub(super) fn policy<T: Measured>(knobs: Knobs) -> RetryBuilder<T> {
    RetryBuilder::with_timer(T::CLOCK)
        .initial_delay(knobs.first)
        .factor(2.0)
        .max_delay(knobs.cap)
        .jitter(Jitter::NONE)
        .max_retries(knobs.retries)
}
