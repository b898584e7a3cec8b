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
pub(crate) const IMMEDIATE_FLAG: u64 = 1 << 63;

const POWER: u64 = 0x7ff;
const EXPONENT: u64 = 0xffff;
const BIAS: i64 = 1 << 15;
const REAL: u64 = 1 << 63;
/// Above it no step fits into fixed point.
const GREAT_FACTOR: u64 = ((1u64 << 31) as f64).to_bits();

/// A curve walked one retry at a time, in 40 bytes.
///
/// The upper bound of the wait, uncapped, is carried in one of two forms, told apart by
/// the top bit of `upper`:
///
/// - clear: nanoseconds in fixed point, 64 bits before the point and 64 after it, from
///   2¹⁶ ns on; a step cuts off less than 2⁻⁷⁸ of the value;
/// - set: a real with 112 significant bits, for all else.
///
/// So 2³² steps cut off less than 2⁻⁴⁶ of a value. It stops growing at the cap.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    /// Before `first`, the curve's; then the factor's 53 bits at the top, and its power
    /// of two and one more at the bottom, so that it multiplies by a mask and a shift.
    factor: u64,
    cap: u64,
    /// Before `first`, the bits in which the jitter's multipliers differ.
    pub(crate) spread: Spread,
    /// Whole nanoseconds, or the first 64 bits of the mantissa; before `first`, the
    /// initial delay.
    upper: u64,
    /// Their fraction, or the next 48 bits and the biased exponent; before `first`, the
    /// bits of the jitter's upper multiplier.
    lower: u64,
}

impl Walk {
    /// `factor` holds the factor's bits, with [`IMMEDIATE_FLAG`].
    pub(crate) const fn new(initial: u64, cap: u64, factor: u64, jitter: Jitter) -> Self {
        Self {
            factor,
            cap,
            spread: Spread(jitter.differs),
            upper: initial,
            lower: jitter.high().to_bits(),
        }
    }

    /// The upper bound of the first wait. To be called once, before `next`.
    #[inline]
    pub(crate) fn first(&mut self) -> u64 {
        let usual = self.factor < GREAT_FACTOR
            && (1 << 16..1 << 62).contains(&self.upper)
            && (self.spread.0, self.lower) == (0, 1f64.to_bits());
        if !usual {
            return self.first_of_any();
        }
        self.lower = 0;
        self.take_factor();
        self.next()
    }

    #[cold]
    #[inline(never)]
    fn first_of_any(&mut self) -> u64 {
        let high = f64::from_bits(self.lower);
        self.spread = Spread::of(self.spread.0, self.lower);
        let (cap, immediate) = (self.cap, self.factor & IMMEDIATE_FLAG != 0);
        let start = Real::product(self.upper, high);
        self.take_factor();
        self.pack(start);
        if start.mantissa == 0 {
            self.cap = 0;
        }
        if immediate {
            return Real::product(IMMEDIATE, high).round().min(cap);
        }
        self.next()
    }

    fn take_factor(&mut self) {
        let power = (self.factor & !IMMEDIATE_FLAG) >> 52;
        self.factor = self.factor << 11 | REAL | (power - 1022);
    }

    /// The upper bound of the next wait.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        if self.upper & REAL != 0 {
            return self.next_real();
        }
        let hi = self.upper + (self.lower >> 63);
        if hi >= self.cap {
            return self.cap;
        }
        let factor = u128::from(self.factor & !POWER);
        let product = u128::from(self.upper) * factor + (u128::from(self.lower) * factor >> 64);
        // Twice 2^-64 of the value to the power: up to 2^63 ns there is room.
        let shift = (self.factor & POWER) as u32;
        if (product >> 64) as u64 >= (REAL >> 1).wrapping_shr(shift - 1) {
            self.beyond();
        } else {
            let grown = product << (shift & 63);
            (self.upper, self.lower) = ((grown >> 64) as u64, grown as u64);
        }
        hi
    }

    /// A wait from the interval whose upper bound is `hi`.
    #[inline]
    pub(crate) fn draw(&self, hi: u64, draw: impl FnOnce() -> u64) -> u64 {
        hi - below(self.spread.width(hi), draw)
    }

    /// Whether every bound after `hi`, which `next` gave, is `hi` too.
    pub(crate) fn is_level(&self, hi: u64) -> bool {
        hi >= self.cap || self.factor == REAL | 1
    }

    /// Takes a value into the form that it fits.
    fn pack(&mut self, value: Real) {
        let steps_fit = self.factor & POWER <= 31;
        (self.upper, self.lower) = match value.exponent {
            16..=62 if steps_fit => {
                let fixed = value.mantissa >> (63 - value.exponent);
                ((fixed >> 64) as u64, fixed as u64)
            }
            // Found to be at the cap of zero, whatever the factor.
            _ if value.mantissa == 0 => (0, 0),
            exponent => (
                (value.mantissa >> 64) as u64 | REAL,
                value.mantissa as u64 & !EXPONENT | (exponent + BIAS) as u64,
            ),
        };
    }

    fn factor(&self) -> Real {
        Real {
            mantissa: u128::from(self.factor & !POWER) << 64,
            exponent: (self.factor & POWER) as i64 - 1,
        }
    }

    /// Goes on as a real.
    #[cold]
    #[inline(never)]
    fn beyond(&mut self) {
        let zeros = self.upper.leading_zeros();
        let value = Real {
            mantissa: (u128::from(self.upper) << 64 | u128::from(self.lower)) << zeros,
            exponent: 63 - i64::from(zeros),
        };
        self.pack(value.times(self.factor()));
    }

    #[cold]
    #[inline(never)]
    fn next_real(&mut self) -> u64 {
        let value = Real {
            mantissa: u128::from(self.upper) << 64 | u128::from(self.lower & !EXPONENT),
            exponent: (self.lower & EXPONENT) as i64 - BIAS,
        };
        let hi = value.round();
        if hi >= self.cap {
            return self.cap;
        }
        self.pack(value.times(self.factor()));
        hi
    }
}
