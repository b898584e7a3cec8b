//! A poller's configuration.

use core::{fmt, time::Duration};

#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;
use crate::{
    backoff::Backoff, event::Event, jitter::Jitter, real::nanos, timer::Timer, unset::Unset,
};

/// A poller's configuration: an interval, and what changes it.
///
/// The interval is a fixed delay: it begins when a run has ended. For every
/// poller, whatever its runs do and however long they take:
///
/// - at most one run is alive;
/// - between the end of a run and the start of the next lies a whole wait: no
///   catch-up, no burst;
/// - after a failure the wait is the longer of the interval's and the backoff's,
///   so that an outage never makes it poll faster; an `Err` never ends it.
///
/// ```text
/// run     |###|         |#############|         ||         ||
/// wait        |---------|             |---------||---------|
/// ```
///
/// # Examples
///
/// Pushed, in a task of its own:
///
/// ```
/// use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use afterbeat::{Backoff, PollerBuilder};
///
/// static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5))
///     .backoff(Backoff::new())
///     .spawn(|| async {
///         RUNS.fetch_add(1, Ordering::Relaxed);
///         Ok::<(), std::io::Error>(())
///     });
/// tokio::time::sleep(Duration::from_secs(14)).await;
/// poller.shutdown().await.unwrap();
/// assert_eq!(RUNS.load(Ordering::Relaxed), 3); // each 5 to 6.5 s after the one before
/// # }
/// ```
#[derive(Clone, Copy)]
#[must_use = "a poller does nothing until `stream` or `spawn`"]
pub struct PollerBuilder<
    #[cfg(feature = "tokio")] T = TokioTimer,
    #[cfg(not(feature = "tokio"))] T,
    G = Unset,
    B = Unset,
    O = Unset,
> {
    pub(super) timer: T,
    pub(super) interval: u64,
    pub(super) jitter: Jitter,
    pub(super) backoff: B,
    pub(super) immediate: bool,
    pub(super) interval_by: G,
    pub(super) observers: O,
}

#[cfg(feature = "tokio")]
impl PollerBuilder {
    /// Returns a poller by tokio's clock that waits `interval` after each run.
    ///
    /// The first run is immediate. The jitter is [1, 1.3]: it only lengthens a
    /// wait, so `interval` is the least. There is no backoff: set one if the runs
    /// call a server. `Duration::MAX` waits for a trigger; zero yields once
    /// between two runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut poller = pin!(
    ///     PollerBuilder::new(Duration::from_secs(5)).stream(|| async { Ok::<_, ()>(7) })
    /// );
    /// assert_eq!(poller.as_mut().next().await, Some(Ok(7)));
    /// # }
    /// ```
    pub const fn new(interval: Duration) -> Self {
        Self::with_timer(TokioTimer, interval)
    }
}

impl<T: Timer> PollerBuilder<T> {
    /// Returns a poller by a timer of the caller's that waits `interval` after
    /// each run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(5))
    ///         .jitter(Jitter::NONE)
    ///         .stream(|| async { Ok::<_, ()>(timer.now().as_secs()) })
    /// );
    /// assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(0)));
    /// assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(5)));
    /// ```
    pub const fn with_timer(timer: T, interval: Duration) -> Self {
        Self {
            timer,
            interval: nanos(interval),
            jitter: Jitter::between(1.0, 1.3),
            backoff: Unset,
            immediate: true,
            interval_by: Unset,
            observers: Unset,
        }
    }
}

