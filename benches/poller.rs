//! What a tick of a poller costs: a run that is ready, and a wait by tokio's paused
//! clock. For a hundred thousand of them see `pollers.rs`.

#![allow(missing_docs, reason = "criterion writes functions without docs")]

use std::{
    future::ready,
    hint::black_box,
    pin::pin,
    time::{Duration, Instant},
};

use afterbeat::PollerBuilder;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::{runtime::Builder, time::sleep};

const SECOND: Duration = Duration::from_secs(1);

fn ticks(c: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut group = c.benchmark_group("a tick");
    group.bench_function("by hand", |b| {
        b.iter_custom(|ticks| {
            let begun = Instant::now();
            runtime.block_on(async {
                for _ in 0..ticks {
                    let _ = ready(black_box(Ok::<u64, u64>(7))).await;
                    sleep(SECOND).await;
                }
            });
            begun.elapsed()
        });
    });
    group.bench_function("pulled", |b| {
        b.iter_custom(|ticks| {
            let begun = Instant::now();
            runtime.block_on(async {
                let run = || ready(black_box(Ok::<u64, u64>(7)));
                let mut poller = pin!(PollerBuilder::new(SECOND).stream(run));
                for _ in 0..ticks {
                    let _ = poller.as_mut().next().await;
                }
            });
            begun.elapsed()
        });
    });
    group.bench_function("pushed", |b| {
        b.iter_custom(|ticks| {
            let begun = Instant::now();
            runtime.block_on(async {
                // Not `wait_for`, which would look at every tick.
                let (done, last_run) = tokio::sync::oneshot::channel();
                let (mut left, mut done) = (ticks, Some(done));
                let _poller = PollerBuilder::new(SECOND).spawn(move || {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        done.take().map(|done| done.send(()));
                    }
                    ready(black_box(Ok::<u64, u64>(7)))
                });
                last_run.await.unwrap();
            });
            begun.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, ticks);
criterion_main!(benches);
