//! The reusable policy and its knobs.

#[cfg(target_has_atomic = "ptr")]
use core::ops::Deref;
use core::{fmt, ops::RangeInclusive, time::Duration};

#[cfg(target_has_atomic = "ptr")]
use crate::budget::RetryBudget;
#[cfg(feature = "std")]
use crate::timer::StdClock;
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;
use crate::{
    attempt_timeout::AttemptTimeout,
    backoff::Backoff,
    decision::IntoDecision,
    event::Event,
    extras::{Extras, MaybeExtras},
    hooks::Always,
    jitter::Jitter,
    sequence::Sequence,
    timer::Clock,
    unset::Unset,
};

/// The limit on retries unless another is set.
pub(crate) const MAX_RETRIES: u32 = 4;

/// A retry policy: a schedule, limits, a predicate, and a timer to wait by.
///
/// A value without state: `Copy` or `Clone` where its parts are, so each use of
/// a copy is a sequence of its own. For every policy:
///
/// - the first attempt is never delayed or refused;
/// - retry n follows failure n, after a wait within the backoff's bounds for n;
/// - attempts never overlap: each begins when the wait after the failure before
///   it has ended, and has been dropped before the next wait begins;
/// - all limits and the predicate must say yes to a retry; the predicate can
///   only stop earlier;
/// - the result is the last attempt's own.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::RetryBuilder;
///
/// #[derive(Debug, PartialEq)]
/// enum Error { Refused, Forbidden }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let policy = RetryBuilder::new()
///     .initial_delay(Duration::from_millis(200))
///     .max_retries(8)
///     .should_retry(|err: &Error, _iteration| *err != Error::Forbidden);
///
/// let mut answers = [Err(Error::Refused), Err(Error::Refused), Ok("hello")].into_iter();
/// let answer = policy.retry(|| std::future::ready(answers.next().unwrap()));
/// assert_eq!(answer.await, Ok("hello"));
/// # }
/// ```
///
/// A policy fits into a `const`, and says what it does:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::RetryBuilder;
///
/// const POLICY: RetryBuilder = RetryBuilder::new().max_retries(3);
/// assert_eq!(POLICY.total(), Duration::from_millis(875)..=Duration::from_millis(1750));
/// ```
///
#[cfg_attr(feature = "tokio", doc = include_str!("doors.md"))]
#[derive(Clone, Copy)]
#[must_use = "a policy does nothing until one of its doors is used"]
pub struct RetryBuilder<
    #[cfg(feature = "tokio")] T = TokioTimer,
    #[cfg(not(feature = "tokio"))] T,
    P = Always,
    X = Unset,
> {
    pub(crate) timer: T,
    pub(crate) predicate: P,
    pub(crate) extras: X,
    pub(crate) backoff: Backoff,
    pub(crate) max_retries: u32,
}

#[cfg(feature = "tokio")]
impl RetryBuilder {
    /// Returns the default policy by tokio's clock: [`Backoff::new`], 4 retries,
    /// every error retried.
    ///
    /// The limit of 4 is the seed's: `@clerk/shared` makes five attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::RetryBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut calls = 0;
    /// let result = RetryBuilder::new().retry(|| {
    ///     calls += 1;
    ///     async { Err::<(), _>("refused") }
    /// });
    /// assert_eq!(result.await, Err("refused"));
    /// assert_eq!(calls, 5);
    /// # }
    /// ```
    pub const fn new() -> Self {
        Self::with_timer(TokioTimer)
    }
}

#[cfg(feature = "tokio")]
impl Default for RetryBuilder {
    /// Returns [`RetryBuilder::new`].
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "std")]
impl RetryBuilder<StdClock> {
    /// Returns the default policy by the clock of the standard library, for
    /// [`retry_blocking`](Self::retry_blocking) without a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{RetryBuilder, StdClock};
    ///
    /// const POLICY: RetryBuilder<StdClock> =
    ///     RetryBuilder::blocking().initial_delay(Duration::from_millis(2));
    ///
    /// let mut answers = [Err("refused"), Ok(200)].into_iter();
    /// assert_eq!(POLICY.retry_blocking(|| answers.next().unwrap()), Ok(200));
    /// ```
    pub const fn blocking() -> Self {
        Self::with_timer(StdClock)
    }
}

