use core::time::Duration;

use super::{Clock, Timer};

/// Tokio's clock and sleep. Obeys a paused clock (`tokio::time::pause`).
///
/// Sleeps have tokio's granularity of one millisecond, rounded up; those of
/// more than about 30 years end after that.
///
/// # Panics
///
/// [`sleep`](Timer::sleep) panics outside a tokio runtime with its time driver
/// enabled, as [`tokio::time::sleep`] does.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Clock, Timer, TokioTimer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let begun = TokioTimer.now();
/// TokioTimer.sleep(Duration::from_secs(5)).await;
/// assert_eq!(TokioTimer.elapsed(begun), Duration::from_secs(5));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

impl Clock for TokioTimer {
    type Instant = tokio::time::Instant;

    fn now(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    fn elapsed(&self, since: tokio::time::Instant) -> Duration {
        since.elapsed()
    }
}

impl Timer for TokioTimer {
    type Sleep = tokio::time::Sleep;

    #[track_caller]
    fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }
}
