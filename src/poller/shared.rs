//! What a poller's orders and its driver share: the machine under a lock, and who is to
//! look again.

use core::{any::Any, mem, task::Waker, time::Duration};
use std::{boxed::Box, sync::PoisonError, thread};

use super::{
    machine::{After, Machine, Order, Step},
    pace::{AfterFailures, Pace},
    status::PollerStatus,
};
use crate::{
    sync::{Mutex, MutexGuard},
    timer::Timer,
    watch::{Watched, Watchers},
};

/// What a panic carried.
pub(super) type Payload = Box<dyn Any + Send>;

/// A poller's shared state, without its timer's type.
pub(super) trait Control: Watched + Send + Sync {
    fn order(&self, order: Order);
    fn status(&self) -> PollerStatus;
    /// How the poller ended, once nothing of it is left.
    fn end(&self) -> Option<thread::Result<()>>;
}

/// Each order, and each step of the driver, is one change of `state` under its lock; no
/// foreign code runs under it.
pub(super) struct Shared<T: Timer, B> {
    pub(super) timer: T,
    state: Mutex<State<T::Instant, B>>,
}

struct State<I, B> {
    machine: Machine<I, B>,
    driver: Driver,
    watchers: Watchers,
}

enum Driver {
    /// Orders wake it, once it has left its waker.
    Alive(Option<Waker>),
    /// It has ended so: nothing of a run is left. What a panic carried is there until a
    /// shutdown takes it.
    Gone(thread::Result<()>),
}

impl<T: Timer, B: AfterFailures> Shared<T, B> {
    pub(super) fn new(timer: T, pace: Pace<B>, immediate: bool) -> Self {
        let machine = Machine::new(pace, immediate, || timer.now());
        Self {
            timer,
            state: Mutex::new(State {
                machine,
                driver: Driver::Alive(None),
                watchers: Watchers::default(),
            }),
        }
    }

    /// The driver's next step, where `waited` tells whether its wait is over. From now
    /// on orders wake `waker`.
    pub(super) fn next(&self, waker: &Waker, waited: bool) -> Step<T::Instant> {
        let mut state = self.lock();
        let mut former = None;
        if !matches!(&state.driver, Driver::Alive(Some(left)) if left.will_wake(waker)) {
            drop(state);
            let waker = Driver::Alive(Some(waker.clone()));
            state = self.lock();
            former = Some(mem::replace(&mut state.driver, waker));
        }
        let step = state.machine.next(waited);
        match step {
            Step::Arm { .. } | Step::Begin => tell(state, None),
            _ => drop(state),
        }
        drop(former);
        step
    }

    /// A run has ended, and the function for the interval has answered. Returns how many
    /// failures in a row came before it, too.
    pub(super) fn ran(&self, ok: bool, interval: Option<u64>) -> (After, u32) {
        let now = self.timer.now();
        let mut state = self.lock();
        let failures = state.machine.failures();
        let after = state.machine.ran(ok, interval, now);
        tell(state, None);
        (after, failures)
    }
}

impl<T: Timer, B> Shared<T, B> {
    /// The driver has ended, with what a panic carried if that was the cause.
    pub(super) fn close(&self, panic: Option<Payload>) {
        let mut state = self.lock();
        if let Driver::Gone(_) = state.driver {
            return;
        }
        state.machine.close(panic.is_some());
        let gone = Driver::Gone(panic.map_or(Ok(()), Err));
        let former = mem::replace(&mut state.driver, gone);
        tell(state, None);
        drop(former);
    }

    /// Each change of the state is one assignment: a panic cannot tear it.
    fn lock(&self) -> MutexGuard<'_, State<T::Instant, B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a change of the state: `driver`, and whoever watches, is to look again. The
/// driver comes first, so that no watcher's panic loses the order.
fn tell<I, B>(mut state: MutexGuard<'_, State<I, B>>, driver: Option<Waker>) {
    let watchers = state.watchers.take();
    drop(state);
    if let Some(driver) = driver {
        driver.wake();
    }
    for (_, watcher) in watchers {
        watcher.wake();
    }
}

impl<T, B> Control for Shared<T, B>
where
    T: Timer<Instant: Send> + Send + Sync,
    B: AfterFailures + Send,
{
    fn order(&self, order: Order) {
        let now = self.timer.now();
        let mut state = self.lock();
        if state.machine.order(order, now) {
            let driver = match &mut state.driver {
                Driver::Alive(waker) => waker.take(),
                Driver::Gone(_) => None,
            };
            tell(state, driver);
        }
    }

    fn status(&self) -> PollerStatus {
        let state = self.lock();
        let machine = &state.machine;
        let (phase, waiting) = (machine.phase(), machine.waiting());
        let (runs, failures) = (machine.runs(), machine.failures());
        drop(state);
        PollerStatus {
            phase,
            runs,
            failures,
            next_run: waiting.map(|(since, length)| {
                Duration::from_nanos(length).saturating_sub(self.timer.elapsed(since))
            }),
        }
    }

    fn end(&self) -> Option<thread::Result<()>> {
        match &mut self.lock().driver {
            Driver::Alive(_) => None,
            Driver::Gone(end) => Some(mem::replace(end, Ok(()))),
        }
    }
}

impl<T: Timer, B> Watched for Shared<T, B> {
    fn with_watchers(
        &self,
        change: &mut dyn FnMut(&mut Watchers) -> Option<Waker>,
    ) -> Option<Waker> {
        change(&mut self.lock().watchers)
    }
}