impl<T: Clock> RetryBuilder<T> {
    /// Returns the default policy by a timer, or a clock, of the caller's.
    ///
    /// A clock without sleeps is enough for `retry_blocking`.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer).max_retries(0);
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>(1) })), Err(1));
    /// ```
    pub const fn with_timer(timer: T) -> Self {
        Self {
            timer,
            predicate: Always,
            extras: Unset,
            backoff: Backoff::new(),
            max_retries: MAX_RETRIES,
        }
    }
}

impl<T, P, X> RetryBuilder<T, P, X> {
    /// Sets the whole curve of waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, RetryBuilder};
    ///
    /// let minute = Duration::from_secs(60);
    /// let policy = RetryBuilder::new().backoff(Backoff::constant(minute));
    /// assert_eq!(policy.total(), 4 * minute..=4 * minute);
    /// ```
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the delay before the first retry; see [`Backoff::initial_delay`].
    ///
    /// # Examples
    ///
    /// The knobs of the curve are those of [`Backoff`]:
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Jitter, RetryBuilder};
    ///
    /// const POLICY: RetryBuilder = RetryBuilder::new()
    ///     .initial_delay(Duration::from_secs(1))
    ///     .factor(3.0)
    ///     .max_delay(Duration::from_secs(10))
    ///     .jitter(Jitter::NONE)
    ///     .immediate_retry(true);
    ///
    /// // 100 ms, then 1, 3 and 9 s.
    /// assert_eq!(*POLICY.total().end(), Duration::from_millis(13_100));
    /// ```
    pub const fn initial_delay(mut self, delay: Duration) -> Self {
        self.backoff = self.backoff.initial_delay(delay);
        self
    }

    /// Sets what each delay is multiplied by to give the next; see
    /// [`Backoff::factor`].
    ///
    /// # Panics
    ///
    /// If `factor` is not finite or is below 1. For a number from outside the
    /// program use [`Backoff::try_factor`] with [`backoff`](Self::backoff).
    ///
    /// ```
    /// # use afterbeat::RetryBuilder;
    /// const POLICY: RetryBuilder = RetryBuilder::new().factor(1.5);
    /// # let _ = POLICY;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::RetryBuilder;
    /// const POLICY: RetryBuilder = RetryBuilder::new().factor(0.5);
    /// # let _ = POLICY;
    /// ```
    #[track_caller]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.backoff = self.backoff.factor(factor);
        self
    }

    /// Sets the cap on each wait; see [`Backoff::max_delay`].
    pub const fn max_delay(mut self, cap: Duration) -> Self {
        self.backoff = self.backoff.max_delay(cap);
        self
    }

    /// Sets the range of multipliers that spreads waits apart; see [`Jitter`].
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.backoff = self.backoff.jitter(jitter);
        self
    }

    /// Sets whether the first retry comes after about 100 ms; see
    /// [`Backoff::immediate_retry`].
    pub const fn immediate_retry(mut self, immediate: bool) -> Self {
        self.backoff = self.backoff.immediate_retry(immediate);
        self
    }

    /// Limits how many retries are made: 8 retries are at most nine attempts.
    ///
    /// Zero means one attempt; `u32::MAX` means no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut calls = 0;
    /// let policy = RetryBuilder::with_timer(&timer).max_retries(8);
    /// let _ = timer.run(policy.retry(|| {
    ///     calls += 1;
    ///     async { Err::<(), _>("refused") }
    /// }));
    /// assert_eq!(calls, 9);
    /// ```
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// Lifts the limit on retries.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .without_max_retries()
    ///     .max_elapsed(Duration::from_secs(600));
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>(1) })), Err(1));
    /// assert!(timer.now() > Duration::from_secs(600 - 60));
    /// ```
    pub const fn without_max_retries(mut self) -> Self {
        self.max_retries = u32::MAX;
        self
    }

    /// Sets the predicate: whether an error is worth a retry.
    ///
    /// It is called once after each failure, with the error and with how many attempts
    /// have failed, from 1. It answers with a `bool` or a
    /// [`Decision`](crate::Decision). Annotate the closure's error type, as in
    /// `|err: &MyError, _|`; it can't be inferred here.
    ///
    /// # Panics
    ///
    /// A panic in the predicate passes through to the caller; no retry follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .should_retry(|status: &u16, iteration| *status >= 500 && iteration < 3);
    /// let mut calls = 0;
    /// let result = timer.run(policy.retry(|| {
    ///     calls += 1;
    ///     async { Err::<(), u16>(503) }
    /// }));
    /// assert_eq!((result, calls), (Err(503), 3));
    /// ```
    pub fn should_retry<E, D, F>(self, predicate: F) -> RetryBuilder<T, F, X>
    where
        F: FnMut(&E, u32) -> D,
        D: IntoDecision,
    {
        RetryBuilder {
            timer: self.timer,
            predicate,
            extras: self.extras,
            backoff: self.backoff,
            max_retries: self.max_retries,
        }
    }

    /// Returns the least and the greatest sum of the waits, should every attempt
    /// fail; see [`Backoff::total`].
    ///
    /// Attempts take their own time on top. A limit in time can end a sequence
    /// sooner, and a server's hint can lengthen its waits.
    #[must_use]
    pub fn total(&self) -> RangeInclusive<Duration> {
        self.backoff.total(self.max_retries)
    }

    /// The policy without its closures, and these.
    #[cfg(feature = "std")]
    pub(crate) fn take_apart(self) -> (RetryBuilder<T>, P, X) {
        let policy = RetryBuilder {
            timer: self.timer,
            predicate: Always,
            extras: Unset,
            backoff: self.backoff,
            max_retries: self.max_retries,
        };
        (policy, self.predicate, self.extras)
    }

    #[cfg(feature = "std")]
    pub(crate) fn carrying<Y>(self, extras: Y) -> RetryBuilder<T, P, Y> {
        RetryBuilder {
            timer: self.timer,
            predicate: self.predicate,
            extras,
            backoff: self.backoff,
            max_retries: self.max_retries,
        }
    }

    pub(crate) const fn sequence(&self) -> Sequence {
        Sequence::new(&self.backoff, self.max_retries)
    }
}

