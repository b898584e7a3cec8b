//! The way to run a loop of the caller's own.

use core::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project::pin_project;

use crate::{
    builder::RetryBuilder,
    extras::{ExtrasFor, MaybeExtras},
    hooks::{Always, Predicate},
    sequence::Sequence,
    timer::Timer,
    tracker::Tracker,
    unset::Unset,
};

impl<T: Timer, P, X: MaybeExtras> RetryBuilder<T, P, X> {
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
        X: ExtrasFor<E>,
    {
        let fresh = self.sequence();
        let mut tracker = Tracker::new(fresh, self.extras);
        tracker.begin(&self.timer);
        Attempts {
            timer: self.timer,
            predicate: self.predicate,
            tracker,
            fresh,
            error: PhantomData,
        }
    }
}

/// A cursor for a loop of the caller's own; see [`RetryBuilder::attempts`].
///
/// Tell it how each attempt ended. Dropping it unsaid is a cancel.
#[must_use = "a cursor does nothing until it is told of an attempt"]
pub struct Attempts<E, T: Timer, P = Always, X: MaybeExtras = Unset> {
    timer: T,
    predicate: P,
    tracker: Tracker<T, X>,
    fresh: Sequence,
    error: PhantomData<fn(E)>,
}

impl<E, T, P, X> Attempts<E, T, P, X>
where
    T: Timer,
    P: Predicate<E>,
    X: ExtrasFor<E>,
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
            .tracker
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
        self.tracker.succeeded(&self.timer);
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
        self.tracker.restart(self.fresh);
        self.tracker.begin(&self.timer);
    }
}

impl<E, T: Timer, P, X: MaybeExtras> fmt::Debug for Attempts<E, T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("failures", &self.tracker.failures())
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
