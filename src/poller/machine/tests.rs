//! The machine against the model, as the public poller is, without timer, task or run.

use std::{mem, time::Duration};

use proptest::prelude::*;

use self::model::{Model, cases, turn};
use super::{After, Machine, Order, Step};
use crate::{
    backoff::Backoff,
    jitter::Jitter,
    poller::{
        PollerPhase,
        pace::{FOREVER, Pace},
    },
    real::nanos,
};

mod model;

/// A machine and what a driver would have in its hands.
struct Rig {
    machine: Machine<Duration, Backoff>,
    now: Duration,
    /// When the wait ends, if one has been begun that does.
    until: Option<Duration>,
    in_flight: bool,
    begun: u32,
    over: bool,
    woken: bool,
}

impl Rig {
    fn new(interval: Duration, backoff: Duration, immediate: bool) -> Self {
        let pace = Pace::new(nanos(interval), Jitter::NONE, Backoff::constant(backoff));
        Self {
            machine: Machine::new(pace, immediate, || Duration::ZERO),
            now: Duration::ZERO,
            until: None,
            in_flight: false,
            begun: 0,
            over: false,
            woken: true,
        }
    }

    fn order(&mut self, order: Order) {
        self.woken |= self.machine.order(order, self.now);
    }

    fn arm(&mut self, since: Duration, length: u64) {
        self.until = (length < FOREVER).then(|| since + Duration::from_nanos(length));
    }

    fn give(&mut self, step: model::Step, interval: Option<u64>) {
        match step {
            model::Step::Order(order) | model::Step::FromInside(order) => self.order(match order {
                model::Order::Start => Order::Start,
                model::Order::Stop => Order::Stop,
                model::Order::Trigger => Order::Trigger,
                model::Order::Pause => Order::Pause,
                model::Order::Resume => Order::Resume,
                model::Order::SetInterval(interval) => Order::SetInterval(nanos(interval)),
            }),
            model::Step::Advance(by) => self.now += by,
            model::Step::Finish(outcome) if self.in_flight => {
                self.in_flight = false;
                match self.machine.ran(outcome.is_ok(), interval, self.now) {
                    After::Wait(length) => self.arm(self.now, length),
                    After::Yield | After::Ask => self.woken = true,
                }
            }
            model::Step::Panic if self.in_flight => {
                self.machine.close(true);
                (self.in_flight, self.over) = (false, true);
            }
            model::Step::Finish(_) | model::Step::Panic => {}
            model::Step::Shutdown => self.order(Order::Shutdown),
            model::Step::Drop => self.order(Order::Cancel),
        }
    }

    /// Asks for the next step only when the wait has ended, or an order or a run has said
    /// that it should.
    fn settle(&mut self) {
        let waited = |rig: &Self| rig.until.is_some_and(|until| until <= rig.now);
        while !self.over && (mem::take(&mut self.woken) || waited(self)) {
            let step = self.machine.next(waited(self));
            let polls = matches!(step, Step::Run | Step::End);
            assert!(polls || !self.in_flight, "a wait or a run beside a run");
            match step {
                Step::Halt => self.until = None,
                Step::Arm { since, length } => self.arm(since, length),
                Step::Wait => assert!(!waited(self)),
                Step::Begin => {
                    self.until = None;
                    self.in_flight = true;
                    self.begun += 1;
                }
                Step::Run => assert!(self.in_flight),
                Step::End => {
                    self.machine.close(false);
                    (self.until, self.in_flight, self.over) = (None, false, true);
                }
            }
        }
    }

    fn next_run(&self) -> Option<Duration> {
        let (since, length) = self.machine.waiting()?;
        Some((since + Duration::from_nanos(length)).saturating_sub(self.now))
    }
}

proptest! {
    #![proptest_config(cases())]

    /// After each of a random sequence of orders and steps, the machine stands where the
    /// model stands, and asks for neither too much nor too little.
    #[test]
    fn every_machine_is_that_of_the_model(
        interval in 0..20u64,
        backoff in 0..40u64,
        immediate: bool,
        steps in prop::collection::vec((turn(), prop::option::of(0..20u64)), 1..60),
    ) {
        let [interval, backoff] = [interval, backoff].map(Duration::from_secs);
        let mut rig = Rig::new(interval, backoff, immediate);
        let mut model = Model::new(interval, backoff, immediate);
        rig.settle();
        for ((step, turn), answer) in steps {
            let answer = answer.map(Duration::from_secs);
            if let (model::Step::Finish(_), true, Some(interval)) = (step, model.in_flight, answer) {
                model.interval = interval;
            }
            model.step(step);
            rig.give(step, answer.map(nanos));
            prop_assert_eq!(rig.machine.phase(), model.phase(), "{:?}", step);
            if !turn {
                continue;
            }
            model.settle();
            rig.settle();
            prop_assert_eq!(rig.machine.phase(), model.phase(), "{:?}", step);
            prop_assert_eq!(rig.begun, model.begun, "{:?}", step);
            prop_assert_eq!(rig.in_flight, model.in_flight, "{:?}", step);
            prop_assert_eq!(rig.over, model.over, "{:?}", step);
            prop_assert_eq!(rig.machine.runs(), model.runs, "{:?}", step);
            prop_assert_eq!(rig.machine.failures(), model.failures, "{:?}", step);
            prop_assert_eq!(rig.next_run(), model.next_run(), "{:?}", step);
            let ends = rig.until.map(|until| until.saturating_sub(rig.now));
            prop_assert_eq!(ends, model.next_run(), "{:?}", step);
        }
    }
}