impl<T, P, X: MaybeExtras> RetryBuilder<T, P, X> {
    pub(crate) fn with_extras<Y>(
        self,
        change: impl FnOnce(Extras<X::Observer, X::Budget, X::Cutter>) -> Y,
    ) -> RetryBuilder<T, P, Y> {
        RetryBuilder {
            timer: self.timer,
            predicate: self.predicate,
            extras: change(self.extras.into_extras()),
            backoff: self.backoff,
            max_retries: self.max_retries,
        }
    }

    /// Limits the time from the first attempt's start to the last wait's end.
    ///
    /// A wait that would end after the limit is not begun: the last error is returned
    /// immediately. A running attempt is not cut; for that use
    /// [`attempt_timeout`](Self::attempt_timeout). The limit only tightens; for a limit in
    /// time alone add [`without_max_retries`](Self::without_max_retries). `Duration::MAX`
    /// is no limit.
    ///
    /// The time counts from the first attempt, however long that went well: a connection
    /// that held for an hour has used up the hour when it is lost. A loop that makes
    /// progress reports it by [`Attempts::reset`](crate::Attempts::reset).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Clock, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .backoff(Backoff::constant(Duration::from_secs(10)))
    ///     .max_elapsed(Duration::from_secs(25));
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>(1) })), Err(1));
    /// assert_eq!(timer.now(), Duration::from_secs(20));
    /// ```
    pub fn max_elapsed(
        self,
        limit: Duration,
    ) -> RetryBuilder<T, P, Extras<X::Observer, X::Budget, X::Cutter>> {
        self.with_extras(|extras| extras.max_elapsed(limit))
    }

    /// Limits the waits that a server may ask for. Default: one hour.
    ///
    /// A longer [`Decision::RetryAfter`](crate::Decision::RetryAfter) or
    /// [`Decision::RetryIn`](crate::Decision::RetryIn) gives up immediately, without a wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, Decision, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .max_retry_after(Duration::from_secs(60))
    ///     .should_retry(|hint: &Duration, _| Decision::RetryAfter(*hint));
    /// let day = Duration::from_secs(86_400);
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>(day) })), Err(day));
    /// assert_eq!(timer.now(), Duration::ZERO);
    /// ```
    pub fn max_retry_after(
        self,
        limit: Duration,
    ) -> RetryBuilder<T, P, Extras<X::Observer, X::Budget, X::Cutter>> {
        self.with_extras(|extras| extras.max_retry_after(limit))
    }

    /// Makes every sequence of this policy draw the same waits, those of
    /// [`Backoff::delays_seeded`]: for tests and replays, not for a fleet.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Clock, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer).seed(7);
    /// let _ = timer.run(policy.retry(|| async { Err::<(), _>(1) }));
    /// let waits: Duration = Backoff::new().delays_seeded(7).take(4).sum();
    /// assert_eq!(timer.now(), waits);
    /// ```
    pub fn seed(self, seed: u64) -> RetryBuilder<T, P, Extras<X::Observer, X::Budget, X::Cutter>> {
        self.with_extras(|extras| extras.seed(seed))
    }

    /// Sets the budget that retries are paid from, shared with other policies: a
    /// `&'static`, a reference, or an `Arc`.
    ///
    /// A retry is paid for when it is sent, after its wait. If the budget refuses it, the
    /// sequence waits again, by the curve and within its limits; see [`RetryBudget`]. A
    /// first attempt is never delayed or refused.
    ///
    /// While it waits, a sequence with a budget keeps its last error, so a future is
    /// `Send` only if the error is.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBudget, RetryBuilder};
    ///
    /// static BUDGET: RetryBudget = RetryBudget::new(6);
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer).budget(&BUDGET);
    /// let mut calls = 0;
    /// for _ in 0..1000 {
    ///     let _ = timer.run(policy.retry(|| {
    ///         calls += 1;
    ///         async { Err::<(), _>("down") }
    ///     }));
    /// }
    /// assert_eq!(calls, 1000 + 6);
    /// ```
    #[cfg(target_has_atomic = "ptr")]
    pub fn budget<B>(self, budget: B) -> RetryBuilder<T, P, Extras<X::Observer, B, X::Cutter>>
    where
        B: Deref<Target = RetryBudget>,
    {
        self.with_extras(|extras| extras.budget(budget))
    }

    /// Limits each attempt of [`retry`](Self::retry) and
    /// [`retry_with`](Self::retry_with) to `limit`, by the policy's own timer.
    ///
    /// An attempt that is still pending when its time is up is dropped, and fails with
    /// what `error` returns; the predicate sees that error like any other. An attempt
    /// that blocks its thread cannot be cut. `Duration::MAX` is no limit. Attempts of a
    /// [cursor](Self::attempts) and of `retry_blocking` are the
    /// caller's to cut.
    ///
    /// The limit in time of the whole sequence, [`max_elapsed`](Self::max_elapsed), never
    /// cuts an attempt. Set this limit for every call over a network.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{future::pending, time::Duration};
    /// use afterbeat::{Backoff, Clock, ManualTimer, RetryBuilder};
    ///
    /// #[derive(Debug, PartialEq)]
    /// enum Error { TimedOut }
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .backoff(Backoff::constant(Duration::from_secs(1)))
    ///     .max_retries(2)
    ///     .attempt_timeout(Duration::from_secs(5), || Error::TimedOut);
    /// let result = timer.run(policy.retry(|| pending::<Result<(), _>>()));
    /// assert_eq!(result, Err(Error::TimedOut));
    /// assert_eq!(timer.now(), Duration::from_secs(5 + 1 + 5 + 1 + 5));
    /// ```
    pub fn attempt_timeout<E, F>(
        self,
        limit: Duration,
        error: F,
    ) -> RetryBuilder<T, P, Extras<X::Observer, X::Budget, AttemptTimeout<F>>>
    where
        F: FnMut() -> E,
    {
        self.with_extras(|extras| extras.attempt_timeout(AttemptTimeout::new(limit, error)))
    }

    /// Adds an observer, which sees every retry and the end.
    ///
    /// It is called after the decision and before the wait begins. Several observers are
    /// called in the order in which they were added. Annotate the closure's error type, as
    /// in `|event: Event<'_, Error>|`; it can't be inferred here.
    ///
    /// With an observer the clock is read once when a sequence begins, and whenever the
    /// observer asks for [`Event::elapsed`].
    ///
    /// # Panics
    ///
    /// A panic in the observer passes through to the caller; no retry follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{Event, ManualTimer, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let mut retries = 0;
    /// let policy = RetryBuilder::with_timer(&timer).observe(|event: Event<'_, u16>| {
    ///     if let Event::Retrying { iteration, .. } = event {
    ///         retries = iteration;
    ///     }
    /// });
    /// let _ = timer.run(policy.retry(|| async { Err::<(), u16>(503) }));
    /// assert_eq!(retries, 4);
    /// ```
    pub fn observe<E, F>(
        self,
        observer: F,
    ) -> RetryBuilder<T, P, Extras<(X::Observer, F), X::Budget, X::Cutter>>
    where
        F: FnMut(Event<'_, E>),
    {
        self.with_extras(|extras| extras.observe(observer))
    }
}

impl<T, P, X> fmt::Debug for RetryBuilder<T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max_retries = (self.max_retries < u32::MAX).then_some(self.max_retries);
        f.debug_struct("RetryBuilder")
            .field("backoff", &self.backoff)
            .field("max_retries", &max_retries)
            .finish_non_exhaustive()
    }
}
