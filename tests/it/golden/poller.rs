//! `tests/golden/poller-traces.json`: when the seed's pollers ran.
//!
//! A trace has an interval, what each run does, the instants of `start` and
//! `stop`, and a horizon. It is replayed through the pushed poller, and where the
//! poller is only started, through the pulled one. Runs are equal by start, end
//! and failure, up to the horizon and with it.
//!
//! `SessionCookiePoller` takes a lock around each run that all tabs share. The
//! lock belongs to the recordings' world, not to the poller: a run here begins by
//! taking it, counts from then on, and is skipped if that takes too long. So two
//! of our pollers are compared with two recorded tabs.
//!
//! Where the seed's poller loses a stop, doubles its loop or dies, [`model`] says
//! what this one does. It is checked against the recordings too: wherever a trace
//! shows none of the differences, the model, the recording and the poller agree.

use std::{
    cell::RefCell,
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use afterbeat::{Clock, Jitter, ManualTimer, PollerBuilder, PollerHandle, Timer};
use futures_util::{
    future::{Either, join, join_all, select},
    lock::Mutex,
};
use serde_json::Value;

use super::{Tally, count};

const TRACES: &str = include_str!("../../golden/poller-traces.json");

/// Why the seed's poller and this one run at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// The seed loses a stop, and runs on as if it had not been given: one during
    /// a run of `SessionCookiePoller`; one during the first wait of a `Poller` on
    /// a worker's timers, the first of which has the number 0. Here a stop is
    /// final.
    LosesStop,
    /// In the seed a start adds a loop to one that is alive: at any time in
    /// `Poller`, after a stop during a run in `SessionCookiePoller`. Here a start
    /// does nothing to a poller that is started; to one that was stopped in a run
    /// it gives its first run when the old one has ended.
    DoublesLoop,
    /// The seed's loop dies of a run that fails. Here the next wait is armed as
    /// ever.
    DiesOfError,
    /// A wait of 0 ms takes 1 ms, by the rule of Node's timers. Here it takes none.
    WaitsOneMilli,
}

#[test]
fn a_pushed_poller_keeps_the_recorded_times_or_differs_for_a_reason() {
    let mut as_recorded = 0;
    let mut differences = Tally::new();
    for trace in traces() {
        let ours = replay(&trace);
        match difference(&trace) {
            None => {
                assert_eq!(ours, trace.recorded, "{}", trace.id);
                as_recorded += 1;
            }
            Some(difference) => {
                assert_eq!(ours, model(&trace), "{}", trace.id);
                count(&mut differences, difference);
            }
        }
    }
    assert_eq!(
        differences,
        Tally::from([
            (Difference::LosesStop, 17),
            (Difference::DoublesLoop, 12),
            (Difference::DiesOfError, 15),
            (Difference::WaitsOneMilli, 2),
        ]),
    );
    assert_eq!((as_recorded, traces().len()), (120, 46 + 40 + 80));
}

#[test]
fn a_pulled_poller_keeps_the_same_times() {
    let mut pulled = 0;
    for trace in traces() {
        if trace.orders == [[(0, Order::Start)]] && trace.stop_in_run.is_none() {
            assert_eq!(pull(&trace), model(&trace), "{}", trace.id);
            pulled += 1;
        }
    }
    assert_eq!(pulled, 76);
}

/// The recordings leave open what comes first in such an instant; so does [`model`].
#[test]
fn no_stop_falls_on_an_instant_at_which_a_run_begins_or_ends() {
    for trace in traces() {
        let runs = model(&trace);
        let is_apart = |at| {
            runs.iter()
                .all(|run| run.start != at && run.end != Some(at))
        };
        let mut stops = trace
            .orders
            .iter()
            .flatten()
            .filter(|order| !is_start(order));
        assert!(stops.all(|(at, _)| is_apart(*at)), "{}", trace.id);
    }
}

/// A recorded trace; times in milliseconds.
#[derive(Clone)]
struct Trace {
    id: String,
    interval: u64,
    horizon: u64,
    /// How long each run takes, and whether it fails; the last one repeats.
    runs: Vec<(u64, bool)>,
    /// For each poller, when it is told what.
    orders: Vec<Vec<(u64, Order)>>,
    /// The run, from 1, that stops its poller as it begins.
    stop_in_run: Option<usize>,
    lock: Lock,
    recorded: Vec<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Start,
    Stop,
}

/// How long it takes to be given the lock, and how long a run waits for it.
#[derive(Clone, Copy)]
struct Lock {
    latency: u64,
    patience: u64,
}

const WEB_LOCK: Lock = Lock {
    latency: 0,
    patience: 4999,
};

