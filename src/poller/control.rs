//! A pushed poller seen from outside: its orders and its status.

use core::{
    any::Any,
    future::{Future, poll_fn},
    task::Waker,
    time::Duration,
};
use std::{
    fmt,
    sync::{Arc, PoisonError},
    thread,
};

use super::pace::{AfterFailures, FOREVER, Pace};
use crate::{
    real::nanos,
    sync::{Mutex, MutexGuard},
    timer::Timer,
    watch::{Watch, Watched, Watchers},
};

/// What a panic carried.
pub(super) type Payload = Box<dyn Any + Send>;

/// What a pushed poller is doing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{PollerBuilder, PollerPhase};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
/// poller.stop();
/// assert_eq!(poller.status().phase, PollerPhase::Stopped);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PollerPhase {
    /// Waiting for the next run.
    Waiting,
    /// A run is in flight.
    Running,
    /// A run is in flight; none follows it unless the poller is started again.
    Stopping,
    /// Nothing runs until the poller is started.
    Stopped,
    /// Over, by shutdown, drop of the handle or drop of the driver.
    Ended,
    /// Over, because a run panicked.
    Panicked,
}

/// What a pushed poller is doing, and has done.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::PollerBuilder;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Err::<(), _>(503) });
/// tokio::time::sleep(Duration::from_secs(8)).await;
/// let status = poller.status();
/// assert_eq!((status.runs, status.failures), (2, 2));
/// assert_eq!(status.next_run, Some(Duration::from_secs(2)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerStatus {
    /// What it is doing.
    pub phase: PollerPhase,
    /// How many runs have ended with an outcome.
    pub runs: u64,
    /// How many of the last runs in a row have failed: zero after a success, so that
    /// it tells how the last run ended.
    pub failures: u32,
    /// The time until the next run, once the driver has begun to wait for it.
    pub next_run: Option<Duration>,
}

/// The owner of a pushed poller; dropping it cancels the poller.
///
/// Made by [`PollerBuilder::spawn`](super::PollerBuilder::spawn) and
/// [`driver`](super::PollerBuilder::driver). Not `Clone`: it gives
/// [`remotes`](Self::remote) to those who only give orders. After the drop has
/// returned no run begins, and a run in flight ends at its next await.
///
/// Orders take effect in the order they are given, from any thread, also from
/// inside a run. A run is in flight from the moment the driver takes it up, which
/// [`status`](Self::status) tells; on another thread its first line may still be
/// about to run.
///
/// # Examples
///
/// ```
/// use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use afterbeat::PollerBuilder;
///
/// static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async {
///     RUNS.fetch_add(1, Ordering::Relaxed);
///     Ok::<(), ()>(())
/// });
/// tokio::time::sleep(Duration::from_secs(1)).await;
/// drop(poller);
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert_eq!(RUNS.load(Ordering::Relaxed), 1);
/// # }
/// ```
#[must_use = "dropping the handle cancels the poller"]
pub struct PollerHandle {
    remote: PollerRemote,
}

impl PollerHandle {
    pub(super) fn new(remote: PollerRemote) -> Self {
        Self { remote }
    }

    /// Returns a remote, which gives orders but owns nothing.
    #[must_use]
    pub fn remote(&self) -> PollerRemote {
        self.remote.clone()
    }

    /// Returns what the poller is doing at this moment.
    #[must_use]
    pub fn status(&self) -> PollerStatus {
        self.remote.control.status()
    }

    /// Starts the poller; see [`PollerRemote::start`].
    pub fn start(&self) {
        self.remote.start();
    }

    /// Stops the poller; see [`PollerRemote::stop`].
    pub fn stop(&self) {
        self.remote.stop();
    }

    /// Asks for a run now; see [`PollerRemote::trigger`].
    pub fn trigger(&self) {
        self.remote.trigger();
    }

    /// Changes the interval; see [`PollerRemote::set_interval`].
    pub fn set_interval(&self, interval: Duration) {
        self.remote.set_interval(interval);
    }

