//! The way to run an operation that blocks, without a runtime.

use core::time::Duration;

use crate::{
    builder::RetryBuilder,
    extras::{Carried, ExtrasFor},
    hooks::Predicate,
    timer::Clock,
    tracker::{Due, Tracker},
};

impl<T: Clock, P, X: Carried> RetryBuilder<T, P, X> {
    /// Calls `op` until it succeeds or the policy gives up, without a runtime: a
    /// wait blocks the thread by [`Clock::block`].
    ///
    /// If a wait is interrupted, the sequence ends.
    ///
    /// # Errors
    ///
    /// The last attempt's own error, unchanged.
    ///
    /// # Panics
    ///
    /// Panics in `op`, the predicate or the observer pass through.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Clock, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .backoff(Backoff::constant(Duration::from_secs(1)));
    /// assert_eq!(policy.retry_blocking(|| Err::<(), _>("refused")), Err("refused"));
    /// assert_eq!(timer.now(), Duration::from_secs(4));
    /// ```
    #[inline]
    pub fn retry_blocking<F, V, E>(self, mut op: F) -> Result<V, E>
    where
        F: FnMut() -> Result<V, E>,
        P: Predicate<E>,
        X: ExtrasFor<E>,
    {
        let mut tracker = Tracker::new(self.sequence(), self.extras);
        let (timer, mut predicate) = (self.timer, self.predicate);
        tracker.begin(&timer);
        loop {
            let error = match op() {
                Ok(value) => {
                    tracker.succeeded(&timer);
                    return Ok(value);
                }
                Err(error) => error,
            };
            let Some(mut wait) = tracker.failed(&timer, &mut predicate, &error) else {
                return Err(error);
            };
            loop {
                if wait > 0 && timer.block(Duration::from_nanos(wait)).is_break() {
                    tracker.interrupted(&timer, &error);
                    return Err(error);
                }
                match tracker.ask(&timer, &error) {
                    Due::Attempt => break,
                    Due::Wait(again) => wait = again,
                    Due::GaveUp(()) => return Err(error),
                }
            }
        }
    }
}
