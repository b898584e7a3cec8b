//! The virtual clock that ships.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use afterbeat::{ManualTimer, Timer};
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
    timer.block(SECOND);
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
        timer.block(SECOND);
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
