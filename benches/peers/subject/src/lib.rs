//! One retry crate, chosen by a feature, behind the traits that the measurements
//! are written against.

use std::{future::Future, hint::black_box, time::Duration};

pub mod operation;
#[cfg_attr(feature = "hand", path = "peers/hand.rs")]
#[cfg_attr(feature = "hand-blocking", path = "peers/hand_blocking.rs")]
#[cfg_attr(feature = "afterbeat-retry", path = "peers/afterbeat_retry.rs")]
#[cfg_attr(
    feature = "afterbeat-retry-with",
    path = "peers/afterbeat_retry_with.rs"
)]
#[cfg_attr(feature = "afterbeat-attempts", path = "peers/afterbeat_attempts.rs")]
#[cfg_attr(feature = "afterbeat-blocking", path = "peers/afterbeat_blocking.rs")]
#[cfg_attr(feature = "backoff", path = "peers/backoff.rs")]
#[cfg_attr(feature = "backon", path = "peers/backon.rs")]
#[cfg_attr(feature = "backon-blocking", path = "peers/backon_blocking.rs")]
#[cfg_attr(feature = "exponential-backoff", path = "peers/exponential_backoff.rs")]
#[cfg_attr(feature = "futures-retry", path = "peers/futures_retry.rs")]
#[cfg_attr(feature = "relentless", path = "peers/relentless.rs")]
#[cfg_attr(feature = "retry-policies", path = "peers/retry_policies.rs")]
#[cfg_attr(feature = "throttle-net", path = "peers/throttle_net.rs")]
#[cfg_attr(feature = "tokio-retry", path = "peers/tokio_retry.rs")]
#[cfg_attr(feature = "tokio-retry2", path = "peers/tokio_retry2.rs")]
#[cfg_attr(feature = "tower", path = "peers/tower.rs")]
#[cfg_attr(feature = "tryhard", path = "peers/tryhard.rs")]
mod peer;

use operation::Fault;
pub use peer::{POLLERS, Ready, Schedule, Slept};

/// What every subject is asked for: `retries` retries, the first wait, factor 2, no
/// wait above the cap, no jitter, and only while the error is retryable.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    pub first: Duration,
    pub cap: Duration,
    pub retries: u32,
}

impl Knobs {
    pub const fn new(first_millis: u64) -> Self {
        Self {
            first: Duration::from_millis(first_millis),
            cap: Duration::from_secs(if first_millis > 1000 { 3600 } else { 1 }),
            retries: 10,
        }
    }

    /// The first wait in milliseconds, for a crate that counts in them.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.first.as_millis()).expect("a wait of a test is short")
    }
}

/// A crate that retries.
pub trait Subject {
    /// Made once, cloned for each sequence.
    type Policy: Clone + Send + 'static;
    /// What a sequence ends with, as the crate returns it.
    type Output;

    /// Whether the crate does this at all.
    const PRESENT: bool = true;
    /// Whether it can tell a permanent error.
    const TELLS_PERMANENT: bool = true;
    /// Whether it can limit how many retries are made.
    const LIMITS_RETRIES: bool = true;
    /// Whether it blocks the thread instead of being awaited.
    const BLOCKS: bool = false;

    fn policy(knobs: Knobs) -> Self::Policy;
    /// Retries an operation whose future has `N` bytes.
    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static;
    fn result(output: Self::Output) -> Result<u64, Fault>;
}

/// A crate's schedule of waits: 1 ms, factor 2, at most an hour.
pub trait Waits {
    const KNOWN: bool = true;
    /// Whether it can be jittered.
    const JITTERS: bool = true;

    /// Computes so many waits.
    fn take(jittered: bool, count: u32);
}

/// The schedule's knobs. The cap is beyond the twentieth wait, so that every wait
/// measured is one that grows.
pub const WAITS: Knobs = Knobs {
    first: Duration::from_millis(1),
    cap: Duration::from_secs(3600),
    retries: 100,
};

/// Walks a schedule.
pub fn walk<T>(waits: impl Iterator<Item = T>, count: u32) {
    for wait in waits.take(count as usize) {
        black_box(wait);
    }
}

/// A poller by its name: spawns one that runs again after that interval.
pub type Poller = (&'static str, fn(Duration));

/// What a crate does not do.
#[derive(Clone)]
pub struct Absent;

impl Subject for Absent {
    type Policy = Self;
    type Output = Result<u64, Fault>;

    const PRESENT: bool = false;

    fn policy(_: Knobs) -> Self {
        Self
    }

    async fn retry<const N: usize>(_: Self) -> Self::Output {
        Err(Fault::FORBIDDEN)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

impl Waits for Absent {
    const KNOWN: bool = false;

    fn take(_: bool, _: u32) {}
}
