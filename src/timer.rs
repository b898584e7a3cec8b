//! The one seam for the environment.

use core::{future::Future, time::Duration};

#[cfg(feature = "test-util")]
mod check;
mod clock;
#[cfg(feature = "embassy-time")]
mod embassy;
#[cfg(feature = "futures-timer")]
mod futures_timer;
#[cfg(feature = "test-util")]
mod manual;
#[cfg(feature = "std")]
mod system;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "test-util")]
pub use self::check::check_timer;
pub use self::clock::Clock;
#[cfg(feature = "embassy-time")]
pub use self::embassy::EmbassyTimer;
#[cfg(feature = "futures-timer")]
pub use self::futures_timer::FuturesTimer;
#[cfg(feature = "test-util")]
pub use self::manual::{ManualSleep, ManualTimer};
#[cfg(feature = "std")]
pub use self::system::StdClock;
#[cfg(feature = "tokio")]
pub use self::tokio::TokioTimer;

/// A clock that can also sleep in a future.
///
/// Implement it to use the crate with another runtime, or with a clock that runs 40 times
/// faster. A reference to a timer is a timer.
///
/// For every implementation: a sleep of `d` begun at `t` is ready once the clock reads
/// `t + d`, and not before, so a coarse clock rounds up. A sleep that is ready at its first
/// poll makes a loop of failures that never yields.
///
/// # Examples
///
/// A timer that runs faster than the one inside it, and forwards the rest:
///
/// ```
/// use std::{ops::ControlFlow, time::{Duration, SystemTime}};
/// use afterbeat::{Clock, ManualTimer, RetryBuilder, Timer};
///
/// struct Faster<T>(T, u32);
///
/// impl<T: Clock> Clock for Faster<T> {
///     type Instant = T::Instant;
///
///     fn now(&self) -> T::Instant {
///         self.0.now()
///     }
///     fn elapsed(&self, since: T::Instant) -> Duration {
///         self.0.elapsed(since).saturating_mul(self.1)
///     }
///     fn wall(&self) -> SystemTime {
///         self.0.wall()
///     }
///     fn entropy(&self) -> u64 {
///         self.0.entropy()
///     }
///     fn block(&self, duration: Duration) -> ControlFlow<()> {
///         self.0.block(duration / self.1 + Duration::from_nanos(1))
///     }
/// }
///
/// impl<T: Timer> Timer for Faster<T> {
///     type Sleep = T::Sleep;
///
///     fn sleep(&self, duration: Duration) -> T::Sleep {
///         // Rounded up: never ready early.
///         self.0.sleep(duration / self.1 + Duration::from_nanos(1))
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
pub trait Timer: Clock {
    /// The future of [`sleep`](Self::sleep).
    type Sleep: Future<Output = ()>;

    /// Begins a sleep. Dropping it ends it, with nothing left behind.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

impl<T: Timer + ?Sized> Timer for &T {
    type Sleep = T::Sleep;

    fn sleep(&self, duration: Duration) -> T::Sleep {
        (**self).sleep(duration)
    }
}