    /// Waits until the status is as `wanted`, or the poller is over, and returns the
    /// status.
    ///
    /// The function is called with the status as it is, and again when it has
    /// changed. What has passed before the future is polled again is not seen: a
    /// short run may be over. The counts only grow, so wait for them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. It owns nothing either: the poller ends
    /// with its handle, and the future tells so.
    ///
    /// # Examples
    ///
    /// Not ready before the first success, and told of an outage:
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{PollerBuilder, PollerPhase};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut answers = [Err(503), Ok(()), Err(503), Err(503), Err(503)].into_iter();
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(move || {
    ///     std::future::ready(answers.next().unwrap_or(Ok(())))
    /// });
    /// let ready = poller.wait_for(|status| status.runs > 0 && status.failures == 0).await;
    /// assert_eq!((ready.phase, ready.runs), (PollerPhase::Waiting, 2));
    /// let outage = poller.wait_for(|status| status.failures == 3).await;
    /// assert_eq!(outage.runs, 5);
    /// # }
    /// ```
    pub fn wait_for<F>(&self, mut wanted: F) -> impl Future<Output = PollerStatus> + use<F>
    where
        F: FnMut(&PollerStatus) -> bool,
    {
        let mut watch = self.watch();
        poll_fn(move |context| {
            watch.poll(context, |control| {
                let status = control.status();
                let over = matches!(status.phase, PollerPhase::Ended | PollerPhase::Panicked);
                (over || wanted(&status)).then_some(status)
            })
        })
    }

    fn watch(&self) -> Watch<dyn Control> {
        Watch::new(Arc::clone(&self.remote.control))
    }

    /// Ends the poller and waits until it is over.
    ///
    /// No run begins after the call; the run in flight is let finish. When it
    /// returns, the operation and all that it captured have been dropped. A driver
    /// that nobody polls or drops is never over, nor is a run that waits for this.
    ///
    /// # Errors
    ///
    /// What a panic carried, if one ended the poller: of a run, of the operation, of
    /// the function for the interval, or of a destructor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is dropping the handle: the run in flight ends at its
    /// next await.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async {
    ///     if true {
    ///         panic!("disk on fire");
    ///     }
    ///     Ok::<(), ()>(())
    /// });
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// let payload = poller.shutdown().await.unwrap_err();
    /// assert_eq!(payload.downcast_ref(), Some(&"disk on fire"));
    /// # }
    /// ```
    pub fn shutdown(self) -> impl Future<Output = thread::Result<()>> + Send + Sync + Unpin {
        self.remote.control.order(Order::Shutdown);
        let mut watch = self.watch();
        poll_fn(move |context| {
            let _owned = &self;
            watch.poll(context, Control::end)
        })
    }
}

impl Drop for PollerHandle {
    fn drop(&mut self) {
        self.remote.control.order(Order::Cancel);
    }
}

impl fmt::Debug for PollerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PollerHandle").field(&self.status()).finish()
    }
}

/// Gives orders to a pushed poller without owning it.
///
/// Clones command the same poller. Once it is over, orders do nothing.
///
/// # Examples
///
/// A run that stops its own poller:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{PollerBuilder, PollerPhase};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn_with(|remote| {
///     move || {
///         remote.stop();
///         async { Ok::<(), ()>(()) }
///     }
/// });
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert_eq!(poller.status().phase, PollerPhase::Stopped);
/// assert_eq!(poller.status().runs, 1);
/// # }
/// ```
#[derive(Clone)]
pub struct PollerRemote {
    control: Arc<dyn Control>,
}

impl PollerRemote {
    pub(super) fn new(control: Arc<dyn Control>) -> Self {
        Self { control }
    }

    /// Starts a stopped poller: its first run comes as configured, at once or
    /// after one wait, and where an old run is still in flight, when that has
    /// ended.
    ///
    /// Does nothing while the poller is running or waiting.
    ///
    /// ```text
    /// run     |###|###|         |###|         |###
    /// wait            |---------|   |---------|
    /// stop      ^
    /// start     ^
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
    /// let remote = poller.remote();
    /// remote.stop();
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// remote.start();
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// assert_eq!(poller.status().runs, 1);
    /// # }
    /// ```
    pub fn start(&self) {
        self.control.order(Order::Start);
    }

    /// Stops the poller until it is started again. Returns at once.
    ///
    /// No run begins after the call, also where it comes during a run, from
    /// inside it, or in the instant the wait ends: a run in flight finishes and
    /// is counted, and nothing follows it.
    ///
    /// ```text
    /// run     |###|         |###|
    /// wait        |---------|
    /// stop                    ^
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
    /// let remote = poller.remote();
    /// tokio::time::sleep(Duration::from_secs(7)).await;
    /// remote.stop();
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// assert_eq!(poller.status().runs, 2); // at 0 and 5 s
    /// # }
    /// ```
    pub fn stop(&self) {
        self.control.order(Order::Stop);
    }

