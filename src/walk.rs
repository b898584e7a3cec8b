//! The curve walked, one retry at a time.

use crate::{
    entropy::below,
    jitter::{Jitter, Spread},
    real::Real,
};

/// The wait before an immediate retry, before jitter: 100 ms, as in clerk-js.
pub(crate) const IMMEDIATE: u64 = 100_000_000;

/// The sign bit of the factor, which is positive: whether the first retry is
/// immediate.
pub(crate) const IMMEDIATE_FLAG: u64 = SIGN;

const SIGN: u64 = 1 << 63;
const ONE: u64 = 1f64.to_bits();
/// From here on a factor is its bits. Powers are below 64; as the compiler cannot know
/// it, it shifts by the low bits without a look at the others.
const BITS: u64 = 128;
const EXPONENT: u128 = 0xffff;
/// 2⁶⁴ − 1 ns.
const GREATEST: u128 = (u64::MAX as u128) << 64;

/// A curve walked one retry at a time, in 40 bytes: until the first, as they stand in a
/// [`Backoff`](crate::Backoff), so that a policy becomes a sequence by plain copies.
///
/// The upper bound of the wait, uncapped, is carried as nanoseconds in fixed point, 64
/// bits before the point and 64 after it. From 2¹⁶ ns on a step cuts off less than 2⁻⁷⁸
/// of the value, so 2³² steps cut off less than 2⁻⁴⁶. A curve that begins below is a real
/// with 112 significant bits until it gets there. It stops growing at the cap, or where
/// the nanoseconds end.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    /// The nanoseconds' fraction, or the next 48 bits and the exponent; before `first`,
    /// the bits of the jitter's upper multiplier.
    lower: u64,
    /// Before `first`, the bits in which the jitter's multipliers differ.
    pub(crate) spread: Spread,
    /// The whole nanoseconds, or the first 64 bits of the mantissa; before `first`, the
    /// initial delay.
    upper: u64,
    cap: u64,
    /// The factor's bits; or, below 64, its power of two, if by it no value under the cap
    /// grows too large. The sign says that the value is a real.
    factor: u64,
}

impl Walk {
    /// `factor` holds the factor's bits, with [`IMMEDIATE_FLAG`].
    pub(crate) const fn new(initial: u64, cap: u64, factor: u64, jitter: Jitter) -> Self {
        Self {
            lower: jitter.high().to_bits(),
            spread: Spread(jitter.differs),
            upper: initial,
            cap,
            factor,
        }
    }

    /// The upper bound of the first wait. To be called once, before `next`.
    #[inline(never)]
    pub(crate) fn first(&mut self) -> u64 {
        if (self.spread.0, self.lower) == (0, ONE) && self.starts_by_shift(0) {
            return self.next();
        }
        self.first_of_any()
    }

    #[inline(never)]
    fn first_of_any(&mut self) -> u64 {
        let high = self.lower;
        self.spread = Spread::of(self.spread.0, high);
        if self.starts_by_shift(power_of_two(high)) {
            return self.next();
        }
        let immediate = self.factor & IMMEDIATE_FLAG != 0;
        self.factor &= !IMMEDIATE_FLAG;
        let high = f64::from_bits(high);
        self.settle(Real::product(self.upper, high));
        if immediate {
            return Real::product(IMMEDIATE, high).round().min(self.cap);
        }
        self.next()
    }

    /// Starts a curve as most start: what the jitter multiplies by at most is a power of
    /// two, the initial delay is not small, and there is no immediate retry.
    #[inline]
    fn starts_by_shift(&mut self, high: u64) -> bool {
        let shifts = (self.upper == 0 || self.upper >= 1 << 16)
            && fits(self.upper, high)
            && self.factor & IMMEDIATE_FLAG == 0;
        if shifts {
            (self.upper, self.lower) = (self.upper << high, 0);
            self.settle_factor();
        }
        shifts
    }

    /// The upper bound of the next wait.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        if self.factor >= BITS {
            return self.next_by_product();
        }
        let hi = self.upper + (self.lower >> 63);
        if hi >= self.cap {
            return self.cap;
        }
        self.set(self.value() << (self.factor & 63));
        hi
    }

    /// A wait from the interval whose upper bound is `hi`.
    #[inline]
    pub(crate) fn draw(&self, hi: u64, draw: impl FnOnce() -> u64) -> u64 {
        hi - below(self.spread.width(hi), draw)
    }

    /// Whether every bound after `hi`, which `next` gave, is `hi` too.
    pub(crate) fn is_level(&self, hi: u64) -> bool {
        hi >= self.cap || self.factor == 0 || self.value() == 0
    }

    /// [`next`](Self::next) where a step takes more than a shift.
    #[inline]
    fn next_by_product(&mut self) -> u64 {
        if self.factor & SIGN != 0 {
            return self.next_real();
        }
        let hi = self.upper.saturating_add(self.lower >> 63);
        if hi >= self.cap {
            return self.cap;
        }
        // The factor is `mantissa · 2^(shift − 64)`.
        let mantissa = u128::from(self.factor << 11 | 1 << 63);
        let shift = (self.factor >> 52) as u32 - 1022;
        let product = u128::from(self.upper) * mantissa + (u128::from(self.lower) * mantissa >> 64);
        let room = ((product >> 64) as u64).leading_zeros();
        self.set(if shift <= room {
            product << (shift & 63)
        } else {
            GREATEST
        });
        hi
    }

    /// [`next`](Self::next) where the value is a real.
    #[cold]
    #[inline(never)]
    fn next_real(&mut self) -> u64 {
        let value = Real {
            mantissa: self.value() & !EXPONENT,
            exponent: (self.lower as i16).into(),
        };
        let hi = value.round();
        if hi >= self.cap {
            return self.cap;
        }
        self.factor &= !SIGN;
        self.settle(value.times(self.factor()));
        hi
    }

    /// Takes on a value in the form that fits it, and the factor in the form that fits
    /// the value.
    fn settle(&mut self, value: Real) {
        let grows = value.mantissa > 0 && self.factor != ONE;
        if value.exponent < 16 && grows {
            self.factor |= SIGN;
            self.set(value.mantissa & !EXPONENT | value.exponent as u16 as u128);
            return;
        }
        self.set(match 63 - value.exponent {
            ..0 => GREATEST,
            shift => value
                .mantissa
                .checked_shr(shift as u32)
                .unwrap_or(0)
                .min(GREATEST),
        });
        self.settle_factor();
    }

    #[inline]
    fn settle_factor(&mut self) {
        let power = power_of_two(self.factor);
        if fits(self.cap, power) {
            self.factor = power;
        } else if self.value() == 0 {
            // It never grows.
            self.factor = 0;
        }
    }

    fn factor(&self) -> Real {
        Real::from_f64(f64::from_bits(self.factor))
    }

    #[inline]
    fn value(&self) -> u128 {
        u128::from(self.upper) << 64 | u128::from(self.lower)
    }

    #[inline]
    fn set(&mut self, value: u128) {
        (self.upper, self.lower) = ((value >> 64) as u64, value as u64);
    }
}

/// The power of two whose bits these are; at least 64 if there is none so small.
#[inline]
fn power_of_two(bits: u64) -> u64 {
    bits.wrapping_sub(ONE).rotate_left(12)
}

/// Whether nanoseconds times a power of two are still no more than there can be.
#[inline]
fn fits(nanos: u64, power: u64) -> bool {
    power < 64 && nanos <= u64::MAX >> power
}
