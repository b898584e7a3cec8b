//! backoff: errors say themselves whether they are permanent; its one limit is in
//! time.

use std::{
    future::{Future, Ready as Once, ready},
    hint::black_box,
    time::Duration,
};

use backoff::{
    Error, ExponentialBackoff, ExponentialBackoffBuilder,
    backoff::Backoff,
    future::{Retry, Sleeper, retry},
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, Wrap, operate_wrapped},
};

impl Wrap for Error<Fault> {
    fn wrap(fault: Fault) -> Self {
        if fault.retryable() {
            Error::transient(fault)
        } else {
            Error::permanent(fault)
        }
    }
}

fn policy(knobs: Knobs, randomization: f64) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(knobs.first)
        .with_multiplier(2.0)
        .with_max_interval(knobs.cap)
        .with_randomization_factor(randomization)
        .with_max_elapsed_time(None)
        .build()
}

pub struct Slept;

impl Subject for Slept {
    type Policy = ExponentialBackoff;
    type Output = Result<u64, Fault>;

    const LIMITS_RETRIES: bool = false;

    fn policy(knobs: Knobs) -> ExponentialBackoff {
        policy(knobs, 0.0)
    }

    fn retry<const N: usize>(
        policy: ExponentialBackoff,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        retry(policy, operate_wrapped::<N, Error<Fault>>)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

struct Instantly;

impl Sleeper for Instantly {
    type Sleep = Once<()>;

    fn sleep(&self, wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }
}

pub struct Ready;

impl Subject for Ready {
    type Policy = ExponentialBackoff;
    type Output = Result<u64, Fault>;

    const LIMITS_RETRIES: bool = false;

    fn policy(knobs: Knobs) -> ExponentialBackoff {
        policy(knobs, 0.0)
    }

    fn retry<const N: usize>(
        mut policy: ExponentialBackoff,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        // As the crate's own `retry` does.
        policy.reset();
        let quiet = |_: Fault, _: Duration| {};
        Retry::new(Instantly, policy, quiet, operate_wrapped::<N, Error<Fault>>)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let mut waits = black_box(policy(WAITS, if jittered { 0.5 } else { 0.0 }));
        for _ in 0..count {
            black_box(waits.next_backoff());
        }
    }
}

pub const POLLERS: &[Poller] = &[];