/// The lock where there are no web locks.
const TABS_LOCK: Lock = Lock {
    latency: 72,
    patience: 5000,
};

#[derive(Clone, Debug, PartialEq)]
struct Run {
    poller: usize,
    start: u64,
    /// None while it is running.
    end: Option<u64>,
    failed: bool,
}

fn traces() -> Vec<Trace> {
    let json: Value = serde_json::from_str(TRACES).unwrap();
    let cookie = &json["session_cookie_poller"];
    [&json["poller"], &cookie["pr"], &cookie["later"]]
        .into_iter()
        .flat_map(|group| list(&group["cases"]))
        .map(Trace::read)
        .collect()
}

impl Trace {
    fn read(json: &Value) -> Self {
        let (interval, lock) = match json["lock"].as_str() {
            Some(lock) => {
                let interval = if json["focused"] == true { 1500 } else { 5000 };
                let is_web_lock = lock == "weblocks";
                (interval, if is_web_lock { WEB_LOCK } else { TABS_LOCK })
            }
            // `Poller` takes none, which is one that is always free.
            None => (json["interval"].as_u64().unwrap_or(1000), WEB_LOCK),
        };
        Self {
            id: json["id"].as_str().unwrap().to_owned(),
            interval,
            horizon: millis(&json["horizon"]),
            runs: list(&json["runs"])
                .map(|run| (millis(&run["ms"]), run["fail"] == true))
                .collect(),
            orders: Self::read_orders(json),
            stop_in_run: json["stop_in_run"].as_u64().map(|run| run as usize),
            lock,
            recorded: Self::read_runs(&json["out"]),
        }
    }

    /// `Poller` has a list of starts and one of stops, `SessionCookiePoller` a
    /// list of both; without them the poller is started at 0.
    fn read_orders(json: &Value) -> Vec<Vec<(u64, Order)>> {
        let mut orders = vec![Vec::new()];
        for at in list(&json["start_at"]) {
            orders[0].push((millis(at), Order::Start));
        }
        for at in list(&json["stop_at"]) {
            orders[0].push((millis(at), Order::Stop));
        }
        for action in list(&json["actions"]) {
            let is_start = action[1] == "start";
            let order = if is_start { Order::Start } else { Order::Stop };
            let poller = action[2].as_u64().unwrap_or(0) as usize;
            orders.resize(orders.len().max(poller + 1), Vec::new());
            orders[poller].push((millis(&action[0]), order));
        }
        if !orders[0].iter().any(is_start) {
            orders[0].push((0, Order::Start));
        }
        for orders in &mut orders {
            orders.sort_by_key(|(at, _)| *at);
        }
        orders
    }

    fn read_runs(out: &Value) -> Vec<Run> {
        list(&out["starts"])
            .zip(list(&out["ends"]))
            .enumerate()
            .map(|(index, (start, end))| Run {
                poller: out["poller"][index].as_u64().unwrap_or(0) as usize,
                start: millis(start),
                end: end.as_u64(),
                failed: list(&out["failed"]).any(|failed| *failed == index + 1),
            })
            .collect()
    }

    fn run(&self, number: usize) -> (u64, bool) {
        self.runs[number.min(self.runs.len()) - 1]
    }
}

fn is_start((_, order): &(u64, Order)) -> bool {
    *order == Order::Start
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn millis(json: &Value) -> u64 {
    json.as_u64().unwrap()
}

/// What a single poller does: one run, the orders given during it, one wait.
fn model(trace: &Trace) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut orders = trace.orders[0].iter().copied().peekable();
    let mut due = None;
    loop {
        while let Some((at, order)) = orders.next_if(|(at, _)| due.is_none_or(|due| *at < due)) {
            due = match order {
                Order::Start => due.or(Some(at)),
                Order::Stop => None,
            };
        }
        let Some(start) = due.map(|due| due + trace.lock.latency) else {
            return runs;
        };
        if start > trace.horizon {
            return runs;
        }
        let number = runs.len() + 1;
        let (length, fails) = trace.run(number);
        let end = start + length;
        due = Some(end + trace.interval);
        if trace.stop_in_run == Some(number) {
            due = None;
        }
        while let Some((_, order)) = orders.next_if(|(at, _)| *at < end) {
            due = match order {
                Order::Start => due.or(Some(end)),
                Order::Stop => None,
            };
        }
        let end = Some(end).filter(|end| *end <= trace.horizon);
        runs.push(Run {
            poller: 0,
            start,
            end,
            failed: fails && end.is_some(),
        });
    }
}

