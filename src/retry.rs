//! The door for an operation that makes its own future.

use core::{
    fmt,
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::FusedFuture;
use pin_project::pin_project;

use crate::{
    builder::RetryBuilder,
    extras::{Carried, ExtrasFor},
    hooks::{Always, Predicate},
    timer::Timer,
    tracker::{DeadlineOf, Due, Tracker},
    unset::Unset,
    unwind::guarded,
};

impl<T: Timer, P, X: Carried> RetryBuilder<T, P, X> {
    /// Calls `op` until an attempt succeeds or the policy gives up.
    ///
    /// The future has a name, is lazy, and can be stored or spawned; nothing
    /// runs before its first poll. `op` is called once for each attempt; what it
    /// borrows, it borrows for the whole sequence.
    ///
    /// # Errors
    ///
    /// The last attempt's own error, unchanged.
    ///
    /// # Panics
    ///
    /// If polled after it has returned or panicked. Panics in `op`, the attempt, the
    /// predicate or the observer pass through, and `op` is not called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt or the wait in progress at once;
    /// no further call is made.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::RetryBuilder;
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut answers = [Err("refused"), Err("reset"), Ok(200)].into_iter();
    /// let begun = Instant::now();
    ///
    /// let policy = RetryBuilder::new().jitter(afterbeat::Jitter::NONE);
    /// let result = policy.retry(|| std::future::ready(answers.next().unwrap())).await;
    ///
    /// assert_eq!(result, Ok(200));
    /// assert_eq!(begun.elapsed(), Duration::from_millis(125 + 250));
    /// # }
    /// ```
    pub fn retry<F, Fut, V, E>(self, op: F) -> Retry<F, Fut, E, T, P, X>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        P: Predicate<E>,
        X: ExtrasFor<E>,
    {
        let sequence = self.sequence();
        Retry {
            op,
            predicate: self.predicate,
            timer: self.timer,
            tracker: Tracker::new(sequence, self.extras),
            state: State::Ready,
        }
    }
}

/// The future of [`RetryBuilder::retry`].
///
/// For the default policy its size is at most 48 bytes, what `op` captures, and the
/// larger of the sleep and, with 8 bytes more, the operation's future. It allocates
/// nothing. It is `Send` if its parts are; the error counts only if the policy has a
/// budget, for then a wait keeps it.
#[pin_project(project = RetryProjection)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Retry<F, Fut, E, T: Timer, P = Always, X: Carried = Unset> {
    // First, so that it is dropped before what it may borrow from.
    #[pin]
    state: State<Fut, DeadlineOf<X, T::Sleep>, T::Sleep>,
    op: F,
    predicate: P,
    timer: T,
    tracker: Tracker<T, X, E>,
}

#[pin_project(project = StateProjection)]
enum State<Attempt, Deadline, Sleep> {
    /// The next attempt is due.
    Ready,
    /// An attempt runs.
    Attempt(#[pin] Attempt, #[pin] Deadline),
    /// The wait after a failure.
    Wait(#[pin] Sleep),
    /// The result has been returned, or a panic has passed through.
    Done,
}

impl<F, Fut, E, T, P, X, V> Future for Retry<F, Fut, E, T, P, X>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    P: Predicate<E>,
    X: ExtrasFor<E>,
{
    type Output = Result<V, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        guarded(
            self.project(),
            |this| {
                this.state.set(State::Done);
                this.tracker.abandon();
            },
            |this| {
                // Where it stands is asked once; from then on it goes straight on.
                match this.state.as_mut().project() {
                    StateProjection::Ready => ready!(this.start(context))?,
                    StateProjection::Wait(sleep) => {
                        ready!(sleep.poll(context));
                        this.state.set(State::Ready);
                        ready!(this.start(context))?;
                    }
                    StateProjection::Attempt(..) | StateProjection::Done => {}
                }
                loop {
                    let StateProjection::Attempt(attempt, deadline) = this.state.as_mut().project()
                    else {
                        panic!("`Retry` was polled after its end");
                    };
                    let ended = ready!(Tracker::<T, X, E>::poll(attempt, deadline, context));
                    // The attempt is dropped before anyone looks at its result.
                    this.state.set(State::Done);
                    let result = this.tracker.result(ended);
                    let ended = this.tracker.ended(this.timer, result, |tracker, error| {
                        tracker.fail(this.timer, this.predicate, error)
                    });
                    match ended {
                        ControlFlow::Break(result) => return Poll::Ready(result),
                        ControlFlow::Continue(0) => {
                            this.state.set(State::Ready);
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        ControlFlow::Continue(wait) => ready!(this.wait(wait, context)),
                    }
                    ready!(this.start(context))?;
                }
            },
        )
    }
}

impl<F, Fut, V, E, T, P, X> RetryProjection<'_, F, Fut, E, T, P, X>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    X: ExtrasFor<E>,
{
    /// Calls the operation, if nobody who pays for it refuses.
    #[inline]
    fn start(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        loop {
            match self.tracker.due(self.timer) {
                Due::Attempt => break,
                Due::Wait(wait) => ready!(self.wait(wait, context)),
                Due::GaveUp(error) => {
                    self.state.set(State::Done);
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.tracker.begin(self.timer);
        let deadline = self.tracker.deadline(self.timer);
        let attempt = (self.op)();
        self.state.set(State::Attempt(attempt, deadline));
        Poll::Ready(Ok(()))
    }

    /// Sleeps; after it the next attempt is due.
    // Out of line, so that a first-try success need not save registers for it.
    #[inline(never)]
    fn wait(&mut self, wait: u64, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.timer.sleep(Duration::from_nanos(wait));
        self.state.set(State::Wait(sleep));
        let StateProjection::Wait(sleep) = self.state.as_mut().project() else {
            unreachable!("a sleep has begun");
        };
        ready!(sleep.poll(context));
        self.state.set(State::Ready);
        Poll::Ready(())
    }
}

impl<F, Fut, E, T, P, X, V> FusedFuture for Retry<F, Fut, E, T, P, X>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    P: Predicate<E>,
    X: ExtrasFor<E>,
{
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl<F, Fut, E, T: Timer, P, X: Carried> fmt::Debug for Retry<F, Fut, E, T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ready => "ready",
            State::Attempt(..) => "attempt",
            State::Wait(_) => "wait",
            State::Done => "done",
        };
        f.debug_struct("Retry")
            .field("state", &state)
            .field("failures", &self.tracker.failures())
            .finish_non_exhaustive()
    }
}
