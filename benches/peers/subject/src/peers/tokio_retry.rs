//! tokio-retry: its exponential is a power of the base, so waits begin at 2 ms.

use std::{future::Future, hint::black_box, iter::Take};

use tokio_retry::{
    RetryIf,
    strategy::{ExponentialBackoff, jitter},
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
    walk,
};

fn curve(knobs: Knobs) -> ExponentialBackoff {
    ExponentialBackoff::from_millis(2)
        .factor(knobs.millis().div_ceil(2))
        .max_delay(knobs.cap)
}

pub struct Slept;

impl Subject for Slept {
    type Policy = Take<ExponentialBackoff>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Self::Policy {
        curve(knobs).take(knobs.retries as usize)
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        RetryIf::start(policy, operate::<N>, |fault: &Fault| fault.retryable())
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
