//! The way to run an operation that blocks, without a runtime.

use core::ops::ControlFlow;

use crate::{
    builder::RetryBuilder,
    extras::{ExtrasFor, MaybeExtras},
    hooks::Predicate,
    timer::Timer,
    tracker::Tracker,
};

impl<T: Timer, P, X: MaybeExtras> RetryBuilder<T, P, X> {
    /// Calls `op` until it succeeds or the policy gives up, without a runtime: a
    /// wait blocks the thread by [`Timer::block`].
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
    /// use afterbeat::{Backoff, ManualTimer, RetryBuilder, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .backoff(Backoff::constant(Duration::from_secs(1)));
    /// assert_eq!(policy.retry_blocking(|| Err::<(), _>("refused")), Err("refused"));
    /// assert_eq!(timer.now(), Duration::from_secs(4));
    /// ```
    pub fn retry_blocking<F, V, E>(mut self, mut op: F) -> Result<V, E>
    where
        F: FnMut() -> Result<V, E>,
        P: Predicate<E>,
        X: ExtrasFor<E>,
    {
        let mut tracker = Tracker::new(self.sequence(), self.extras);
        tracker.begin(&self.timer);
        loop {
            let result = op();
            let wait = match tracker.ended(&self.timer, &mut self.predicate, result) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(wait) => wait,
            };
            if !wait.is_zero() {
                self.timer.block(wait);
            }
        }
    }
}
