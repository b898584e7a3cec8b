//! Runs one measurement of one subject. The program that makes the table calls
//! it, under valgrind where instructions are counted.

#![allow(clippy::clone_on_copy, reason = "some policies are not `Copy`")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use subject::{
    Knobs, POLLERS, Ready, Schedule, Slept, Subject, Waits,
    operation::{self, Attempt, Fault},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::Instant,
};

/// Counts what the thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn grow(by: usize) {
    LIVE.set(LIVE.get().wrapping_add_unsigned(by));
}

fn shrink(by: usize) {
    LIVE.set(LIVE.get().wrapping_sub_unsigned(by));
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time();
    #[cfg(feature = "paused")]
    builder.start_paused(true);
    builder.build().expect("a runtime without I/O")
}

/// Polls until the end, with a waker that does nothing.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Runs so many sequences, each of which fails so often.
async fn repeat<S: Subject, const N: usize>(policy: S::Policy, failures: u32, times: u32) {
    for _ in 0..times {
        operation::fail(failures);
        black_box(S::retry::<N>(policy.clone()).await);
    }
}

/// Awaits the bare operation, which succeeds or fails each time: what is left of a
/// figure without any retry.
async fn bare(failures: u32, times: u32) {
    for _ in 0..times {
        operation::fail(failures);
        let _ = black_box(operation::operate::<0>().await);
    }
}

/// Sequences with waits of zero in a spawned task, where such a wait has to let
/// other tasks run.
fn in_a_task(failures: u32, times: u32) {
    runtime().block_on(async {
        let policy = black_box(Slept::policy(Knobs::new(0)));
        let task = tokio::spawn(repeat::<Slept, 0>(policy, failures, times));
        task.await.expect("no attempt panics");
    });
}

/// Successes at the first try, by an operation of `N` bytes.
fn first<const N: usize>(times: u32) {
    in_runtime(|| {
        let policy = black_box(Slept::policy(Knobs::new(1)));
        block_on(repeat::<Slept, N>(policy, 0, times));
    });
}

/// Sequences of ten retries, 1 to 512 ms apart by the paused clock.
fn ten(times: u32) {
    runtime().block_on(async {
        let policy = black_box(Slept::policy(Knobs::new(1)));
        repeat::<Slept, 0>(policy, 10, times).await;
    });
}

/// Sequences whose waits are over at once.
fn at_once(failures: u32, times: u32) {
    let knobs = Knobs {
        retries: failures.max(10),
        ..Knobs::new(1)
    };
    let policy = black_box(Ready::policy(knobs));
    block_on(repeat::<Ready, 0>(policy, failures, times));
}

/// How many attempts one sequence makes, and what it ends with.
async fn attempts<S: Subject>(failures: u32) -> (u32, Result<u64, Fault>) {
    operation::fail(failures);
    let output = S::retry::<0>(S::policy(Knobs::new(1))).await;
    let result = S::result(output);
    let made = failures - operation::left() + u32::from(result.is_ok());
    (made, result)
}

/// Refuses a subject that does other work than what is asked for.
async fn check<S: Subject>(what: &str) {
    if !S::PRESENT {
        return;
    }
    assert_eq!(attempts::<S>(0).await, (1, Ok(7)), "{what}: a success");
    assert_eq!(attempts::<S>(10).await, (11, Ok(7)), "{what}: ten failures");
    if S::LIMITS_RETRIES {
        let given_up = (11, Err(Fault::UNAVAILABLE));
        assert_eq!(attempts::<S>(20).await, given_up, "{what}: an outage");
    }
    operation::fail_with(Fault::FORBIDDEN);
    let (made, result) = attempts::<S>(5).await;
    operation::fail_with(Fault::UNAVAILABLE);
    if S::TELLS_PERMANENT {
        let forbidden = (1, Err(Fault::FORBIDDEN));
        assert_eq!((made, result), forbidden, "{what}: a permanent error");
    } else {
        assert_eq!(made, 6, "{what}: a permanent error, which it cannot tell");
    }
}

/// What can be said without counting instructions, as `name value` lines.
fn facts() {
    println!("present {}", u32::from(Slept::PRESENT));
    println!("ready {}", u32::from(Ready::PRESENT));
    println!("schedule {}", u32::from(Schedule::KNOWN));
    println!("jitters {}", u32::from(Schedule::JITTERS));
    println!("pollers {}", POLLERS.len());
    println!("blocks {}", u32::from(Slept::BLOCKS));
    println!("permanent {}", u32::from(Slept::TELLS_PERMANENT));
    println!("limits {}", u32::from(Slept::LIMITS_RETRIES));
    if !Slept::PRESENT {
        return;
    }
    runtime().block_on(async {
        let policy = Slept::policy(Knobs::new(1));
        // What a runtime and a thread allocate once.
        repeat::<Slept, 0>(policy.clone(), 1, 1).await;
        let allocations = async |failures| {
            let before = ALLOCATIONS.get();
            repeat::<Slept, 0>(policy.clone(), failures, 1).await;
            ALLOCATIONS.get() - before
        };
        let (first, ten) = (allocations(0).await, allocations(10).await);
        println!("first-allocations {first}");
        println!("retry-allocations {}", (ten - first) as f64 / 10.0);
        let begun = Instant::now();
        repeat::<Slept, 0>(policy, 10, 1).await;
        println!("waited-us {}", begun.elapsed().as_micros());
    });
}

