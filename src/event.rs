//! What an observer sees.

use core::time::Duration;

use crate::decision::GiveUp;

/// What happened in a sequence, as an observer is told.
///
/// For every sequence: one [`Retrying`](Self::Retrying) before each wait, then
/// one [`Succeeded`](Self::Succeeded) or [`GaveUp`](Self::GaveUp), unless it was
/// dropped before its end. `elapsed` is the time by the policy's timer since the
/// first attempt began.
///
/// # Examples
///
/// ```
/// use afterbeat::{Event, ManualTimer, RetryBuilder};
///
/// let timer = ManualTimer::new();
/// let mut log = Vec::new();
/// let policy = RetryBuilder::with_timer(&timer)
///     .max_retries(1)
///     .observe(|event: Event<'_, &str>| {
///         log.push(match event {
///             Event::Retrying { error, iteration, .. } => format!("retry {iteration}: {error}"),
///             Event::GaveUp { error, reason, retries, .. } => {
///                 format!("gave up after {retries} retries, {reason}: {error}")
///             }
///             _ => format!("{event:?}"),
///         });
///     });
/// let _ = timer.run(policy.retry(|| async { Err::<(), _>("refused") }));
/// assert_eq!(log, [
///     "retry 1: refused",
///     "gave up after 1 retries, the limit on retries was reached: refused",
/// ]);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, E> {
    /// An attempt failed; the next begins after `wait`.
    Retrying {
        /// The attempt's error.
        error: &'a E,
        /// How many attempts have failed, from 1.
        iteration: u32,
        /// How long the sequence waits before the next attempt.
        wait: Duration,
        /// The time since the first attempt began.
        elapsed: Duration,
    },
    /// The sequence ended with its last attempt's error.
    GaveUp {
        /// The last attempt's error.
        error: &'a E,
        /// Why no retry follows.
        reason: GiveUp,
        /// How many retries were made.
        retries: u32,
        /// The time since the first attempt began.
        elapsed: Duration,
    },
    /// An attempt succeeded.
    Succeeded {
        /// How many retries were made.
        retries: u32,
        /// The time since the first attempt began.
        elapsed: Duration,
    },
}
