//! What one wait costs: the next of a walk, and any by its number.

#![allow(missing_docs, reason = "criterion writes functions without docs")]

use std::hint::black_box;

use afterbeat::{Backoff, Jitter};
use criterion::{Criterion, criterion_group, criterion_main};

fn waits(c: &mut Criterion) {
    let jittered = Backoff::new().factor(1.55);
    for (name, backoff) in [
        ("plain", jittered.jitter(Jitter::NONE)),
        ("jittered", jittered),
    ] {
        // Endless below a cap that is never reached again: each `next` grows.
        let fresh = backoff.without_max_delay().delays();
        c.bench_function(&format!("twenty waits, {name}"), |b| {
            b.iter(|| {
                black_box(&fresh)
                    .clone()
                    .take(20)
                    .sum::<std::time::Duration>()
            });
        });
    }
}

fn bounds(c: &mut Criterion) {
    for retry in [1, 10, 1_000_000, u32::MAX] {
        let backoff = Backoff::new().factor(1.000_001);
        c.bench_function(&format!("bounds of retry {retry}"), |b| {
            b.iter(|| black_box(backoff).bounds(black_box(retry)));
        });
    }
}

criterion_group!(benches, waits, bounds);
criterion_main!(benches);
