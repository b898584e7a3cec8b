//! tower's retry: its policy is a user's code, here over tower's own backoff, or
//! over a doubling delay where the sleep is ready at once.

use std::{
    future::{Future, Ready as Once, ready},
    hint::black_box,
    time::Duration,
};

use tokio::time::Sleep;
use tower::{
    Service,
    retry::{
        Policy, Retry,
        backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff},
    },
    service_fn,
    util::rng::HasherRng,
};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
};

fn curve(knobs: Knobs, jitter: f64) -> ExponentialBackoff {
    ExponentialBackoffMaker::new(knobs.first, knobs.cap, jitter, HasherRng::default())
        .expect("the knobs are valid")
        .make_backoff()
}

#[derive(Clone)]
pub struct Limited<B> {
    backoff: B,
    left: u32,
}

impl<B: Backoff> Policy<(), u64, Fault> for Limited<B> {
    type Future = B::Future;

    fn retry(&mut self, (): &mut (), result: &mut Result<u64, Fault>) -> Option<B::Future> {
        match result {
            Err(fault) if fault.retryable() && self.left > 0 => {
                self.left -= 1;
                Some(self.backoff.next_backoff())
            }
            _ => None,
        }
    }

    fn clone_request(&mut self, (): &()) -> Option<()> {
        Some(())
    }
}

/// A doubling delay whose sleeps are over at once.
#[derive(Clone)]
pub struct Instantly {
    delay: Duration,
    cap: Duration,
}

impl Backoff for Instantly {
    type Future = Once<()>;

    fn next_backoff(&mut self) -> Once<()> {
        black_box(self.delay);
        self.delay = (self.delay * 2).min(self.cap);
        ready(())
    }
}

fn call<const N: usize, P>(policy: P) -> impl Future<Output = Result<u64, Fault>> + Send + 'static
where
    P: Policy<(), u64, Fault, Future: Send> + Clone + Send + 'static,
{
    Retry::new(policy, service_fn(|()| operate::<N>())).call(())
}

pub struct Slept;

impl Subject for Slept {
    type Policy = Limited<ExponentialBackoff>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Self::Policy {
        Limited {
            backoff: curve(knobs, 0.0),
            left: knobs.retries,
        }
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        call::<N, _>(policy)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Ready;

impl Subject for Ready {
    type Policy = Limited<Instantly>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Self::Policy {
        Limited {
            backoff: Instantly {
                delay: knobs.first,
                cap: knobs.cap,
            },
            left: knobs.retries,
        }
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        call::<N, _>(policy)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let mut waits = black_box(curve(WAITS, if jittered { 0.5 } else { 0.0 }));
        for _ in 0..count {
            // The schedule can only be asked for a sleep of tokio's.
            let wait: Sleep = waits.next_backoff();
            drop(black_box(wait));
        }
    }
}

pub const POLLERS: &[Poller] = &[];
