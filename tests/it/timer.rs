//! The virtual clock that ships.

use std::{
    cell::{Cell, RefCell},
    future::{Future, Ready, ready},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "tokio")]
use afterbeat::TokioTimer;
use afterbeat::{
    Clock, Event, ManualSleep, ManualTimer, RetryBudget, RetryBuilder, StdClock, Timer, check_timer,
};
use futures_util::future::{join, join_all};
use proptest::prelude::*;

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

proptest! {
    /// Each sleep ends at its own instant, whatever else sleeps.
    #[test]
    fn run_meets_every_deadline_to_the_nanosecond(
        sleepers in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..5), 1..8),
    ) {
        let timer = ManualTimer::new();
        let timer = &timer;
        timer.run(join_all(sleepers.iter().map(|sleeps| async move {
            let mut expected = Duration::ZERO;
            for nanos in sleeps {
                let sleep = Duration::from_nanos(*nanos);
                timer.sleep(sleep).await;
                expected += sleep;
                assert_eq!(timer.now(), expected);
            }
        })));
        prop_assert_eq!(timer.sleeping(), 0);
    }
}

#[test]
fn sleeps_of_one_instant_wake_in_the_order_they_were_begun() {
    let (timer, log) = (ManualTimer::new(), RefCell::new(Vec::new()));
    let sleeper = async |name, sleep: <ManualTimer as Timer>::Sleep| {
        sleep.await;
        log.borrow_mut().push(name);
    };
    let (b, a) = (timer.sleep(SECOND), timer.sleep(SECOND));
    timer.run(join(sleeper("b", b), sleeper("a", a)));
    assert_eq!(log.into_inner(), ["b", "a"]);
}

#[test]
fn clones_share_one_clock_and_block_moves_it() {
    let timer = ManualTimer::new();
    let clone = timer.clone();
    let begun = clone.now();
    assert!(timer.block(SECOND).is_continue());
    assert_eq!(clone.elapsed(begun), SECOND);
    assert_eq!(clone.elapsed(2 * SECOND), Duration::ZERO, "from the future");
}

#[test]
fn a_sleep_is_not_ready_a_nanosecond_early() {
    let timer = ManualTimer::new();
    let _sleep = timer.sleep(SECOND);
    timer.advance(SECOND - NANO);
    assert_eq!(timer.sleeping(), 1);
    timer.advance(NANO);
    assert_eq!(timer.sleeping(), 0);
    assert_eq!(format!("{timer:?}"), "ManualTimer { now: 1s, sleeping: 0 }");
}

#[test]
fn the_end_of_time_is_reached_without_a_panic() {
    let timer = ManualTimer::new();
    timer.run(async {
        timer.sleep(Duration::MAX).await;
        timer.sleep(Duration::MAX).await;
    });
    assert_eq!(timer.now(), Duration::MAX);
}

#[test]
fn waiting_for_nothing_is_a_panic_not_a_hang() {
    let timer = ManualTimer::new();
    let hang = AssertUnwindSafe(|| timer.run(std::future::pending::<()>()));
    assert_eq!(
        catch_unwind(hang).unwrap_err().downcast_ref(),
        Some(&"the future waits, and nothing sleeps on its clock")
    );
}

#[test]
fn a_sleep_of_nothing_is_ready_at_once() {
    let timer = ManualTimer::new();
    let sleep = timer.sleep(Duration::ZERO);
    assert_eq!(timer.sleeping(), 0);
    timer.run(sleep);
    assert_eq!(timer.now(), Duration::ZERO);
}

#[test]
fn a_reference_to_a_timer_is_that_timer() {
    fn blocked(timer: impl Timer<Instant = Duration>) -> Duration {
        assert!(timer.block(SECOND).is_continue());
        timer.elapsed(Duration::ZERO)
    }
    let timer = &ManualTimer::new();
    assert_eq!(blocked(timer), SECOND);
}

#[test]
fn threads_may_advance_one_clock() {
    let timer = ManualTimer::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| timer.advance(NANO)));
        }
    });
    assert_eq!(timer.now(), 40_000 * NANO);
}

/// Their sleeps are taken out of the list by whichever thread moves the clock.
#[test]
fn threads_may_run_futures_on_one_clock() {
    let timer = ManualTimer::new();
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let timer = &timer;
            scope.spawn(move || {
                for n in 0..2_000 {
                    timer.run(timer.sleep(Duration::from_millis((n * thread) % 7)));
                }
            });
        }
    });
    assert_eq!(timer.sleeping(), 0);
}

