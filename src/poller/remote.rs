//! A poller's orders.

use core::time::Duration;
use std::{fmt, sync::Arc};

use super::{machine::Order, shared::Control};
use crate::real::nanos;

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
    pub(super) control: Arc<dyn Control>,
}

impl PollerRemote {
    pub(super) fn new(control: Arc<dyn Control>) -> Self {
        Self { control }
    }

    /// Starts a stopped poller: its first run comes as configured, at once or
    /// after one wait, and where an old run is still in flight, when that has
    /// ended.
    ///
    /// Resumes a paused one. Does nothing while the poller is running or waiting.
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

    /// Stops the poller until it is started again. Returns immediately, and ends a pause.
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
    /// assert_eq!(poller.status().runs, 2); // at 0 and after 5 to 6.5 s
    /// # }
    /// ```
    pub fn stop(&self) {
        self.control.order(Order::Stop);
    }

    /// Asks for a run now: a wait ends at once, and during a run any number of
    /// triggers mean one further run right after it.
    ///
    /// Does nothing while the poller is stopped or paused.
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
    /// remote.trigger(); // the next run is then 5 s later, or a little more
    /// tokio::time::sleep(Duration::from_secs(4)).await;
    /// assert_eq!(poller.status().runs, 3);
    /// # }
    /// ```
    pub fn trigger(&self) {
        self.control.order(Order::Trigger);
    }

    /// Pauses the poller: no run begins until it is resumed, and the deadline of the
    /// next run stays where it is.
    ///
    /// A run in flight finishes and is counted, and the next deadline counts from its
    /// end. During a pause [`trigger`](Self::trigger) does nothing, and
    /// [`set_interval`](Self::set_interval) moves the deadline. Does nothing while the
    /// poller is stopped.
    ///
    /// ```text
    /// run     |###|         |###|             |###|
    /// wait        |---------|   |---------|---|
    /// pause         ^             ^
    /// resume           ^                      ^
    /// ```
    ///
    /// # Examples
    ///
    /// A page that is hidden and shown again is polled no more often than one that stays:
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{PollerBuilder, PollerPhase};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let page = PollerBuilder::new(Duration::from_secs(30)).spawn(|| async { Ok::<_, ()>(()) });
    /// for _ in 0..20 {
    ///     tokio::time::sleep(Duration::from_secs(1)).await;
    ///     page.pause();
    ///     assert_eq!(page.status().phase, PollerPhase::Paused);
    ///     page.resume();
    /// }
    /// assert_eq!(page.status().runs, 1);
    /// # }
    /// ```
    pub fn pause(&self) {
        self.control.order(Order::Pause);
    }

    /// Ends a pause: the next run comes at its deadline, or now if that has passed.
    ///
    /// Does nothing unless the poller is paused.
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
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// poller.pause();
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// assert_eq!(poller.status().runs, 1);
    /// poller.resume(); // the deadline has passed
    /// tokio::time::sleep(Duration::from_secs(1)).await;
    /// assert_eq!(poller.status().runs, 2);
    /// # }
    /// ```
    pub fn resume(&self) {
        self.control.order(Order::Resume);
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
    /// use afterbeat::{Jitter, PollerBuilder};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let poller = PollerBuilder::new(Duration::from_secs(5))
    ///     .jitter(Jitter::NONE)
    ///     .spawn(|| async { Ok::<_, ()>(()) });
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
