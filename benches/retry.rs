//! What a policy costs where nothing fails, and where everything does.

#![allow(missing_docs, reason = "criterion writes functions without docs")]

use std::{future::ready, hint::black_box, time::Duration};

use afterbeat::{Backoff, RetryBuilder};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;

const POLICY: RetryBuilder = RetryBuilder::new().max_retries(10);

fn first_try(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    c.bench_function("first-try success", |b| {
        b.iter(|| {
            let op = || ready(black_box(Ok::<u64, u64>(7)));
            runtime.block_on(POLICY.retry(op))
        });
    });
    c.bench_function("first-try success, by hand", |b| {
        b.iter(|| runtime.block_on(ready(black_box(Ok::<u64, u64>(7)))));
    });
}

fn outage(c: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        let policy = POLICY.backoff(Backoff::constant(wait));
        c.bench_function(&format!("ten retries, {wait:?} apart, paused clock"), |b| {
            b.iter(|| runtime.block_on(policy.retry(|| ready(black_box(Err::<u64, u64>(7))))));
        });
    }
}

criterion_group!(benches, first_try, outage);
criterion_main!(benches);