/// Tells by its recording how a trace differs from the model, and asserts that
/// nothing else does.
fn difference(trace: &Trace) -> Option<Difference> {
    if trace.orders.len() > 1 {
        return None;
    }
    let (ours, theirs, id) = (model(trace), &trace.recorded, &trace.id);
    if ours == *theirs {
        return None;
    }
    if trace.interval == 0 {
        let one = Trace {
            interval: 1,
            ..trace.clone()
        };
        assert_eq!(*theirs, model(&one), "{id}");
        Some(Difference::WaitsOneMilli)
    } else if let Some(first) = ours.iter().position(|run| run.failed) {
        assert_eq!(*theirs, ours[..=first], "{id}");
        Some(Difference::DiesOfError)
    } else if trace.orders[0]
        .iter()
        .filter(|order| is_start(order))
        .count()
        > 1
    {
        assert!(theirs.len() > ours.len(), "{id}");
        Some(Difference::DoublesLoop)
    } else {
        let mut unstopped = trace.clone();
        unstopped.orders[0].retain(is_start);
        assert_eq!(*theirs, model(&unstopped), "{id}");
        Some(Difference::LosesStop)
    }
}

/// The recordings' world: a clock, the lock, and the log of runs.
struct World<'a> {
    trace: &'a Trace,
    timer: ManualTimer,
    lock: Mutex<()>,
    log: RefCell<Vec<Run>>,
}

fn replay(trace: &Trace) -> Vec<Run> {
    World::new(trace).until_horizon(|world| {
        join_all(trace.orders.iter().enumerate().map(|(poller, orders)| {
            let (handle, driver) = world.poller().driver(|remote| {
                move || {
                    let remote = remote.clone();
                    world.run(poller, move || remote.stop())
                }
            });
            // A poller is made started, so a start at 0 has been given.
            let orders = match orders.as_slice() {
                [(0, Order::Start), orders @ ..] => orders,
                orders => {
                    handle.stop();
                    orders
                }
            };
            join(driver, world.give(orders, handle))
        }))
    })
}

fn pull(trace: &Trace) -> Vec<Run> {
    World::new(trace).until_horizon(|world| async {
        let mut poller = pin!(world.poller().stream(|| world.run(0, || {})));
        loop {
            poller.as_mut().next().await;
        }
    })
}

impl<'a> World<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            timer: ManualTimer::new(),
            lock: Mutex::new(()),
            log: RefCell::default(),
        }
    }

    fn poller(&self) -> PollerBuilder<ManualTimer> {
        PollerBuilder::with_timer(
            self.timer.clone(),
            Duration::from_millis(self.trace.interval),
        )
        .jitter(Jitter::NONE)
    }

    /// Ends a nanosecond after the horizon, so all that happens at it is seen.
    fn until_horizon<'w, F: Future>(&'w self, polling: impl FnOnce(&'w Self) -> F) -> Vec<Run> {
        let horizon = Duration::from_millis(self.trace.horizon) + Duration::from_nanos(1);
        let polling = pin!(polling(self));
        self.timer.run(select(polling, self.timer.sleep(horizon)));
        self.log.take()
    }

    fn now(&self) -> u64 {
        self.timer.now().as_millis() as u64
    }

    async fn sleep(&self, millis: u64) {
        self.timer.sleep(Duration::from_millis(millis)).await;
    }

    /// Gives orders at their instants, then keeps the handle: dropping it would
    /// end the poller.
    async fn give(&self, orders: &[(u64, Order)], handle: PollerHandle) {
        for (at, order) in orders {
            self.sleep(at - self.now()).await;
            match order {
                Order::Start => handle.start(),
                Order::Stop => handle.stop(),
            }
        }
        pending::<()>().await;
    }

    async fn run(&self, poller: usize, stop: impl FnOnce()) -> Result<(), ()> {
        let patience = pin!(self.sleep(self.trace.lock.patience));
        let Either::Left((_held, _)) = select(self.lock.lock(), patience).await else {
            return Ok(());
        };
        self.sleep(self.trace.lock.latency).await;
        let run = Run {
            poller,
            start: self.now(),
            end: None,
            failed: false,
        };
        self.log.borrow_mut().push(run);
        let number = self.log.borrow().len();
        assert!(number <= 100, "{}: a burst of runs", self.trace.id);
        if self.trace.stop_in_run == Some(number) {
            stop();
        }
        let (length, failed) = self.trace.run(number);
        self.sleep(length).await;
        let mut log = self.log.borrow_mut();
        log[number - 1].end = Some(self.now());
        log[number - 1].failed = failed;
        if failed { Err(()) } else { Ok(()) }
    }
}
