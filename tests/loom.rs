//! Every interleaving of what several threads may touch: the budget's tokens, and a
//! poller's orders against its driver.
//!
//! ```text
//! RUSTFLAGS="--cfg afterbeat_loom" LOOM_MAX_PREEMPTIONS=3 \
//!     cargo test --release --no-default-features --features std --test loom
//! ```

#![cfg(afterbeat_loom)]

use std::{
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{
    Clock, Event, PollerBuilder, PollerDriver, PollerHandle, PollerPhase, RetryBudget,
    RetryBuilder, Timer,
};
use loom::{
    future::{AtomicWaker, block_on},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// A clock that stands still, with sleeps that end when they are polled again.
#[derive(Clone, Copy)]
struct Soon;

struct Nap(bool);

impl Clock for Soon {
    type Instant = ();

    fn now(&self) {}

    fn elapsed(&self, (): ()) -> Duration {
        Duration::ZERO
    }

    fn block(&self, _: Duration) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

impl Timer for Soon {
    type Sleep = Nap;

    fn sleep(&self, _: Duration) -> Nap {
        Nap(false)
    }
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How many calls a sequence makes that succeeds at one of them.
fn calls(budget: &RetryBudget, succeeds_at: u32) -> u32 {
    let mut calls = 0;
    let policy = RetryBuilder::with_timer(Soon).max_retries(2).budget(budget);
    let _ = policy.retry_blocking(|| {
        calls += 1;
        if calls == succeeds_at {
            Ok(())
        } else {
            Err(())
        }
    });
    calls
}

/// B1 to B4: whoever comes first, what the budget holds is spent once.
#[test]
fn an_outage_costs_what_the_budget_holds() {
    loom::model(|| {
        let budget = Arc::new(RetryBudget::new(3));
        let other = Arc::clone(&budget);
        let thread = thread::spawn(move || calls(&other, 0));
        let sum = calls(&budget, 0) + thread.join().unwrap();
        assert_eq!(sum, 2 + 3);
    });
}

/// B1, B3: a retry that succeeds gets back its own price, and no more.
#[test]
fn a_price_paid_back_is_paid_back_once() {
    loom::model(|| {
        let budget = Arc::new(RetryBudget::new(1));
        let other = Arc::clone(&budget);
        let thread = thread::spawn(move || calls(&other, 2));
        let mine = calls(&budget, 1);
        let theirs = thread.join().unwrap();
        assert_eq!((mine, theirs), (1, 2));
        // Full again, and never above: one retry, not two.
        assert_eq!(budget.available(), 1);
        assert_eq!(calls(&budget, 0), 2);
    });
}

/// Calls until nothing is left to wait for. While a retry of a sequence runs that has
/// been refused, `placed` counts it; returns how many there were at most, and the calls.
fn crowd(budget: &RetryBudget, placed: &AtomicUsize) -> (usize, u32) {
    let (refused, calls) = (std::cell::Cell::new(false), std::cell::Cell::new(0));
    let mut most = 0;
    let policy = RetryBuilder::with_timer(Soon)
        .max_retries(2)
        .budget(budget)
        .observe(|event: Event<'_, ()>| {
            if let Event::Postponed { .. } = event {
                refused.set(true);
            }
        });
    let _ = policy.retry_blocking(|| {
        calls.set(calls.get() + 1);
        if refused.get() {
            most = most.max(placed.fetch_add(1, SeqCst) + 1);
            placed.fetch_sub(1, SeqCst);
        }
        Err::<(), _>(())
    });
    (most, calls.get())
}

/// Two sequences that were refused share the only place, however the tokens come back.
#[test]
fn refused_sequences_hold_no_more_places_than_there_are() {
    loom::model(|| {
        let budget = Arc::new(RetryBudget::new(2));
        let placed = Arc::new(AtomicUsize::new(0));
        // Two retries are in flight and will succeed.
        let mut cursor = RetryBuilder::with_timer(Soon).budget(&*budget).attempts();
        for _ in 0..2 {
            block_on(cursor.failed(())).unwrap();
        }
        let threads = [(); 2].map(|()| {
            let (budget, placed) = (Arc::clone(&budget), Arc::clone(&placed));
            thread::spawn(move || crowd(&budget, &placed))
        });
        cursor.succeeded();
        drop(cursor);
        let mut sent = 0;
        for thread in threads {
            let (most, calls) = thread.join().unwrap();
            assert!(most <= 1, "two hold the one place");
            sent += calls - 1;
        }
        assert!(sent <= 2, "B4");
        assert_eq!(budget.available(), 2 - sent);
    });
}

type Driver = PollerDriver<Box<dyn FnMut() -> Run + Send>, Run, Soon>;
type Run = Pin<Box<dyn Future<Output = Result<(), ()>> + Send>>;

/// A poller whose run n is made by `run(n)`.
fn poller(run: impl Fn(usize) -> Run + Send + 'static) -> (PollerHandle, Driver, Arc<AtomicUsize>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let (handle, driver) =
        PollerBuilder::with_timer(Soon, Duration::from_secs(1)).driver(move |_| {
            let op = move || run(count.fetch_add(1, SeqCst) + 1);
            Box::new(op) as Box<dyn FnMut() -> Run + Send>
        });
    (handle, driver, begun)
}

fn done() -> Run {
    Box::pin(ready(Ok(())))
}

/// At the second run the poller comes to rest, so that a model is finite.
fn rests_after_one(n: usize) -> Run {
    if n == 1 {
        done()
    } else {
        Box::pin(std::future::pending())
    }
}

/// P6: after a stop that returned while no run was in flight, none begins.
#[test]
fn stop_against_the_timer() {
    loom::model(|| {
        let (handle, driver, begun) = poller(rests_after_one);
        let driving = thread::spawn(move || block_on(driver));
        handle.stop();
        let in_flight = handle.status().phase == PollerPhase::Stopping;
        let before = begun.load(SeqCst);
        drop(handle);
        driving.join().unwrap();
        assert!(in_flight || begun.load(SeqCst) == before);
    });
}

/// P15: after a pause that returned while no run was in flight, none begins.
#[test]
fn pause_against_the_timer() {
    loom::model(|| {
        let (handle, driver, begun) = poller(rests_after_one);
        let driving = thread::spawn(move || block_on(driver));
        handle.pause();
        let in_flight = handle.status().phase == PollerPhase::Pausing;
        let before = begun.load(SeqCst);
        drop(handle);
        driving.join().unwrap();
        assert!(in_flight || begun.load(SeqCst) == before);
    });
}

/// P15: whatever the driver was doing, a resume brings the run that the pause held up.
#[test]
fn resume_against_the_driver() {
    loom::model(|| {
        let (handle, mut driver, begun) = poller(rests_after_one);
        let remote = handle.remote();
        let orders = thread::spawn(move || {
            remote.pause();
            remote.resume();
        });
        block_on(std::future::poll_fn(move |context| {
            let _ = Pin::new(&mut driver).poll(context);
            match begun.load(SeqCst) {
                2 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        orders.join().unwrap();
        drop(handle);
    });
}

/// P10: a trigger in the instant in which a run ends is one further run.
#[test]
fn trigger_against_the_end_of_the_run() {
    loom::model(|| {
        let gate = Arc::new((AtomicBool::new(false), AtomicWaker::new()));
        let (opened, opens) = (Arc::clone(&gate), Arc::clone(&gate));
        let (handle, mut driver, begun) = poller(move |n| {
            let gate = Arc::clone(&opened);
            Box::pin(std::future::poll_fn(move |context| {
                gate.1.register_by_ref(context.waker());
                match n == 1 && gate.0.load(SeqCst) {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                }
            }))
        });
        handle.set_interval(Duration::MAX);
        // The first run is in flight.
        let first = Pin::new(&mut driver).poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending());
        let remote = handle.remote();
        let trigger = thread::spawn(move || remote.trigger());
        let end = thread::spawn(move || {
            opens.0.store(true, SeqCst);
            opens.1.wake();
        });
        let count = Arc::clone(&begun);
        block_on(std::future::poll_fn(move |context| {
            let _ = Pin::new(&mut driver).poll(context);
            match count.load(SeqCst) {
                2 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        trigger.join().unwrap();
        end.join().unwrap();
        assert_eq!(begun.load(SeqCst), 2);
        drop(handle);
    });
}

/// P9: the driver ends, whatever it was doing when the handle went.
#[test]
fn drop_against_everything() {
    loom::model(|| {
        let (handle, driver, _) = poller(rests_after_one);
        let driving = thread::spawn(move || block_on(driver));
        let remote = handle.remote();
        let orders = thread::spawn(move || {
            remote.trigger();
            remote.set_interval(Duration::ZERO);
        });
        drop(handle);
        orders.join().unwrap();
        driving.join().unwrap();
    });
}

/// P7: a shutdown returns, whenever the driver comes to its end.
#[test]
fn shutdown_against_the_driver() {
    loom::model(|| {
        let (handle, driver, begun) = poller(|_| done());
        handle.set_interval(Duration::MAX);
        let driving = thread::spawn(move || block_on(driver));
        block_on(handle.shutdown()).unwrap();
        let before = begun.load(SeqCst);
        driving.join().unwrap();
        assert_eq!(begun.load(SeqCst), before);
    });
}

/// Nobody who waits for a status sleeps through the change that brings it.
#[test]
fn a_wait_against_the_change_it_waits_for() {
    loom::model(|| {
        let (handle, driver, _) = poller(rests_after_one);
        let looked = handle.wait_for(|status| status.runs == 1);
        let driving = thread::spawn(move || block_on(driver));
        assert_eq!(block_on(looked).runs, 1);
        drop(handle);
        driving.join().unwrap();
    });
}

/// Not through the poller's end either.
#[test]
fn a_wait_against_the_end() {
    loom::model(|| {
        let (handle, driver, _) = poller(rests_after_one);
        let looked = handle.wait_for(|_| false);
        let driving = thread::spawn(move || block_on(driver));
        let dropping = thread::spawn(move || drop(handle));
        assert_eq!(block_on(looked).phase, PollerPhase::Ended);
        dropping.join().unwrap();
        driving.join().unwrap();
    });
}
