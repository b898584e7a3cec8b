//! The range of multipliers that spreads waits apart.

use core::fmt;

use crate::real::Real;

/// A range of multipliers `[low, high]` that spreads waits apart.
///
/// For a delay `d`, jitter and a cap, a wait is drawn uniformly from the closed
/// interval `[lo, hi]` with `hi = min(high · d, cap)` and `lo = hi · low / high`.
/// The interval is clipped, never the sample, so for every range:
///
/// - no wait exceeds the cap;
/// - waits at the cap are as spread, relative to their size, as waits below it;
/// - below the cap a wait is the delay times a uniform number in `[low, high]`.
///
/// | range | name | a fleet that fails together |
/// |---|---|---|
/// | `[1, 1]` | [`NONE`](Self::NONE) | retries together, for ever |
/// | `[1, 2]` | [`SPREAD`](Self::SPREAD), the default | spreads, each wait at least the delay |
/// | `[½, 1]` | [`EQUAL`](Self::EQUAL) | spreads, each wait at most the delay |
/// | `[0, 1]` | [`FULL`](Self::FULL) | spreads most, some retry almost at once |
///
/// Bounds count as the exact values of the floats given, and read back as given.
/// Two ranges are equal if both bounds are.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Backoff, Jitter};
///
/// let backoff = Backoff::constant(Duration::from_secs(10)).jitter(Jitter::between(0.5, 1.5));
/// assert_eq!(backoff.bounds(1), Duration::from_secs(5)..=Duration::from_secs(15));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Jitter {
    /// The bits of the upper multiplier.
    high: u64,
    /// Those in which the lower one differs: none, as in a [`Spread`], for no jitter.
    pub(crate) differs: u64,
}

/// `1 − low / high` in units of 2⁻⁶⁴, rounded up, less one unit; 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Spread(pub(crate) u64);

impl Spread {
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The spread of a [`Jitter`] with these fields.
    #[inline]
    pub(crate) const fn of(differs: u64, high: u64) -> Self {
        if differs == 0 {
            Self(0)
        } else {
            Self::of_any(differs ^ high, high)
        }
    }

    #[cold]
    #[inline(never)]
    const fn of_any(low: u64, high: u64) -> Self {
        let low = Real::from_f64(f64::from_bits(low));
        let high = Real::from_f64(f64::from_bits(high));
        let ratio = if low.mantissa == high.mantissa {
            1 << 64
        } else {
            low.mantissa / (high.mantissa >> 64)
        };
        let halvings = high.exponent - low.exponent;
        if ratio == 0 || halvings > 64 {
            Self(u64::MAX)
        } else {
            Self(!((ratio >> halvings) as u64))
        }
    }

    /// The width of the interval below `hi`: `floor(hi · (1 − low / high))`.
    #[inline]
    pub(crate) const fn width(self, hi: u64) -> u64 {
        if self.0 == 0 {
            return 0;
        }
        share_of_one_more(self.0, hi)
    }
}

/// `floor((n + 1) · share / 2⁶⁴)`, by one product.
#[inline]
pub(crate) const fn share_of_one_more(n: u64, share: u64) -> u64 {
    let product = n as u128 * share as u128;
    let (_, carry) = (product as u64).overflowing_add(share);
    (product >> 64) as u64 + carry as u64
}

impl Jitter {
    /// `[1, 1]`: every wait is the delay itself.
    pub const NONE: Self = Self::between(1.0, 1.0);

    /// `[1, 2]`: lengthens only; the default.
    ///
    /// Below half the cap each wait is at least the delay and at most twice it.
    pub const SPREAD: Self = Self::between(1.0, 2.0);

    /// `[½, 1]`: equal jitter, half fixed and half random.
    pub const EQUAL: Self = Self::between(0.5, 1.0);

    /// `[0, 1]`: full jitter.
    pub const FULL: Self = Self::between(0.0, 1.0);

    /// Returns the range `[low, high]`.
    ///
    /// # Panics
    ///
    /// If not `0 <= low <= high`, both finite, and `high > 0`: at compile time
    /// in a `const`, otherwise at the caller's line. For numbers from outside
    /// the program use [`try_between`](Self::try_between).
    ///
    /// ```
    /// # use afterbeat::Jitter;
    /// const JITTER: Jitter = Jitter::between(0.5, 1.5);
    /// # let _ = JITTER;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Jitter;
    /// const JITTER: Jitter = Jitter::between(1.5, 0.5);
    /// # let _ = JITTER;
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use afterbeat::Jitter;
    /// const JITTER: Jitter = Jitter::between(f64::NAN, 1.5);
    /// # let _ = JITTER;
    /// ```
    #[must_use]
    #[track_caller]
    #[inline]
    pub const fn between(low: f64, high: f64) -> Self {
        match Self::try_between(low, high) {
            Ok(jitter) => jitter,
            Err(_) => {
                panic!("jitter needs 0 <= low <= high, both finite, and high > 0")
            }
        }
    }

    /// Returns the range `[low, high]`, for numbers from outside the program.
    ///
    /// # Errors
    ///
    /// [`InvalidJitter`] if not `0 <= low <= high`, both finite, and `high > 0`.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::Jitter;
    ///
    /// let error = Jitter::try_between(2.0, 1.0).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "jitter needs 0 <= low <= high, both finite, and high > 0, not low 2 and high 1",
    /// );
    /// ```
    #[inline]
    pub const fn try_between(low: f64, high: f64) -> Result<Self, InvalidJitter> {
        if !(0.0 <= low && low <= high && high > 0.0 && high.is_finite()) {
            return Err(InvalidJitter { low, high });
        }
        Ok(Self {
            // Zero has two signs; the sum has one.
            differs: (low + 0.0).to_bits() ^ high.to_bits(),
            high: high.to_bits(),
        })
    }

    /// Returns the lower bound.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::Jitter;
    ///
    /// let jitter = Jitter::between(0.8, 1.2);
    /// assert_eq!((jitter.low(), jitter.high()), (0.8, 1.2));
    /// ```
    #[must_use]
    pub const fn low(self) -> f64 {
        f64::from_bits(self.differs ^ self.high)
    }

    /// Returns the upper bound.
    #[must_use]
    pub const fn high(self) -> f64 {
        f64::from_bits(self.high)
    }

    pub(crate) const fn spread(self) -> Spread {
        Spread::of(self.differs, self.high)
    }
}

impl Default for Jitter {
    /// Returns [`Jitter::SPREAD`].
    fn default() -> Self {
        Self::SPREAD
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jitter[{}, {}]", self.low(), self.high())
    }
}

/// The error of [`Jitter::try_between`]: the range breaks the rule it states.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("jitter needs 0 <= low <= high, both finite, and high > 0, not low {low} and high {high}")]
pub struct InvalidJitter {
    low: f64,
    high: f64,
}
