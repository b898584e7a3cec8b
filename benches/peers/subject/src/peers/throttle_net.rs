//! throttle-net: of its many parts, the retry.

use std::{future::Future, hint::black_box};

use throttle_net::{Backoff, Jitter, Retry, RetryAction};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
};

fn curve(knobs: Knobs, jitter: Jitter) -> Backoff {
    Backoff::exponential(knobs.first, 2.0)
        .with_max(knobs.cap)
        .with_jitter(jitter)
}

/// Lives as long as the program, and is borrowed by each sequence.
#[derive(Clone, Copy)]
pub struct Shared(&'static Retry);

pub struct Slept;

impl Subject for Slept {
    type Policy = Shared;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Shared {
        let retry = Retry::new(curve(knobs, Jitter::None)).max_attempts(knobs.retries + 1);
        Shared(Box::leak(Box::new(retry)))
    }

    fn retry<const N: usize>(
        policy: Shared,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        policy.0.run(operate::<N>, |fault: &Fault| {
            if fault.retryable() {
                RetryAction::Retry
            } else {
                RetryAction::GiveUp
            }
        })
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let jitter = if jittered { Jitter::Full } else { Jitter::None };
        let mut waits = black_box(curve(WAITS, jitter)).iter();
        for _ in 0..count {
            black_box(waits.next_delay());
        }
    }
}

pub use crate::Absent as Ready;
pub const POLLERS: &[Poller] = &[];
