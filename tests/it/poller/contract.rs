//! The contract word by word, with the seed's bugs one by one.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::{poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, Clock, Event, Jitter, ManualTimer, PollerBuilder, PollerHandle, PollerPhase, Timer,
};

use futures_util::{FutureExt, Stream, stream::FusedStream};

use super::{
    reference::{Order, Step},
    rig::{Flag, Rig},
};

const SECOND: Duration = Duration::from_secs(1);

/// A poller whose waits are exact.
fn every<T: Timer>(timer: T, interval: Duration) -> PollerBuilder<T> {
    PollerBuilder::with_timer(timer, interval).jitter(Jitter::NONE)
}

/// A run that takes `lasts` and fails if told so; starts are logged.
fn polled(
    timer: &ManualTimer,
    interval: Duration,
    lasts: Duration,
    horizon: Duration,
    fails: bool,
    orders: impl AsyncFnOnce(&PollerHandle),
) -> Vec<u64> {
    let starts = Rc::new(RefCell::new(Vec::new()));
    let alive = Rc::new(());
    let (handle, driver) = every(timer.clone(), interval).driver(|_| {
        let (starts, timer, alive) = (Rc::clone(&starts), timer.clone(), Rc::clone(&alive));
        move || {
            assert_eq!(Rc::strong_count(&alive), 2, "two runs are alive");
            starts.borrow_mut().push(timer.now().as_secs());
            let (sleep, guard) = (timer.sleep(lasts), Rc::clone(&alive));
            async move {
                let _guard = guard;
                sleep.await;
                if fails { Err(()) } else { Ok(()) }
            }
        }
    });
    let end = timer.sleep(horizon);
    let control = async {
        orders(&handle).await;
        end.await;
        drop(handle);
    };
    timer.run(futures_util::future::join(driver, control));
    starts.take()
}

/// The same, every 5 s and without failures.
fn every_5_s(
    timer: &ManualTimer,
    lasts: Duration,
    horizon: Duration,
    orders: impl AsyncFnOnce(&PollerHandle),
) -> Vec<u64> {
    polled(timer, 5 * SECOND, lasts, horizon, false, orders)
}

/// The seed's poller forgets a stop during its first wait.
#[test]
fn p1_a_stop_during_the_first_wait_holds() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, SECOND, 60 * SECOND, async |poller| {
        timer.sleep(3 * SECOND).await;
        poller.stop();
        assert_eq!(poller.status().phase, PollerPhase::Stopped);
    });
    assert_eq!(starts, [0]);
}

/// The seed's poller ends, unseen, with the first failure.
#[test]
fn p2_a_failure_does_not_end_the_poller() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        5 * SECOND,
        2 * SECOND,
        29 * SECOND,
        true,
        async |_| {},
    );
    assert_eq!(starts, [0, 7, 14, 21, 28]);
}

/// The seed's poller, run twice, polls twice as often and cannot be stopped.
#[test]
fn p3_starting_twice_is_one_loop() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 20 * SECOND, async |poller| {
        poller.start();
        timer.sleep(SECOND).await;
        poller.start();
        timer.sleep(3 * SECOND).await;
        poller.start();
    });
    assert_eq!(starts, [0, 7, 14]);
}

/// P7: the seed's session poller forgets a stop during a run.
///
/// ```text
/// run     |###|         |###|
/// wait        |---------|
/// stop                    ^
/// ```
#[test]
fn s1_a_stop_during_a_run_holds() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 60 * SECOND, async |poller| {
        timer.sleep(8 * SECOND).await;
        poller.stop();
        assert_eq!(poller.status().phase, PollerPhase::Stopping);
        timer.sleep(SECOND).await;
        assert_eq!(poller.status().phase, PollerPhase::Stopped);
        assert_eq!(poller.status().runs, 2, "the run in flight is counted");
    });
    assert_eq!(starts, [0, 7]);
}

/// P8: the seed's session poller has two loops after a stop and a start in a run.
///
/// ```text
/// run     |###|###|         |###|         |###
/// wait            |---------|   |---------|
/// stop      ^
/// start     ^
/// ```
#[test]
fn s2_stop_and_start_during_a_run_are_one_loop() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 20 * SECOND, async |poller| {
        timer.sleep(SECOND).await;
        poller.stop();
        poller.start();
    });
    // The first run of the new start waits for the end of the old run.
    assert_eq!(starts, [0, 2, 9, 16]);
}

/// The seed's session poller cannot be started again after a failure.
#[test]
fn s3_a_failing_poller_can_be_stopped_and_started() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        5 * SECOND,
        SECOND,
        20 * SECOND,
        true,
        async |poller| {
            timer.sleep(2 * SECOND).await;
            poller.stop();
            timer.sleep(8 * SECOND).await;
            poller.start();
        },
    );
    assert_eq!(starts, [0, 10, 16]);
}

/// The seed's session poller is held for ever by a run that never ends; bounded
/// by a timeout of the caller's, such a run is a failure like any other.
#[test]
fn s4_a_run_that_never_ends_is_bounded_by_a_timeout() {
    let timer = ManualTimer::new();
    let mut poller = pin!(every(&timer, 5 * SECOND).stream(|| {
        let limit = timer.sleep(10 * SECOND);
        async {
            futures_util::future::select(limit, std::future::pending::<()>()).await;
            Err::<(), _>(timer.now().as_secs())
        }
    }));
    for expected in [10, 25, 40] {
        assert_eq!(timer.run(poller.as_mut().next()), Some(Err(expected)));
    }
}