#[test]
fn a_suspension_moves_the_calendar_and_not_the_clock() {
    let timer = ManualTimer::new();
    let start = UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    assert_eq!(timer.wall(), start);
    let _sleep = timer.sleep(SECOND);
    timer.suspend(3 * SECOND);
    assert_eq!((timer.now(), timer.sleeping()), (Duration::ZERO, 1));
    timer.advance(SECOND);
    assert_eq!(timer.wall(), start + 4 * SECOND);
    timer.suspend(Duration::MAX);
    timer.suspend(Duration::MAX);
    assert_eq!(timer.wall(), start + Duration::from_nanos(u64::MAX));
}

/// Says what it was asked for.
struct Told(RefCell<Vec<&'static str>>);

impl Clock for Told {
    type Instant = ();

    fn now(&self) {
        self.0.borrow_mut().push("now");
    }
    fn elapsed(&self, (): ()) -> Duration {
        self.0.borrow_mut().push("elapsed");
        SECOND
    }
    fn wall(&self) -> SystemTime {
        self.0.borrow_mut().push("wall");
        UNIX_EPOCH
    }
    fn entropy(&self) -> u64 {
        self.0.borrow_mut().push("entropy");
        7
    }
    fn block(&self, _: Duration) -> ControlFlow<()> {
        self.0.borrow_mut().push("block");
        ControlFlow::Break(())
    }
}

impl Timer for Told {
    type Sleep = Ready<()>;

    fn sleep(&self, _: Duration) -> Ready<()> {
        self.0.borrow_mut().push("sleep");
        ready(())
    }
}

#[test]
fn a_reference_forwards_every_method() {
    fn ask(timer: impl Timer<Instant = (), Sleep = Ready<()>>) {
        timer.now();
        assert_eq!(timer.elapsed(()), SECOND);
        assert_eq!(timer.wall(), UNIX_EPOCH);
        assert_eq!(timer.entropy(), 7);
        assert!(timer.block(SECOND).is_break());
        drop(timer.sleep(SECOND));
    }
    let told = Told(RefCell::default());
    ask(&told);
    let expected = ["now", "elapsed", "wall", "entropy", "block", "sleep"];
    assert_eq!(told.0.into_inner(), expected);
}

#[test]
fn a_policy_draws_from_its_clock_once_for_each_jittered_wait() {
    let told = Told(RefCell::default());
    let policy = RetryBuilder::with_timer(&told).max_retries(2);
    let refused = || async { Err::<(), _>("refused") };
    assert_eq!(
        ManualTimer::new().run(policy.retry(refused)),
        Err("refused")
    );
    let drawn = ["entropy", "sleep", "entropy", "sleep"];
    assert_eq!(told.0.take(), drawn);
    // Whatever else the policy carries; a seed goes without.
    let policy = policy.max_retry_after(SECOND);
    assert_eq!(
        ManualTimer::new().run(policy.retry(refused)),
        Err("refused")
    );
    assert_eq!(told.0.take(), drawn);
    assert_eq!(
        ManualTimer::new().run(policy.seed(7).retry(refused)),
        Err("refused")
    );
    assert_eq!(told.0.into_inner(), ["sleep", "sleep"]);
}

/// How a policy ends whose wait is interrupted, by the clock at a time that is due.
fn interrupted<T: Clock>(clock: T, budget: &RetryBudget) -> (u32, Vec<String>) {
    let (mut calls, mut log) = (0, Vec::new());
    let policy = RetryBuilder::with_timer(clock)
        .max_retries(9)
        .budget(budget)
        .observe(|event: Event<'_, u32>| {
            log.push(match event {
                Event::Retrying { error, .. } => format!("retrying {error}"),
                Event::Postponed { error, .. } => format!("postponed {error}"),
                Event::GaveUp {
                    error,
                    reason,
                    retries,
                    ..
                } => {
                    format!("{reason:?} {error}, {retries} retries")
                }
                event => format!("{event:?}"),
            });
        });
    let result = policy.retry_blocking(|| {
        calls += 1;
        Err::<(), _>(calls)
    });
    assert_eq!(result, Err(calls), "the last error");
    (calls, log)
}

/// Interrupted at the n-th wait.
struct Until(Cell<u32>);

