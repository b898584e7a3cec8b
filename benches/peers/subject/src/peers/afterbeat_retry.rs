//! afterbeat, by `retry`; its schedule and its pollers.

use std::{future::Future, hint::black_box, marker::PhantomData, pin::pin, time::Duration};

use afterbeat::{Backoff, Jitter, PollerBuilder, RetryBuilder, TokioTimer};

#[path = "afterbeat.rs"]
mod shared;

use self::shared::{Instantly, Measured};
use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
    walk,
};

pub struct Door<T>(PhantomData<T>);
pub type Slept = Door<TokioTimer>;
pub type Ready = Door<Instantly>;

impl<T: Measured> Subject for Door<T> {
    type Policy = RetryBuilder<T>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> RetryBuilder<T> {
        shared::policy(knobs)
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        policy
            .should_retry(|fault: &Fault, _| fault.retryable())
            .retry(operate::<N>)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let jitter = if jittered {
            Jitter::SPREAD
        } else {
            Jitter::NONE
        };
        let backoff = Backoff::new()
            .initial_delay(WAITS.first)
            .factor(2.0)
            .max_delay(WAITS.cap)
            .jitter(jitter);
        walk(black_box(backoff).delays(), count);
    }
}

async fn pull(interval: Duration) {
    let mut poller = pin!(PollerBuilder::new(interval).stream(operate::<0>));
    loop {
        black_box(poller.as_mut().next().await);
    }
}

pub const POLLERS: &[Poller] = &[
    ("afterbeat's stream in a task", |interval| {
        tokio::spawn(pull(interval));
    }),
    ("afterbeat's spawned poller", |interval| {
        // Dropping the handle would end the poller.
        std::mem::forget(PollerBuilder::new(interval).spawn(operate::<0>));
    }),
];
