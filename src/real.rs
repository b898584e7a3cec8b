//! Positive reals with 128 significant bits: the arithmetic behind every curve.

use core::time::Duration;

/// A duration's nanoseconds; all above 584 years counts as `u64::MAX` of them.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// Zero, or `mantissa · 2^(exponent − 127)` with the mantissa's top bit set.
///
/// Products are cut off, never rounded, so that a product which fits into 128
/// bits is exact: whatever ends in exactly half a nanosecond rounds as it
/// should.
#[derive(Clone, Copy)]
pub(crate) struct Real {
    pub(crate) mantissa: u128,
    pub(crate) exponent: i64,
}

impl Real {
    const ONE: Self = Self::from_nanos(1);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self::normal(nanos, 63)
    }

    /// The exact value of a finite float; its sign is ignored.
    pub(crate) const fn from_f64(value: f64) -> Self {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        match (bits >> 52) & 0x7ff {
            0 => Self::normal(fraction, 63 - 1074),
            power => Self::normal(fraction | 1 << 52, 63 - 1075 + power as i64),
        }
    }

    /// The exact product of whole nanoseconds and a finite float, whose sign is ignored.
    #[inline]
    pub(crate) const fn product(nanos: u64, value: f64) -> Self {
        let bits = value.to_bits();
        let (fraction, power) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
        let (fraction, power) = match power {
            0 => (fraction, 1),
            power => (fraction | 1 << 52, power as i64),
        };
        let product = nanos as u128 * fraction as u128;
        if product == 0 {
            return Self {
                mantissa: 0,
                exponent: 0,
            };
        }
        let zeros = product.leading_zeros();
        Self {
            mantissa: product << zeros,
            exponent: 127 - 1075 - zeros as i64 + power,
        }
    }

    /// `integer · 2^(exponent − 63)`.
    const fn normal(integer: u64, exponent: i64) -> Self {
        if integer == 0 {
            return Self {
                mantissa: 0,
                exponent: 0,
            };
        }
        let zeros = integer.leading_zeros();
        Self {
            mantissa: ((integer << zeros) as u128) << 64,
            exponent: exponent - zeros as i64,
        }
    }

    pub(crate) const fn times(self, other: Self) -> Self {
        let (a1, a0) = halves(self.mantissa);
        let (b1, b0) = halves(other.mantissa);
        let (cross, corner) = (a1 * b0, a0 * b1);
        let middle = ((a0 * b0) >> 64) + halves(cross).1 + halves(corner).1;
        let high = a1 * b1 + (cross >> 64) + (corner >> 64) + (middle >> 64);
        let exponent = self.exponent + other.exponent;
        if high >> 127 == 0 {
            Self {
                mantissa: high << 1 | (middle >> 63) & 1,
                exponent,
            }
        } else {
            Self {
                mantissa: high,
                exponent: exponent + 1,
            }
        }
    }

    /// By squaring: at most 64 products, cut-offs of less than `power · 2^-126`
    /// of the value in all.
    pub(crate) const fn power(self, mut power: u32) -> Self {
        let (mut result, mut square) = (Self::ONE, self);
        while power > 0 {
            if power & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            power >>= 1;
        }
        result
    }

    /// The nearest integer, half a unit upwards; `u64::MAX` for all above.
    pub(crate) const fn round(self) -> u64 {
        if self.mantissa == 0 || self.exponent < -1 {
            return 0;
        }
        if self.exponent > 63 {
            return u64::MAX;
        }
        let doubled = self.mantissa >> (126 - self.exponent);
        let rounded = (doubled >> 1) + (doubled & 1);
        if rounded > u64::MAX as u128 {
            u64::MAX
        } else {
            rounded as u64
        }
    }
}

const fn halves(wide: u128) -> (u128, u128) {
    (wide >> 64, wide & u64::MAX as u128)
}