/// P2: spacing is from the end of a run to the start of the next.
///
/// ```text
/// run     |         |         |         |
/// wait    |---------|---------|---------|
///
/// run     |###|         |###|         |###|
/// wait        |---------|   |---------|
///
/// run     |#############|         |#######
/// wait                  |---------|
/// ```
#[test]
fn a_whole_interval_follows_each_run_however_long() {
    let timer = ManualTimer::new();
    for (lasts, starts) in [
        (0, vec![0, 5, 10, 15]),
        (2, vec![0, 7, 14]),
        (7, vec![0, 12]),
    ] {
        let lasts = Duration::from_secs(lasts);
        let offset = timer.now().as_secs();
        let seen = every_5_s(&timer, lasts, 19 * SECOND, async |_| {});
        let seen: Vec<u64> = seen.into_iter().map(|start| start - offset).collect();
        assert_eq!(seen, starts, "runs of {lasts:?}");
    }
}

/// P2, in the runs of one poller.
///
/// ```text
/// run     |###|         |#############|         ||         ||
/// wait        |---------|             |---------||---------|
/// ```
#[test]
fn a_long_run_shortens_no_wait() {
    let timer = ManualTimer::new();
    let mut lasts = [2000, 7000, 500, 500]
        .map(Duration::from_millis)
        .into_iter();
    let mut starts = Vec::new();
    let mut poller = pin!(every(&timer, 5 * SECOND).stream(|| {
        starts.push(timer.now().as_millis());
        let sleep = timer.sleep(lasts.next().unwrap());
        async {
            sleep.await;
            Ok::<(), ()>(())
        }
    }));
    for _ in 0..4 {
        timer.run(poller.as_mut().next());
    }
    assert_eq!(starts, [0, 7000, 19_000, 24_500]);
}

/// P6: in the very instant the wait ends.
#[test]
fn a_stop_in_the_instant_the_timer_fires_wins() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Finish(Ok(())));
    rig.timer.advance(5 * SECOND); // The driver has been woken, not polled.
    rig.step(Step::Order(Order::Stop));
    assert_eq!(rig.runs.begun.get(), 1);
}

/// P7, P9: what the end of the owner does to the run in flight.
#[test]
fn dropping_the_handle_drops_the_run_and_shutdown_lets_it_finish() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    assert_eq!(rig.runs.alive.get(), 1);
    rig.step(Step::Drop);
    assert_eq!((rig.runs.alive.get(), rig.timer.sleeping()), (0, 0));
    assert!(rig.driver.is_none());

    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Shutdown);
    rig.step(Step::Order(Order::Start));
    assert_eq!(rig.runs.alive.get(), 1, "the run in flight goes on");
    rig.step(Step::Finish(Ok(())));
    assert_eq!((rig.runs.alive.get(), rig.runs.begun.get()), (0, 1));
    rig.timer.run(rig.shutdowns.remove(0)).unwrap();

    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Shutdown);
    rig.shutdowns.clear(); // Given up waiting: the poller still ends, and by itself.
    rig.settle();
    assert_eq!(rig.runs.alive.get(), 1);
    rig.step(Step::Finish(Ok(())));
    assert_eq!(rig.status().unwrap().phase, PollerPhase::Ended);

    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Shutdown);
    rig.step(Step::Drop);
    assert_eq!(rig.runs.alive.get(), 0, "ended at its await");
    rig.timer.run(rig.shutdowns.remove(0)).unwrap();
}

/// P5: nothing is silently dead.
#[test]
fn a_panic_ends_the_poller_visibly_and_its_payload_is_kept() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Panic);
    assert_eq!(rig.status().unwrap().phase, PollerPhase::Panicked);
    rig.step(Step::Order(Order::Start));
    rig.step(Step::Advance(60 * SECOND));
    assert_eq!(rig.runs.begun.get(), 1);
    rig.step(Step::Shutdown);
    rig.step(Step::Shutdown);
    let (first, second) = (rig.shutdowns.remove(0), rig.shutdowns.remove(0));
    let payload = rig.timer.run(second).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
    rig.timer.run(first).unwrap(); // The payload has gone to who asked first.
}

#[test]
fn a_panic_beside_the_run_is_a_panic_of_the_run() {
    for place in ["operation", "interval", "observer"] {
        let timer = ManualTimer::new();
        let planted = move |here| {
            if here == place {
                resume_unwind(Box::new(place));
            }
        };
        let (handle, driver) = every(timer.clone(), SECOND)
            .interval_by(move |_: &Result<(), ()>| {
                planted("interval");
                SECOND
            })
            .observe(move |_: Event<'_, ()>| planted("observer"))
            .driver(|_| {
                move || {
                    planted("operation");
                    ready(Ok::<(), ()>(()))
                }
            });
        timer.run(driver);
        assert_eq!(handle.status().phase, PollerPhase::Panicked);
        let payload = timer.run(handle.shutdown()).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&place));
    }
}

#[test]
fn dropping_the_driver_ends_the_poller() {
    let rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    let Rig {
        handle,
        driver,
        timer,
        ..
    } = rig;
    drop(driver);
    let handle = handle.unwrap();
    assert_eq!(handle.status().phase, PollerPhase::Ended);
    timer.run(handle.shutdown()).unwrap();
}

