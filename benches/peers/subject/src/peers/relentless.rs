//! relentless.

use std::{
    future::{Future, Ready as Once, ready},
    hint::black_box,
    marker::PhantomData,
    time::Duration,
};

use relentless::{
    AsyncClock, Clock, Predicate, RetryError, RetryPolicy, RetryState, Wait, When,
    clock::TokioClock,
    stop::{self, StopAfterAttempts},
    wait::{self, WaitCapped, WaitExponential},
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
};

struct Retryable;

impl Predicate<u64, Fault> for Retryable {
    fn should_retry(&self, outcome: &Result<u64, Fault>) -> bool {
        outcome.is_err_and(Fault::retryable)
    }
}

type Policy = RetryPolicy<StopAfterAttempts, WaitCapped<WaitExponential>, When<Retryable>>;

/// Lives as long as the program, and is borrowed by each sequence.
#[derive(Clone, Copy)]
pub struct Shared(&'static Policy);

fn curve(knobs: Knobs) -> WaitCapped<WaitExponential> {
    wait::exponential(knobs.first).base(2.0).cap(knobs.cap)
}

pub struct Instantly;

impl Clock for Instantly {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl AsyncClock for Instantly {
    type Wait = Once<()>;

    fn wait_async(&self, wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }
}

pub trait Time: AsyncClock<Wait: Send> + Sized + Send + 'static {
    fn clock() -> Self;
}

impl Time for TokioClock {
    fn clock() -> Self {
        Self::new()
    }
}

impl Time for Instantly {
    fn clock() -> Self {
        Self
    }
}

pub struct Relentless<C>(PhantomData<C>);
pub type Slept = Relentless<TokioClock>;
pub type Ready = Relentless<Instantly>;

impl<C: Time> Subject for Relentless<C> {
    type Policy = Shared;
    type Output = Result<u64, RetryError<Fault, Result<u64, Fault>>>;

    fn policy(knobs: Knobs) -> Shared {
        let policy = RetryPolicy::new()
            .stop(stop::attempts(knobs.retries + 1))
            .wait(curve(knobs))
            .when(Retryable);
        Shared(Box::leak(Box::new(policy)))
    }

    fn retry<const N: usize>(
        policy: Shared,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        policy
            .0
            .retry_async(|_| operate::<N>())
            .clock(C::clock())
            .call()
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output.map_err(|error| error.into_last_error().expect("it ended with an error"))
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        fn take(waits: &impl Wait, count: u32) {
            for attempt in 1..=count {
                black_box(waits.next_wait(&RetryState::for_attempt(attempt)));
            }
        }
        let curve = black_box(curve(WAITS));
        if jittered {
            take(&curve.full_jitter(), count);
        } else {
            take(&curve, count);
        }
    }
}

pub const POLLERS: &[Poller] = &[];
