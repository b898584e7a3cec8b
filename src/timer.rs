//! The one seam for time.

use core::{future::Future, time::Duration};

#[cfg(feature = "test-util")]
mod manual;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "test-util")]
pub use self::manual::{ManualSleep, ManualTimer};
#[cfg(feature = "tokio")]
pub use self::tokio::TokioTimer;

/// A clock that is read, and a sleep.
///
/// The crate knows time through this trait only: with a virtual clock, or one
/// that runs 40 times faster, a whole program follows. Implement it to use the
/// crate with another runtime; a reference to a timer is a timer.
///
/// For every implementation: the clock never runs backwards, and a sleep of `d`
/// begun at `t` is ready once the clock reads `t + d`, and not before. A sleep that is
/// ready at its first poll makes a loop of failures that never yields.
///
/// # Examples
///
/// A timer that runs faster than the one inside it:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{ManualTimer, RetryBuilder, Timer};
///
/// struct Faster<T>(T, u32);
///
/// impl<T: Timer> Timer for Faster<T> {
///     type Instant = T::Instant;
///     type Sleep = T::Sleep;
///
///     fn now(&self) -> T::Instant {
///         self.0.now()
///     }
///     fn elapsed(&self, since: T::Instant) -> Duration {
///         self.0.elapsed(since).saturating_mul(self.1)
///     }
///     fn sleep(&self, duration: Duration) -> T::Sleep {
///         // Rounded up: never ready early.
///         self.0.sleep(duration / self.1 + Duration::from_nanos(1))
///     }
///     fn block(&self, duration: Duration) {
///         self.0.block(duration / self.1 + Duration::from_nanos(1));
///     }
/// }
///
/// let wall = ManualTimer::new();
/// let begun = wall.now();
/// let refused = RetryBuilder::with_timer(Faster(&wall, 40))
///     .initial_delay(Duration::from_secs(40))
///     .jitter(afterbeat::Jitter::NONE)
///     .max_retries(1)
///     .retry(|| async { Err::<(), _>("refused") });
/// assert_eq!(wall.run(refused), Err("refused"));
/// assert_eq!(wall.elapsed(begun), Duration::new(1, 1));
/// ```
pub trait Timer {
    /// A reading of the clock.
    type Instant: Copy;
    /// The future of [`sleep`](Self::sleep).
    type Sleep: Future<Output = ()>;

    /// Reads the clock.
    fn now(&self) -> Self::Instant;

    /// Returns the time since a reading; zero for one from the future.
    fn elapsed(&self, since: Self::Instant) -> Duration;

    /// Begins a sleep. Dropping it ends it, with nothing left behind.
    fn sleep(&self, duration: Duration) -> Self::Sleep;

    /// Blocks the thread for `duration`: [`std::thread::sleep`] unless
    /// overridden.
    ///
    /// A virtual clock overrides it; so does a timer whose clock runs at
    /// another speed.
    #[cfg(feature = "std")]
    fn block(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

impl<T: Timer + ?Sized> Timer for &T {
    type Instant = T::Instant;
    type Sleep = T::Sleep;

    fn now(&self) -> T::Instant {
        (**self).now()
    }

    fn elapsed(&self, since: T::Instant) -> Duration {
        (**self).elapsed(since)
    }

    fn sleep(&self, duration: Duration) -> T::Sleep {
        (**self).sleep(duration)
    }

    #[cfg(feature = "std")]
    fn block(&self, duration: Duration) {
        (**self).block(duration);
    }
}
