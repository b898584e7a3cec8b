use core::{
    future::Future,
    ops::ControlFlow,
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
    thread,
    time::SystemTime,
};

use super::{Clock, Timer};

/// 2020-01-01T00:00:00Z.
const START_SINCE_1970: Duration = Duration::from_secs(1_577_836_800);

/// A virtual clock for tests, exact to the nanosecond.
///
/// Time stands still except in [`advance`](Self::advance), [`run`](Self::run)
/// and [`Clock::block`]. Clones share one time. A reading of it is the virtual
/// time since [`new`](Self::new). Its calendar ([`Clock::wall`]) begins with the year 2020,
/// and also counts the time in which the machine was [suspended](Self::suspend).
///
/// # Examples
///
/// An hour of retries, tested at once:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Backoff, Clock, ManualTimer, RetryBuilder};
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
    time: Arc<Mutex<Time>>,
}

#[derive(Default)]
struct Time {
    now: Duration,
    suspended: Duration,
    sleeps_begun: u64,
    /// How many threads have taken sleeps out of the list and not yet woken them all.
    waking: usize,
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

    /// Suspends the machine for `duration`: the calendar ([`Clock::wall`]) moves on, and
    /// the clock stands still, as a monotonic clock does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, ManualTimer};
    ///
    /// let timer = ManualTimer::new();
    /// let (begun, bedtime) = (timer.now(), timer.wall());
    /// timer.suspend(Duration::from_secs(8 * 3600));
    /// assert_eq!(timer.elapsed(begun), Duration::ZERO);
    /// let asleep = timer.wall().duration_since(bedtime).unwrap();
    /// assert_eq!(asleep, Duration::from_secs(8 * 3600));
    /// ```
    pub fn suspend(&self, duration: Duration) {
        let mut time = self.lock();
        time.suspended = time.suspended.saturating_add(duration);
    }

    /// Runs a future to its end on this thread, moving the clock to the next
    /// deadline whenever the future waits.
    ///
    /// Returns what the future returned; the clock then reads when it did so.
    ///
    /// # Panics
    ///
    /// If the future waits, has not been woken, and nothing sleeps on this clock. Several
    /// threads may run futures on one clock, but a future that waits for another thread
    /// otherwise than by this clock may panic so.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, ManualTimer, Timer};
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
            let time = self.lock();
            // Another thread takes a sleep out of the list before it wakes it: asked under
            // the lock, the future has been woken, or somebody is still at it.
            let is_woken = woken.0.load(Ordering::Acquire);
            let (next, waking) = (time.sleeping.keys().next().copied(), time.waking);
            drop(time);
            match next {
                _ if is_woken => {}
                Some((deadline, _)) => self.move_on(|now| now.max(deadline)),
                None if waking > 0 => thread::yield_now(),
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
        let mut time = self.lock();
        let to = to(time.now);
        time.now = to;
        let later = time.sleeping.split_off(&(to, u64::MAX));
        let due = core::mem::replace(&mut time.sleeping, later);
        time.waking += 1;
        drop(time);
        let _waking = Waking(self);
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// A panic elsewhere leaves a clock that is still whole.
    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualTimer {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.lock().now
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.lock().now.saturating_sub(since)
    }

    /// Returns the start of 2020, plus the virtual time and all suspensions.
    fn wall(&self) -> SystemTime {
        let time = self.lock();
        let since = time.now.saturating_add(time.suspended);
        // Within 584 years, which every platform's calendar can tell.
        SystemTime::UNIX_EPOCH + START_SINCE_1970 + since.min(Duration::from_nanos(u64::MAX))
    }

    /// Moves the clock on and returns immediately.
    fn block(&self, duration: Duration) -> ControlFlow<()> {
        self.advance(duration);
        ControlFlow::Continue(())
    }
}

impl Timer for ManualTimer {
    type Sleep = ManualSleep;

    fn sleep(&self, duration: Duration) -> ManualSleep {
        let mut time = self.lock();
        let key = (time.now.saturating_add(duration), time.sleeps_begun);
        time.sleeps_begun += 1;
        if key.0 > time.now {
            time.sleeping.insert(key, None);
        }
        drop(time);
        ManualSleep {
            timer: self.clone(),
            key,
        }
    }
}

impl fmt::Debug for ManualTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.lock();
        f.debug_struct("ManualTimer")
            .field("now", &time.now)
            .field("sleeping", &time.sleeping.len())
            .finish()
    }
}

/// Wakes what it has taken out of the list. A waker may panic.
struct Waking<'a>(&'a ManualTimer);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.lock().waking -= 1;
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
