//! The waits of other retry libraries, each a few lines written from its
//! description; backon's are its own.

use std::{iter, time::Duration};

use backon::BackoffBuilder;
use fastrand::f64 as random;

/// Seconds: the first delay before jitter, the factor, and the greatest delay.
#[derive(Clone, Copy)]
pub struct Curve {
    pub initial: f64,
    pub factor: f64,
    pub cap: f64,
}

/// The waits of one sequence, in seconds.
pub type Waits = Box<dyn Iterator<Item = f64>>;

pub struct Peer {
    pub name: &'static str,
    pub waits: fn(Curve) -> Waits,
}

pub const PEERS: [Peer; 11] = [
    peer("AWS, gax, Envoy", full),
    peer("AWS, equal", equal),
    peer("AWS, decorrelated", decorrelated),
    peer("backon", backon),
    peer("cenkalti/backoff", cenkalti),
    peer("clerk-js, p-retry", clerk),
    peer("Finagle", finagle),
    peer("gRPC", grpc),
    peer("Kubernetes", kubernetes),
    peer("Polly", polly),
    peer("stamina", stamina),
];

const fn peer(name: &'static str, waits: fn(Curve) -> Waits) -> Peer {
    Peer { name, waits }
}

fn between(low: f64, high: f64) -> f64 {
    low + (high - low) * random()
}

impl Curve {
    /// The delay before retry `n`, uncapped.
    fn delay(self, n: i32) -> f64 {
        self.initial * self.factor.powi(n - 1)
    }

    fn capped(self, n: i32) -> f64 {
        self.delay(n).min(self.cap)
    }

    fn walked(self, wait: impl Fn(Self, i32) -> f64 + 'static) -> Waits {
        Box::new((1..).map(move |n| wait(self, n)))
    }
}

/// The exponential without jitter.
pub fn bare(curve: Curve) -> Waits {
    curve.walked(Curve::capped)
}

/// Capped, then anything below.
pub fn full(curve: Curve) -> Waits {
    curve.walked(|curve, n| curve.capped(n) * random())
}

/// Capped, then its upper half.
pub fn equal(curve: Curve) -> Waits {
    curve.walked(|curve, n| curve.capped(n) * between(0.5, 1.0))
}

/// Between the least and three times the last, then capped.
pub fn decorrelated(curve: Curve) -> Waits {
    let last = Some(curve.initial);
    let next = move |last: &f64| Some(between(curve.initial, last * 3.0).min(curve.cap));
    Box::new(iter::successors(last, next).skip(1))
}

fn backon(curve: Curve) -> Waits {
    let builder = backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs_f64(curve.initial))
        .with_factor(curve.factor as f32)
        .with_max_delay(Duration::from_secs_f64(curve.cap))
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(fastrand::u64(..));
    Box::new(builder.build().map(|wait| wait.as_secs_f64()))
}

/// Capped, then half as much again in either direction.
fn cenkalti(curve: Curve) -> Waits {
    curve.walked(|curve, n| curve.capped(n) * between(0.5, 1.5))
}

/// Up to twice as much, then capped.
pub fn clerk(curve: Curve) -> Waits {
    curve.walked(|curve, n| (curve.delay(n) * between(1.0, 2.0)).min(curve.cap))
}

/// The last random value doubled once for each attempt so far; the cap once it is
/// reached.
fn finagle(curve: Curve) -> Waits {
    let mut last = curve.initial;
    Box::new((1..).map(move |n| {
        if last < curve.cap {
            last = (last * curve.factor.powi(n)).min(curve.cap);
            last *= if last < curve.cap { random() } else { 1.0 };
        }
        last
    }))
}

/// Capped, then a fifth in either direction.
fn grpc(curve: Curve) -> Waits {
    curve.walked(|curve, n| curve.capped(n) * between(0.8, 1.2))
}

/// Capped, then up to a tenth more.
fn kubernetes(curve: Curve) -> Waits {
    curve.walked(|curve, n| curve.capped(n) * between(1.0, 1.1))
}

/// Version 2 of its decorrelated jitter: differences of a smoothed exponential.
fn polly(curve: Curve) -> Waits {
    let mut last = 0.0;
    let mut n = 0.0;
    Box::new(iter::repeat_with(move || {
        let t: f64 = n + random();
        n += 1.0;
        let smooth = t.exp2() * (4.0 * t).sqrt().tanh();
        let wait = (smooth - last) / 1.4 * curve.initial;
        last = smooth;
        wait.clamp(0.0, curve.cap)
    }))
}

/// Up to a second more, then capped.
fn stamina(curve: Curve) -> Waits {
    curve.walked(|curve, n| (curve.delay(n) + random()).min(curve.cap))
}
