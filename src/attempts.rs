//! The way to run a loop of the caller's own.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;

use crate::{
    builder::RetryBuilder,
    extras::{Carried, ExtrasFor},
    hooks::{Always, Predicate},
    timer::Timer,
    tracker::{Due, StartOf, Tracker},
    unset::Unset,
};

impl<T: Timer, P, X: Carried> RetryBuilder<T, P, X> {
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
        let mut tracker = Tracker::new(self.sequence(), self.extras);
        let start = tracker.start();
        tracker.begin(&self.timer);
        Attempts {
            timer: self.timer,
            predicate: self.predicate,
            tracker,
            start,
        }
    }
}

/// A cursor for a loop of the caller's own; see [`RetryBuilder::attempts`].
///
/// Report the outcome of every attempt. Dropping the cursor without reporting one cancels
/// the sequence.
#[must_use = "a cursor does nothing until it is told of an attempt"]
pub struct Attempts<E, T: Timer, P = Always, X: Carried = Unset> {
    timer: T,
    predicate: P,
    tracker: Tracker<T, X, E>,
    start: StartOf<X>,
}

impl<E, T, P, X> Attempts<E, T, P, X>
where
    T: Timer,
    P: Predicate<E>,
    X: ExtrasFor<E>,
{
    /// Reports that an attempt failed, and returns a future that waits if a retry
    /// follows.
    ///
    /// The predicate and the limits are asked in the call. With a budget the future may
    /// wait more than once, and what it returns is the right to one retry, which is held
    /// until the next report or the drop of the cursor.
    ///
    /// # Errors
    ///
    /// The future resolves to the error, unchanged, if no retry follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait; the failure still counts. The budget has then
    /// not paid for an attempt that is made all the same.
    #[inline]
    pub fn failed(&mut self, error: E) -> Pause<'_, E, T, P, X> {
        let state = match self.decide(&error) {
            None => PauseState::GaveUp(error),
            Some(wait) => {
                if Tracker::<T, X, E>::PAYS {
                    self.tracker.keep(error);
                }
                match wait {
                    0 => PauseState::Yield,
                    wait => PauseState::Wait(self.timer.sleep(Duration::from_nanos(wait))),
                }
            }
        };
        Pause {
            state,
            attempts: self,
        }
    }

    // Out of line: a first-try success is not to save registers for it.
    #[inline(never)]
    fn decide(&mut self, error: &E) -> Option<u64> {
        // Here and not where the failures are forgiven, so that a success copies nothing.
        if self.tracker.failures() == 0 {
            self.tracker.restart(&self.start);
        }
        self.tracker.fail(&self.timer, &mut self.predicate, error)
    }

    /// Reports that an attempt succeeded, and starts anew.
    ///
    /// The observer is told, the budget gets back what the retries cost, and the failures
    /// before are forgiven: curve, count, clock and seed begin again.
    ///
    /// # Examples
    ///
    /// One cursor for all messages of a queue:
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut attempts = RetryBuilder::with_timer(&timer).max_retries(1).attempts();
    /// for _message in 0..10 {
    ///     assert_eq!(timer.run(attempts.failed("refused")), Ok(()));
    ///     attempts.succeeded();
    /// }
    /// ```
    #[inline]
    pub fn succeeded(&mut self) {
        self.tracker.succeeded(&self.timer);
        self.tracker.forgive(&self.timer);
    }

    /// Starts anew after progress, without an event: a connection has held, a page was
    /// fetched.
    ///
    /// The budget gets back what the retries cost; curve, count, clock and seed begin
    /// again.
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
        self.tracker.forgive(&self.timer);
    }

    /// Returns how many attempts have failed since the cursor was made or last started
    /// anew.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut attempts = RetryBuilder::with_timer(&timer).attempts();
    /// timer.run(attempts.failed("lost")).unwrap();
    /// assert_eq!(attempts.failures(), 1);
    /// ```
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.tracker.failures()
    }
}

impl<E, T: Timer, P, X: Carried> fmt::Debug for Attempts<E, T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("failures", &self.tracker.failures())
            .finish_non_exhaustive()
    }
}

/// The future of [`Attempts::failed`]: the wait before the next attempt, or the error if
/// there is none.
///
/// # Panics
///
/// If polled after it has returned.
#[pin_project]
#[must_use = "the wait happens where this is awaited"]
pub struct Pause<'a, E, T: Timer, P = Always, X: Carried = Unset> {
    #[pin]
    state: PauseState<E, T::Sleep>,
    attempts: &'a mut Attempts<E, T, P, X>,
}

#[pin_project(project = PauseProjection, project_replace = PauseReplaced)]
enum PauseState<E, Sleep> {
    GaveUp(E),
    /// A wait of zero.
    Yield,
    /// A wait of zero is over.
    Over,
    Wait(#[pin] Sleep),
    Done,
}

impl<E, T: Timer, P, X: ExtrasFor<E>> Future for Pause<'_, E, T, P, X> {
    type Output = Result<(), E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let PauseProjection::Wait(sleep) = this.state.as_mut().project() {
                ready!(sleep.poll(context));
            }
            match this.state.as_mut().project_replace(PauseState::Done) {
                PauseReplaced::GaveUp(error) => return Poll::Ready(Err(error)),
                PauseReplaced::Wait(_) | PauseReplaced::Over => {}
                PauseReplaced::Yield => {
                    this.state.set(PauseState::Over);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                PauseReplaced::Done => panic!("`Pause` was polled after its end"),
            }
            let Attempts { timer, tracker, .. } = &mut **this.attempts;
            if !Tracker::<T, X, E>::PAYS {
                return Poll::Ready(Ok(()));
            }
            match tracker.due(timer) {
                Due::Attempt => return Poll::Ready(Ok(())),
                Due::Wait(wait) => this
                    .state
                    .set(PauseState::Wait(timer.sleep(Duration::from_nanos(wait)))),
                Due::GaveUp(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<E, T: Timer, P, X: Carried> fmt::Debug for Pause<'_, E, T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            PauseState::GaveUp(_) => "gave up",
            PauseState::Yield | PauseState::Over | PauseState::Wait(_) => "wait",
            PauseState::Done => "done",
        };
        f.debug_tuple("Pause").field(&state).finish()
    }
}