/// A zero interval, and a run that triggers its own poller, both yield.
#[test]
fn runs_without_a_wait_between_them_yield() {
    for (interval, triggers) in [(Duration::ZERO, false), (Duration::MAX, true)] {
        let runs = Arc::new(AtomicU32::new(0));
        let (_handle, driver) = every(ManualTimer::new(), interval).driver(|remote| {
            let runs = Arc::clone(&runs);
            move || {
                if triggers {
                    remote.trigger();
                }
                runs.fetch_add(1, Ordering::Relaxed);
                ready(Ok::<(), ()>(()))
            }
        });
        let (mut driver, flag) = (pin!(driver), Arc::new(Flag(AtomicBool::new(false))));
        let waker = Waker::from(Arc::clone(&flag));
        for polls in 1..10 {
            assert!(
                driver
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            assert!(flag.0.swap(false, Ordering::Relaxed), "wakes itself");
            assert_eq!(runs.load(Ordering::Relaxed), polls);
        }
    }
}

/// A timer that finds its sleeps over as soon as they are polled.
#[derive(Clone, Copy)]
struct AtOnce;

impl Clock for AtOnce {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }
}

impl Timer for AtOnce {
    type Sleep = std::future::Ready<()>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        ready(())
    }
}

/// The interval may be shorter than the turn in which it is polled.
#[test]
fn a_timer_that_is_ready_at_once_does_not_starve_the_executor() {
    let runs = Cell::new(0);
    let (_handle, driver) = every(AtOnce, Duration::from_nanos(1)).driver(|_| {
        || {
            runs.set(runs.get() + 1);
            assert!(runs.get() < 10, "more than one run a turn");
            ready(Ok::<(), ()>(()))
        }
    });
    let (mut driver, flag) = (pin!(driver), Arc::new(Flag(AtomicBool::new(false))));
    let waker = Waker::from(Arc::clone(&flag));
    for turns in 1..10 {
        let turn = driver.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(turn.is_pending());
        assert!(flag.0.swap(false, Ordering::Relaxed), "wakes itself");
        assert_eq!(runs.get(), turns);
    }
}

/// P12, P14: a wait that is over is over, though each turn of the driver finds a new
/// order.
#[test]
fn re_timing_without_pause_does_not_put_a_run_off() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Finish(Ok(())));
    rig.timer.advance(5 * SECOND);
    let waker = Waker::from(Arc::clone(&rig.woken));
    for _ in 0..3 {
        rig.remote.set_interval(2 * SECOND);
        let driver = rig.driver.as_mut().unwrap();
        let turn = driver.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(turn.is_pending());
    }
    assert_eq!(rig.runs.begun.get(), 2);
}

/// P4: consecutive failures back off, the first success resets.
#[test]
fn failures_lengthen_the_wait_and_never_shorten_it() {
    let timer = ManualTimer::new();
    let script = [false, false, false, false, true, false, true];
    let mut outcomes = script.into_iter();
    let backoff = Backoff::new()
        .initial_delay(2 * SECOND)
        .max_delay(12 * SECOND);
    let mut poller = pin!(
        every(&timer, 5 * SECOND)
            .backoff(backoff.jitter(Jitter::NONE))
            .stream(|| ready(if outcomes.next().unwrap() {
                Ok(())
            } else {
                Err(())
            }))
    );
    let starts: Vec<u64> = script
        .iter()
        .map(|_| {
            timer.run(poller.as_mut().next());
            timer.now().as_secs()
        })
        .collect();
    // max(5, 2), max(5, 4), max(5, 8), max(5, 12), 5, max(5, 2)
    assert_eq!(starts, [0, 5, 10, 18, 30, 35, 40]);
}

/// P4, S1: the backoff's own jitter is drawn too.
#[test]
fn a_jittered_backoff_stays_within_its_bounds() {
    let timer = ManualTimer::new();
    let backoff = Backoff::new().initial_delay(SECOND).jitter(Jitter::EQUAL);
    let mut poller = pin!(
        every(&timer, SECOND / 10)
            .backoff(backoff)
            .stream(|| ready(Err::<(), ()>(())))
    );
    timer.run(poller.as_mut().next());
    let mut waits = HashSet::new();
    for failures in 1..200 {
        let end = timer.now();
        timer.run(poller.as_mut().next());
        let wait = timer.now() - end;
        assert!(
            backoff.bounds(failures).contains(&wait),
            "{failures}: {wait:?}"
        );
        waits.insert(wait);
    }
    assert!(waits.len() > 190);
}

/// P2, S3: the interval's jitter is drawn afresh for each wait, without a cap.
#[test]
fn a_jittered_interval_spreads_within_its_bounds() {
    let timer = ManualTimer::new();
    let mut poller = pin!(
        every(&timer, 100 * SECOND)
            .jitter(Jitter::between(0.5, 1.5))
            .stream(|| ready(Ok::<(), ()>(())))
    );
    timer.run(poller.as_mut().next());
    let mut waits = HashSet::new();
    for _ in 0..1000 {
        let end = timer.now();
        timer.run(poller.as_mut().next());
        waits.insert(timer.now() - end);
    }
    assert!(
        waits
            .iter()
            .all(|wait| (50 * SECOND..=150 * SECOND).contains(wait))
    );
    assert!(waits.len() > 990);
    let spread = *waits.iter().max().unwrap() - *waits.iter().min().unwrap();
    assert!(spread > 90 * SECOND, "{spread:?}");
}