impl Clock for Until {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn block(&self, _: Duration) -> ControlFlow<()> {
        self.0.set(self.0.get() - 1);
        if self.0.get() == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn an_interrupted_wait_ends_the_sequence_with_the_last_error_and_is_told() {
    let (calls, log) = interrupted(Until(Cell::new(2)), &RetryBudget::new(10));
    assert_eq!(calls, 2);
    assert_eq!(
        log,
        ["retrying 1", "retrying 2", "Interrupted 2, 1 retries"]
    );
}

#[test]
fn a_wait_for_the_budget_can_be_interrupted_too() {
    let budget = RetryBudget::new(1);
    let timer = ManualTimer::new();
    let drain = RetryBuilder::with_timer(&timer)
        .max_retries(1)
        .budget(&budget);
    assert_eq!(timer.run(drain.retry(|| ready(Err::<(), _>(1)))), Err(1));
    let (calls, log) = interrupted(Until(Cell::new(3)), &budget);
    assert_eq!(calls, 1);
    assert_eq!(
        log,
        [
            "retrying 1",
            "postponed 1",
            "postponed 1",
            "Interrupted 1, 0 retries"
        ]
    );
}

#[test]
fn a_blocking_policy_is_const_and_needs_no_timer() {
    const POLICY: RetryBuilder<StdClock> = RetryBuilder::blocking().max_retries(0);
    assert_eq!(POLICY.retry_blocking(|| Err::<(), _>(1)), Err(1));
}

#[path = "../../examples/no_std/src/ticks.rs"]
mod ticks;

/// Runs a future by the ticks of the `no_std` example.
fn tick<F: Future>(future: F) -> F::Output {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        ticks::TICKS.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_virtual_clock_and_that_of_a_device_keep_the_contract() {
    let timer = ManualTimer::new();
    timer.run(check_timer(&timer, |instant, hour| instant + hour));
    for start in [0, u32::MAX - 14] {
        ticks::TICKS.store(start, Relaxed);
        tick(check_timer(&ticks::Ticks, |instant, hour| {
            instant.wrapping_add(hour.as_millis() as u32)
        }));
    }
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn the_clock_of_tokio_keeps_the_contract() {
    check_timer(&TokioTimer, |instant, hour| instant + hour).await;
}

/// What a timer does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    RoundsDown,
    ReadyAtOnce,
    Wraps,
    Keeps,
    Ends,
}

struct Faulty(ManualTimer, Fault, RefCell<Vec<ManualSleep>>);

impl Clock for Faulty {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now()
    }
    fn elapsed(&self, since: Duration) -> Duration {
        if self.1 == Fault::Wraps && since > self.now() {
            return Duration::from_millis(u64::from(u32::MAX)) - since;
        }
        self.0.elapsed(since)
    }
}

/// Its waker is in the list as long as it sleeps there.
struct Sleep<'a>(&'a Faulty, Option<ManualSleep>);

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.1.as_mut().unwrap()).poll(context)
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if self.0.1 == Fault::Keeps {
            self.0.2.borrow_mut().extend(self.1.take());
        }
    }
}

impl<'a> Timer for &'a Faulty {
    type Sleep = Sleep<'a>;

    fn sleep(&self, duration: Duration) -> Sleep<'a> {
        let micros = Duration::from_micros(duration.as_nanos().div_ceil(1000) as u64);
        let duration = match self.1 {
            Fault::RoundsDown => micros.max(SECOND / 1000) - Duration::from_micros(300),
            Fault::ReadyAtOnce => duration - NANO.min(duration),
            Fault::Ends if duration == Duration::MAX => Duration::ZERO,
            _ => duration,
        };
        Sleep(self, Some(self.0.sleep(duration)))
    }
}

#[test]
fn the_check_finds_each_fault_of_a_timer() {
    let faults = [
        (Fault::RoundsDown, "a sleep of 999µs was ready after 700µs"),
        (Fault::ReadyAtOnce, "the shortest sleep waits at least once"),
        (
            Fault::Wraps,
            "the time since a reading from the future is zero",
        ),
        (Fault::Keeps, "dropped sleeps have left 101 wakers"),
        (Fault::Ends, "was ready immediately"),
    ];
    for (fault, expected) in faults {
        let timer = ManualTimer::new();
        let broken = &Faulty(timer.clone(), fault, RefCell::default());
        let check = || timer.run(check_timer(&broken, |instant, hour| instant + hour));
        let panic = catch_unwind(AssertUnwindSafe(check)).unwrap_err();
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref().copied()).unwrap();
        assert!(text.contains(expected), "{fault:?}: {text}");
    }
}
