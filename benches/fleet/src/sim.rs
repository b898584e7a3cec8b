//! Virtual time: an executor of one thread whose clock jumps from event to event.
//!
//! Each thread has a simulation of its own, so that many run side by side. A
//! simulation is a function of its seed: tasks due at one instant run in the order
//! in which they went to sleep, and every random number is the thread's generator's.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use afterbeat::{Clock, Timer};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// When, in which order among those of one instant, and whom to wake.
type Event = Reverse<(u64, u64, usize)>;

struct Core {
    now: Cell<u64>,
    order: Cell<u64>,
    running: Cell<usize>,
    events: RefCell<BinaryHeap<Event>>,
    spawned: RefCell<VecDeque<Task>>,
}

impl Core {
    fn schedule(&self, at: u64, task: usize) {
        let order = self.order.get();
        self.order.set(order + 1);
        self.events.borrow_mut().push(Reverse((at, order, task)));
    }
}

thread_local! {
    static CORE: Core = const {
        Core {
            now: Cell::new(0),
            order: Cell::new(0),
            running: Cell::new(0),
            events: RefCell::new(BinaryHeap::new()),
            spawned: RefCell::new(VecDeque::new()),
        }
    };
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The virtual time since the start of the simulation.
pub fn now() -> Duration {
    Duration::from_nanos(CORE.with(|core| core.now.get()))
}

/// The same in seconds.
pub fn seconds() -> f64 {
    now().as_secs_f64()
}

/// Starts a task, which is first polled when the current one waits.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    CORE.with(|core| core.spawned.borrow_mut().push_back(Box::pin(task)));
}

/// Waits; for ever if the end is beyond the clock's range.
pub fn sleep(duration: Duration) -> Sleep {
    CORE.with(|core| Sleep {
        until: core.now.get().saturating_add(nanos(duration)),
        scheduled: false,
    })
}

/// Runs what `begin` spawns, and what that spawns, until `end` or until nobody
/// waits for anything; drops the rest.
pub fn run<R>(seed: u64, end: Duration, begin: impl FnOnce() -> R) -> R {
    fastrand::seed(seed);
    CORE.with(|core| {
        core.now.set(0);
        core.order.set(0);
        core.events.borrow_mut().clear();
        core.spawned.borrow_mut().clear();
        let result = begin();
        Executor::default().run(core, nanos(end));
        result
    })
}

#[derive(Default)]
struct Executor {
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
}

impl Executor {
    fn run(&mut self, core: &Core, end: u64) {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        loop {
            loop {
                let Some(task) = core.spawned.borrow_mut().pop_front() else {
                    break;
                };
                let place = self.free.pop().unwrap_or_else(|| {
                    self.tasks.push(None);
                    self.tasks.len() - 1
                });
                self.tasks[place] = Some(task);
                self.poll(core, place, &mut context, &woken);
            }
            let next = core.events.borrow_mut().pop();
            match next {
                Some(Reverse((at, _, place))) if at <= end => {
                    core.now.set(at);
                    self.poll(core, place, &mut context, &woken);
                }
                _ => break,
            }
        }
    }

    fn poll(&mut self, core: &Core, place: usize, context: &mut Context<'_>, woken: &Woken) {
        // The event may be of a sleep that was dropped, and its task gone.
        let Some(task) = &mut self.tasks[place] else {
            return;
        };
        core.running.set(place);
        if task.as_mut().poll(context) == Poll::Ready(()) {
            self.tasks[place] = None;
            self.free.push(place);
        } else if woken.0.swap(false, Ordering::Relaxed) {
            core.schedule(core.now.get(), place);
        }
    }
}

/// Whether the task that is being polled has woken itself. Sleeps do not need it:
/// they know their task by its place.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The future of [`sleep`]. If dropped, its task is polled once for nothing.
#[must_use]
pub struct Sleep {
    until: u64,
    scheduled: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        CORE.with(|core| {
            if core.now.get() >= self.until {
                return Poll::Ready(());
            }
            if !self.scheduled && self.until < u64::MAX {
                self.scheduled = true;
                core.schedule(self.until, core.running.get());
            }
            Poll::Pending
        })
    }
}

/// The clock of the thread's simulation, as the crate sees it.
#[derive(Clone, Copy)]
pub struct Virtual;

impl Clock for Virtual {
    type Instant = Duration;

    fn now(&self) -> Duration {
        now()
    }

    fn elapsed(&self, since: Duration) -> Duration {
        now().saturating_sub(since)
    }
}

impl Timer for Virtual {
    type Sleep = Sleep;

    fn sleep(&self, duration: Duration) -> Sleep {
        sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc, time::Duration};

    use super::{now, run, seconds, sleep, spawn};

    #[test]
    fn tasks_of_one_instant_run_in_the_order_in_which_they_went_to_sleep() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let shared = Rc::clone(&log);
        run(1, Duration::from_secs(3), move || {
            for name in 0..4 {
                let log = Rc::clone(&shared);
                spawn(async move {
                    sleep(Duration::from_secs(2)).await;
                    log.borrow_mut().push((name, now()));
                    sleep(Duration::from_secs(2)).await;
                    log.borrow_mut().push((name, now()));
                });
            }
        });
        let two = Duration::from_secs(2);
        assert_eq!(*log.borrow(), [(0, two), (1, two), (2, two), (3, two)]);
    }

    #[test]
    fn a_dropped_sleep_ends_no_other_early() {
        let end = Rc::new(RefCell::new(0.0));
        let shared = Rc::clone(&end);
        run(1, Duration::MAX, move || {
            spawn(async move {
                let mut short = Box::pin(sleep(Duration::from_secs(1)));
                let polled = std::future::poll_fn(|context| {
                    assert!(short.as_mut().poll(context).is_pending());
                    std::task::Poll::Ready(())
                });
                polled.await;
                drop(short);
                sleep(Duration::from_secs(5)).await;
                *shared.borrow_mut() = seconds();
            });
        });
        assert_eq!(*end.borrow(), 5.0);
    }

    #[test]
    fn a_simulation_is_a_function_of_its_seed() {
        let drawn = |seed| run(seed, Duration::ZERO, || fastrand::u64(..));
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
