//! The limit of a single attempt.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project::pin_project;

use crate::{timer::Timer, unset::Unset};

/// The limit of each attempt in the type of a policy; see
/// [`RetryBuilder::attempt_timeout`](crate::RetryBuilder::attempt_timeout).
#[derive(Clone, Copy)]
pub struct AttemptTimeout<F> {
    limit: Duration,
    error: F,
}

impl<F> AttemptTimeout<F> {
    pub(crate) const fn new(limit: Duration, error: F) -> Self {
        Self { limit, error }
    }
}

impl<F> fmt::Debug for AttemptTimeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptTimeout")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Limits attempts: [`AttemptTimeout`], or [`Unset`] for no limit.
pub trait Cutter {
    /// An attempt with its limit.
    type Limited<A: Future, S: Future<Output = ()>>: Future<Output = Self::Ended<A::Output>>;
    /// What an attempt returned, or that it was cut.
    type Ended<R>;

    /// Calls an operation. Its time counts from before the call.
    fn limit<A: Future, T: Timer>(
        &self,
        timer: &T,
        call: impl FnOnce() -> A,
    ) -> Self::Limited<A, T::Sleep>;
}

/// Names the error of an attempt that was cut.
pub trait CutterFor<E>: Cutter {
    fn result<V>(&mut self, ended: Self::Ended<Result<V, E>>) -> Result<V, E>;
}

// Nothing stands between the caller and an attempt without a limit, not even a wrapper.
impl Cutter for Unset {
    type Limited<A: Future, S: Future<Output = ()>> = A;
    type Ended<R> = R;

    fn limit<A: Future, T: Timer>(&self, _: &T, call: impl FnOnce() -> A) -> A {
        call()
    }
}

impl<E> CutterFor<E> for Unset {
    fn result<V>(&mut self, ended: Result<V, E>) -> Result<V, E> {
        ended
    }
}

impl<F> Cutter for AttemptTimeout<F> {
    type Limited<A: Future, S: Future<Output = ()>> = Limited<A, S>;
    type Ended<R> = Option<R>;

    fn limit<A: Future, T: Timer>(
        &self,
        timer: &T,
        call: impl FnOnce() -> A,
    ) -> Limited<A, T::Sleep> {
        let limited = self.limit < Duration::MAX;
        let deadline = limited.then(|| timer.sleep(self.limit));
        Limited {
            attempt: call(),
            deadline,
        }
    }
}

impl<E, F: FnMut() -> E> CutterFor<E> for AttemptTimeout<F> {
    fn result<V>(&mut self, ended: Option<Result<V, E>>) -> Result<V, E> {
        ended.unwrap_or_else(|| Err((self.error)()))
    }
}

/// An attempt with its deadline: nothing, if that comes first.
#[derive(Debug)]
#[pin_project]
pub struct Limited<A, S> {
    #[pin]
    attempt: A,
    #[pin]
    deadline: Option<S>,
}

impl<A: Future, S: Future<Output = ()>> Future for Limited<A, S> {
    type Output = Option<A::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.attempt.poll(context) {
            return Poll::Ready(Some(output));
        }
        match this.deadline.as_pin_mut() {
            Some(deadline) => deadline.poll(context).map(|()| None),
            None => Poll::Pending,
        }
    }
}
