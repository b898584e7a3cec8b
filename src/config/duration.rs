//! Durations as text.

use core::{fmt, time::Duration};

const SECOND: u128 = 1_000_000_000;

/// The units, as the crate `humantime` has them, in nanoseconds. It is not used: it
/// panics at `18446744073709551615s 1000ms` and takes `1 2s` for 12 s.
const UNITS: [(&[&str], u128); 10] = [
    (&["ns", "nsec", "nanos"], 1),
    (&["us", "µs", "μs", "usec"], 1_000),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["w", "wk", "wks", "week", "weeks"], 7 * 86_400 * SECOND),
    (&["M", "month", "months"], 2_630_016 * SECOND),
    (&["y", "yr", "yrs", "year", "years"], 31_557_600 * SECOND),
];

/// Why a text is no duration.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault<'a> {
    #[error("it is empty")]
    Empty,
    #[error("a number is expected at {0:?}")]
    Number(&'a str),
    #[error("a unit is expected after a number, as in \"1m 30s\"")]
    NoUnit,
    #[error("unknown unit {0:?}; units are ns, us, ms, s, m, h, d, w, M (months) and y")]
    Unit(&'a str),
    #[error("it is not a whole number of nanoseconds")]
    Fraction,
}

/// The duration that a text says; [`Duration::MAX`] for what is longer.
pub(super) fn parse(text: &str) -> Result<Duration, Fault<'_>> {
    let mut left = text.trim();
    if left.is_empty() {
        return Err(Fault::Empty);
    }
    if left == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0u128;
    while !left.is_empty() {
        let here = left;
        let whole = take(&mut left, |c| c.is_ascii_digit());
        let mut part = "";
        if let Some(rest) = left.strip_prefix('.') {
            left = rest;
            part = take(&mut left, |c| c.is_ascii_digit());
            if part.is_empty() {
                return Err(Fault::Number(here));
            }
        }
        if whole.is_empty() {
            return Err(Fault::Number(here));
        }
        left = left.trim_start();
        let name = take(&mut left, char::is_alphabetic);
        let Some((_, unit)) = UNITS.iter().find(|(names, _)| names.contains(&name)) else {
            return Err(match name {
                "" => Fault::NoUnit,
                _ => Fault::Unit(name),
            });
        };
        // Digits alone fail for being too many.
        let whole = whole.parse().unwrap_or(u128::MAX);
        total = total
            .saturating_add(whole.saturating_mul(*unit))
            .saturating_add(share(part, *unit)?);
        left = left.trim_start();
    }
    let seconds = u64::try_from(total / SECOND);
    Ok(seconds.map_or(Duration::MAX, |s| Duration::new(s, (total % SECOND) as u32)))
}

/// Cuts off the first characters that pass.
fn take<'a>(text: &mut &'a str, passes: fn(char) -> bool) -> &'a str {
    let end = text.find(|c| !passes(c)).unwrap_or(text.len());
    let (taken, left) = text.split_at(end);
    *text = left;
    taken
}

/// A unit times the digits after a point, in nanoseconds.
fn share<'a>(digits: &str, unit: u128) -> Result<u128, Fault<'a>> {
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // No unit has 20 factors of two, or of five.
    if digits.len() > 20 {
        return Err(Fault::Fraction);
    }
    let digit = |n, byte: u8| n * 10 + u128::from(byte - b'0');
    let product = digits.bytes().fold(0, digit) * unit;
    let one = 10u128.pow(digits.len() as u32);
    if product % one == 0 {
        Ok(product / one)
    } else {
        Err(Fault::Fraction)
    }
}

/// A duration as [`parse`] reads it back.
pub(super) struct Text(pub(super) Duration);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_nanos();
        if left == 0 {
            return f.write_str("0s");
        }
        let mut gap = "";
        for unit in (0..7).rev() {
            let (names, nanos) = UNITS[unit];
            let (count, rest) = (left / nanos, left % nanos);
            if count > 0 {
                write!(f, "{gap}{count}{}", names[0])?;
                gap = " ";
            }
            left = rest;
        }
        Ok(())
    }
}