/// P2, H8: without a word about jitter the interval is the least, and the waits differ.
#[test]
fn the_default_jitter_only_lengthens() {
    for interval in [Duration::from_micros(1), 5 * SECOND, 3600 * SECOND] {
        let timer = ManualTimer::new();
        let mut poller =
            pin!(PollerBuilder::with_timer(&timer, interval).stream(|| ready(Ok::<(), ()>(()))));
        timer.run(poller.as_mut().next());
        let mut waits = HashSet::new();
        for _ in 0..1000 {
            let end = timer.now();
            timer.run(poller.as_mut().next());
            waits.insert(timer.now() - end);
        }
        let most = interval.mul_f64(1.3);
        assert!(waits.iter().all(|wait| (interval..=most).contains(wait)));
        let spread = *waits.iter().max().unwrap() - *waits.iter().min().unwrap();
        assert!(spread > (most - interval).mul_f64(0.9), "{spread:?}");
    }
}

/// Pull: the wait counts from the end of the run, so a late consumer runs at
/// once, and only once.
#[test]
fn a_late_consumer_runs_at_once_and_nothing_piles_up() {
    let timer = ManualTimer::new();
    let mut poller = pin!(every(&timer, 5 * SECOND).stream(|| ready(Ok::<_, ()>(timer.now()))));
    let mut next = || timer.run(poller.as_mut().next()).unwrap().unwrap();
    assert_eq!(next(), Duration::ZERO);
    timer.advance(3 * SECOND);
    assert_eq!(next(), 5 * SECOND);
    timer.advance(60 * SECOND);
    assert_eq!(next(), 65 * SECOND);
    assert_eq!(next(), 70 * SECOND);
}

/// Pull: a `next` dropped in mid-run loses nothing.
#[test]
fn next_is_cancel_safe() {
    let timer = ManualTimer::new();
    let runs = Cell::new(0);
    let mut poller = pin!(every(&timer, 5 * SECOND).stream(|| {
        let n = runs.replace(runs.get() + 1);
        let sleep = timer.sleep(10 * SECOND);
        async move {
            sleep.await;
            Ok::<_, ()>(n)
        }
    }));
    for expected in 0..3 {
        for _ in 0..4 {
            let mut context = Context::from_waker(Waker::noop());
            assert!(pin!(poller.as_mut().next()).poll(&mut context).is_pending());
            timer.advance(SECOND);
        }
        assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(expected)));
    }
    assert_eq!(timer.now(), 40 * SECOND);
}

/// Pull: a panic passes through, and the poller goes on.
#[test]
fn a_panic_in_a_pulled_operation_passes_through() {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let mut poller = pin!(every(&timer, SECOND).stream(|| {
        calls += 1;
        if calls == 1 {
            resume_unwind(Box::new("planted"));
        }
        ready(Ok::<_, ()>(calls))
    }));
    catch_unwind(AssertUnwindSafe(|| timer.run(poller.as_mut().next()))).unwrap_err();
    assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(2)));
}

/// P10: in a wait, now; in a run, one further run, however many triggers.
///
/// ```text
/// run     |###|   |###|###|         |###
/// wait        |---|       |---------|
/// trigger         ^ ^^
/// ```
#[test]
fn a_trigger_runs_now_or_once_more() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 14 * SECOND, async |poller| {
        timer.sleep(4 * SECOND).await;
        poller.trigger();
        timer.sleep(SECOND).await;
        poller.trigger();
        timer.sleep(SECOND / 2).await;
        poller.trigger();
    });
    assert_eq!(starts, [0, 4, 6, 13]);
}

/// P12, to the word of its docs.
///
/// ```text
/// run     |###|     |###|     |###|
/// wait        |-----|   |-----|
/// set to 3      ^
/// ```
#[test]
fn a_shorter_interval_shortens_the_wait_in_progress() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 12 * SECOND, async |poller| {
        timer.sleep(3 * SECOND).await;
        poller.set_interval(3 * SECOND);
    });
    assert_eq!(starts, [0, 5, 10]);
}

/// P16: a suspended machine, or a clock that is set, is one run late; no burst.
#[test]
fn one_run_follows_however_far_the_clock_has_jumped() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Finish(Ok(())));
    for runs in 2..5 {
        rig.step(Step::Advance(86_400 * SECOND));
        assert_eq!(rig.runs.begun.get(), runs);
        rig.step(Step::Advance(86_400 * SECOND)); // In the middle of a run.
        rig.step(Step::Finish(Ok(())));
        assert_eq!(rig.runs.begun.get(), runs);
        assert_eq!(rig.status().unwrap().next_run, Some(5 * SECOND));
    }
}

/// The seed's focus: 1.5 s where somebody looks, 5 s where nobody does.
#[test]
fn the_interval_follows_a_state_of_the_callers() {
    let timer = ManualTimer::new();
    let focused = Cell::new(true);
    let mut poller = pin!(
        every(&timer, SECOND)
            .interval_by(|_: &Result<(), ()>| {
                if focused.get() {
                    SECOND * 3 / 2
                } else {
                    5 * SECOND
                }
            })
            .stream(|| ready(Ok(())))
    );
    let mut next = || {
        timer.run(poller.as_mut().next());
        timer.now().as_millis()
    };
    assert_eq!([next(), next(), next()], [0, 1500, 3000]);
    focused.set(false);
    assert_eq!([next(), next()], [4500, 9500]);
}

