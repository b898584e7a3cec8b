//! A poller's status.

use core::time::Duration;

/// What a pushed poller is doing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{PollerBuilder, PollerPhase};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
/// poller.stop();
/// assert_eq!(poller.status().phase, PollerPhase::Stopped);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PollerPhase {
    /// Waiting for the next run.
    Waiting,
    /// A run is in flight.
    Running,
    /// A run is in flight; none follows it unless the poller is started again.
    Stopping,
    /// Nothing runs until the poller is started.
    Stopped,
    /// A run is in flight; none follows it until the poller is resumed.
    Pausing,
    /// Nothing runs until the poller is resumed, which keeps its deadline.
    Paused,
    /// Over, by shutdown, drop of the handle or drop of the driver.
    Ended,
    /// Over, because a run panicked.
    Panicked,
}

/// What a pushed poller is doing, and has done.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Backoff, Jitter, PollerBuilder};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5))
///     .jitter(Jitter::NONE)
///     .backoff(Backoff::new()) // of at most 0.5 s after two failures
///     .spawn(|| async { Err::<(), _>(503) });
/// tokio::time::sleep(Duration::from_secs(8)).await;
/// let status = poller.status();
/// assert_eq!((status.runs, status.failures), (2, 2));
/// assert_eq!(status.next_run, Some(Duration::from_secs(2)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerStatus {
    /// What it is doing.
    pub phase: PollerPhase,
    /// How many runs have ended with an outcome.
    pub runs: u64,
    /// How many of the last runs in a row have failed: zero after a success, so that
    /// it tells how the last run ended.
    pub failures: u32,
    /// The time until the next run, once the driver has begun to wait for it.
    pub next_run: Option<Duration>,
}
