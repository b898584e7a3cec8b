use core::{
    future::Future,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Wake,
};

use super::Timer;

/// A virtual clock for tests, exact to the nanosecond.
///
/// Time stands still except in [`advance`](Self::advance), [`run`](Self::run)
/// and [`Timer::block`]. Clones share one clock. A reading of it is the virtual
/// time since [`new`](Self::new).
///
/// # Examples
///
/// An hour of retries, tested at once:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Backoff, ManualTimer, RetryBuilder, Timer};
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(&timer)
///     .backoff(Backoff::constant(Duration::from_secs(60)))
///     .max_retries(60);
/// let mut calls = 0;
/// let result = timer.run(policy.retry(|| {
///     calls += 1;
///     async { Err::<(), _>("refused") }
/// }));
/// assert_eq!(result, Err("refused"));
/// assert_eq!(calls, 61);
/// assert_eq!(timer.now(), Duration::from_secs(3600));
/// ```
#[derive(Clone, Default)]
pub struct ManualTimer {
    clock: Arc<Mutex<Clock>>,
}

#[derive(Default)]
struct Clock {
    now: Duration,
    sleeps_begun: u64,
    /// Sleeps that have not ended, by deadline and order of birth.
    sleeping: BTreeMap<(Duration, u64), Option<Waker>>,
}

impl ManualTimer {
    /// Returns a clock that reads zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on by `duration`, then wakes every sleep that is due.
    ///
    /// What the sleepers do next happens when their executor polls them, at the
    /// new time. To meet each deadline at its own instant, use
    /// [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{ManualTimer, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// let sleep = timer.sleep(Duration::from_secs(5));
    /// assert_eq!(timer.sleeping(), 1);
    /// timer.advance(Duration::from_secs(5));
    /// assert_eq!(timer.sleeping(), 0);
    /// # drop(sleep);
    /// ```
    pub fn advance(&self, duration: Duration) {
        self.move_on(|now| now.saturating_add(duration));
    }

    /// Runs a future to its end on this thread, moving the clock to the next
    /// deadline whenever the future waits.
    ///
    /// Returns what the future returned; the clock then reads when it did so.
    ///
    /// # Panics
    ///
    /// If the future waits and nothing sleeps on this clock: on one thread nobody
    /// could ever wake it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{ManualTimer, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// timer.run(async {
    ///     timer.sleep(Duration::from_secs(2)).await;
    ///     timer.sleep(Duration::from_nanos(1)).await;
    /// });
    /// assert_eq!(timer.now(), Duration::new(2, 1));
    /// ```
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while woken.0.swap(false, Ordering::Acquire) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return output;
                }
            }
            let next = self.lock().sleeping.keys().next().copied();
            match next {
                Some((deadline, _)) => self.move_on(|now| now.max(deadline)),
                None => panic!("the future waits, and nothing sleeps on its clock"),
            }
        }
    }

    /// Returns how many sleeps have begun and neither ended nor been dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{ManualTimer, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// drop(timer.sleep(Duration::from_secs(5)));
    /// assert_eq!(timer.sleeping(), 0);
    /// ```
    #[must_use]
    pub fn sleeping(&self) -> usize {
        self.lock().sleeping.len()
    }

    fn move_on(&self, to: impl FnOnce(Duration) -> Duration) {
        let mut clock = self.lock();
        let to = to(clock.now);
        clock.now = to;
        let later = clock.sleeping.split_off(&(to, u64::MAX));
        let due = core::mem::replace(&mut clock.sleeping, later);
        drop(clock);
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// A panic elsewhere leaves a clock that is still whole.
    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for ManualTimer {
    type Instant = Duration;
    type Sleep = ManualSleep;

    fn now(&self) -> Duration {
        self.lock().now
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.lock().now.saturating_sub(since)
    }

    fn sleep(&self, duration: Duration) -> ManualSleep {
        let mut clock = self.lock();
        let key = (clock.now.saturating_add(duration), clock.sleeps_begun);
        clock.sleeps_begun += 1;
        if key.0 > clock.now {
            clock.sleeping.insert(key, None);
        }
        drop(clock);
        ManualSleep {
            timer: self.clone(),
            key,
        }
    }

    /// Moves the clock on and returns at once.
    fn block(&self, duration: Duration) {
        self.advance(duration);
    }
}

impl fmt::Debug for ManualTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = self.lock();
        f.debug_struct("ManualTimer")
            .field("now", &clock.now)
            .field("sleeping", &clock.sleeping.len())
            .finish()
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// The sleep of a [`ManualTimer`].
///
/// Ready once the clock has reached its deadline; dropping it ends it.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct ManualSleep {
    timer: ManualTimer,
    key: (Duration, u64),
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        // Dropping a waker may run anybody's code: never under the lock.
        let replaced = match self.timer.lock().sleeping.get_mut(&self.key) {
            Some(registered) => registered.replace(waker),
            None => return Poll::Ready(()),
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        let removed = self.timer.lock().sleeping.remove(&self.key);
        drop(removed);
    }
}
