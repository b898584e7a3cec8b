//! The curve of waits.

use core::{fmt, iter::FusedIterator, ops::RangeInclusive, time::Duration};

use crate::{
    entropy::{Entropy, fresh},
    jitter::Jitter,
    real::{Real, nanos},
    walk::{IMMEDIATE, IMMEDIATE_FLAG, Walk},
};

/// A curve of waits: an initial delay, a factor, a maximum, and jitter.
///
/// A plain value: `Copy`, comparable, usable in a `const`. For retry n the delay
/// is `initial · factor^(n − 1)`, computed exactly from the float's exact value
/// and rounded once to whole nanoseconds; the wait is drawn from [`bounds(n)`].
/// For every curve and every n:
///
/// - no wait exceeds the maximum delay;
/// - both bounds never fall as n grows, an immediate retry apart;
/// - a wait is a pure function of the curve, n and one random number;
/// - nothing panics or wraps, at `u32::MAX` retries, `Duration::MAX` or factor
///   1e300. Durations above 584 years (`u64::MAX` nanoseconds) count as that.
///
/// With [`immediate_retry`](Self::immediate_retry) the first delay is 100 ms and
/// the curve starts after it.
///
/// [`bounds(n)`]: Self::bounds
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Backoff, Jitter};
///
/// const SESSION: Backoff = Backoff::new()
///     .initial_delay(Duration::from_secs(3))
///     .factor(1.55)
///     .max_delay(Duration::from_secs(50))
///     .jitter(Jitter::NONE);
///
/// let total = SESSION.total(8);
/// assert_eq!(total.start(), total.end());
/// assert_eq!(format!("{:.6?}", total.end()), "161.786708s");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    initial: u64,
    cap: u64,
    /// The factor's bits, with [`IMMEDIATE_FLAG`].
    factor: u64,
    jitter: Jitter,
}