/// A wait is woken by each change, and by nothing after it was dropped.
#[test]
fn a_status_is_waited_for_until_the_poller_is_over() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    let handle = rig.handle.as_ref().unwrap();
    let mut first_success = pin!(handle.wait_for(|status| status.runs > 0));
    let mut never = pin!(handle.wait_for(|_| false));
    let woken = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(first_success.as_mut().poll(&mut context).is_pending());
    assert!(never.as_mut().poll(&mut context).is_pending());
    rig.settle();
    assert!(woken.0.swap(false, Ordering::Relaxed), "a run has begun");
    assert!(first_success.as_mut().poll(&mut context).is_pending());
    rig.step(Step::Finish(Err(())));
    let Poll::Ready(status) = first_success.as_mut().poll(&mut context) else {
        panic!("the run is over");
    };
    assert_eq!((status.runs, status.failures), (1, 1));

    // Whoever gives up waiting is forgotten.
    drop(waker);
    let handle = rig.handle.as_ref().unwrap();
    for _ in 0..3 {
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut wait = Box::pin(handle.wait_for(|_| false));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        assert!(wait.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(
        Arc::strong_count(&woken),
        2,
        "`never` waits, and nobody else"
    );
    rig.step(Step::Order(Order::Stop));
    assert_eq!(Arc::strong_count(&woken), 1);
    let mut context = Context::from_waker(Waker::noop());
    assert!(never.as_mut().poll(&mut context).is_pending());

    rig.step(Step::Drop);
    let over = rig.timer.run(never);
    assert_eq!(over.phase, PollerPhase::Ended);
}

/// P12: re-timed from the end of the last run; at once if that has passed.
#[test]
fn a_new_interval_re_times_the_wait_in_progress() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        50 * SECOND,
        2 * SECOND,
        60 * SECOND,
        false,
        async |poller| {
            timer.sleep(4 * SECOND).await;
            poller.set_interval(10 * SECOND); // 2 + 10
            timer.sleep(17 * SECOND).await; // a run from 12 to 14, now 21
            poller.set_interval(3 * SECOND); // 14 + 3 has passed: now
            timer.sleep(3 * SECOND).await; // a run from 21 to 23, now 24
            poller.set_interval(Duration::MAX); // until a trigger
            timer.sleep(6 * SECOND).await;
            assert_eq!(poller.status().next_run, None);
            poller.trigger(); // 30
        },
    );
    assert_eq!(starts, [0, 12, 21, 30]);
}

/// By tokio's clock, in tasks of their own.
#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_spawned_poller_obeys_its_owner() {
    let runs = Arc::new(AtomicU32::new(0));
    let count = {
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(SECOND).await;
                Ok::<(), ()>(())
            }
        }
    };
    let poller = PollerBuilder::new(5 * SECOND)
        .jitter(Jitter::NONE)
        .spawn(count);
    let remote = poller.remote();
    tokio::time::sleep(Duration::from_millis(14_500)).await;
    assert_eq!(runs.load(Ordering::Relaxed), 3); // 0, 6, 12
    remote.trigger();
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    assert_eq!(poller.status().runs, 4);
    tokio::spawn(async move { remote.stop() }).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(runs.load(Ordering::Relaxed), 4);
    assert_eq!(
        format!("{poller:?}"),
        "PollerHandle(PollerStatus { phase: Stopped, runs: 4, failures: 0, next_run: None })"
    );
    poller.shutdown().await.unwrap();
}

/// Pushed and pulled alike, the interval is asked for after each run.
#[test]
fn the_interval_is_asked_for_after_each_run() {
    let timer = ManualTimer::new();
    let starts = Rc::new(RefCell::new(Vec::new()));
    let poller = every(timer.clone(), SECOND)
        .immediate(false)
        .interval_by(|outcome: &Result<u64, ()>| Duration::from_secs(outcome.unwrap_or(100)));
    let (handle, driver) = poller.driver(|_| {
        let (timer, starts) = (timer.clone(), Rc::clone(&starts));
        move || {
            starts.borrow_mut().push(timer.now().as_secs());
            ready([Ok(20), Err(()), Ok(3)][starts.borrow().len() % 3])
        }
    });
    let control = async {
        timer.sleep(130 * SECOND).await;
        drop(handle);
    };
    timer.run(futures_util::future::join(driver, control));
    // After one second, then 100, 3, 20 ...
    assert_eq!(starts.take(), [1, 101, 104, 124, 224][..4]);
}

#[test]
fn a_pulled_poller_is_configured_alike() {
    let timer = ManualTimer::new();
    let mut lasts = 1;
    let mut poller = pin!(
        every(&timer, 7 * SECOND)
            .immediate(false)
            .interval_by(|outcome: &Result<u64, ()>| Duration::from_secs(outcome.unwrap()))
            .stream(|| {
                lasts *= 2;
                ready(Ok::<u64, ()>(lasts))
            })
    );
    for expected in [7, 9, 13, 21] {
        timer.run(poller.as_mut().next());
        assert_eq!(timer.now().as_secs(), expected);
    }
}

/// P8, P10: all of it in one run.
#[test]
fn a_trigger_after_stop_and_start_in_a_run_is_one_further_run() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, false);
    rig.settle();
    rig.step(Step::Advance(5 * SECOND));
    for order in [Order::Stop, Order::Start, Order::Trigger, Order::Trigger] {
        rig.step(Step::Order(order));
    }
    rig.step(Step::Finish(Ok(())));
    assert_eq!(rig.runs.begun.get(), 2);
    rig.step(Step::Finish(Ok(())));
    assert_eq!(rig.runs.begun.get(), 2);
}

