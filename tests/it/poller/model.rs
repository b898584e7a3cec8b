//! The poller against a reference model, under random orders.

use std::time::Duration;

use afterbeat::PollerPhase;
use proptest::prelude::*;

use super::rig::{Order, Rig, Step, changed};

/// What a poller should do, by the words of its contract.
#[derive(Default)]
struct Model {
    now: Duration,
    interval: Duration,
    backoff: Duration,
    immediate: bool,
    /// Started, and not stopped since.
    on: bool,
    /// The next run is not to wait.
    asked: bool,
    in_flight: bool,
    /// What the wait counts from.
    since: Duration,
    closing: bool,
    over: bool,
    panicked: bool,
    begun: u32,
    runs: u64,
    failures: u32,
}

impl Model {
    fn step(&mut self, step: Step) {
        match step {
            Step::Advance(by) => self.now += by,
            _ if self.over => {}
            Step::Order(order) | Step::FromInside(order) => self.order(order),
            Step::Finish(outcome) if self.in_flight => {
                (self.in_flight, self.over, self.since) = (false, self.closing, self.now);
                self.failures = outcome.map_or(self.failures + 1, |()| 0);
                self.runs += 1;
            }
            Step::Panic if self.in_flight => {
                (self.in_flight, self.over, self.panicked) = (false, true, true);
            }
            Step::Finish(_) | Step::Panic => {}
            Step::Shutdown => {
                (self.closing, self.on, self.over) = (true, false, !self.in_flight);
            }
            Step::Drop => (self.in_flight, self.over) = (false, true),
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::SetInterval(interval) => self.interval = interval,
            Order::Stop => (self.on, self.asked) = (false, false),
            Order::Start if !self.on && !self.closing => {
                (self.on, self.asked, self.since) = (true, self.immediate, self.now);
            }
            Order::Trigger => self.asked = self.on,
            Order::Start => {}
        }
    }

    /// The driver has had its turn.
    fn settle(&mut self) {
        if self.next_run() == Some(Duration::ZERO) {
            (self.in_flight, self.asked) = (true, false);
            self.begun += 1;
        }
    }

    fn next_run(&self) -> Option<Duration> {
        let floor = self.backoff * self.failures.min(1);
        let wait = self.interval.max(floor) * u32::from(!self.asked);
        let waiting = self.phase() == PollerPhase::Waiting && wait < Duration::MAX;
        waiting.then(|| (self.since + wait).saturating_sub(self.now))
    }

    fn phase(&self) -> PollerPhase {
        match (self.over, self.in_flight) {
            (true, _) if self.panicked => PollerPhase::Panicked,
            (true, _) => PollerPhase::Ended,
            (false, true) if self.on => PollerPhase::Running,
            (false, true) => PollerPhase::Stopping,
            (false, false) if self.on => PollerPhase::Waiting,
            (false, false) => PollerPhase::Stopped,
        }
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

/// Whether the driver has its turn after this step; if not, the next comes in the same
/// instant. How a run ends is seen only in its turn.
fn turn() -> impl Strategy<Value = (Step, bool)> {
    (step(), prop::bool::weighted(0.8)).prop_map(|(step, turn)| match step {
        Step::Order(_) | Step::Advance(_) => (step, turn),
        _ => (step, true),
    })
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap());
    ProptestConfig::with_cases(cases)
}

proptest! {
    #![proptest_config(cases())]

    /// P1 to P17: after each of a random sequence of orders, the poller stands where
    /// the model stands, and whoever waits for a change has been told.
    #[test]
    fn every_poller_is_that_of_the_model(
        interval in 0..20u64,
        backoff in 0..40u64,
        immediate: bool,
        steps in prop::collection::vec(turn(), 1..60),
    ) {
        let [interval, backoff] = [interval, backoff].map(Duration::from_secs);
        let mut rig = Rig::new(interval, backoff, immediate);
        let mut model = Model { interval, backoff, immediate, ..Model::default() };
        model.step(Step::Order(Order::Start));
        model.settle();
        rig.settle();
        for (step, turn) in steps {
            model.step(step);
            rig.give(step);
            if !turn {
                continue;
            }
            model.settle();
            rig.settle();
            prop_assert_eq!(rig.runs.begun.get(), model.begun, "{:?}", step);
            prop_assert_eq!(rig.runs.alive.get(), u32::from(model.in_flight), "{:?}", step);
            prop_assert_eq!(rig.driver.is_none(), model.over, "{:?}", step);
            let seen = rig.watch.seen.get();
            prop_assert_eq!(seen.phase, model.phase(), "{:?}", step);
            prop_assert_eq!((seen.runs, seen.failures), (model.runs, model.failures));
            if let Some(status) = rig.status() {
                prop_assert_eq!(status.next_run, model.next_run(), "{:?}", step);
                prop_assert!(!changed(&seen, &status), "{:?}", step);
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