impl Backoff {
    /// Returns the default curve: 125 ms, doubled each time, at most 60 s,
    /// [`Jitter::SPREAD`], no immediate retry.
    ///
    /// Initial delay, factor and jitter are those of `@clerk/shared` 3.3.0,
    /// which has no maximum by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let backoff = Backoff::new();
    /// assert_eq!(backoff.bounds(2), Duration::from_millis(250)..=Duration::from_millis(500));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            initial: 125_000_000,
            cap: 60_000_000_000,
            factor: 2f64.to_bits(),
            jitter: Jitter::SPREAD,
        }
    }

    /// Returns the curve that always waits `delay`: no growth, no jitter, no cap.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let second = Duration::from_secs(1);
    /// assert_eq!(Backoff::constant(second).bounds(1_000_000), second..=second);
    /// ```
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self {
            initial: nanos(delay),
            cap: u64::MAX,
            factor: 1f64.to_bits(),
            jitter: Jitter::NONE,
        }
    }

    /// Sets the delay before the first retry, before jitter: the first of the curve.
    /// Zero stays zero all along it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let second = Duration::from_secs(1);
    /// assert_eq!(Backoff::new().initial_delay(second).bounds(1), second..=2 * second);
    /// ```
    #[must_use]
    pub const fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial = nanos(delay);
        self
    }

    /// Sets what each delay is multiplied by to give the next.
    ///
    /// # Panics
    ///
    /// If `factor` is not finite or is below 1: at compile time in a `const`,
    /// otherwise at the caller's line. For a number from outside the program use
    /// [`try_factor`](Self::try_factor).
    ///
    /// ```
    /// # use afterbeat::Backoff;
    /// const BACKOFF: Backoff = Backoff::new().factor(1.5);
    /// # let _ = BACKOFF;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Backoff;
    /// const BACKOFF: Backoff = Backoff::new().factor(0.5);
    /// # let _ = BACKOFF;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Backoff;
    /// const BACKOFF: Backoff = Backoff::new().factor(f64::NAN);
    /// # let _ = BACKOFF;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Backoff;
    /// const BACKOFF: Backoff = Backoff::new().factor(f64::INFINITY);
    /// # let _ = BACKOFF;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Backoff;
    /// const BACKOFF: Backoff = Backoff::new().factor(-2.0);
    /// # let _ = BACKOFF;
    /// ```
    #[must_use]
    #[track_caller]
    #[inline]
    pub const fn factor(self, factor: f64) -> Self {
        match self.try_factor(factor) {
            Ok(backoff) => backoff,
            Err(_) => panic!("factor must be finite and at least 1"),
        }
    }

    /// Sets the factor, for a number from outside the program.
    ///
    /// # Errors
    ///
    /// [`InvalidFactor`] if `factor` is not finite or is below 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::Backoff;
    ///
    /// let error = Backoff::new().try_factor(0.5).unwrap_err();
    /// assert_eq!(error.to_string(), "factor must be finite and at least 1, not 0.5");
    /// ```
    #[inline]
    pub const fn try_factor(mut self, factor: f64) -> Result<Self, InvalidFactor> {
        if !(factor >= 1.0 && factor.is_finite()) {
            return Err(InvalidFactor { factor });
        }
        self.factor = factor.to_bits() | self.factor & IMMEDIATE_FLAG;
        Ok(self)
    }

    /// Sets the cap: no wait is longer. Zero means that no wait is longer than
    /// zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let second = Duration::from_secs(1);
    /// assert_eq!(Backoff::new().max_delay(second).bounds(100), second / 2..=second);
    /// ```
    #[must_use]
    pub const fn max_delay(mut self, cap: Duration) -> Self {
        self.cap = nanos(cap);
        self
    }

    /// Lifts the cap: waits grow up to 584 years.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let tenth = Backoff::new().without_max_delay().bounds(10);
    /// assert_eq!(tenth, Duration::from_secs(64)..=Duration::from_secs(128));
    /// ```
    #[must_use]
    pub const fn without_max_delay(mut self) -> Self {
        self.cap = u64::MAX;
        self
    }

    /// Sets the range of multipliers that spreads waits apart.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Jitter};
    ///
    /// let full = Backoff::new().jitter(Jitter::FULL);
    /// assert_eq!(full.bounds(2), Duration::ZERO..=Duration::from_millis(250));
    /// ```
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets whether the first retry comes after about 100 ms instead of the
    /// initial delay; the curve starts after it.
    ///
    /// The 100 ms are jittered and capped like any delay.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{Backoff, Jitter};
    ///
    /// let backoff = Backoff::new().jitter(Jitter::NONE).immediate_retry(true);
    /// let millis: Vec<_> = backoff.delays().take(4).map(|d| d.as_millis()).collect();
    /// assert_eq!(millis, [100, 125, 250, 500]);
    /// ```
    #[must_use]
    pub const fn immediate_retry(mut self, immediate: bool) -> Self {
        self.factor &= !IMMEDIATE_FLAG;
        if immediate {
            self.factor |= IMMEDIATE_FLAG;
        }
        self
    }

    /// Returns the delay before the first retry, before jitter.
    ///
    /// # Examples
    ///
    /// Every setting reads back as it was set:
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Backoff, Jitter};
    ///
    /// let backoff = Backoff::new();
    /// assert_eq!(backoff.get_initial_delay(), Duration::from_millis(125));
    /// assert_eq!(backoff.get_factor(), 2.0);
    /// assert_eq!(backoff.get_max_delay(), Some(Duration::from_secs(60)));
    /// assert_eq!(backoff.get_jitter(), Jitter::SPREAD);
    /// assert!(!backoff.get_immediate_retry());
    /// ```
    #[must_use]
    pub const fn get_initial_delay(&self) -> Duration {
        Duration::from_nanos(self.initial)
    }

    /// Returns the factor.
    #[must_use]
    pub const fn get_factor(&self) -> f64 {
        f64::from_bits(self.factor & !IMMEDIATE_FLAG)
    }

    /// Returns the cap, or `None` if there is none.
    #[must_use]
    pub const fn get_max_delay(&self) -> Option<Duration> {
        match self.cap {
            u64::MAX => None,
            cap => Some(Duration::from_nanos(cap)),
        }
    }

    /// Returns the jitter.
    #[must_use]
    pub const fn get_jitter(&self) -> Jitter {
        self.jitter
    }

    /// Returns whether the first retry comes after about 100 ms.
    #[must_use]
    pub const fn get_immediate_retry(&self) -> bool {
        self.factor & IMMEDIATE_FLAG != 0
    }

    /// Returns the closed interval that the wait before retry n is drawn from;
    /// `0..=0` for n = 0.
    ///
    /// Each bound is within 1 ns of the real curve. The cost grows with the
    /// logarithm of `retry`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let (half, cap) = (Duration::from_secs(30), Duration::from_secs(60));
    /// assert_eq!(Backoff::new().bounds(u32::MAX), half..=cap);
    /// ```
    #[must_use]
    pub fn bounds(&self, retry: u32) -> RangeInclusive<Duration> {
        let hi = match (retry, self.get_immediate_retry()) {
            (0, _) => return Duration::ZERO..=Duration::ZERO,
            (1, true) => Real::from_nanos(IMMEDIATE),
            (n, immediate) => Real::from_nanos(self.initial)
                .times(Real::from_f64(self.get_factor()).power(n - 1 - u32::from(immediate))),
        };
        let hi = hi.times(Real::from_f64(self.jitter.high())).round();
        let hi = hi.min(self.cap);
        let lo = hi - self.jitter.spread().width(hi);
        Duration::from_nanos(lo)..=Duration::from_nanos(hi)
    }

    /// Returns the least and the greatest sum of the waits before retries 1 to
    /// `retries`.
    ///
    /// The sums are exact; above 584 years they count as that. One addition is
    /// made for each retry below the cap.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::Backoff;
    ///
    /// let total = Backoff::new().total(4);
    /// assert_eq!(total, Duration::from_millis(1875)..=Duration::from_millis(3750));
    /// ```
    #[must_use]
    pub fn total(&self, retries: u32) -> RangeInclusive<Duration> {
        let mut walk = self.walk();
        let add = |(least, greatest): (u64, u64), hi: u64, times: u64| {
            let lo = hi - self.jitter.spread().width(hi);
            (
                least.saturating_add(lo.saturating_mul(times)),
                greatest.saturating_add(hi.saturating_mul(times)),
            )
        };
        let (mut sums, mut left) = ((0, 0), u64::from(retries));
        if left > 0 {
            sums = add(sums, walk.first(), 1);
            left -= 1;
        }
        while left > 0 && sums.0 < u64::MAX {
            let hi = walk.next();
            let times = if walk.is_level(hi) { left } else { 1 };
            sums = add(sums, hi, times);
            left -= times;
        }
        let (least, greatest) = sums;
        Duration::from_nanos(least)..=Duration::from_nanos(greatest)
    }

    /// Returns the waits as an endless iterator, with fresh entropy.
    ///
    /// Two iterators of one curve differ, so clients that fail together do not
    /// return together. The iterator is the backoff for a loop of your own.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::Backoff;
    ///
    /// let backoff = Backoff::new();
    /// for (n, wait) in (1..).zip(backoff.delays()).take(20) {
    ///     assert!(backoff.bounds(n).contains(&wait));
    /// }
    /// ```
    #[must_use]
    pub fn delays(&self) -> Delays {
        Delays::new(self, Entropy::FRESH)
    }

    /// Returns the waits as an endless iterator that depends on the curve and
    /// the seed alone: for tests and replays, not for a fleet. Seeds 0 and `u64::MAX`
    /// name one sequence, every other seed one of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::Backoff;
    ///
    /// let backoff = Backoff::new();
    /// assert!(backoff.delays_seeded(7).take(9).eq(backoff.delays_seeded(7).take(9)));
    /// ```
    #[must_use]
    pub fn delays_seeded(&self, seed: u64) -> Delays {
        Delays::new(self, Entropy::seeded(seed))
    }

    pub(crate) const fn walk(&self) -> Walk {
        Walk::new(self.initial, self.cap, self.factor, self.jitter)
    }
}

