//! tryhard: with its own exponential it retries every error.

use std::{future::Future, hint::black_box};

use tryhard::{
    NoOnRetry, RetryFutureConfig,
    backoff_strategies::{BackoffStrategy, ExponentialBackoff},
    retry_fn,
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
};

pub struct Slept;

impl Subject for Slept {
    type Policy = RetryFutureConfig<ExponentialBackoff, NoOnRetry>;
    type Output = Result<u64, Fault>;

    const TELLS_PERMANENT: bool = false;

    fn policy(knobs: Knobs) -> Self::Policy {
        RetryFutureConfig::new(knobs.retries)
            .exponential_backoff(knobs.first)
            .max_delay(knobs.cap)
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        retry_fn(operate::<N>).with_config(policy)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    const JITTERS: bool = false;

    fn take(_jittered: bool, count: u32) {
        let mut waits = black_box(ExponentialBackoff::new(WAITS.first));
        for attempt in 0..count {
            black_box(waits.delay(attempt, &Fault::UNAVAILABLE).min(WAITS.cap));
        }
    }
}

pub use crate::Absent as Ready;
pub const POLLERS: &[Poller] = &[];
