//! Inputs over the whole range, as proptest strategies.

use std::time::Duration;

use afterbeat::{Backoff, Jitter};
use proptest::prelude::*;

/// The ways to drive a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    Retry,
    RetryWith,
    Attempts,
    Blocking,
}

pub const DOORS: [Door; 4] = [Door::Retry, Door::RetryWith, Door::Attempts, Door::Blocking];

/// A curve spelt out, so that an oracle can read it.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    pub initial: Duration,
    pub cap: Option<Duration>,
    pub factor: f64,
    pub low: f64,
    pub high: f64,
    pub immediate: bool,
}

impl Curve {
    pub fn backoff(&self) -> Backoff {
        let backoff = Backoff::new()
            .initial_delay(self.initial)
            .factor(self.factor)
            .jitter(self.jitter())
            .immediate_retry(self.immediate);
        match self.cap {
            Some(cap) => backoff.max_delay(cap),
            None => backoff.without_max_delay(),
        }
    }

    pub fn jitter(&self) -> Jitter {
        Jitter::between(self.low, self.high)
    }

    /// The cap in the nanoseconds that durations are counted in.
    pub fn cap_nanos(&self) -> u64 {
        self.cap.map_or(u64::MAX, nanos)
    }
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Evenly spread over orders of magnitude, with the ends.
pub fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        1 => Just(Duration::from_nanos(u64::MAX)),
        1 => Just(Duration::from_nanos(1)),
        12 => (0..64u32, any::<u64>()).prop_map(|(bits, n)| Duration::from_nanos(n >> bits)),
    ]
}

/// From the least factor above 1 to the greatest finite one.
pub fn factor() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(1.0),
        Just(2.0),
        Just(1.55),
        Just(4.0 / 3.0),
        Just(1e300),
        Just(f64::MAX),
        Just(1.0 + f64::EPSILON),
        (-52..1024i32, 1.0..2.0)
            .prop_map(|(power, m): (i32, f64)| { (1.0 + m * 2f64.powi(power)).min(f64::MAX) }),
        1.0..4.0f64,
    ]
}

/// Bounds of a jitter, `low <= high`, down to the smallest float.
pub fn jitter() -> impl Strategy<Value = (f64, f64)> {
    let tiny = (-1074..1000i32).prop_map(|power| 2f64.powi(power).max(f64::from_bits(1)));
    prop_oneof![
        4 => Just((1.0, 1.0)),
        4 => Just((1.0, 2.0)),
        2 => Just((0.5, 1.0)),
        2 => Just((0.0, 1.0)),
        4 => (0.0..2.0f64, 0.0..2.0f64).prop_map(|(a, b)| (a.min(b), a.max(b) + 1e-9)),
        1 => (tiny, 0.0..=1.0f64).prop_map(|(high, part)| (high * part, high)),
        1 => Just((0.0, f64::from_bits(1))),
        1 => Just((0.0, f64::MAX)),
        1 => Just((1.0, 1.0 + f64::EPSILON)),
    ]
}

pub fn curve() -> impl Strategy<Value = Curve> {
    (
        duration(),
        proptest::option::weighted(0.8, duration()),
        factor(),
        jitter(),
        any::<bool>(),
    )
        .prop_map(|(initial, cap, factor, (low, high), immediate)| Curve {
            initial,
            cap,
            factor,
            low,
            high,
            immediate,
        })
}

/// Retry numbers: the first ones, and any.
pub fn retry() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..100u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}