    /// Asks for a run now: a wait ends at once, and during a run any number of
    /// triggers mean one further run right after it.
    ///
    /// Does nothing while the poller is stopped.
    ///
    /// ```text
    /// run     |###|   |###|###|         |###
    /// wait        |---|       |---------|
    /// trigger         ^ ^^
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
    /// let remote = poller.remote();
    /// tokio::time::sleep(Duration::from_secs(7)).await;
    /// remote.trigger(); // the next run is then at 12 s
    /// tokio::time::sleep(Duration::from_secs(4)).await;
    /// assert_eq!(poller.status().runs, 3);
    /// # }
    /// ```
    pub fn trigger(&self) {
        self.control.order(Order::Trigger);
    }

    /// Changes the interval.
    ///
    /// A wait in progress then lasts until the end of the last run and the new
    /// interval, with a fresh draw of jitter: it ends now if that has passed.
    /// `Duration::MAX` waits for a trigger.
    ///
    /// ```text
    /// run     |###|     |###|     |###|
    /// wait        |-----|   |-----|
    /// set to 3      ^
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::PollerBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5)).spawn(|| async { Ok::<_, ()>(()) });
    /// let remote = poller.remote();
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// remote.set_interval(Duration::from_secs(2));
    /// tokio::time::sleep(Duration::from_secs(6)).await;
    /// assert_eq!(poller.status().runs, 4); // at 0, 2, 4 and 6 s
    /// # }
    /// ```
    pub fn set_interval(&self, interval: Duration) {
        self.control.order(Order::SetInterval(nanos(interval)));
    }
}

impl fmt::Debug for PollerRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.control.status();
        f.debug_tuple("PollerRemote").field(&status).finish()
    }
}

#[derive(Clone, Copy)]
pub(super) enum Order {
    Start,
    Stop,
    Trigger,
    SetInterval(u64),
    Shutdown,
    Cancel,
}

/// A poller's shared state, without its timer's type.
pub(super) trait Control: Watched + Send + Sync {
    fn order(&self, order: Order);
    fn status(&self) -> PollerStatus;
    /// How the poller ended, once nothing of it is left.
    fn end(&self) -> Option<thread::Result<()>>;
}

/// What orders and the driver agree on. Each order, and each step of the driver,
/// is one change of `state` under its lock; no foreign code runs under it.
pub(super) struct Shared<T: Timer, B> {
    pub(super) timer: T,
    immediate: bool,
    state: Mutex<State<T::Instant, B>>,
}

struct State<I, B> {
    phase: Phase<I>,
    runs: u64,
    pace: Pace<B>,
    /// Whether the driver has ended: nothing of a run is left.
    over: bool,
    driver: Option<Waker>,
    watchers: Watchers,
}

enum Phase<I> {
    Stopped,
    /// A wait that counts from `since` is to be armed.
    Unarmed {
        since: I,
    },
    /// A wait of so many nanoseconds that counts from `since`. Only the driver enters
    /// this phase.
    Waiting {
        since: I,
        length: u64,
    },
    /// A run is to begin at once.
    Due,
    Running(Then),
    Ended,
    /// The payload is there until a shutdown takes it.
    Panicked(Option<Payload>),
}

/// What follows the run in flight.
#[derive(Clone, Copy)]
enum Then {
    Wait,
    RunAgain,
    Stop,
    Start,
    End,
}

/// What the driver does next.
pub(super) enum Step<I> {
    /// Drop the wait.
    Halt,
    /// Begin a wait of so many nanoseconds that counts from `since`.
    Arm { since: I, length: u64 },
    /// Go on with the wait.
    Wait,
    /// Begin a run: it counts as begun.
    Begin,
    /// Poll the run.
    Run,
    /// Drop what is left.
    End,
}

/// What the driver does after a run.
pub(super) enum After {
    /// Begin a wait of so many nanoseconds.
    Wait(u64),
    /// Begin another, when other tasks have had their turn.
    Yield,
    /// Ask for the next step.
    Ask,
}

impl<T: Timer, B: AfterFailures> Shared<T, B> {
    pub(super) fn new(timer: T, pace: Pace<B>, immediate: bool) -> Self {
        let phase = if immediate {
            Phase::Due
        } else {
            Phase::Unarmed { since: timer.now() }
        };
        Self {
            timer,
            immediate,
            state: Mutex::new(State {
                phase,
                runs: 0,
                pace,
                over: false,
                driver: None,
                watchers: Watchers::default(),
            }),
        }
    }

