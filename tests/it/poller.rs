//! The poller against a reference model under random orders, the seed's bugs
//! one by one, and the rest of its contract.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::{poll_fn, ready},
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, Jitter, ManualTimer, PollerBuilder, PollerHandle, PollerPhase, PollerRemote,
    PollerStatus, Timer,
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Order {
    Start,
    Stop,
    Trigger,
    SetInterval(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Order(Order),
    /// The same, given by the run in flight if there is one.
    FromInside(Order),
    Advance(Duration),
    Finish(Result<(), ()>),
    Panic,
    Shutdown,
    Drop,
}

/// What a poller should do, by the words of its contract.
struct Model {
    now: Duration,
    interval: Duration,
    backoff: Duration,
    immediate: bool,
    started: bool,
    in_flight: bool,
    again: bool,
    restart: bool,
    over: bool,
    panicked: bool,
    closing: bool,
    since: Duration,
    due: Option<Duration>,
    begun: u32,
    runs: u64,
    failures: u32,
}

impl Model {
    fn arm(&mut self) {
        self.since = self.now;
        self.due = Some(self.since.saturating_add(self.wait()));
    }

    fn arm_first(&mut self) {
        self.arm();
        if self.immediate {
            self.due = Some(self.now);
        }
    }

    fn wait(&self) -> Duration {
        let floor = if self.failures > 0 {
            self.backoff
        } else {
            Duration::ZERO
        };
        self.interval.max(floor)
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::SetInterval(interval) => {
                self.interval = interval;
                if self.started && !self.in_flight {
                    self.due = Some(self.since.saturating_add(self.wait()));
                }
            }
            Order::Stop if !self.closing => {
                (self.started, self.again, self.restart, self.due) = (false, false, false, None);
            }
            Order::Start if !self.started && !self.closing => {
                self.started = true;
                self.restart = self.in_flight;
                if !self.in_flight {
                    self.arm_first();
                }
            }
            Order::Trigger if self.started && self.in_flight => self.again = true,
            Order::Trigger if self.started => self.due = Some(self.now),
            _ => {}
        }
    }

    fn finish(&mut self, ok: bool) {
        self.in_flight = false;
        self.runs += 1;
        self.failures = if ok { 0 } else { self.failures + 1 };
        match (mem::take(&mut self.again), mem::take(&mut self.restart)) {
            _ if self.closing => self.over = true,
            _ if !self.started => {}
            (true, _) => self.due = Some(self.now),
            (false, true) => self.arm_first(),
            (false, false) => self.arm(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Advance(by) => self.now += by,
            _ if self.over => {}
            Step::Order(order) | Step::FromInside(order) => self.order(order),
            Step::Finish(outcome) if self.in_flight => self.finish(outcome.is_ok()),
            Step::Panic if self.in_flight => {
                (self.in_flight, self.over, self.panicked) = (false, true, true);
            }
            Step::Finish(_) | Step::Panic => {}
            Step::Shutdown => {
                (self.closing, self.started, self.over) = (true, false, !self.in_flight);
            }
            Step::Drop => (self.in_flight, self.over) = (false, true),
        }
        if self.started && !self.over && !self.in_flight && self.due.is_some_and(|t| t <= self.now)
        {
            (self.in_flight, self.due) = (true, None);
            self.begun += 1;
        }
    }

    fn phase(&self) -> PollerPhase {
        match () {
            () if self.panicked => PollerPhase::Panicked,
            () if self.over => PollerPhase::Ended,
            () if self.in_flight && self.started => PollerPhase::Running,
            () if self.in_flight => PollerPhase::Stopping,
            () if self.started => PollerPhase::Waiting,
            () => PollerPhase::Stopped,
        }
    }

    fn next_run(&self) -> Option<Duration> {
        let waiting = self.phase() == PollerPhase::Waiting && self.wait() < Duration::MAX;
        self.due.filter(|_| waiting).map(|due| due - self.now)
    }
}

/// What the runs of a real poller are told, and what they tell.
#[derive(Default)]
struct Runs {
    begun: Cell<u32>,
    alive: Cell<u32>,
    end: Cell<Option<Step>>,
    orders: RefCell<Vec<Order>>,
    waker: RefCell<Option<Waker>>,
}

struct Alive(Rc<Runs>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

fn give(remote: &PollerRemote, order: Order) {
    match order {
        Order::Start => remote.start(),
        Order::Stop => remote.stop(),
        Order::Trigger => remote.trigger(),
        Order::SetInterval(interval) => remote.set_interval(interval),
    }
}

impl Runs {
    /// A run that ends as it is told, and gives the orders it is told.
    fn run(self: &Rc<Self>, remote: &PollerRemote) -> impl Future<Output = Result<(), ()>> + use<> {
        self.begun.set(self.begun.get() + 1);
        self.alive.set(self.alive.get() + 1);
        assert_eq!(self.alive.get(), 1, "two runs are alive");
        let (alive, remote) = (Alive(Rc::clone(self)), remote.clone());
        poll_fn(move |context| {
            let runs = &alive.0;
            for order in mem::take(&mut *runs.orders.borrow_mut()) {
                give(&remote, order);
            }
            match runs.end.take() {
                Some(Step::Finish(outcome)) => Poll::Ready(outcome),
                // Past the panic hook, which would print.
                Some(_) => resume_unwind(Box::new("planted")),
                None => {
                    *runs.waker.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A driver polled by hand, only when it has been woken.
struct Rig {
    timer: ManualTimer,
    driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Flag>,
    handle: Option<PollerHandle>,
    remote: PollerRemote,
    shutdown: Option<Pin<Box<dyn Future<Output = std::thread::Result<()>>>>>,
    runs: Rc<Runs>,
}

impl Rig {
    fn new(interval: Duration, backoff: Duration, immediate: bool) -> Self {
        let (timer, runs) = (ManualTimer::new(), Rc::new(Runs::default()));
        let (handle, driver) = PollerBuilder::with_timer(timer.clone(), interval)
            .backoff(Backoff::constant(backoff))
            .immediate(immediate)
            .driver(|remote| {
                let runs = Rc::clone(&runs);
                move || runs.run(&remote)
            });
        Self {
            timer,
            driver: Some(Box::pin(driver)),
            woken: Arc::new(Flag(AtomicBool::new(true))),
            remote: handle.remote(),
            handle: Some(handle),
            shutdown: None,
            runs,
        }
    }

    fn settle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.woken.0.swap(false, Ordering::Relaxed) {
            let Some(driver) = &mut self.driver else {
                return;
            };
            if driver
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                self.driver = None;
            }
        }
    }

    fn step(&mut self, step: Step) {
        let in_flight = self.runs.alive.get() == 1;
        match step {
            Step::FromInside(order) if in_flight => {
                self.runs.orders.borrow_mut().push(order);
                self.runs.wake();
            }
            Step::Order(order) | Step::FromInside(order) => give(&self.remote, order),
            Step::Advance(by) => self.timer.advance(by),
            Step::Finish(_) | Step::Panic if in_flight => {
                self.runs.end.set(Some(step));
                self.runs.wake();
            }
            Step::Finish(_) | Step::Panic => {}
            Step::Shutdown => {
                if let Some(handle) = self.handle.take() {
                    self.shutdown = Some(Box::pin(handle.shutdown()));
                }
            }
            Step::Drop => drop((self.handle.take(), self.shutdown.take())),
        }
        self.settle();
    }

    fn status(&self) -> Option<PollerStatus> {
        self.handle.as_ref().map(PollerHandle::status)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = || (0..20u64).prop_map(Duration::from_secs);
    let order = || {
        prop_oneof![
            Just(Order::Start),
            Just(Order::Stop),
            Just(Order::Trigger),
            seconds().prop_map(Order::SetInterval),
            Just(Order::SetInterval(Duration::MAX)),
        ]
    };
    prop_oneof![
        10 => order().prop_map(Step::Order),
        5 => order().prop_map(Step::FromInside),
        10 => seconds().prop_map(Step::Advance),
        10 => Just(Step::Finish(Ok(()))),
        5 => Just(Step::Finish(Err(()))),
        1 => Just(Step::Panic),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// P1 to P13: after each of a random sequence of orders, the poller stands
    /// where the model stands.
    #[test]
    fn every_poller_is_that_of_the_model(
        interval in 0..20u64,
        backoff in 0..40u64,
        immediate: bool,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let [interval, backoff] = [interval, backoff].map(Duration::from_secs);
        let mut rig = Rig::new(interval, backoff, immediate);
        let mut model = Model {
            now: Duration::ZERO,
            interval,
            backoff,
            immediate,
            started: false,
            in_flight: false,
            again: false,
            restart: false,
            over: false,
            panicked: false,
            closing: false,
            since: Duration::ZERO,
            due: None,
            begun: 0,
            runs: 0,
            failures: 0,
        };
        model.step(Step::Order(Order::Start));
        rig.settle();
        for step in steps {
            model.step(step);
            rig.step(step);
            prop_assert_eq!(rig.runs.begun.get(), model.begun, "{:?}", step);
            prop_assert_eq!(rig.runs.alive.get(), u32::from(model.in_flight), "{:?}", step);
            prop_assert_eq!(rig.driver.is_none(), model.over, "{:?}", step);
            if let Some(status) = rig.status() {
                prop_assert_eq!(status.phase, model.phase(), "{:?}", step);
                prop_assert_eq!((status.runs, status.failures), (model.runs, model.failures));
                prop_assert_eq!(status.next_run, model.next_run(), "{:?}", step);
            }
            let sleeping = model.next_run().is_some_and(|left| left > Duration::ZERO);
            prop_assert_eq!(rig.timer.sleeping(), usize::from(sleeping), "{:?}", step);
        }
        if let Some(shutdown) = rig.shutdown.take().filter(|_| model.over) {
            let result = rig.timer.run(shutdown);
            prop_assert_eq!(result.is_err(), model.panicked);
        }
    }
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
    let (handle, driver) = PollerBuilder::with_timer(timer.clone(), interval).driver(|_| {
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

/// The seed's poller forgets a stop during its first wait.
#[test]
fn p1_a_stop_during_the_first_wait_holds() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        5 * SECOND,
        SECOND,
        60 * SECOND,
        false,
        async |poller| {
            timer.sleep(3 * SECOND).await;
            poller.stop();
            assert_eq!(poller.status().phase, PollerPhase::Stopped);
        },
    );
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
    let starts = polled(
        &timer,
        5 * SECOND,
        2 * SECOND,
        20 * SECOND,
        false,
        async |poller| {
            poller.start();
            timer.sleep(SECOND).await;
            poller.start();
            timer.sleep(3 * SECOND).await;
            poller.start();
        },
    );
    assert_eq!(starts, [0, 7, 14]);
}

/// The seed's session poller forgets a stop during a run.
#[test]
fn s1_a_stop_during_a_run_holds() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        5 * SECOND,
        2 * SECOND,
        60 * SECOND,
        false,
        async |poller| {
            timer.sleep(8 * SECOND).await;
            poller.stop();
            assert_eq!(poller.status().phase, PollerPhase::Stopping);
            timer.sleep(SECOND).await;
            assert_eq!(poller.status().phase, PollerPhase::Stopped);
            assert_eq!(poller.status().runs, 2, "the run in flight is counted");
        },
    );
    assert_eq!(starts, [0, 7]);
}

/// The seed's session poller has two loops after a stop and a start in a run.
#[test]
fn s2_stop_and_start_during_a_run_are_one_loop() {
    let timer = ManualTimer::new();
    let starts = polled(
        &timer,
        5 * SECOND,
        2 * SECOND,
        20 * SECOND,
        false,
        async |poller| {
            timer.sleep(SECOND).await;
            poller.stop();
            poller.start();
        },
    );
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
    let mut poller = pin!(PollerBuilder::with_timer(&timer, 5 * SECOND).stream(|| {
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
/// run    |##|       |##|
/// wait      |---5---|
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
        let seen = polled(&timer, 5 * SECOND, lasts, 19 * SECOND, false, async |_| {});
        let seen: Vec<u64> = seen.into_iter().map(|start| start - offset).collect();
        assert_eq!(seen, starts, "runs of {lasts:?}");
    }
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
    rig.timer.run(rig.shutdown.take().unwrap()).unwrap();

    let mut rig = Rig::new(5 * SECOND, Duration::ZERO, true);
    rig.settle();
    rig.step(Step::Shutdown);
    drop(rig.shutdown.take()); // Given up waiting: as if the handle were dropped.
    rig.settle();
    assert_eq!(rig.runs.alive.get(), 0);
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
    let payload = rig.timer.run(rig.shutdown.take().unwrap()).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"planted"));
}

#[test]
fn a_panic_in_the_operation_or_the_interval_is_a_panic_of_the_run() {
    for place in ["operation", "interval"] {
        let timer = ManualTimer::new();
        let planted = move |here| {
            if here == place {
                resume_unwind(Box::new(place));
            }
        };
        let (handle, driver) = PollerBuilder::with_timer(timer.clone(), SECOND)
            .interval_by(move |_: &Result<(), ()>| {
                planted("interval");
                SECOND
            })
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
        let (_handle, driver) =
            PollerBuilder::with_timer(ManualTimer::new(), interval).driver(|remote| {
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
        PollerBuilder::with_timer(&timer, 5 * SECOND)
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

/// P2, S3: the interval's jitter is drawn afresh for each wait, without a cap.
#[test]
fn a_jittered_interval_spreads_within_its_bounds() {
    let timer = ManualTimer::new();
    let mut poller = pin!(
        PollerBuilder::with_timer(&timer, 100 * SECOND)
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

/// Pull: the wait counts from the end of the run, so a late consumer runs at
/// once, and only once.
#[test]
fn a_late_consumer_runs_at_once_and_nothing_piles_up() {
    let timer = ManualTimer::new();
    let mut poller = pin!(
        PollerBuilder::with_timer(&timer, 5 * SECOND).stream(|| ready(Ok::<_, ()>(timer.now())))
    );
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
    let mut poller = pin!(PollerBuilder::with_timer(&timer, 5 * SECOND).stream(|| {
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
    let mut poller = pin!(PollerBuilder::with_timer(&timer, SECOND).stream(|| {
        calls += 1;
        if calls == 1 {
            resume_unwind(Box::new("planted"));
        }
        ready(Ok::<_, ()>(calls))
    }));
    catch_unwind(AssertUnwindSafe(|| timer.run(poller.as_mut().next()))).unwrap_err();
    assert_eq!(timer.run(poller.as_mut().next()), Some(Ok(2)));
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
    let poller = PollerBuilder::new(5 * SECOND).spawn(count);
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
    let poller = PollerBuilder::with_timer(timer.clone(), SECOND)
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
        PollerBuilder::with_timer(&timer, 7 * SECOND)
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
    let (handle, driver) = PollerBuilder::with_timer(timer.clone(), SECOND).driver(|_| {
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
    let (handle, driver) = PollerBuilder::with_timer(timer.clone(), SECOND).driver(|_| {
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
        PollerBuilder::with_timer(&timer, SECOND)
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

/// Pull: also a panic in a run leaves a poller that goes on.
#[test]
fn a_panic_in_a_pulled_run_passes_through() {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let mut poller = pin!(PollerBuilder::with_timer(&timer, SECOND).stream(|| {
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
        PollerBuilder::with_timer(&timer, interval)
            .jitter(Jitter::between(2.0, 2.0))
            .stream(|| ready(Ok::<(), ()>(())))
    );
    timer.run(poller.as_mut().next());
    timer.run(poller.as_mut().next());
    assert_eq!(timer.now(), interval);
}
