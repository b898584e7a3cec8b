//! What is polled, by a stream and by a driver: one run, or one wait.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;

use super::pace::FOREVER;
use crate::{timer::Timer, unwind::guarded};

/// An operation, and either its run or the wait for the next one.
#[pin_project]
pub(super) struct Cycle<F, Fut, Sleep> {
    #[pin]
    state: State<Fut, Sleep>,
    op: F,
}

#[pin_project(project = StateProjection)]
enum State<Fut, Sleep> {
    /// Nothing runs and nothing sleeps.
    Idle,
    /// A wait of zero: yields once.
    Yield,
    /// The wait is over.
    Due,
    Wait(#[pin] Sleep),
    Run(#[pin] Fut),
}

impl<F, Fut, Sleep> Cycle<F, Fut, Sleep> {
    /// A cycle whose first run is due.
    pub(super) const fn new(op: F) -> Self {
        Self {
            op,
            state: State::Due,
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, State::Run(_))
    }

    /// Drops the wait.
    #[cfg(feature = "std")]
    pub(super) fn halt(self: Pin<&mut Self>) {
        self.project().state.set(State::Idle);
    }

    /// Begins a wait of so many nanoseconds, in place of any other.
    pub(super) fn arm<T: Timer<Sleep = Sleep>>(self: Pin<&mut Self>, timer: &T, wait: u64) {
        self.project().state.set(match wait {
            0 => State::Yield,
            FOREVER => State::Idle,
            wait => State::Wait(timer.sleep(Duration::from_nanos(wait))),
        });
    }
}

impl<F, Fut, Sleep, V, E> Cycle<F, Fut, Sleep>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    Sleep: Future<Output = ()>,
{
    /// Is ready once the wait is over, and stays so.
    pub(super) fn poll_wait(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProjection::Due => return Poll::Ready(()),
            StateProjection::Idle | StateProjection::Run(_) => return Poll::Pending,
            StateProjection::Yield => {
                state.set(State::Due);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            StateProjection::Wait(sleep) => ready!(sleep.poll(context)),
        }
        state.set(State::Due);
        Poll::Ready(())
    }

    /// Calls the operation. If it panics, the run stays due.
    pub(super) fn begin(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.state.set(State::Due);
        this.state.set(State::Run((this.op)()));
    }

    /// Polls the run. It is dropped before its outcome is returned or its panic
    /// passes; until a wait is armed, the next run is due.
    pub(super) fn poll_run(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<V, E>> {
        let mut state = self.project().state;
        let outcome = guarded(
            state.as_mut(),
            |state| state.set(State::Due),
            |state| match state.as_mut().project() {
                StateProjection::Run(run) => run.poll(context),
                _ => Poll::Pending,
            },
        );
        let outcome = ready!(outcome);
        state.set(State::Due);
        Poll::Ready(outcome)
    }
}