/// P3, P8: as configured, also where an old run had to end first.
#[test]
fn a_start_during_an_old_run_waits_where_first_runs_wait() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, false);
    rig.settle();
    rig.step(Step::Advance(5 * SECOND));
    rig.step(Step::Order(Order::Stop));
    rig.step(Step::Order(Order::Start));
    rig.step(Step::Finish(Ok(())));
    assert_eq!(rig.runs.begun.get(), 1);
    rig.step(Step::Advance(5 * SECOND));
    assert_eq!(rig.runs.begun.get(), 2);
}

/// P17: a wait costs one poll to arm and one to end.
#[test]
fn nothing_is_polled_in_vain() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    let mut polls = 0;
    let mut woken = |rig: &mut Rig, act: fn(&mut Rig)| {
        act(rig);
        let waker = Waker::from(Arc::clone(&rig.woken));
        while rig.woken.0.swap(false, Ordering::Relaxed) {
            polls += 1;
            let driver = rig.driver.as_mut().unwrap();
            assert!(
                driver
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        polls
    };
    assert_eq!(woken(&mut rig, |_| {}), 1);
    let finish = |rig: &mut Rig| {
        rig.runs.end.set(Some(Step::Finish(Ok(()))));
        rig.runs.wake();
    };
    assert_eq!(woken(&mut rig, finish), 2);
    assert_eq!(woken(&mut rig, |rig| rig.timer.advance(5 * SECOND)), 3);
    assert_eq!(woken(&mut rig, |rig| rig.remote.start()), 3);
    assert_eq!(rig.runs.begun.get(), 2);
}

/// An order wakes whoever polled last.
#[test]
fn orders_wake_the_task_that_polls_now() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    let other = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&other));
    let driver = rig.driver.as_mut().unwrap();
    assert!(
        driver
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    rig.remote.stop();
    assert!(other.0.load(Ordering::Relaxed) && !rig.woken.0.load(Ordering::Relaxed));
    // And once the driver has ended, it holds no waker.
    drop((rig.driver.take(), rig.runs.waker.take(), waker));
    assert_eq!(Arc::strong_count(&other), 1);
}

/// What a run's destructor does is as visible as what the run does.
#[test]
fn a_panic_in_a_destructor_is_told() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let timer = ManualTimer::new();
    let (handle, driver) = every(timer.clone(), SECOND).driver(|_| {
        || {
            let bomb = Bomb;
            poll_fn(move |_| {
                let _held = &bomb;
                Poll::<Result<(), ()>>::Pending
            })
        }
    });
    let mut driver = Box::pin(driver);
    assert!(
        driver
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(driver);
    assert_eq!(handle.status().phase, PollerPhase::Panicked);
    let payload = timer.run(handle.shutdown()).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"bomb"));
}

/// A pool that the runs share can be closed once `shutdown` has returned.
#[test]
fn shutdown_returns_when_all_that_was_captured_is_dropped() {
    let timer = ManualTimer::new();
    let pool = Arc::new(());
    let (handle, driver) = every(timer.clone(), SECOND).driver(|_| {
        let pool = Arc::clone(&pool);
        move || {
            let pool = Arc::clone(&pool);
            async move {
                let _pool = pool;
                Ok::<(), ()>(())
            }
        }
    });
    let mut driver = pin!(driver);
    let mut context = Context::from_waker(Waker::noop());
    assert!(driver.as_mut().poll(&mut context).is_pending());
    let shutdown = handle.shutdown();
    assert!(driver.as_mut().poll(&mut context).is_ready());
    timer.run(shutdown).unwrap();
    assert_eq!(
        Arc::strong_count(&pool),
        1,
        "though the driver is still there"
    );
    assert!(
        driver.as_mut().poll(&mut context).is_ready(),
        "and may be polled again"
    );
}

/// Resources are not held while nobody needs them.
#[test]
fn the_run_is_dropped_before_its_outcome_is_seen_and_the_wait_before_the_run() {
    let timer = ManualTimer::new();
    let alive = Rc::new(());
    let seen = Rc::clone(&alive);
    let mut poller = pin!(
        every(&timer, SECOND)
            .interval_by(move |_: &Result<(), ()>| {
                assert_eq!(Rc::strong_count(&seen), 2, "the run is still there");
                SECOND
            })
            .stream(|| {
                assert_eq!(timer.sleeping(), 0, "the wait is still there");
                let alive = Rc::clone(&alive);
                async move {
                    let _alive = alive;
                    Ok::<(), ()>(())
                }
            })
    );
    for _ in 0..3 {
        assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(())));
    }
}

/// Pull: also a panic in a run leaves a poller that goes on, whatever the interval.
#[test]
fn a_panic_in_a_pulled_run_passes_through() {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let mut poller = pin!(every(&timer, Duration::MAX).stream(|| {
        calls += 1;
        let calls = calls;
        async move {
            if calls == 1 {
                resume_unwind(Box::new("planted"));
            }
            Ok::<_, ()>(calls)
        }
    }));
    catch_unwind(AssertUnwindSafe(|| timer.run(poller.as_mut().next()))).unwrap_err();
    assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(2)));
}

/// No wait is so long that it is taken for none.
#[test]
fn the_longest_wait_is_still_a_wait() {
    let timer = ManualTimer::new();
    let interval = Duration::from_nanos(u64::MAX - 1);
    let mut poller = pin!(
        every(&timer, interval)
            .jitter(Jitter::between(2.0, 2.0))
            .stream(|| ready(Ok::<(), ()>(())))
    );
    timer.run(poller.as_mut().next());
    timer.run(poller.as_mut().next());
    assert_eq!(timer.now(), interval);
}

