//! Requests that come in at random.

use std::{future::Future, time::Duration};

use crate::sim;

/// Spawns what `request` makes, at `rate` a second, from now until `end` seconds.
/// The instants depend on the seed alone, whatever the requests do.
pub fn poisson<F, Fut>(seed: u64, rate: f64, end: f64, mut request: F)
where
    F: FnMut() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let mut rng = fastrand::Rng::with_seed(seed);
    sim::spawn(async move {
        loop {
            let gap = -(1.0 - rng.f64()).ln() / rate;
            sim::sleep(Duration::from_secs_f64(gap)).await;
            if sim::seconds() >= end {
                break;
            }
            sim::spawn(request());
        }
    });
}