/// The bytes of the future beyond those of the operation's.
fn sizes() {
    fn beyond<S: Subject, const N: usize>() -> usize {
        let future = S::retry::<N>(S::policy(Knobs::new(1)));
        size_of_val(&future) - size_of::<Attempt<N, Fault>>()
    }
    // tower and relentless make a clock or a sleep while they are set up.
    let runtime = runtime();
    let _inside = runtime.enter();
    println!("size-sleep {}", size_of::<tokio::time::Sleep>());
    if Slept::PRESENT && !Slept::BLOCKS {
        println!("size-0 {}", beyond::<Slept, 0>());
        println!("size-16 {}", beyond::<Slept, 16>());
        println!("size-1024 {}", beyond::<Slept, 1024>());
    }
    if Ready::PRESENT && !Ready::BLOCKS {
        println!("size-ready {}", beyond::<Ready, 0>());
    }
}

/// The thread's CPU time so far.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds come first"))
}

/// Prints the CPU time since then.
fn print_cpu(name: &str, begun: Duration) {
    let spent = cpu().saturating_sub(begun);
    println!("{name} {}", spent.as_secs_f64() * 1000.0);
}

/// So many sequences asleep at once, each in a task of its own.
fn asleep(tasks: u32) {
    let policy = Slept::policy(Knobs::new(60_000));
    let spawn = move || {
        tokio::spawn(Slept::retry::<0>(policy.clone()));
    };
    crowd(tasks, spawn);
}

/// Spawns so many tasks whose first attempts fail, until all of them wait. How
/// often an attempt has failed tells how many do.
fn crowd(tasks: u32, spawn: impl Fn()) {
    let failures = u32::MAX;
    runtime().block_on(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        operation::fail(failures);
        let (live, begun) = (LIVE.get(), cpu());
        for _ in 0..tasks {
            spawn();
        }
        while failures - operation::left() < tasks {
            yield_now().await;
        }
        print_cpu("asleep-cpu-ms", begun);
        println!("live-bytes {}", LIVE.get() - live);
    });
}

/// So many sequences that fail once, wait 50 ms and succeed: the CPU time of all
/// of it, by the real clock.
fn woken(tasks: u32) {
    runtime().block_on(async {
        operation::fail(tasks);
        let policy = Slept::policy(Knobs::new(50));
        let begun = cpu();
        let all: Vec<_> = (0..tasks)
            .map(|_| tokio::spawn(Slept::retry::<0>(policy.clone())))
            .collect();
        for one in all {
            let _ = black_box(one.await.expect("no attempt panics"));
        }
        print_cpu("woken-cpu-ms", begun);
    });
}

/// So many pollers between two runs.
fn pollers(kind: usize, tasks: u32) {
    let (_, spawn) = POLLERS[kind];
    let interval = Duration::from_secs(60);
    crowd(tasks, || spawn(interval));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let case = arguments.first().map_or("", String::as_str);
    let number = |at: usize| -> u32 {
        let number = arguments.get(at).and_then(|number| number.parse().ok());
        number.expect("the case takes a number")
    };
    let times = || number(arguments.len() - 1);
    match case {
        "check" => {
            runtime().block_on(check::<Slept>("slept"));
            block_on(check::<Ready>("ready"));
        }
        "facts" => facts(),
        "sizes" => sizes(),
        "bare" => block_on(bare(number(1), times())),
        "first" => first::<0>(times()),
        "first-kib" => first::<1024>(times()),
        "ready" => at_once(number(1), times()),
        "zero" => in_a_task(number(1), times()),
        "ten" => ten(times()),
        "plain" | "jittered" => in_runtime(|| {
            for _ in 0..times() {
                Schedule::take(black_box(case == "jittered"), number(1));
            }
        }),
        "asleep" => asleep(times()),
        "woken" => woken(times()),
        "pollers" => pollers(number(1) as usize, times()),
        _ => panic!("no case `{case}`"),
    }
}

/// Some subjects read tokio's clock where the others do nothing.
fn in_runtime(work: impl FnOnce()) {
    let runtime = runtime();
    let _inside = runtime.enter();
    work();
}
