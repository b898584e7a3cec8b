//! An observer that writes to `tracing`.

use core::fmt::Display;

use crate::event::Event;

/// Writes a sequence's events to `tracing`: give it to
/// [`RetryBuilder::observe`](crate::RetryBuilder::observe).
///
/// A retry is an event at level `INFO`, giving up one at `WARN`, a success after
/// retries one at `INFO`; a first-try success is quiet. Fields: `error`,
/// `iteration` or `retries`, `wait`, `elapsed`, `reason`. The error is written by
/// its `Display`, so it must hold no secret.
///
/// # Examples
///
/// ```
/// use afterbeat::{ManualTimer, RetryBuilder};
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(&timer).observe(afterbeat::trace);
/// let result = timer.run(policy.retry(|| async { Err::<(), _>("refused") }));
/// assert_eq!(result, Err("refused"));
/// ```
pub fn trace<E: Display>(event: Event<'_, E>) {
    match event {
        Event::Retrying {
            error,
            iteration,
            wait,
            ..
        } => tracing::info!(%error, iteration, ?wait, elapsed = ?event.elapsed(), "retrying"),
        Event::Postponed {
            error,
            iteration,
            wait,
            ..
        } => tracing::info!(
            %error, iteration, ?wait, elapsed = ?event.elapsed(), "postponed by the budget"
        ),
        Event::GaveUp {
            error,
            reason,
            retries,
            ..
        } => tracing::warn!(%error, %reason, retries, elapsed = ?event.elapsed(), "gave up"),
        Event::Succeeded { retries: 0, .. } => {}
        Event::Succeeded { retries, .. } => {
            tracing::info!(retries, elapsed = ?event.elapsed(), "succeeded after retries");
        }
    }
}
