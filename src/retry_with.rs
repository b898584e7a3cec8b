//! The way to run an operation that borrows a context.

use core::{
    future::{Future, poll_fn},
    ops::ControlFlow,
    task::Poll,
    time::Duration,
};

use crate::{
    builder::RetryBuilder,
    extras::{Carried, ExtrasFor},
    hooks::Predicate,
    timer::Timer,
    tracker::{Due, Tracker},
};

impl<T: Timer, P, X: Carried> RetryBuilder<T, P, X> {
    /// Calls `op` with a context that is lent to each attempt, until one succeeds
    /// or the policy gives up.
    ///
    /// The operation may write to what it borrows, also inside a spawned task, as
    /// long as the context's type holds no borrow and the closure captures none;
    /// otherwise use [`attempts`](Self::attempts).
    ///
    /// # Errors
    ///
    /// The last attempt's own error, unchanged.
    ///
    /// # Panics
    ///
    /// Panics in `op`, the predicate or the observer pass through.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt or the wait in progress at once. The
    /// context was only lent: it is as the dropped attempt left it.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::RetryBuilder;
    ///
    /// struct Connection { sent: u32 }
    ///
    /// impl Connection {
    ///     async fn send(&mut self) -> Result<u32, &'static str> {
    ///         self.sent += 1;
    ///         if self.sent < 3 { Err("refused") } else { Ok(self.sent) }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let task = tokio::spawn(async {
    ///     let mut connection = Connection { sent: 0 };
    ///     RetryBuilder::new().retry_with(&mut connection, Connection::send).await
    /// });
    /// assert_eq!(task.await.unwrap(), Ok(3));
    /// # }
    /// ```
    pub fn retry_with<C, F, V, E>(
        self,
        context: &mut C,
        mut op: F,
    ) -> impl Future<Output = Result<V, E>>
    where
        C: ?Sized,
        F: AsyncFnMut(&mut C) -> Result<V, E>,
        P: Predicate<E>,
        X: ExtrasFor<E>,
    {
        // Taken apart out here: an `async fn` would hold the whole policy beside its parts.
        let mut tracker = Tracker::new(self.sequence(), self.extras);
        let (timer, mut predicate) = (self.timer, self.predicate);
        async move {
            tracker.begin(&timer);
            loop {
                let ended = tracker.limit(&timer, || op(context)).await;
                let result = tracker.result(ended);
                let failed = |tracker: &mut Tracker<T, X, E>, error: &E| {
                    tracker.failed(&timer, &mut predicate, error)
                };
                // Not by a name: what is named is held while it waits, error and all.
                let mut wait = match tracker.ended(&timer, result, failed) {
                    ControlFlow::Break(result) => return result,
                    ControlFlow::Continue(wait) => wait,
                };
                loop {
                    pause(&timer, wait).await;
                    if !Tracker::<T, X, E>::PAYS {
                        break;
                    }
                    match tracker.due(&timer) {
                        Due::Attempt => break,
                        Due::Wait(again) => wait = again,
                        Due::GaveUp(error) => return Err(error),
                    }
                }
            }
        }
    }
}

/// Waits; a wait of zero makes no timer and yields once.
async fn pause<T: Timer>(timer: &T, wait: u64) {
    if wait > 0 {
        return timer.sleep(Duration::from_nanos(wait)).await;
    }
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