/// Whoever waits is woken, in whatever order they came and went.
#[test]
fn every_wait_is_woken() {
    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    let handle = rig.handle.as_ref().unwrap();
    let wait = || Box::pin(handle.wait_for(|_| false));
    let mut waits: Vec<_> = (0..4)
        .map(|_| (wait(), Arc::new(Flag(AtomicBool::new(false)))))
        .collect();
    for (wait, flag) in &mut waits {
        let waker = Waker::from(Arc::clone(flag));
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    let (gone, flag) = waits.remove(1);
    drop(gone);
    assert_eq!(Arc::strong_count(&flag), 1, "given up, and forgotten");
    for (_, flag) in &waits {
        assert_eq!(Arc::strong_count(flag), 2, "not forgotten with another");
    }
    handle.stop();
    assert!(!flag.0.load(Ordering::Relaxed));
    assert!(waits.iter().all(|(_, flag)| flag.0.load(Ordering::Relaxed)));
}

/// An order reaches the driver, whatever those who watch do.
#[test]
fn a_watcher_that_panics_does_not_lose_the_order() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let mut rig = Rig::new(Duration::MAX, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Finish(Ok(())));
    let handle = rig.handle.as_ref().unwrap();
    let mut wait = pin!(handle.wait_for(|_| false));
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&bomb))
            .is_pending()
    );
    catch_unwind(AssertUnwindSafe(|| rig.remote.trigger())).unwrap_err();
    rig.settle();
    assert_eq!(rig.runs.begun.get(), 2);
}

#[test]
fn what_debug_shows() {
    let builder = PollerBuilder::with_timer(ManualTimer::new(), SECOND);
    assert_eq!(
        format!("{builder:?}"),
        "PollerBuilder { interval: 1s, jitter: Jitter[1, 1.3], backoff: Unset, \
         immediate: true, .. }"
    );
    let (handle, driver) = builder.clone().driver(|_| || ready(Ok::<(), ()>(())));
    assert_eq!(
        format!("{driver:?}"),
        "PollerDriver { running: Some(false), .. }"
    );
    let status = "PollerStatus { phase: Waiting, runs: 0, failures: 0, next_run: None }";
    assert_eq!(
        format!("{:?}", handle.remote()),
        format!("PollerRemote({status})")
    );
    let pulled = builder.stream(|| ready(Ok::<(), ()>(())));
    assert_eq!(
        format!("{pulled:?}"),
        "SequentialPoller { running: false, failures: 0, .. }"
    );
}

/// A backoff of 584 years is one still, and not the end.
#[test]
fn the_longest_backoff_is_still_a_wait() {
    let mut rig = Rig::new(SECOND, Duration::MAX, true);
    rig.settle();
    rig.step(Step::Finish(Err(())));
    assert!(rig.status().unwrap().next_run > Some(Duration::from_secs(500 * 365 * 86_400)));
    assert_eq!(rig.timer.sleeping(), 1);
}

#[test]
fn a_pulled_poller_has_no_end() {
    let mut poller = pin!(every(ManualTimer::new(), SECOND).stream(|| ready(Ok::<(), ()>(()))));
    assert_eq!(poller.size_hint(), (usize::MAX, None));
    assert!(poller.as_mut().next().now_or_never().is_some());
    assert!(!poller.is_terminated());
}

/// What an observer was told: an error and the wait, failures in a row, elapsed seconds.
type Told = (Option<(u16, Duration)>, u32, u64);

fn told(event: Event<'_, u16>) -> Told {
    let elapsed = event.elapsed().as_secs();
    match event {
        Event::Retrying {
            error,
            iteration,
            wait,
            ..
        } => (Some((*error, wait)), iteration, elapsed),
        Event::Succeeded { retries, .. } => (None, retries, elapsed),
        other => panic!("{other:?}"),
    }
}

