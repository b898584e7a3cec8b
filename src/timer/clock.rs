#[cfg(feature = "std")]
use core::ops::ControlFlow;
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::SystemTime;

use crate::entropy::fresh;

/// A clock that is read, and what else a policy takes from its environment.
///
/// The crate knows time and random numbers through this trait and [`Timer`](super::Timer)
/// only, so a whole program can be run by a virtual clock. A blocking program needs no
/// more than a clock; a reference to a clock is a clock.
///
/// For every implementation: the clock never runs backwards, and its counter may wrap
/// only if [`elapsed`](Self::elapsed) is right across the wrap. Implementations that wrap
/// another clock forward every method; those left out silently become the provided ones.
///
/// # Examples
///
/// The clock of a device, with a hardware generator for the jitter:
///
/// ```
/// use std::{sync::atomic::{AtomicU32, Ordering::Relaxed}, time::Duration};
/// use afterbeat::Clock;
///
/// # fn hardware_random() -> u64 { 7 }
/// /// Milliseconds, counted in an interrupt; they wrap after 49 days.
/// static TICKS: AtomicU32 = AtomicU32::new(0);
///
/// struct Ticks;
///
/// impl Clock for Ticks {
///     type Instant = u32;
///
///     fn now(&self) -> u32 {
///         TICKS.load(Relaxed)
///     }
///     fn elapsed(&self, since: u32) -> Duration {
///         // The half that lies behind; the other half is the future.
///         let ticks = self.now().wrapping_sub(since);
///         Duration::from_millis(if ticks > u32::MAX / 2 { 0 } else { ticks.into() })
///     }
///     fn entropy(&self) -> u64 {
///         hardware_random()
///     }
/// }
///
/// let begun = Ticks.now();
/// TICKS.fetch_add(5, Relaxed);
/// assert_eq!(Ticks.elapsed(begun), Duration::from_millis(5));
/// assert_eq!(Ticks.elapsed(begun.wrapping_add(9)), Duration::ZERO);
/// ```
pub trait Clock {
    /// A reading of the clock.
    type Instant: Copy;

    /// Reads the clock.
    fn now(&self) -> Self::Instant;

    /// Returns the time since a reading; zero for one from the future.
    fn elapsed(&self, since: Self::Instant) -> Duration;

    /// Reads the calendar: [`SystemTime::now`] by default.
    ///
    /// Unlike the clock it may jump, and it also counts the time in which the machine was
    /// suspended.
    ///
    /// # Panics
    ///
    /// The provided method panics on `wasm32-unknown-unknown`, which has no calendar.
    #[cfg(feature = "std")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns a random number, from which one jittered wait is computed.
    ///
    /// By default it comes from the thread's generator. Two limits weaken what jitter
    /// promises:
    ///
    /// - without the feature `std` it comes from a counter, so the numbers are *the same
    ///   after each start*: devices that are switched on together retry in step. Override
    ///   it with the device's own source;
    /// - on `wasm32-unknown-unknown` the thread's generator starts the same in each
    ///   program, unless the feature `js` is enabled.
    fn entropy(&self) -> u64 {
        fresh()
    }

    /// Blocks the thread for `duration`: [`std::thread::sleep`] by default.
    ///
    /// Breaks if the wait was interrupted, for example by a signal or a shutdown. The
    /// sequence then ends with its last error, for
    /// [`GiveUp::Interrupted`](crate::GiveUp::Interrupted).
    ///
    /// A virtual clock overrides it; so does a clock that runs at another speed.
    ///
    /// # Examples
    ///
    /// A wait that a shutdown ends:
    ///
    /// ```
    /// use std::{ops::ControlFlow, sync::mpsc::{Receiver, RecvTimeoutError, channel}, time::Duration};
    /// use afterbeat::{Clock, RetryBuilder, StdClock};
    ///
    /// struct UntilShutdown(Receiver<()>);
    ///
    /// impl Clock for UntilShutdown {
    ///     type Instant = std::time::Instant;
    ///
    ///     fn now(&self) -> Self::Instant {
    ///         StdClock.now()
    ///     }
    ///     fn elapsed(&self, since: Self::Instant) -> Duration {
    ///         StdClock.elapsed(since)
    ///     }
    ///     fn block(&self, duration: Duration) -> ControlFlow<()> {
    ///         match self.0.recv_timeout(duration) {
    ///             Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
    ///             _ => ControlFlow::Break(()),
    ///         }
    ///     }
    /// }
    ///
    /// let (shutdown, waits) = channel();
    /// let policy = RetryBuilder::with_timer(UntilShutdown(waits))
    ///     .initial_delay(Duration::from_secs(3600));
    /// shutdown.send(()).unwrap();
    /// // Returns immediately, not after an hour.
    /// assert_eq!(policy.retry_blocking(|| Err::<(), _>("refused")), Err("refused"));
    /// ```
    #[cfg(feature = "std")]
    fn block(&self, duration: Duration) -> ControlFlow<()> {
        std::thread::sleep(duration);
        ControlFlow::Continue(())
    }
}

impl<T: Clock + ?Sized> Clock for &T {
    type Instant = T::Instant;

    fn now(&self) -> T::Instant {
        (**self).now()
    }

    fn elapsed(&self, since: T::Instant) -> Duration {
        (**self).elapsed(since)
    }

    #[cfg(feature = "std")]
    fn wall(&self) -> SystemTime {
        (**self).wall()
    }

    fn entropy(&self) -> u64 {
        (**self).entropy()
    }

    #[cfg(feature = "std")]
    fn block(&self, duration: Duration) -> ControlFlow<()> {
        (**self).block(duration)
    }
}
