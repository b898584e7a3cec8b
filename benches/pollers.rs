//! A hundred thousand pollers in one process: what a tick costs and what a poller
//! holds, beside a loop by hand and `tokio::time::interval`.
//!
//! Each kind runs in a process of its own, on one thread and the real clock; every
//! poller ticks once a second, and all are spread over the second. The rounds
//! alternate, and a ratio is to the loop by hand of the same round.
//!
//! ```text
//! cargo bench --bench pollers
//! ```

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    future::{Future, ready},
    pin::pin,
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use afterbeat::PollerBuilder;
use tokio::{
    runtime::Builder,
    time::{interval, sleep},
};

const KINDS: [&str; 4] = ["by hand", "pulled", "pushed", "interval and reset"];
const POLLERS: u64 = 100_000;
const ROUNDS: usize = 7;
const SECOND: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(10);

static LIVE: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn run() -> impl Future<Output = Result<(), ()>> {
    TICKS.fetch_add(1, Relaxed);
    ready(Ok(()))
}

fn spawn(kind: &str) {
    match kind {
        "by hand" => drop(tokio::spawn(async {
            loop {
                let _ = run().await;
                sleep(SECOND).await;
            }
        })),
        "pulled" => drop(tokio::spawn(async {
            let mut poller = pin!(PollerBuilder::new(SECOND).stream(run));
            while poller.as_mut().next().await.is_some() {}
        })),
        // Owned for as long as the process lives.
        "pushed" => std::mem::forget(PollerBuilder::new(SECOND).spawn(run)),
        _ => drop(tokio::spawn(async {
            let mut interval = interval(SECOND);
            loop {
                interval.tick().await;
                let _ = run().await;
                interval.reset();
            }
        })),
    }
}

/// The time this thread has had a processor, as Linux tells it.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Nanoseconds of processor time for a tick, ticks measured, live bytes of a poller.
async fn measure(kind: &str) -> [u64; 3] {
    let live = LIVE.load(Relaxed);
    let begun = Instant::now();
    for n in 0..POLLERS {
        spawn(kind);
        let due = SECOND * n as u32 / POLLERS as u32;
        if due > begun.elapsed() {
            sleep(Duration::from_millis(1)).await;
        }
    }
    sleep(SECOND).await;
    let live = (LIVE.load(Relaxed) - live) / POLLERS;
    let (ticks, spent) = (TICKS.load(Relaxed), cpu());
    sleep(MEASURED).await;
    let (ticks, spent) = (TICKS.load(Relaxed) - ticks, cpu() - spent);
    [spent / ticks, ticks, live]
}

fn in_its_own_process(kind: &str) -> [u64; 3] {
    let output = Command::new(env::current_exe().unwrap())
        .args(["measure", kind])
        .output();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut numbers = printed
        .split_whitespace()
        .map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap())
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, measured, kind] = &arguments[..] {
        assert_eq!(measured, "measure");
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let [cpu, ticks, live] = runtime.block_on(measure(kind));
        println!("{cpu} {ticks} {live}");
        return;
    }
    let rounds: Vec<_> = (0..ROUNDS).map(|_| KINDS.map(in_its_own_process)).collect();
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("| kind | CPU for a tick, ns: least | median | by hand = 1 | ticks | live bytes |");
    println!("|---|---|---|---|---|---|");
    for (at, kind) in KINDS.into_iter().enumerate() {
        let cpu = |round: &[[u64; 3]; 4]| round[at][0] as f64;
        let least = rounds.iter().map(cpu).fold(f64::INFINITY, f64::min);
        let ratio = rounds
            .iter()
            .map(|round| cpu(round) / round[0][0] as f64)
            .collect();
        println!(
            "| {kind} | {least} | {} | {:.2} | {} | {} |",
            median(rounds.iter().map(cpu).collect()),
            median(ratio),
            rounds[0][at][1],
            rounds[0][at][2],
        );
    }
}
