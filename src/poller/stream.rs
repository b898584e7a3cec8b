//! A poller as a stream.

use core::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{FusedStream, Stream};
use pin_project::pin_project;

use super::{
    builder::PollerBuilder,
    cycle::Cycle,
    pace::{AfterFailures, IntervalBy, Pace},
    teller::{Observers, ObserversOf, Teller},
};
use crate::{timer::Timer, unset::Unset};

impl<T, G, B, O> PollerBuilder<T, G, B, O> {
    /// Returns the poller as a stream of outcomes, driven by whoever polls it; see
    /// [`SequentialPoller`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{ManualTimer, PollerBuilder};
    /// use futures_util::StreamExt;
    ///
    /// let timer = ManualTimer::new();
    /// let mut n = 0;
    /// let poller = PollerBuilder::with_timer(&timer, Duration::from_secs(5)).stream(|| {
    ///     n += 1;
    ///     std::future::ready(if n == 2 { Err("down") } else { Ok(n) })
    /// });
    /// let outcomes: Vec<_> = timer.run(pin!(poller).take(3).collect());
    /// assert_eq!(outcomes, [Ok(1), Err("down"), Ok(3)]);
    /// ```
    pub fn stream<F, Fut, V, E>(self, op: F) -> SequentialPoller<F, Fut, T, G, B, O>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        T: Timer,
        G: IntervalBy<V, E>,
        B: AfterFailures,
        O: ObserversOf<E>,
    {
        SequentialPoller::new(self, op)
    }
}

/// A poller driven by whoever polls it: an endless stream of outcomes.
///
/// Made by [`PollerBuilder::stream`]. Nothing runs before the first poll, from which a
/// first wait counts; in a pushed poller it counts from the builder. A wait
/// counts from the end of the run before it, so a consumer that comes late finds
/// the next run due at once; runs never pile up. A wait of `Duration::MAX` has no end:
/// nothing can trigger a run.
///
/// # Panics
///
/// A panic in a run passes through; polled again, the poller begins the next run at
/// once, whatever the interval.
///
/// # Cancel safety
///
/// The run in flight belongs to the poller: dropping a [`next`](Self::next)
/// loses nothing, and the following one resumes it. Dropping the poller drops
/// the run or the wait at once.
///
/// # Examples
///
/// ```
/// use std::{pin::pin, time::Duration};
/// use afterbeat::{Backoff, PollerBuilder};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut jobs = ["queued", "running", "done"].into_iter();
/// let mut poller = pin!(
///     PollerBuilder::new(Duration::from_secs(2))
///         .backoff(Backoff::new())
///         .stream(|| std::future::ready(jobs.next().ok_or("gone")))
/// );
/// let begun = tokio::time::Instant::now();
/// while let Some(outcome) = poller.as_mut().next().await {
///     if outcome == Ok("done") {
///         break;
///     }
/// }
/// let waits = Duration::from_millis(4_000)..=Duration::from_millis(5_200); // two, each jittered
/// assert!(waits.contains(&begun.elapsed()));
/// # }
/// ```
#[pin_project]
#[must_use = "a stream does nothing unless it is polled"]
pub struct SequentialPoller<F, Fut, T: Timer, G = Unset, B = Unset, O: Observers = Unset> {
    // First, so that its run is dropped before what that may borrow from.
    #[pin]
    cycle: Cycle<F, Fut, T::Sleep>,
    timer: T,
    interval_by: G,
    teller: Teller<T, O>,
    pace: Pace<B>,
    /// Whether the first run waits for an interval that is still to be armed.
    unarmed: bool,
}

impl<F, Fut, T: Timer, G, B: AfterFailures, O: Observers> SequentialPoller<F, Fut, T, G, B, O> {
    pub(super) fn new(builder: PollerBuilder<T, G, B, O>, op: F) -> Self {
        Self {
            pace: Pace::new(builder.interval, builder.jitter, builder.backoff),
            timer: builder.timer,
            interval_by: builder.interval_by,
            teller: Teller::new(builder.observers),
            unarmed: !builder.immediate,
            cycle: Cycle::new(op),
        }
    }
}

impl<F, Fut, T, G, B, O, V, E> SequentialPoller<F, Fut, T, G, B, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    G: IntervalBy<V, E>,
    B: AfterFailures,
    O: ObserversOf<E>,
{
    /// Waits for the next run's outcome. Never `None`: the stream has no end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call goes on with the same
    /// run or wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Clock, ManualTimer, PollerBuilder, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// let mut runs = 0;
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(1)).stream(|| {
    ///         runs += 1;
    ///         let slow = timer.sleep(Duration::from_secs(9));
    ///         async { Ok::<_, ()>(slow.await) }
    ///     })
    /// );
    /// timer.run(async {
    ///     let next = poller.as_mut().next();
    ///     let early = timer.sleep(Duration::from_secs(3));
    ///     futures_util::future::select(pin!(next), early).await; // `early` wins
    ///     assert_eq!(poller.as_mut().next().await, Some(Ok(())));
    /// });
    /// assert_eq!(timer.now(), Duration::from_secs(9));
    /// assert_eq!(runs, 1);
    /// ```
    pub fn next(mut self: Pin<&mut Self>) -> impl Future<Output = Option<Result<V, E>>> {
        poll_fn(move |context| self.as_mut().poll_next(context))
    }
}

impl<F, Fut, T, G, B, O, V, E> Stream for SequentialPoller<F, Fut, T, G, B, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    G: IntervalBy<V, E>,
    B: AfterFailures,
    O: ObserversOf<E>,
{
    type Item = Result<V, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if core::mem::take(this.unarmed) {
            let wait = this.pace.wait();
            this.cycle.as_mut().arm(&*this.timer, wait);
        }
        if !this.cycle.is_running() {
            ready!(this.cycle.as_mut().poll_wait(context));
            this.teller.begin(&*this.timer);
            this.cycle.as_mut().begin();
        }
        let outcome = ready!(this.cycle.as_mut().poll_run(context));
        let failures = this.pace.failures();
        this.pace.ended(outcome.is_ok());
        if let Some(interval) = this.interval_by.interval(&outcome) {
            this.pace.set_interval(interval);
        }
        let wait = this.pace.wait();
        this.cycle.as_mut().arm(&*this.timer, wait);
        this.teller.ended(&*this.timer, &outcome, failures, wait);
        Poll::Ready(Some(outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl<F, Fut, T, G, B, O, V, E> FusedStream for SequentialPoller<F, Fut, T, G, B, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    G: IntervalBy<V, E>,
    B: AfterFailures,
    O: ObserversOf<E>,
{
    fn is_terminated(&self) -> bool {
        false
    }
}

impl<F, Fut, T, G, B, O> fmt::Debug for SequentialPoller<F, Fut, T, G, B, O>
where
    T: Timer,
    B: AfterFailures,
    O: Observers,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SequentialPoller")
            .field("running", &self.cycle.is_running())
            .field("failures", &self.pace.failures())
            .finish_non_exhaustive()
    }
}