impl Default for Backoff {
    /// Returns [`Backoff::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cap = (self.cap < u64::MAX).then(|| Duration::from_nanos(self.cap));
        f.debug_struct("Backoff")
            .field("initial_delay", &Duration::from_nanos(self.initial))
            .field("factor", &self.get_factor())
            .field("max_delay", &cap)
            .field("jitter", &self.jitter)
            .field("immediate_retry", &self.get_immediate_retry())
            .finish()
    }
}

/// The error of [`Backoff::try_factor`]: the factor is not finite, or below 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("factor must be finite and at least 1, not {factor}")]
pub struct InvalidFactor {
    factor: f64,
}

/// The waits of a [`Backoff`], one after the other, without end.
///
/// Made by [`Backoff::delays`] and [`Backoff::delays_seeded`]. A clone goes on
/// from the same place; with a seed it also draws the same numbers.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::Backoff;
///
/// let mut delays = Backoff::constant(Duration::from_secs(1)).delays();
/// assert_eq!(delays.next(), Some(Duration::from_secs(1)));
/// ```
#[derive(Clone)]
pub struct Delays {
    walk: Walk,
    entropy: Entropy,
    begun: bool,
}

impl Delays {
    fn new(backoff: &Backoff, entropy: Entropy) -> Self {
        Self {
            walk: backoff.walk(),
            entropy,
            begun: false,
        }
    }
}

impl Iterator for Delays {
    type Item = Duration;

    #[inline]
    fn next(&mut self) -> Option<Duration> {
        let hi = if self.begun {
            self.walk.next()
        } else {
            self.begun = true;
            self.walk.first()
        };
        let wait = self.walk.draw(hi, || self.entropy.draw(fresh));
        Some(Duration::from_nanos(wait))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Delays {}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays").finish_non_exhaustive()
    }
}
