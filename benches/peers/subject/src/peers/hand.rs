//! The loop that a person writes: the yardstick.

use std::{
    cell::Cell,
    future::{Future, Ready as Once, ready},
    hint::black_box,
    marker::PhantomData,
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::{
    Knobs, Poller, Subject, WAITS, Waits,
    operation::{Fault, operate},
};

pub trait Sleeper: Send + 'static {
    type Sleep: Future<Output = ()> + Send;

    fn sleep(wait: Duration) -> Self::Sleep;
}

pub struct Tokio;

impl Sleeper for Tokio {
    type Sleep = Sleep;

    fn sleep(wait: Duration) -> Sleep {
        sleep(wait)
    }
}

pub struct Instantly;

impl Sleeper for Instantly {
    type Sleep = Once<()>;

    fn sleep(wait: Duration) -> Once<()> {
        black_box(wait);
        ready(())
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would keep its argument twice"
)]
fn by_hand<const N: usize, S: Sleeper>(
    policy: Knobs,
) -> impl Future<Output = Result<u64, Fault>> + Send + 'static {
    async move {
        let mut delay = policy.first;
        let mut retries = 0;
        loop {
            match operate::<N>().await {
                Err(fault) if fault.retryable() && retries < policy.retries => {
                    S::sleep(delay).await;
                    delay = (delay * 2).min(policy.cap);
                    retries += 1;
                }
                result => return result,
            }
        }
    }
}

pub struct Hand<S>(PhantomData<S>);
pub type Slept = Hand<Tokio>;
pub type Ready = Hand<Instantly>;

impl<S: Sleeper> Subject for Hand<S> {
    type Policy = Knobs;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> Knobs {
        knobs
    }

    fn retry<const N: usize>(policy: Knobs) -> impl Future<Output = Self::Output> + Send + 'static {
        by_hand::<N, S>(policy)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0x9E37_79B9_7F4A_7C15) };
}

/// Xorshift, by the thread; uniform in [0, 1).
fn random() -> f64 {
    let mut bits = RANDOM.get();
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    RANDOM.set(bits);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let policy = black_box(WAITS);
        let mut delay = policy.first;
        if jittered {
            for _ in 0..count {
                black_box(delay.mul_f64(1.0 + random()).min(policy.cap));
                delay = (delay * 2).min(policy.cap);
            }
        } else {
            for _ in 0..count {
                black_box(delay);
                delay = (delay * 2).min(policy.cap);
            }
        }
    }
}

async fn poll_by_hand(interval: Duration) {
    loop {
        let _ = black_box(operate::<0>().await);
        sleep(interval).await;
    }
}

pub const POLLERS: &[Poller] = &[("a loop by hand in a task", |interval| {
    tokio::spawn(poll_by_hand(interval));
})];
