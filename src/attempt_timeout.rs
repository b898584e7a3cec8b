//! The limit of a single attempt.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project::pin_project;

use crate::{seal::Sealed, timer::Timer, unset::Unset};

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
pub trait Cutter: Sealed {
    /// The end of an attempt's time.
    #[doc(hidden)]
    type Deadline<S>;
    /// An attempt with its deadline.
    #[doc(hidden)]
    type Limited<A: Future, S: Future<Output = ()>>: Future<Output = Self::Ended<A::Output>>;
    /// What an attempt returned, or that it was cut.
    #[doc(hidden)]
    type Ended<R>;

    /// The limit; the longest duration for none.
    #[doc(hidden)]
    fn longest(&self) -> Duration;

    /// To be asked before the operation is called: so its time counts.
    #[doc(hidden)]
    fn deadline<T: Timer>(&self, timer: &T) -> Self::Deadline<T::Sleep>;

    #[doc(hidden)]
    fn limit<A: Future, S: Future<Output = ()>>(
        deadline: Self::Deadline<S>,
        attempt: A,
    ) -> Self::Limited<A, S>;

    #[doc(hidden)]
    fn poll<A: Future, S: Future<Output = ()>>(
        attempt: Pin<&mut A>,
        deadline: Pin<&mut Self::Deadline<S>>,
        context: &mut Context<'_>,
    ) -> Poll<Self::Ended<A::Output>>;
}

/// Names the error of an attempt that was cut.
pub trait CutterFor<E>: Cutter {
    #[doc(hidden)]
    fn result<V>(&mut self, ended: Self::Ended<Result<V, E>>) -> Result<V, E>;
    /// The error, if there is a limit.
    #[doc(hidden)]
    fn cut(&mut self) -> Option<E>;
}

// Nothing stands between the caller and an attempt without a limit, not even a wrapper.
impl Cutter for Unset {
    type Deadline<S> = ();
    type Limited<A: Future, S: Future<Output = ()>> = A;
    type Ended<R> = R;

    fn longest(&self) -> Duration {
        Duration::MAX
    }

    fn deadline<T: Timer>(&self, _: &T) {}

    fn limit<A: Future, S: Future<Output = ()>>((): (), attempt: A) -> A {
        attempt
    }

    fn poll<A: Future, S: Future<Output = ()>>(
        attempt: Pin<&mut A>,
        _: Pin<&mut ()>,
        context: &mut Context<'_>,
    ) -> Poll<A::Output> {
        attempt.poll(context)
    }
}

impl<E> CutterFor<E> for Unset {
    fn result<V>(&mut self, ended: Result<V, E>) -> Result<V, E> {
        ended
    }

    fn cut(&mut self) -> Option<E> {
        None
    }
}

/// Polls an attempt, and its deadline while it is pending: nothing, if that comes first.
pub(crate) fn poll_limited<A: Future, S: Future<Output = ()>>(
    attempt: Pin<&mut A>,
    deadline: Pin<&mut Option<S>>,
    context: &mut Context<'_>,
) -> Poll<Option<A::Output>> {
    if let Poll::Ready(output) = attempt.poll(context) {
        return Poll::Ready(Some(output));
    }
    match deadline.as_pin_mut() {
        Some(deadline) => deadline.poll(context).map(|()| None),
        None => Poll::Pending,
    }
}

/// The end of an attempt's time, if that is limited.
pub(crate) fn deadline<T: Timer>(timer: &T, limit: Duration) -> Option<T::Sleep> {
    (limit < Duration::MAX).then(|| timer.sleep(limit))
}

impl<F> Sealed for AttemptTimeout<F> {}

impl<F> Cutter for AttemptTimeout<F> {
    type Deadline<S> = Option<S>;
    type Limited<A: Future, S: Future<Output = ()>> = Limited<A, S>;
    type Ended<R> = Option<R>;

    fn longest(&self) -> Duration {
        self.limit
    }

    fn deadline<T: Timer>(&self, timer: &T) -> Option<T::Sleep> {
        deadline(timer, self.limit)
    }

    fn limit<A: Future, S: Future<Output = ()>>(deadline: Option<S>, attempt: A) -> Limited<A, S> {
        Limited { attempt, deadline }
    }

    fn poll<A: Future, S: Future<Output = ()>>(
        attempt: Pin<&mut A>,
        deadline: Pin<&mut Option<S>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<A::Output>> {
        poll_limited(attempt, deadline, context)
    }
}

impl<E, F: FnMut() -> E> CutterFor<E> for AttemptTimeout<F> {
    fn result<V>(&mut self, ended: Option<Result<V, E>>) -> Result<V, E> {
        ended.unwrap_or_else(|| Err((self.error)()))
    }

    fn cut(&mut self) -> Option<E> {
        Some((self.error)())
    }
}

/// An attempt with its deadline: nothing, if that comes first.
#[derive(Debug)]
#[pin_project]
pub struct Limited<A, S> {
    #[pin]
    pub(crate) attempt: A,
    #[pin]
    pub(crate) deadline: Option<S>,
}

impl<A: Future, S: Future<Output = ()>> Future for Limited<A, S> {
    type Output = Option<A::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_limited(this.attempt, this.deadline, context)
    }
}
