//! A poller with an owner, and the future that drives it.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use pin_project::{pin_project, pinned_drop};

use super::{
    builder::PollerBuilder,
    cycle::Cycle,
    handle::PollerHandle,
    machine::{After, Step},
    pace::{AfterFailures, FOREVER, IntervalBy, Pace},
    remote::PollerRemote,
    shared::{Payload, Shared},
    teller::{Observers, ObserversOf, Teller},
};
use crate::{real::nanos, timer::Timer, unset::Unset};

impl<T, G, B, O> PollerBuilder<T, G, B, O>
where
    T: Timer<Instant: Send> + Send + Sync + 'static,
    B: AfterFailures + Send + 'static,
{
    /// Returns the poller's owner and the future that drives it, for any
    /// executor.
    ///
    /// `make` is given a remote, for runs that give orders to their own poller,
    /// and returns the operation. The poller has been started; it runs as the
    /// driver is polled. The driver ends when the poller is over; dropping it
    /// ends the poller.
    ///
    /// # Panics
    ///
    /// Never the driver: a panic in a run ends the poller, and its payload is
    /// kept for [`PollerHandle::shutdown`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{ManualTimer, PollerBuilder, Timer};
    ///
    /// let timer = ManualTimer::new();
    /// let mut runs = 0;
    /// let (poller, driver) = PollerBuilder::with_timer(timer.clone(), Duration::from_secs(5))
    ///     .driver(|remote| {
    ///         move || {
    ///             runs += 1;
    ///             if runs == 3 {
    ///                 remote.stop();
    ///             }
    ///             async { Ok::<(), ()>(()) }
    ///         }
    ///     });
    /// let done = async {
    ///     timer.sleep(Duration::from_secs(60)).await;
    ///     assert_eq!(poller.status().runs, 3);
    ///     poller.shutdown().await.unwrap();
    /// };
    /// timer.run(futures_util::future::join(driver, done));
    /// ```
    pub fn driver<F, Fut, V, E>(
        self,
        make: impl FnOnce(PollerRemote) -> F,
    ) -> (PollerHandle, PollerDriver<F, Fut, T, G, B, O>)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<V, E>>,
        G: IntervalBy<V, E>,
        O: ObserversOf<E>,
    {
        let pace = Pace::new(self.interval, self.jitter, self.backoff);
        let shared = Arc::new(Shared::new(self.timer, pace, self.immediate));
        let remote = PollerRemote::new(Arc::clone(&shared) as _);
        let handle = PollerHandle::new(remote.clone());
        let driver = PollerDriver {
            work: Some(Work {
                cycle: Cycle::new(make(remote)),
                interval_by: self.interval_by,
                teller: Teller::new(self.observers),
            }),
            shared,
        };
        (handle, driver)
    }
}

#[cfg(feature = "tokio")]
impl<T, G, B, O> PollerBuilder<T, G, B, O>
where
    T: Timer<Instant: Send, Sleep: Send> + Send + Sync + 'static,
    B: AfterFailures + Send + 'static,
{
    /// Spawns the poller on the current tokio runtime, started.
    ///
    /// The operation makes a future for each run, which owns what it uses: clone
    /// into it what is shared.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A panic in a run ends the poller and nothing
    /// else: see [`PollerHandle::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the handle cancels the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::{Arc, Mutex}, time::Duration};
    /// use afterbeat::{Backoff, PollerBuilder};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let polled = Arc::clone(&log);
    /// let poller = PollerBuilder::new(Duration::from_secs(5))
    ///     .backoff(Backoff::new())
    ///     .spawn(move || {
    ///         let log = Arc::clone(&polled);
    ///         async move {
    ///             log.lock().unwrap().push("polled");
    ///             Ok::<(), std::io::Error>(())
    ///         }
    ///     });
    /// tokio::time::sleep(Duration::from_secs(7)).await;
    /// poller.shutdown().await.unwrap();
    /// assert_eq!(*log.lock().unwrap(), ["polled", "polled"]);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F, Fut, V, E>(self, op: F) -> PollerHandle
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        G: IntervalBy<V, E> + Send + 'static,
        O: ObserversOf<E, Begun<T::Instant>: Send> + Send + 'static,
    {
        self.spawn_with(|_| op)
    }

    /// Spawns a poller whose operation is made with a remote, so that its runs
    /// can stop, trigger or re-time it; see [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn_with(|remote| {
    ///     move || {
    ///         remote.set_interval(Duration::from_secs(20));
    ///         async { Ok::<(), ()>(()) }
    ///     }
    /// });
    /// tokio::time::sleep(Duration::from_secs(39)).await;
    /// assert_eq!(poller.status().runs, 2);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_with<F, Fut, V, E>(self, make: impl FnOnce(PollerRemote) -> F) -> PollerHandle
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        G: IntervalBy<V, E> + Send + 'static,
        O: ObserversOf<E, Begun<T::Instant>: Send> + Send + 'static,
    {
        let (handle, driver) = self.driver(make);
        tokio::spawn(driver);
        handle
    }
}

