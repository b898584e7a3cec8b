//! tokio-retry2: errors say themselves whether they are permanent.

use std::{future::Future, hint::black_box, iter::Take};

use tokio_retry2::{
    Retry, RetryError,
    strategy::{ExponentialFactorBackoff, jitter},
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, Wrap, operate_wrapped},
    walk,
};

impl Wrap for RetryError<Fault> {
    fn wrap(fault: Fault) -> Self {
        if fault.retryable() {
            RetryError::transient(fault)
        } else {
            RetryError::permanent(fault)
        }
    }
}

fn curve(knobs: Knobs) -> ExponentialFactorBackoff {
    ExponentialFactorBackoff::from_millis(knobs.millis(), 2.0).max_delay(knobs.cap)
}

pub struct Slept;

impl Subject for Slept {
    type Policy = Take<ExponentialFactorBackoff>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Self::Policy {
        curve(knobs).take(knobs.retries as usize)
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        Retry::spawn(policy, operate_wrapped::<N, RetryError<Fault>>)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let waits = black_box(curve(WAITS));
        if jittered {
            walk(waits.map(jitter), count);
        } else {
            walk(waits, count);
        }
    }
}

pub use crate::Absent as Ready;
pub const POLLERS: &[Poller] = &[];