/// Pushed and pulled alike, each observer is told of each run, and the first comes first.
#[test]
fn observers_see_how_each_run_ended() {
    let outcomes = [Ok(()), Err(1), Err(2), Ok(()), Err(3), Ok(())];
    let expected = [
        (None, 0, 1),
        (Some((1, 5 * SECOND)), 1, 1),
        (Some((2, 9 * SECOND)), 2, 7),
        (None, 2, 17),
        (Some((3, 5 * SECOND)), 1, 1),
        (None, 1, 7),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .flat_map(|told| [("first", told), ("second", told)])
        .collect();
    let backoff = Backoff::new().initial_delay(3 * SECOND).factor(3.0);
    for pushed in [false, true] {
        let timer = ManualTimer::new();
        let log = RefCell::new(Vec::new());
        let mut left = outcomes.into_iter();
        let mut run = || {
            let (sleep, outcome) = (timer.sleep(SECOND), left.next());
            async move {
                sleep.await;
                outcome.unwrap()
            }
        };
        let poller = every(timer.clone(), 5 * SECOND)
            .backoff(backoff.jitter(Jitter::NONE))
            .observe(|event: Event<'_, u16>| log.borrow_mut().push(("first", told(event))))
            .observe(|event: Event<'_, u16>| log.borrow_mut().push(("second", told(event))));
        if pushed {
            let (handle, driver) = poller.driver(|_| &mut run);
            let six = handle.wait_for(|status| status.runs == 6);
            timer.run(futures_util::future::select(pin!(driver), pin!(six)));
        } else {
            let mut poller = pin!(poller.stream(&mut run));
            for _ in 0..6 {
                timer.run(poller.as_mut().next());
            }
        }
        assert_eq!(log.into_inner(), expected, "pushed: {pushed}");
    }
}

/// The wait that an observer is told is the one that follows, if one does.
#[test]
fn an_observer_is_told_what_follows() {
    let timer = ManualTimer::new();
    let log = RefCell::new(Vec::new());
    let (handle, driver) = every(timer.clone(), Duration::MAX)
        .observe(|event: Event<'_, u16>| log.borrow_mut().push(told(event).0.unwrap().1))
        .driver(|remote| {
            let mut runs = 0;
            move || {
                runs += 1;
                match runs {
                    1 => remote.trigger(),
                    2 => remote.set_interval(2 * SECOND),
                    3 => remote.set_interval(Duration::MAX),
                    _ => remote.stop(),
                }
                ready(Err::<(), u16>(0))
            }
        });
    let mut driver = pin!(driver);
    let mut drive = || {
        for _ in 0..9 {
            let turn = driver
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(turn.is_pending());
        }
    };
    drive();
    timer.advance(2 * SECOND);
    drive();
    handle.trigger();
    drive();
    assert_eq!(
        *log.borrow(),
        [Duration::ZERO, 2 * SECOND, Duration::MAX, Duration::MAX]
    );
    assert_eq!(handle.status().phase, PollerPhase::Stopped);
}

/// Pull: the wait has begun when the observer is called.
#[test]
fn a_panic_in_a_pulled_observer_shortens_no_wait() {
    let timer = ManualTimer::new();
    let mut first = true;
    let mut poller = pin!(
        every(&timer, 5 * SECOND)
            .observe(|_: Event<'_, ()>| {
                if std::mem::take(&mut first) {
                    resume_unwind(Box::new("planted"));
                }
            })
            .stream(|| ready(Ok::<_, ()>(timer.now())))
    );
    catch_unwind(AssertUnwindSafe(|| timer.run(poller.as_mut().next()))).unwrap_err();
    assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(5 * SECOND)));
}

/// P15: the deadline stays, in a pause during a wait and in one during a run.
///
/// ```text
/// run     |###|         |###|             |###|
/// wait        |---------|   |---------|---|
/// pause         ^             ^
/// resume           ^                      ^
/// ```
#[test]
fn a_pause_keeps_the_deadline() {
    let timer = ManualTimer::new();
    let starts = every_5_s(&timer, 2 * SECOND, 21 * SECOND, async |poller| {
        timer.sleep(3 * SECOND).await;
        poller.pause();
        poller.trigger();
        timer.sleep(SECOND).await;
        assert_eq!(poller.status().phase, PollerPhase::Paused);
        assert_eq!((poller.status().next_run, timer.sleeping()), (None, 1));
        poller.resume(); // a run at 7, in flight until 9
        timer.sleep(4 * SECOND).await;
        poller.pause();
        poller.trigger();
        assert_eq!(poller.status().phase, PollerPhase::Pausing);
        timer.sleep(8 * SECOND).await; // now 16, past 14
        assert_eq!(poller.status().phase, PollerPhase::Paused);
        poller.resume();
        timer.sleep(2 * SECOND).await; // at the end of that run
        poller.pause();
        poller.set_interval(3 * SECOND / 2);
        poller.start(); // resumes: 18 + 1.5
    });
    assert_eq!(starts, [0, 7, 16, 19]);
}

/// P15: pausing and resuming twenty times in twenty seconds shortens no interval.
#[test]
fn a_resume_does_not_poll_more_often() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        30 * SECOND,
        Duration::ZERO,
        61 * SECOND,
        false,
        async |poller| {
            for _ in 0..20 {
                timer.sleep(SECOND).await;
                poller.pause();
                poller.resume();
            }
        },
    );
    assert_eq!(starts, [0, 30, 60]);
}

/// P15: a jittered wait that was begun is gone on with, not drawn anew; else pauses
/// without end would let each wait be the longest.
#[test]
fn a_pause_draws_no_new_wait() {
    let timer = ManualTimer::new();
    let (handle, driver) = PollerBuilder::with_timer(timer.clone(), 100 * SECOND)
        .driver(|_| || ready(Ok::<(), ()>(())));
    let mut driver = pin!(driver);
    let mut drive = || {
        let turn = driver
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(turn.is_pending());
    };
    drive();
    let next_run = handle.status().next_run;
    assert!(next_run.is_some());
    for _ in 0..10 {
        handle.pause();
        drive();
        assert_eq!(timer.sleeping(), 0);
        handle.resume();
        drive();
        assert_eq!(handle.status().next_run, next_run);
    }
}

/// P6, P15: what was due before the pause is due after it; a stop ends the pause.
#[test]
fn a_trigger_before_a_pause_is_kept_and_a_stop_forgets_it() {
    for stops in [false, true] {
        let mut rig = Rig::new(5 * SECOND, Duration::ZERO, false);
        rig.settle();
        rig.give(Step::Order(Order::Trigger));
        rig.step(Step::Order(Order::Pause));
        assert_eq!(rig.runs.begun.get(), 0);
        if stops {
            rig.step(Step::Order(Order::Stop));
            rig.step(Step::Order(Order::Resume));
            assert_eq!(rig.status().unwrap().phase, PollerPhase::Stopped);
            rig.step(Step::Order(Order::Pause));
            rig.step(Step::Order(Order::Start));
            assert_eq!(rig.status().unwrap().next_run, Some(5 * SECOND));
        } else {
            rig.step(Step::Order(Order::Resume));
            assert_eq!(rig.runs.begun.get(), 1);
        }
    }
}
