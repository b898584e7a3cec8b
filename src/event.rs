//! What an observer sees.

use core::{fmt, time::Duration};

use crate::decision::GiveUp;

/// What happened in a sequence.
///
/// An observer sees one [`Retrying`](Self::Retrying) before the wait for each retry, one
/// [`Postponed`](Self::Postponed) for each time the budget refuses that retry, and
/// finally one [`Succeeded`](Self::Succeeded) or [`GaveUp`](Self::GaveUp), unless the
/// sequence is dropped before its end.
///
/// A poller is a sequence that starts anew after each success; see
/// [`PollerBuilder::observe`](crate::PollerBuilder::observe).
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
    #[non_exhaustive]
    Retrying {
        /// The attempt's error.
        error: &'a E,
        /// How many attempts have failed, from 1.
        iteration: u32,
        /// The policy's limit on retries, if it has one: this is retry `iteration` of
        /// `limit`.
        limit: Option<u32>,
        /// How long the sequence waits before the next attempt.
        wait: Duration,
        #[doc(hidden)]
        elapsed: Elapsed<'a>,
    },
    /// The retry budget refused the retry that was due; the sequence asks it again after
    /// `wait`.
    #[non_exhaustive]
    Postponed {
        /// The last attempt's error.
        error: &'a E,
        /// How many attempts have failed, from 1: the same as in the `Retrying` before.
        iteration: u32,
        /// The policy's limit on retries, if it has one; each refusal uses up one of them.
        limit: Option<u32>,
        /// How long the sequence waits before it asks again.
        wait: Duration,
        #[doc(hidden)]
        elapsed: Elapsed<'a>,
    },
    /// The sequence ended with its last attempt's error.
    #[non_exhaustive]
    GaveUp {
        /// The last attempt's error.
        error: &'a E,
        /// Why no retry follows.
        reason: GiveUp,
        /// How many retries were made.
        retries: u32,
        #[doc(hidden)]
        elapsed: Elapsed<'a>,
    },
    /// An attempt succeeded.
    #[non_exhaustive]
    Succeeded {
        /// How many retries were made.
        retries: u32,
        #[doc(hidden)]
        elapsed: Elapsed<'a>,
    },
}

impl<E> Event<'_, E> {
    /// Returns the time since the first attempt began, by the policy's timer.
    ///
    /// Each call reads the clock; an observer that does not ask costs no reading here.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Event, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut log = Vec::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .backoff(Backoff::constant(Duration::from_secs(3)))
    ///     .max_retries(1)
    ///     .observe(|event: Event<'_, &str>| log.push(event.elapsed()));
    /// let _ = timer.run(policy.retry(|| async { Err::<(), _>("refused") }));
    /// assert_eq!(log, [Duration::ZERO, Duration::from_secs(3)]);
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let (Self::Retrying { elapsed, .. }
        | Self::Postponed { elapsed, .. }
        | Self::GaveUp { elapsed, .. }
        | Self::Succeeded { elapsed, .. }) = self;
        (elapsed.0)()
    }
}

impl<E> Clone for Event<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Event<'_, E> {}

/// Reads the clock when it is asked.
#[derive(Clone, Copy)]
pub struct Elapsed<'a>(pub(crate) &'a dyn Fn() -> Duration);

impl fmt::Debug for Elapsed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}
