//! Pollers on real threads and the real clock, under orders from four threads at once.
//! Its sleeps let real time pass between orders, so that timers fire among them; nothing
//! is asserted of how long anything takes.
//!
//! Lasts three seconds, or as many as asked for:
//!
//! ```text
//! SOAK_SECONDS=30 cargo test --release --all-features --test soak_poller
//! ```

#![cfg(feature = "tokio")]

use std::{
    env,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use afterbeat::{PollerBuilder, PollerHandle, PollerPhase, PollerRemote};
use tokio::runtime::{Builder, Runtime};

const THREADS: usize = 4;

#[derive(Default)]
struct Runs {
    begun: AtomicU64,
    alive: AtomicU64,
    /// What each run leaves for the next one, without ordering of its own.
    left: AtomicU64,
}

/// One run: ready at once, after a turn of the others, or after a short sleep.
async fn run(runs: Arc<Runs>) -> Result<(), ()> {
    assert_eq!(runs.alive.fetch_add(1, SeqCst), 0, "two runs are alive");
    let before = runs.begun.fetch_add(1, SeqCst);
    assert_eq!(
        runs.left.load(Relaxed),
        before,
        "a run does not see the one before it"
    );
    match fastrand::u8(0..4) {
        0 => {}
        1 => tokio::task::yield_now().await,
        2 => tokio::time::sleep(Duration::from_micros(fastrand::u64(0..2000))).await,
        _ => thread::sleep(Duration::from_micros(fastrand::u64(0..50))),
    }
    runs.left.store(before + 1, Relaxed);
    assert_eq!(runs.alive.fetch_sub(1, SeqCst), 1);
    if fastrand::bool() { Ok(()) } else { Err(()) }
}

fn spawn(runtime: &Runtime) -> (PollerHandle, Arc<Runs>) {
    let runs = Arc::<Runs>::default();
    let count = Arc::clone(&runs);
    let _entered = runtime.enter();
    let poller = PollerBuilder::new(Duration::from_micros(200))
        .immediate(fastrand::bool())
        .spawn(move || run(Arc::clone(&count)));
    (poller, runs)
}

/// Any order; none that starts, where the poller is to stay stopped.
fn order(remote: &PollerRemote, starts: bool) {
    match fastrand::u8(0..if starts { 8 } else { 5 }) {
        0 => remote.stop(),
        1 => remote.trigger(),
        2 => remote.pause(),
        3 => remote.resume(),
        4 => remote.set_interval(Duration::from_micros(fastrand::u64(0..3000))),
        _ => remote.start(),
    }
}

/// Four threads give orders for a while, then all but `start` while the first of them
/// has seen the poller stopped.
fn round(runtime: &Runtime, poller: &PollerHandle, runs: &Runs) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for first in (0..THREADS).map(|n| n == 0) {
            let (barrier, remote) = (&barrier, poller.remote());
            scope.spawn(move || {
                for _ in 0..fastrand::usize(0..200) {
                    order(&remote, true);
                    if fastrand::u8(0..8) == 0 {
                        thread::sleep(Duration::from_micros(fastrand::u64(0..500)));
                    }
                }
                barrier.wait();
                if first {
                    remote.stop();
                    let phase = poller.status().phase;
                    assert!(matches!(
                        phase,
                        PollerPhase::Stopping | PollerPhase::Stopped
                    ));
                    let stopped = poller.wait_for(|status| status.phase == PollerPhase::Stopped);
                    runtime.block_on(stopped);
                }
                let begun = runs.begun.load(SeqCst);
                barrier.wait();
                for _ in 0..fastrand::usize(0..200) {
                    order(&remote, false);
                }
                if first {
                    thread::sleep(Duration::from_micros(500));
                    assert_eq!(runs.begun.load(SeqCst), begun, "a run began after a stop");
                }
            });
        }
    });
}

/// P1, P6, P9, P18: never two runs alive; none begins after a stop that found none in
/// flight, nor after the drop of the handle; each run sees what the one before it did.
#[test]
fn orders_from_four_threads() {
    let seconds = env::var("SOAK_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (mut pollers, mut rounds, mut run) = (0u64, 0u64, 0);
    while Instant::now() < end {
        let (poller, runs) = spawn(&runtime);
        for _ in 0..fastrand::usize(1..10) {
            round(&runtime, &poller, &runs);
            rounds += 1;
        }
        assert_eq!(
            poller.status().phase,
            PollerPhase::Stopped,
            "a run panicked"
        );
        let begun = runs.begun.load(SeqCst);
        match fastrand::u8(0..3) {
            0 => {
                drop(poller);
                thread::sleep(Duration::from_micros(500));
                assert_eq!(runs.begun.load(SeqCst), begun, "a run began after the drop");
            }
            1 => {
                poller.start();
                drop(poller);
            }
            _ => {
                poller.start();
                runtime.block_on(poller.shutdown()).expect("a run panicked");
                assert_eq!(Arc::strong_count(&runs), 1, "something outlives a shutdown");
            }
        }
        while Arc::strong_count(&runs) > 1 {
            thread::yield_now();
        }
        run += runs.begun.load(SeqCst);
        pollers += 1;
    }
    assert!(run > 0);
    println!("{pollers} pollers, {rounds} rounds of orders, {run} runs");
}
