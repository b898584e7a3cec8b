//! The doors for a loop of one's own, a lent context, and no runtime.

use core::{
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project::pin_project;

use crate::{
    builder::RetryBuilder,
    extras::{Always, InUse, Optional, Plain, Predicate, Session},
    sequence::Sequence,
    timer::Timer,
};

impl<T: Timer, P, X: Optional> RetryBuilder<T, P, X> {
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
        X: InUse<E>,
    {
        // Taken apart out here: an `async fn` would hold the whole policy beside its parts.
        let mut session = Session::new(self.sequence(), self.extras);
        let (timer, mut predicate) = (self.timer, self.predicate);
        async move {
            session.begin(&timer);
            loop {
                let result = op(context).await;
                let wait = match session.ended(&timer, &mut predicate, result) {
                    ControlFlow::Break(result) => return result,
                    ControlFlow::Continue(wait) => wait,
                };
                pause(&timer, wait).await;
            }
        }
    }

    /// Returns a cursor for a loop of the caller's own.
    ///
    /// No closure and no borrow: `?`, `break` and `select!` work, with any
    /// lifetimes. The limit in time counts from this call.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::RetryBuilder;
    ///
    /// # async fn send(parts: &mut Vec<u8>) -> Result<usize, &'static str> {
    /// #     parts.push(0);
    /// #     if parts.len() < 3 { Err("refused") } else { Ok(parts.len()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), &'static str> {
    /// let mut parts = Vec::new();
    /// let mut attempts = RetryBuilder::new().attempts();
    /// let sent = loop {
    ///     match send(&mut parts).await {
    ///         Ok(sent) => {
    ///             attempts.succeeded();
    ///             break sent;
    ///         }
    ///         Err(error) => attempts.failed(error).await?,
    ///     }
    /// };
    /// assert_eq!(sent, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn attempts<E>(self) -> Attempts<E, T, P, X>
    where
        P: Predicate<E>,
        X: InUse<E>,
    {
        let fresh = self.sequence();
        let mut session = Session::new(fresh, self.extras);
        session.begin(&self.timer);
        Attempts {
            timer: self.timer,
            predicate: self.predicate,
            session,
            fresh,
            error: PhantomData,
        }
    }

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
    #[cfg(feature = "std")]
    pub fn retry_blocking<F, V, E>(mut self, mut op: F) -> Result<V, E>
    where
        F: FnMut() -> Result<V, E>,
        P: Predicate<E>,
        X: InUse<E>,
    {
        let mut session = Session::new(self.sequence(), self.extras);
        session.begin(&self.timer);
        loop {
            let result = op();
            let wait = match session.ended(&self.timer, &mut self.predicate, result) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(wait) => wait,
            };
            if !wait.is_zero() {
                self.timer.block(wait);
            }
        }
    }
}

/// Waits; a wait of zero makes no timer and yields once.
async fn pause<T: Timer>(timer: &T, wait: Duration) {
    if !wait.is_zero() {
        return timer.sleep(wait).await;
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

/// A cursor for a loop of the caller's own; see [`RetryBuilder::attempts`].
///
/// Tell it how each attempt ended. Dropping it unsaid is a cancel.
#[must_use = "a cursor does nothing until it is told of an attempt"]
pub struct Attempts<E, T: Timer, P = Always, X: Optional = Plain> {
    timer: T,
    predicate: P,
    session: Session<T, X>,
    fresh: Sequence,
    error: PhantomData<fn(E)>,
}

impl<E, T, P, X> Attempts<E, T, P, X>
where
    T: Timer,
    P: Predicate<E>,
    X: InUse<E>,
{
    /// Takes in an attempt's failure, and decides at once. The future it returns
    /// waits where a retry follows.
    ///
    /// # Errors
    ///
    /// The future resolves to the error, unchanged, where none follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait; the decision stands.
    pub fn failed(&mut self, error: E) -> Pause<E, T::Sleep> {
        let state = match self
            .session
            .failed(&self.timer, &mut self.predicate, &error)
        {
            None => PauseState::GaveUp(error),
            Some(Duration::ZERO) => PauseState::Yield,
            Some(wait) => PauseState::Wait(self.timer.sleep(wait)),
        };
        Pause { state }
    }

    /// Takes in a success: tells the observer and the budget. It ends the sequence;
    /// [`reset`](Self::reset) begins another.
    pub fn succeeded(&mut self) {
        self.session.succeeded(&self.timer);
    }

    /// Starts curve, count and clock anew, after progress: a connection that has
    /// held, a page that was fetched.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut attempts = RetryBuilder::with_timer(&timer).max_retries(1).attempts();
    /// for _ in 0..10 {
    ///     // Connected; then the connection is lost.
    ///     attempts.reset();
    ///     assert_eq!(timer.run(attempts.failed("lost")), Ok(()));
    /// }
    /// assert_eq!(timer.run(attempts.failed("lost")), Err("lost"));
    /// ```
    pub fn reset(&mut self) {
        self.session.restart(self.fresh);
        self.session.begin(&self.timer);
    }
}

impl<E, T: Timer, P, X: Optional> fmt::Debug for Attempts<E, T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("failures", &self.session.failures())
            .finish_non_exhaustive()
    }
}

/// The future of [`Attempts::failed`]: the wait before the next attempt, or the
/// error where there is none.
///
/// # Panics
///
/// If polled after it has returned.
#[pin_project]
#[must_use = "the wait happens where this is awaited"]
pub struct Pause<E, Sleep> {
    #[pin]
    state: PauseState<E, Sleep>,
}

#[pin_project(project = PauseProjection, project_replace = PauseReplaced)]
enum PauseState<E, Sleep> {
    GaveUp(E),
    /// A wait of zero.
    Yield,
    /// The next attempt is due.
    Over,
    Wait(#[pin] Sleep),
    Done,
}

impl<E, Sleep: Future<Output = ()>> Future for Pause<E, Sleep> {
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let PauseProjection::Wait(sleep) = state.as_mut().project() {
            core::task::ready!(sleep.poll(context));
        }
        match state.as_mut().project_replace(PauseState::Done) {
            PauseReplaced::GaveUp(error) => Poll::Ready(Err(error)),
            PauseReplaced::Wait(_) | PauseReplaced::Over => Poll::Ready(Ok(())),
            PauseReplaced::Yield => {
                state.set(PauseState::Over);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            PauseReplaced::Done => panic!("`Pause` was polled after its end"),
        }
    }
}

impl<E, Sleep> fmt::Debug for Pause<E, Sleep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            PauseState::GaveUp(_) => "gave up",
            PauseState::Yield | PauseState::Over | PauseState::Wait(_) => "wait",
            PauseState::Done => "done",
        };
        f.debug_tuple("Pause").field(&state).finish()
    }
}