impl<T, G, B, O> PollerBuilder<T, G, B, O> {
    /// Sets the jitter of the interval; it has no cap. Default: [1, 1.3].
    ///
    /// A fleet started together spreads within a minute by the default; with
    /// [`immediate(false)`](Self::immediate) the first run is spread too. With
    /// [`Jitter::NONE`] the interval is exact, and a fleet that is once in step
    /// stays in step.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(10))
    ///         .jitter(Jitter::between(0.5, 1.5))
    ///         .immediate(false)
    ///         .stream(|| async { Ok::<_, ()>(timer.now()) })
    /// );
    /// let first = timer.run(poller.as_mut().next()).unwrap().unwrap();
    /// assert!((5..=15).contains(&first.as_secs()));
    /// ```
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the backoff after consecutive failures; none unless set.
    ///
    /// After failure n in a row the wait is the longer of the interval's and of
    /// the backoff's before retry n. The first success resets it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Backoff, Clock, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let backoff = Backoff::new()
    ///     .initial_delay(Duration::from_secs(2))
    ///     .jitter(Jitter::NONE);
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(5))
    ///         .jitter(Jitter::NONE)
    ///         .backoff(backoff)
    ///         .stream(|| async { Err::<(), _>(timer.now().as_secs()) })
    /// );
    /// for expected in [0, 5, 10, 18, 34] {
    ///     assert_eq!(timer.run(poller.as_mut().next()), Some(Err(expected)));
    /// }
    /// ```
    pub fn backoff(self, backoff: Backoff) -> PollerBuilder<T, G, Backoff, O> {
        PollerBuilder {
            timer: self.timer,
            interval: self.interval,
            jitter: self.jitter,
            backoff,
            immediate: self.immediate,
            interval_by: self.interval_by,
            observers: self.observers,
        }
    }

    /// Sets whether the first run is immediate or comes after one interval.
    /// Default: immediate.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(5))
    ///         .jitter(Jitter::NONE)
    ///         .immediate(false)
    ///         .stream(|| async { Ok::<_, ()>(timer.now().as_secs()) })
    /// );
    /// assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(5)));
    /// ```
    pub const fn immediate(mut self, immediate: bool) -> Self {
        self.immediate = immediate;
        self
    }

    /// Asks a function for the interval after each run.
    ///
    /// The closure writes its argument's type. Its answer is the interval until
    /// the next run has ended or another is set; `Duration::MAX` waits for a
    /// trigger.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut left = [60, 3, 9].into_iter();
    /// let mut poller = pin!(
    ///     PollerBuilder::with_timer(&timer, Duration::from_secs(5))
    ///         .jitter(Jitter::NONE)
    ///         .interval_by(|outcome: &Result<u64, ()>| {
    ///             Duration::from_secs(outcome.unwrap_or(1))
    ///         })
    ///         .stream(|| std::future::ready(left.next().ok_or(())))
    /// );
    /// for expected in [0, 60, 63, 72, 73] {
    ///     timer.run(poller.as_mut().next());
    ///     assert_eq!(timer.now().as_secs(), expected);
    /// }
    /// ```
    pub fn interval_by<V, E, F>(self, interval: F) -> PollerBuilder<T, F, B, O>
    where
        F: FnMut(&Result<V, E>) -> Duration,
    {
        PollerBuilder {
            timer: self.timer,
            interval: self.interval,
            jitter: self.jitter,
            backoff: self.backoff,
            immediate: self.immediate,
            interval_by: interval,
            observers: self.observers,
        }
    }

    /// Adds an observer that writes how runs end to `tracing`; see
    /// [`RetryBuilder::trace`](crate::RetryBuilder::trace).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{PollerBuilder, Trace};
    ///
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).trace(Trace::new("keys"));
    /// # let _ = poller;
    /// ```
    #[cfg(feature = "tracing")]
    pub fn trace<const SOURCES: bool>(
        self,
        trace: crate::trace::Trace<SOURCES>,
    ) -> PollerBuilder<T, G, B, (O, crate::trace::Trace<SOURCES>)> {
        self.with_observers(|observers| (observers, trace))
    }

    /// Adds an observer, which sees how each run ended.
    ///
    /// It sees [`Event::Retrying`] after a run that failed, with the failures in a row
    /// as `iteration` and the time until the next run as `wait`: `Duration::MAX` if no
    /// run follows without an order. After a run that succeeded it sees
    /// [`Event::Succeeded`], with the failures before it as `retries`.
    /// [`Event::elapsed`] is the time since the first run after the last success began.
    ///
    /// It is called when the next wait has begun and after the function of
    /// [`interval_by`](Self::interval_by). Several observers are called in the order in
    /// which they were added. Annotate the closure's error type, as in
    /// `|event: Event<'_, Error>|`; it can't be inferred here.
    ///
    /// # Panics
    ///
    /// A panic in the observer passes through a stream, whose next run comes after its
    /// wait; it ends a spawned poller like a panic of a run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    /// use afterbeat::{Event, Jitter, ManualTimer, PollerBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut log = Vec::new();
    /// let mut answers = [Ok(()), Err(503), Err(503), Ok(())].into_iter();
    /// {
    ///     let mut poller = pin!(
    ///         PollerBuilder::with_timer(&timer, Duration::from_secs(5))
    ///             .jitter(Jitter::NONE)
    ///             .observe(|event: Event<'_, u16>| log.push(match event {
    ///                 Event::Retrying { error, iteration, wait, .. } => {
    ///                     format!("{error}, {iteration} in a row, again in {wait:?}")
    ///                 }
    ///                 Event::Succeeded { retries: 0, .. } => "fine".into(),
    ///                 _ => format!("fine again after {:?}", event.elapsed()),
    ///             }))
    ///             .stream(|| std::future::ready(answers.next().unwrap()))
    ///     );
    ///     for _ in 0..4 {
    ///         timer.run(poller.as_mut().next());
    ///     }
    /// }
    /// assert_eq!(log, [
    ///     "fine",
    ///     "503, 1 in a row, again in 5s",
    ///     "503, 2 in a row, again in 5s",
    ///     "fine again after 10s",
    /// ]);
    /// ```
    pub fn observe<E, F>(self, observer: F) -> PollerBuilder<T, G, B, (O, F)>
    where
        F: FnMut(Event<'_, E>),
    {
        self.with_observers(|observers| (observers, observer))
    }

    fn with_observers<N>(self, change: impl FnOnce(O) -> N) -> PollerBuilder<T, G, B, N> {
        PollerBuilder {
            timer: self.timer,
            interval: self.interval,
            jitter: self.jitter,
            backoff: self.backoff,
            immediate: self.immediate,
            interval_by: self.interval_by,
            observers: change(self.observers),
        }
    }
}

impl<T, G, B: fmt::Debug, O> fmt::Debug for PollerBuilder<T, G, B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollerBuilder")
            .field("interval", &Duration::from_nanos(self.interval))
            .field("jitter", &self.jitter)
            .field("backoff", &self.backoff)
            .field("immediate", &self.immediate)
            .finish_non_exhaustive()
    }
}