    /// The driver's next step, where `waited` tells whether its wait is over. From now
    /// on orders wake `waker`.
    pub(super) fn next(&self, waker: &Waker, waited: bool) -> Step<T::Instant> {
        let mut state = self.lock();
        let mut former = None;
        if !state
            .driver
            .as_ref()
            .is_some_and(|driver| driver.will_wake(waker))
        {
            drop(state);
            let waker = waker.clone();
            state = self.lock();
            former = state.driver.replace(waker);
        }
        let step = match state.phase {
            Phase::Stopped => Step::Halt,
            Phase::Unarmed { since } => {
                let length = state.pace.wait();
                state.phase = Phase::Waiting { since, length };
                Step::Arm { since, length }
            }
            Phase::Waiting { .. } if !waited => Step::Wait,
            Phase::Waiting { .. } | Phase::Due => {
                state.phase = Phase::Running(Then::Wait);
                Step::Begin
            }
            Phase::Running(_) => Step::Run,
            Phase::Ended | Phase::Panicked(_) => Step::End,
        };
        match step {
            Step::Arm { .. } | Step::Begin => tell(state, None),
            _ => drop(state),
        }
        drop(former);
        step
    }

    /// A run has ended, and the function for the interval has answered.
    pub(super) fn ran(&self, ok: bool, interval: Option<u64>) -> After {
        let since = self.timer.now();
        let mut state = self.lock();
        state.runs += 1;
        state.pace.ended(ok);
        if let Some(interval) = interval {
            state.pace.set_interval(interval);
        }
        let mut after = After::Ask;
        if let Phase::Running(then) = state.phase {
            state.phase = match then {
                Then::Start if self.immediate => Phase::Due,
                Then::Wait | Then::Start => {
                    let length = state.pace.wait();
                    after = After::Wait(length);
                    Phase::Waiting { since, length }
                }
                Then::RunAgain => Phase::Due,
                Then::Stop => Phase::Stopped,
                Then::End => Phase::Ended,
            };
        }
        if let Phase::Due = state.phase {
            after = After::Yield;
        }
        tell(state, None);
        after
    }
}

impl<T: Timer, B> Shared<T, B> {
    /// The driver has ended, with what a panic carried if that was the cause.
    pub(super) fn close(&self, panic: Option<Payload>) {
        let mut state = self.lock();
        match panic {
            Some(payload) => state.phase = Phase::Panicked(Some(payload)),
            None if matches!(state.phase, Phase::Panicked(_)) => {}
            None => state.phase = Phase::Ended,
        }
        state.over = true;
        let driver = state.driver.take();
        tell(state, None);
        drop(driver);
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
        let since = self.timer.now();
        let mut state = self.lock();
        if let Order::SetInterval(interval) = order {
            state.pace.set_interval(interval);
        }
        let next = match (order, &state.phase) {
            (_, Phase::Ended | Phase::Panicked(_)) => return,
            (Order::Start, Phase::Stopped) if self.immediate => Phase::Due,
            (Order::Start, Phase::Stopped) => Phase::Unarmed { since },
            (Order::Start, Phase::Running(Then::Stop)) => Phase::Running(Then::Start),
            (Order::Start, _) => return,
            (Order::Stop, Phase::Running(Then::End)) => return,
            (Order::Stop, Phase::Running(_)) => Phase::Running(Then::Stop),
            (Order::Stop, _) => Phase::Stopped,
            (Order::Trigger, Phase::Unarmed { .. } | Phase::Waiting { .. }) => Phase::Due,
            (Order::Trigger, Phase::Running(Then::Wait | Then::Start)) => {
                Phase::Running(Then::RunAgain)
            }
            (Order::Trigger, _) => return,
            (Order::SetInterval(_), Phase::Waiting { since, .. }) => {
                Phase::Unarmed { since: *since }
            }
            (Order::SetInterval(_), _) => return,
            (Order::Shutdown, Phase::Running(_)) => Phase::Running(Then::End),
            (Order::Shutdown | Order::Cancel, _) => Phase::Ended,
        };
        state.phase = next;
        let driver = state.driver.take();
        tell(state, driver);
    }

    fn status(&self) -> PollerStatus {
        let state = self.lock();
        let (phase, waiting) = match state.phase {
            Phase::Stopped => (PollerPhase::Stopped, None),
            Phase::Waiting { since, length } if length < FOREVER => {
                (PollerPhase::Waiting, Some((since, length)))
            }
            Phase::Unarmed { .. } | Phase::Waiting { .. } | Phase::Due => {
                (PollerPhase::Waiting, None)
            }
            Phase::Running(Then::Stop | Then::End) => (PollerPhase::Stopping, None),
            Phase::Running(_) => (PollerPhase::Running, None),
            Phase::Ended => (PollerPhase::Ended, None),
            Phase::Panicked(_) => (PollerPhase::Panicked, None),
        };
        let (runs, failures) = (state.runs, state.pace.failures());
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
        let mut state = self.lock();
        state.over.then(|| match &mut state.phase {
            Phase::Panicked(payload) => payload.take().map_or(Ok(()), Err),
            _ => Ok(()),
        })
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
