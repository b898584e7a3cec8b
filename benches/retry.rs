//! What a policy costs where nothing fails, and where everything does; and a budget
//! that two threads draw on at once.

#![allow(missing_docs, reason = "criterion writes functions without docs")]

use std::{
    future::{Ready, ready},
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use afterbeat::{Backoff, Clock, RetryBudget, RetryBuilder, Timer};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;

const POLICY: RetryBuilder = RetryBuilder::new().max_retries(10);

/// A clock that stands still; its sleeps are over at once.
#[derive(Clone, Copy)]
struct Soon;

impl Clock for Soon {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn block(&self, wait: Duration) -> std::ops::ControlFlow<()> {
        black_box(wait);
        std::ops::ControlFlow::Continue(())
    }
}

impl Timer for Soon {
    type Sleep = Ready<()>;

    fn sleep(&self, wait: Duration) -> Ready<()> {
        black_box(wait);
        ready(())
    }
}

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
    let policy = RetryBuilder::with_timer(Soon).max_retries(10);
    c.bench_function("ten retries, each sleep ready at once", |b| {
        b.iter(|| runtime.block_on(policy.retry(|| ready(black_box(Err::<u64, u64>(7))))));
    });
}

fn budget(c: &mut Criterion) {
    let budget = RetryBudget::new(1000);
    let policy = RetryBuilder::with_timer(Soon)
        .max_retries(1)
        .budget(&budget);
    // One retry that succeeds: its price is paid, and paid back.
    let call = || {
        let mut failed = false;
        policy.retry_blocking(|| {
            let first = !std::mem::replace(&mut failed, true);
            black_box(if first { Err::<u64, u64>(7) } else { Ok(7) })
        })
    };
    c.bench_function("a retry from a budget", |b| b.iter(call));
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped.load(Relaxed) {
                let _ = call();
            }
        });
        c.bench_function("a retry from a budget that another thread draws on", |b| {
            b.iter(call);
        });
        stopped.store(true, Relaxed);
    });
}

criterion_group!(benches, first_try, outage, budget);
criterion_main!(benches);
