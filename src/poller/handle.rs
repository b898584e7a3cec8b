//! A poller's owner.

use core::{
    future::{Future, poll_fn},
    time::Duration,
};
use std::{fmt, sync::Arc, thread};

use super::{
    machine::Order,
    remote::PollerRemote,
    shared::Control,
    status::{PollerPhase, PollerStatus},
};
use crate::watch::Watch;

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

    /// Pauses the poller; see [`PollerRemote::pause`].
    pub fn pause(&self) {
        self.remote.pause();
    }

    /// Ends a pause; see [`PollerRemote::resume`].
    pub fn resume(&self) {
        self.remote.resume();
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
    /// use afterbeat::{Backoff, PollerBuilder, PollerPhase};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut answers = [Err(503), Ok(()), Err(503), Err(503), Err(503)].into_iter();
    /// let poller = PollerBuilder::new(Duration::from_secs(5))
    ///     .backoff(Backoff::new())
    ///     .spawn(move || std::future::ready(answers.next().unwrap_or(Ok(()))));
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
    /// returns, the operation and all that it captured have been dropped. Several may
    /// wait. A driver that nobody polls or drops is never over, nor is a run that waits
    /// for this.
    ///
    /// # Errors
    ///
    /// What a panic carried, if one ended the poller: of a run, of the operation, of
    /// the function for the interval, of an observer, or of a destructor.
    /// Whoever asks first gets it; everybody else gets `Ok`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the poller still ends when the run in flight
    /// has finished. Dropping the handle ends that run at its next await.
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
    pub fn shutdown(
        &self,
    ) -> impl Future<Output = thread::Result<()>> + Send + Sync + Unpin + use<> {
        self.remote.control.order(Order::Shutdown);
        let mut watch = self.watch();
        poll_fn(move |context| watch.poll(context, Control::end))
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
