//! A poller that is driven by hand.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    mem,
    panic::resume_unwind,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, Jitter, ManualTimer, PollerBuilder, PollerHandle, PollerPhase, PollerRemote,
    PollerStatus,
};

use super::reference::{Order, Step};

/// What the runs of a real poller are told, and what they tell.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) begun: Cell<u32>,
    pub(super) alive: Cell<u32>,
    pub(super) end: Cell<Option<Step>>,
    pub(super) orders: RefCell<Vec<Order>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

pub(super) struct Alive(Rc<Runs>);

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
        Order::Pause => remote.pause(),
        Order::Resume => remote.resume(),
        Order::SetInterval(interval) => remote.set_interval(interval),
    }
}

impl Runs {
    /// A run that ends as it is told, and gives the orders it is told.
    pub(super) fn run(
        self: &Rc<Self>,
        remote: &PollerRemote,
    ) -> impl Future<Output = Result<(), ()>> + use<> {
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

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub(super) struct Flag(pub(super) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A driver polled by hand, only when it has been woken.
pub(super) struct Rig {
    pub(super) timer: ManualTimer,
    pub(super) driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
    pub(super) woken: Arc<Flag>,
    pub(super) handle: Option<PollerHandle>,
    pub(super) remote: PollerRemote,
    pub(super) shutdowns: Vec<Pin<Box<dyn Future<Output = std::thread::Result<()>>>>>,
    pub(super) runs: Rc<Runs>,
    pub(super) watch: Watch,
}

/// A status that somebody waits to see change.
pub(super) struct Watch {
    pub(super) seen: Rc<Cell<PollerStatus>>,
    pub(super) change: Pin<Box<dyn Future<Output = PollerStatus>>>,
    pub(super) woken: Arc<Flag>,
}

impl Watch {
    pub(super) fn new(handle: &PollerHandle) -> Self {
        let seen = Rc::new(Cell::new(handle.status()));
        let last = Rc::clone(&seen);
        Self {
            seen,
            change: Box::pin(handle.wait_for(move |status| changed(&last.get(), status))),
            woken: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    /// Looks only if it has been woken.
    pub(super) fn settle(&mut self) {
        if self.woken.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(Arc::clone(&self.woken));
            let looked = self.change.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(status) = looked {
                self.seen.set(status);
                let over = matches!(status.phase, PollerPhase::Ended | PollerPhase::Panicked);
                self.woken.0.store(!over, Ordering::Relaxed);
            }
        }
    }
}

/// Whether more has changed than the time that is left.
pub(super) fn changed(a: &PollerStatus, b: &PollerStatus) -> bool {
    let what = |s: &PollerStatus| (s.phase, s.runs, s.failures, s.next_run.is_some());
    what(a) != what(b)
}

impl Rig {
    pub(super) fn new(interval: Duration, backoff: Duration, immediate: bool) -> Self {
        let (timer, runs) = (ManualTimer::new(), Rc::new(Runs::default()));
        let (handle, driver) = PollerBuilder::with_timer(timer.clone(), interval)
            .jitter(Jitter::NONE)
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
            watch: Watch::new(&handle),
            handle: Some(handle),
            shutdowns: Vec::new(),
            runs,
        }
    }

    pub(super) fn settle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.driver.is_some() && self.woken.0.swap(false, Ordering::Relaxed) {
            let driver = self.driver.as_mut().unwrap();
            let mut context = Context::from_waker(&waker);
            if driver.as_mut().poll(&mut context).is_ready() {
                self.driver = None;
            }
        }
        self.watch.settle();
    }

    pub(super) fn step(&mut self, step: Step) {
        self.give(step);
        self.settle();
    }

    /// Leaves the driver without its turn.
    pub(super) fn give(&mut self, step: Step) {
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
                if let Some(handle) = &self.handle {
                    self.shutdowns.push(Box::pin(handle.shutdown()));
                }
            }
            Step::Drop => drop(self.handle.take()),
        }
    }

    pub(super) fn status(&self) -> Option<PollerStatus> {
        self.handle.as_ref().map(PollerHandle::status)
    }
}