/// The future that drives a pushed poller; see [`PollerBuilder::driver`].
#[pin_project(PinnedDrop)]
#[must_use = "a future does nothing unless it is polled"]
pub struct PollerDriver<F, Fut, T: Timer, G = Unset, B = Unset, O: Observers = Unset> {
    /// None once the poller is over.
    #[pin]
    work: Option<Work<F, Fut, T, G, O>>,
    shared: Arc<Shared<T, B>>,
}

#[pin_project]
struct Work<F, Fut, T: Timer, G, O: Observers> {
    #[pin]
    cycle: Cycle<F, Fut, T::Sleep>,
    interval_by: G,
    teller: Teller<T, O>,
}

impl<F, Fut, T, G, B, O, V, E> PollerDriver<F, Fut, T, G, B, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    G: IntervalBy<V, E>,
    B: AfterFailures,
    O: ObserversOf<E>,
{
    /// Is ready once the poller is to end.
    fn drive(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(work) = this.work.as_pin_mut() else {
            return Poll::Ready(());
        };
        let mut work = work.project();
        let mut waited = work.cycle.as_mut().poll_wait(context).is_ready();
        loop {
            match this.shared.next(context.waker(), waited) {
                Step::Halt => {
                    work.cycle.halt();
                    return Poll::Pending;
                }
                Step::Arm { since, length } => {
                    let left = match length {
                        FOREVER => FOREVER,
                        _ => length.saturating_sub(nanos(this.shared.timer.elapsed(since))),
                    };
                    if left == 0 {
                        // At once: an order that re-times each turn must not put it off.
                        waited = true;
                        continue;
                    }
                    work.cycle.as_mut().arm(&this.shared.timer, left);
                }
                Step::Wait => return Poll::Pending,
                Step::Begin => {
                    work.teller.begin(&this.shared.timer);
                    work.cycle.as_mut().begin();
                }
                Step::Run => {}
                Step::End => return Poll::Ready(()),
            }
            if work.cycle.is_running() {
                let outcome = ready!(work.cycle.as_mut().poll_run(context));
                let interval = work.interval_by.interval(&outcome);
                let (after, failures) = this.shared.ran(outcome.is_ok(), interval);
                let wait = match after {
                    After::Wait(length) => length,
                    After::Yield => 0,
                    After::Ask => FOREVER,
                };
                if let After::Wait(_) = after {
                    work.cycle.as_mut().arm(&this.shared.timer, wait);
                }
                work.teller
                    .ended(&this.shared.timer, &outcome, failures, wait);
                match after {
                    After::Wait(_) => ready!(work.cycle.as_mut().poll_wait(context)),
                    After::Yield => {}
                    After::Ask => continue,
                }
                // One run a turn: neither runs that trigger themselves nor a timer that is
                // ready at once may starve the executor.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(work.cycle.as_mut().poll_wait(context));
            waited = true;
        }
    }
}

impl<F, Fut, T: Timer, G, B, O: Observers> PollerDriver<F, Fut, T, G, B, O> {
    /// Drops all that is left, then says that the poller is over. The first panic
    /// is the one that is told.
    fn close(self: Pin<&mut Self>, panic: Option<Payload>) {
        let mut this = self.project();
        let dropped = catch_unwind(AssertUnwindSafe(|| this.work.set(None)));
        this.shared.close(panic.or(dropped.err()));
    }
}

impl<F, Fut, T, G, B, O, V, E> Future for PollerDriver<F, Fut, T, G, B, O>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    T: Timer,
    G: IntervalBy<V, E>,
    B: AfterFailures,
    O: ObserversOf<E>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // What a panic leaves behind is dropped, never polled again.
        let driven = catch_unwind(AssertUnwindSafe(|| self.as_mut().drive(context)));
        match driven {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => self.close(None),
            Err(payload) => self.close(Some(payload)),
        }
        Poll::Ready(())
    }
}

#[pinned_drop]
impl<F, Fut, T: Timer, G, B, O: Observers> PinnedDrop for PollerDriver<F, Fut, T, G, B, O> {
    fn drop(self: Pin<&mut Self>) {
        self.close(None);
    }
}

impl<F, Fut, T: Timer, G, B, O: Observers> fmt::Debug for PollerDriver<F, Fut, T, G, B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.work.as_ref().map(|work| work.cycle.is_running());
        f.debug_struct("PollerDriver")
            .field("running", &running)
            .finish_non_exhaustive()
    }
}
