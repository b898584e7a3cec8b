//! What a poller should do, once more: by the words of its contract, for the tests of
//! the machine and for those of the public poller, which name this file too.

use std::time::Duration;

use proptest::prelude::*;

use super::PollerPhase;

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Start,
    Stop,
    Trigger,
    Pause,
    Resume,
    SetInterval(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
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
#[expect(clippy::struct_excessive_bools, reason = "a model is plain")]
#[derive(Default)]
pub(super) struct Model {
    now: Duration,
    pub(super) interval: Duration,
    backoff: Duration,
    immediate: bool,
    /// Started, and not stopped since.
    on: bool,
    /// No run begins until a resume.
    paused: bool,
    /// The next run is not to wait.
    asked: bool,
    pub(super) in_flight: bool,
    /// What the wait counts from.
    since: Duration,
    closing: bool,
    pub(super) over: bool,
    pub(super) panicked: bool,
    pub(super) begun: u32,
    pub(super) runs: u64,
    pub(super) failures: u32,
}

impl Model {
    /// A started poller, whose driver has had its first turn.
    pub(super) fn new(interval: Duration, backoff: Duration, immediate: bool) -> Self {
        let mut model = Self {
            interval,
            backoff,
            immediate,
            ..Self::default()
        };
        model.order(Order::Start);
        model.settle();
        model
    }

    pub(super) fn step(&mut self, step: Step) {
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
                (self.closing, self.on, self.paused) = (true, false, false);
                self.over = !self.in_flight;
            }
            Step::Drop => (self.in_flight, self.over) = (false, true),
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::SetInterval(interval) => self.interval = interval,
            Order::Stop => (self.on, self.paused, self.asked) = (false, false, false),
            Order::Pause => self.paused = self.on,
            Order::Resume => self.paused = false,
            Order::Start if !self.on && !self.closing => {
                (self.on, self.asked, self.since) = (true, self.immediate, self.now);
            }
            Order::Start => self.paused = false,
            Order::Trigger => self.asked |= self.on && !self.paused,
        }
    }

    /// The driver has had its turn.
    pub(super) fn settle(&mut self) {
        if self.next_run() == Some(Duration::ZERO) {
            (self.in_flight, self.asked) = (true, false);
            self.begun += 1;
        }
    }

    pub(super) fn next_run(&self) -> Option<Duration> {
        let floor = self.backoff * self.failures.min(1);
        let wait = self.interval.max(floor) * u32::from(!self.asked);
        let waiting = self.phase() == PollerPhase::Waiting && wait < Duration::MAX;
        waiting.then(|| (self.since + wait).saturating_sub(self.now))
    }

    pub(super) fn phase(&self) -> PollerPhase {
        match (self.over, self.in_flight) {
            (true, _) if self.panicked => PollerPhase::Panicked,
            (true, _) => PollerPhase::Ended,
            (false, true) if self.paused => PollerPhase::Pausing,
            (false, false) if self.paused => PollerPhase::Paused,
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
            Just(Order::Pause),
            Just(Order::Resume),
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
pub(super) fn turn() -> impl Strategy<Value = (Step, bool)> {
    (step(), prop::bool::weighted(0.8)).prop_map(|(step, turn)| match step {
        Step::Order(_) | Step::Advance(_) => (step, turn),
        _ => (step, true),
    })
}

pub(super) fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap());
    ProptestConfig::with_cases(cases)
}
