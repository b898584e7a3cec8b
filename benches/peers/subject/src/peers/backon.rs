//! backon.

use std::{
    future::{Future, Ready as Once, ready},
    hint::black_box,
    marker::PhantomData,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable, Sleeper, TokioSleeper};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
    walk,
};

fn policy(knobs: Knobs) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(knobs.first)
        .with_factor(2.0)
        .with_max_delay(knobs.cap)
        .with_max_times(knobs.retries as usize)
}

pub trait Clock: Sleeper<Sleep: Send> + Send {
    const CLOCK: Self;
}

impl Clock for TokioSleeper {
    const CLOCK: Self = TokioSleeper;
}

pub struct Instantly;

impl Sleeper for Instantly {
    type Sleep = Once<()>;

    fn sleep(&self, wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }
}

impl Clock for Instantly {
    const CLOCK: Self = Instantly;
}

pub struct Backon<C>(PhantomData<C>);
pub type Slept = Backon<TokioSleeper>;
pub type Ready = Backon<Instantly>;

impl<C: Clock> Subject for Backon<C> {
    type Policy = ExponentialBuilder;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> ExponentialBuilder {
        policy(knobs)
    }

    fn retry<const N: usize>(
        policy: ExponentialBuilder,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        operate::<N>
            .retry(policy)
            .sleep(C::CLOCK)
            .when(|fault: &Fault| fault.retryable())
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let policy = policy(WAITS);
        let policy = if jittered {
            policy.with_jitter()
        } else {
            policy
        };
        walk(black_box(policy).build(), count);
    }
}

pub const POLLERS: &[Poller] = &[];
