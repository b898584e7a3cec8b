//! The schedule against an exact oracle: bounds, walks, totals and draws, over
//! the whole range of inputs.

use std::{collections::HashSet, time::Duration};

use afterbeat::{Backoff, Jitter};
use num_bigint::BigUint;
use num_rational::BigRational;
use num_traits::{FromPrimitive, ToPrimitive};
use proptest::prelude::*;

use crate::any::{self, Curve, nanos};

const NANO: Duration = Duration::from_nanos(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The curve by DESIGN's words, in rationals. A power of the factor is exact up
/// to 4096 bits, and then cut off by less than 2^-4000 of its value.
mod oracle {
    use num_traits::float::FloatCore;

    use super::*;

    const BITS: u64 = 4096;

    /// `mantissa · 2^exponent`.
    #[derive(Clone)]
    pub struct Dyadic {
        mantissa: BigUint,
        exponent: i64,
    }

    impl Dyadic {
        pub fn new(value: f64) -> Self {
            let (mantissa, exponent, _) = FloatCore::integer_decode(value);
            Self {
                mantissa: BigUint::from(mantissa),
                exponent: i64::from(exponent),
            }
        }

        pub fn integer(value: u64) -> Self {
            Self {
                mantissa: BigUint::from(value),
                exponent: 0,
            }
        }

        pub fn times(&self, other: &Self) -> Self {
            let mantissa = &self.mantissa * &other.mantissa;
            let surplus = mantissa.bits().saturating_sub(BITS);
            Self {
                mantissa: mantissa >> surplus,
                exponent: self.exponent + other.exponent + i64::try_from(surplus).unwrap(),
            }
        }

        pub fn power(&self, power: u32) -> Self {
            let mut result = Self::integer(1);
            for bit in (0..32).rev() {
                result = result.times(&result);
                if power >> bit & 1 == 1 {
                    result = result.times(self);
                }
            }
            result
        }

        /// The nearest integer, half upwards, at most `u64::MAX`.
        pub fn round(&self) -> u64 {
            let bits = i64::try_from(self.mantissa.bits()).unwrap() + self.exponent;
            if bits < -1 || self.mantissa == BigUint::ZERO {
                return 0;
            }
            if bits > 64 {
                return u64::MAX;
            }
            let doubled = if self.exponent >= -1 {
                &self.mantissa << (self.exponent + 1)
            } else {
                &self.mantissa >> (-1 - self.exponent)
            };
            ((doubled + 1u32) >> 1u32).to_u64().unwrap_or(u64::MAX)
        }
    }

    pub fn hi(curve: &Curve, retry: u32) -> u64 {
        let delay = match (retry, curve.immediate) {
            (0, _) => return 0,
            (1, true) => Dyadic::integer(100_000_000),
            (n, immediate) => Dyadic::integer(nanos(curve.initial))
                .times(&Dyadic::new(curve.factor).power(n - 1 - u32::from(immediate))),
        };
        let hi = delay.times(&Dyadic::new(curve.high)).round();
        hi.min(curve.cap_nanos())
    }

    pub fn lo(curve: &Curve, hi: u64) -> u64 {
        let [low, high] = [curve.low, curve.high].map(|x| BigRational::from_f64(x).unwrap());
        let one = BigRational::from_u64(1).unwrap();
        let width = BigRational::from_u64(hi).unwrap() * (one - low / high);
        hi - width.floor().to_integer().to_u64().unwrap()
    }
}

proptest! {
    /// S1, S2, S5, S6, S7.
    #[test]
    fn bounds_are_those_of_the_exact_curve(curve in any::curve(), n in any::retry()) {
        let bounds = curve.backoff().bounds(n);
        let hi = oracle::hi(&curve, n);
        prop_assert_eq!(nanos(*bounds.end()), hi);
        prop_assert!(nanos(*bounds.start()).abs_diff(oracle::lo(&curve, hi)) <= 1);
        prop_assert!(*bounds.end() <= curve.cap.unwrap_or(Duration::MAX));
        prop_assert!(bounds.start() <= bounds.end());
    }

    /// S1, S5: the walk and the bounds are one curve.
    #[test]
    fn the_walk_follows_the_bounds(curve in any::curve(), seed in any::<u64>()) {
        let backoff = curve.backoff();
        for (n, wait) in (1..200u32).zip(backoff.delays_seeded(seed)) {
            let (bounds, slack) = (backoff.bounds(n), slack(*backoff.bounds(n).end()));
            prop_assert!(bounds.start().saturating_sub(slack) <= wait, "retry {}", n);
            prop_assert!(wait <= bounds.end().saturating_add(slack), "retry {}", n);
            prop_assert!(wait <= curve.cap.unwrap_or(Duration::MAX));
        }
    }

    /// S4.
    #[test]
    fn bounds_never_fall(curve in any::curve(), n in any::retry(), m in any::retry()) {
        let curve = Curve { immediate: false, ..curve };
        let [less, more] = [n.min(m), n.max(m)].map(|n| curve.backoff().bounds(n));
        prop_assert!(less.start() <= more.start() && less.end() <= more.end());
    }

    /// S8.
    #[test]
    fn a_seed_names_one_sequence(curve in any::curve(), seed in any::<u64>()) {
        let backoff = curve.backoff();
        let mut delays = backoff.delays_seeded(seed);
        prop_assert!(delays.clone().take(50).eq(backoff.delays_seeded(seed).take(50)));
        delays.by_ref().take(20).for_each(drop);
        prop_assert!(delays.clone().take(20).eq(delays.take(20)));
    }

    /// S10: the immediate retry takes the first place and nothing else.
    #[test]
    fn an_immediate_retry_shifts_the_curve_by_one(curve in any::curve(), n in 1..u32::MAX) {
        let plain = Curve { immediate: false, ..curve }.backoff();
        let immediate = Curve { immediate: true, ..curve }.backoff();
        prop_assert_eq!(immediate.bounds(n.saturating_add(1)), plain.bounds(n));
        let hundred = Curve { initial: Duration::from_millis(100), immediate: false, ..curve };
        prop_assert_eq!(immediate.bounds(1), hundred.backoff().bounds(1));
    }

    /// S12.
    #[test]
    fn the_total_is_the_sum_of_the_bounds(curve in any::curve(), retries in 0..300u32) {
        let backoff = curve.backoff();
        let total = backoff.total(retries);
        let sum = |nth: fn(&Backoff, u32) -> u64| {
            (1..=retries).map(|n| nth(&backoff, n)).fold(0, u64::saturating_add)
        };
        let least = sum(|backoff, n| nanos(*backoff.bounds(n).start()));
        let greatest = sum(|backoff, n| nanos(*backoff.bounds(n).end()));
        prop_assert_eq!(total, Duration::from_nanos(least)..=Duration::from_nanos(greatest));
    }

    /// S7: what does not fit is refused at the boundary, with value and rule.
    #[test]
    fn no_other_factor_can_be_built(bits in any::<u64>()) {
        let factor = f64::from_bits(bits);
        match Backoff::new().try_factor(factor) {
            Ok(_) => prop_assert!(factor >= 1.0 && factor.is_finite()),
            Err(error) => {
                prop_assert!(factor.is_nan() || factor < 1.0 || factor.is_infinite());
                prop_assert_eq!(
                    error.to_string(),
                    format!("factor must be finite and at least 1, not {factor}")
                );
            }
        }
    }

    /// S7.
    #[test]
    fn no_other_jitter_can_be_built(low in any::<f64>(), high in any::<f64>()) {
        let valid = 0.0 <= low && low <= high && high > 0.0 && high < f64::INFINITY;
        let jitter = Jitter::try_between(low, high);
        prop_assert_eq!(jitter.is_ok(), valid);
        if let Err(error) = jitter {
            let values = format!("not low {low} and high {high}");
            prop_assert!(error.to_string().ends_with(&values), "{}", error);
        }
    }

    #[test]
    fn every_setting_reads_back_as_it_was_set(curve in any::curve()) {
        let backoff = curve.backoff();
        let initial = Duration::from_nanos(any::nanos(curve.initial));
        let cap = Some(curve.cap_nanos()).filter(|cap| *cap < u64::MAX);
        prop_assert_eq!(backoff.get_initial_delay(), initial);
        prop_assert_eq!(backoff.get_factor().to_bits(), curve.factor.to_bits());
        prop_assert_eq!(backoff.get_max_delay(), cap.map(Duration::from_nanos));
        prop_assert_eq!(backoff.get_jitter(), curve.jitter());
        prop_assert_eq!(backoff.get_immediate_retry(), curve.immediate);
        let jitter = backoff.get_jitter();
        prop_assert_eq!((jitter.low(), jitter.high()), (curve.low, curve.high));
    }
}

#[test]
fn a_jitter_is_equal_to_one_of_the_same_bounds_alone() {
    assert_eq!(Jitter::between(-0.0, 1.0), Jitter::FULL);
    assert_ne!(Jitter::between(f64::from_bits(1), 1.0), Jitter::FULL);
    assert_ne!(Jitter::between(2.0, 4.0), Jitter::SPREAD);
}

/// What the walk may differ by: 1 ns up to a day, one part in 10^14 beyond.
fn slack(wait: Duration) -> Duration {
    if wait <= DAY {
        NANO
    } else {
        wait / 100_000_000 / 1_000_000 + NANO
    }
}

#[test]
fn the_walk_does_not_drift_over_a_million_retries() {
    for factor in [1.0 + f64::EPSILON, 1.00001, 1.000_03, 1.0 + 2f64.powi(-15)] {
        let backoff = Backoff::new()
            .initial_delay(NANO)
            .factor(factor)
            .jitter(Jitter::NONE)
            .without_max_delay();
        let waits = (1..).zip(backoff.delays()).step_by(99_991).take(10);
        for (n, wait) in waits {
            let exact = *backoff.bounds(n).start();
            assert!(
                wait.abs_diff(exact) <= slack(exact),
                "{factor} {n} {wait:?} {exact:?}"
            );
        }
    }
}

#[test]
fn a_jitter_below_one_still_reaches_the_cap() {
    let cap = Duration::from_secs(1);
    let backoff = Backoff::new()
        .max_delay(cap)
        .jitter(Jitter::between(0.0, f64::from_bits(1)))
        .factor(1e300);
    assert_eq!(backoff.bounds(3), Duration::ZERO..=cap);
    assert!(backoff.delays().skip(2).take(20).any(|wait| wait > cap / 4));
}

#[test]
fn degenerate_curves_are_total() {
    let most = Duration::from_nanos(u64::MAX);
    let huge = Backoff::new()
        .factor(1e300)
        .without_max_delay()
        .jitter(Jitter::NONE);
    assert_eq!(huge.bounds(2), most..=most);
    assert_eq!(
        huge.initial_delay(Duration::ZERO).bounds(u32::MAX),
        Duration::ZERO..=Duration::ZERO
    );
    assert_eq!(huge.initial_delay(Duration::MAX).bounds(1), most..=most);
    assert_eq!(
        huge.max_delay(Duration::ZERO).bounds(9),
        Duration::ZERO..=Duration::ZERO
    );
    assert_eq!(huge.bounds(0), Duration::ZERO..=Duration::ZERO);
    assert_eq!(huge.total(0), Duration::ZERO..=Duration::ZERO);
    assert_eq!(huge.total(u32::MAX), most..=most);
    let level = Backoff::constant(NANO).total(u32::MAX);
    assert_eq!(*level.end(), u32::MAX * NANO);
    let immediate = Backoff::constant(NANO)
        .immediate_retry(true)
        .total(u32::MAX);
    assert_eq!(
        *immediate.end(),
        (u32::MAX - 1) * NANO + Duration::from_millis(100)
    );
    // 8171 years count as 584.
    assert_eq!(Backoff::new().total(u32::MAX), most..=most);
}

/// S3: Kolmogorov and Smirnov's distance of 20,000 draws from the uniform law
/// on the bounds, at the start, just below the cap, at the cap and far beyond.
#[test]
fn waits_are_uniform_on_their_interval_also_at_the_cap() {
    const DRAWS: u32 = 20_000;
    let jitters = [
        Jitter::SPREAD,
        Jitter::EQUAL,
        Jitter::FULL,
        Jitter::between(0.8, 1.2),
    ];
    for jitter in jitters {
        let backoff = Backoff::new()
            .max_delay(Duration::from_secs(5))
            .jitter(jitter);
        for n in [1, 5, 6, 7, 57] {
            let (lo, hi) = backoff.bounds(n).into_inner();
            let mut draws: Vec<f64> = (0..DRAWS)
                .map(|seed| {
                    let wait = backoff
                        .delays_seeded(u64::from(seed))
                        .nth(n as usize - 1)
                        .unwrap();
                    (wait - lo).as_secs_f64() / (hi - lo).as_secs_f64()
                })
                .collect();
            draws.sort_by(f64::total_cmp);
            let distance = (0..DRAWS)
                .zip(draws)
                .map(|(rank, draw)| (draw - f64::from(rank) / f64::from(DRAWS)).abs())
                .fold(0.0, f64::max);
            // 1.95 / sqrt(n): exceeded by chance once in a thousand, and seeded.
            assert!(
                distance < 1.95 / f64::from(DRAWS).sqrt(),
                "{jitter:?} {n} {distance}"
            );
        }
    }
}

/// S8: a fleet must not march in step.
#[test]
fn unseeded_sequences_differ() {
    let backoff = Backoff::new();
    let sequences: HashSet<Vec<Duration>> = (0..100)
        .map(|_| backoff.delays().take(8).collect())
        .collect();
    assert_eq!(sequences.len(), 100);
}

/// S3, S9: the resolution is the nanosecond's.
#[test]
fn jitter_has_the_resolution_of_a_nanosecond() {
    let backoff = Backoff::constant(Duration::from_nanos(8)).jitter(Jitter::FULL);
    let seen: HashSet<Duration> = backoff.delays_seeded(1).take(1000).collect();
    assert_eq!(seen.len(), 9, "0 to 8 ns, both ends included");
}

#[test]
fn curves_are_plain_values() {
    const CURVE: Backoff = Backoff::new()
        .factor(1.5)
        .immediate_retry(true)
        .immediate_retry(false);
    assert_eq!(CURVE, Backoff::default().factor(1.5));
    assert_ne!(CURVE, CURVE.immediate_retry(true));
    let same = [
        CURVE,
        CURVE.without_max_delay(),
        CURVE.max_delay(Duration::MAX),
    ];
    assert_eq!(HashSet::from(same).len(), 2);
    assert_eq!(
        format!("{CURVE:?}"),
        "Backoff { initial_delay: 125ms, factor: 1.5, max_delay: Some(60s), \
         jitter: Jitter[1, 2], immediate_retry: false }"
    );
    let uncapped = format!("{:?}", CURVE.without_max_delay());
    assert!(uncapped.contains("max_delay: None"), "{uncapped}");
    assert_eq!(Jitter::default(), Jitter::between(1.0, 2.0));
    assert_eq!(
        CURVE.delays().size_hint(),
        (usize::MAX, None),
        "without end"
    );
    assert_eq!(format!("{:?}", CURVE.delays()), "Delays { .. }");
}

#[test]
fn the_named_jitters_are_what_they_say() {
    let named = [
        (Jitter::NONE, 1.0, 1.0),
        (Jitter::SPREAD, 1.0, 2.0),
        (Jitter::EQUAL, 0.5, 1.0),
        (Jitter::FULL, 0.0, 1.0),
    ];
    for (jitter, low, high) in named {
        assert_eq!(jitter, Jitter::between(low, high));
        let bounds = Backoff::constant(Duration::from_secs(2))
            .jitter(jitter)
            .bounds(1);
        assert_eq!(
            bounds,
            Duration::from_secs_f64(2.0 * low)..=Duration::from_secs_f64(2.0 * high)
        );
        assert_eq!(format!("{jitter:?}"), format!("Jitter[{low}, {high}]"));
        assert_eq!(
            (jitter.low().to_bits(), jitter.high().to_bits()),
            (low.to_bits(), high.to_bits())
        );
    }
}

/// Where a delay ends in exactly half a nanosecond, it is rounded up.
#[test]
fn ties_are_rounded_up() {
    for n in 1..60u32 {
        // 3^n / 2 nanoseconds before retry n + 1.
        let initial = Duration::from_nanos(1 << (n - 1));
        let curve = Backoff::new()
            .initial_delay(initial)
            .factor(1.5)
            .without_max_delay();
        let curve = curve.jitter(Jitter::NONE);
        let Some(exact) = 3u64.checked_pow(n) else {
            break;
        };
        let rounded = Duration::from_nanos(exact / 2 + 1);
        assert_eq!(*curve.bounds(n + 1).end(), rounded, "3^{n} / 2");
        assert_eq!(curve.delays().nth(n as usize), Some(rounded), "3^{n} / 2");
    }
}

/// The smallest multipliers are as exact as any other.
#[test]
fn subnormal_multipliers_count_as_what_they_are() {
    for bits in [1, 3, (1 << 52) - 1, 1 << 52] {
        let curve = Curve {
            initial: Duration::from_nanos(u64::MAX),
            cap: None,
            factor: 2.0,
            low: 0.0,
            high: f64::from_bits(bits),
            immediate: false,
        };
        for n in 1000..1074 {
            let end = *curve.backoff().bounds(n).end();
            assert_eq!(nanos(end), oracle::hi(&curve, n), "{bits} {n}");
        }
    }
}

/// Products with as many bits as there can be do not spill.
#[test]
fn the_walk_keeps_the_bits_of_long_mantissas() {
    for high in [1.0 - f64::EPSILON / 2.0, 0.1, 1.0 / 3.0, 0.7] {
        for initial in [u64::MAX - 12_345, 0x5555_5555_5555_5555, (1 << 61) + 1] {
            let backoff = Backoff::constant(Duration::from_nanos(initial))
                .factor(1.0 + 1e-9)
                .jitter(Jitter::between(high, high));
            for (n, wait) in (1..100).zip(backoff.delays()) {
                let exact = *backoff.bounds(n).end();
                assert!(
                    wait.abs_diff(exact) <= slack(exact),
                    "{high} {initial} {n}: {wait:?}"
                );
            }
        }
    }
}

/// Bounds keep their nanosecond where a delay has 60 bits and hundreds of factors.
#[test]
fn bounds_of_long_curves_are_exact() {
    for factor in [1.001, 1.1, 4.0 / 3.0, 1.000_000_1, 1.55] {
        let curve = Curve {
            initial: Duration::from_nanos(12_345_678_901),
            cap: None,
            factor,
            low: 0.3,
            high: 0.7,
            immediate: false,
        };
        let longest = (1e18 / 12e9_f64).ln() / factor.ln();
        for n in (1..=20).map(|part| (longest * f64::from(part) / 20.0) as u32 + 1) {
            let bounds = curve.backoff().bounds(n);
            let hi = oracle::hi(&curve, n);
            assert_eq!(nanos(*bounds.end()), hi, "{factor} {n}");
            assert!(nanos(*bounds.start()).abs_diff(oracle::lo(&curve, hi)) <= 1);
        }
    }
}

/// What is longer than 584 years counts as that, by a nanosecond or by any more.
#[test]
fn durations_saturate() {
    let most = Duration::from_nanos(u64::MAX);
    for long in [most, most + NANO, 2 * most, Duration::MAX] {
        assert_eq!(Backoff::constant(long).bounds(1), most..=most);
    }
}

/// A quarter of a nanosecond below 2^64 of them is rounded up, and saturates.
#[test]
fn the_last_nanosecond_does_not_wrap() {
    let initial = u64::try_from(((1_u128 << 67) - 2) / 9).unwrap();
    let backoff = Backoff::constant(Duration::from_nanos(initial));
    let backoff = backoff.jitter(Jitter::between(1.125, 1.125));
    let most = Duration::from_nanos(u64::MAX);
    assert_eq!(backoff.bounds(1), most..=most);
    assert_eq!(backoff.delays().next(), Some(most));
}

/// Fixed point and reals meet at 2^16 ns, at 2^62 ns, and at factors of 2^31.
#[test]
fn the_walk_is_exact_where_its_form_changes() {
    let initials = [
        1,
        (1 << 16) - 1,
        1 << 16,
        (1 << 62) - 1,
        1 << 62,
        u64::MAX - 1,
    ];
    let great = f64::from(1u32 << 31);
    let factors = [1.0, 1.000_001, 2.0, great, great.next_up(), 1e300];
    for initial in initials {
        for factor in factors {
            for high in [1.0, 0.3, 2.0, 1e-9] {
                for immediate in [false, true] {
                    let curve = Backoff::constant(Duration::from_nanos(initial))
                        .factor(factor)
                        .jitter(Jitter::between(high, high))
                        .immediate_retry(immediate);
                    for (n, wait) in (1..200).zip(curve.delays()) {
                        let bound = *curve.bounds(n).end();
                        assert_eq!(wait, bound, "retry {n} of {curve:?}");
                    }
                }
            }
        }
    }
}
