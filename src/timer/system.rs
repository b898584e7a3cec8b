use core::time::Duration;
use std::time::Instant;

use super::Clock;

/// The clock of the standard library, for blocking programs; it cannot sleep in a future.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Clock, StdClock};
///
/// let begun = StdClock.now();
/// assert!(StdClock.block(Duration::from_millis(1)).is_continue());
/// assert!(StdClock.elapsed(begun) >= Duration::from_millis(1));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StdClock;

impl Clock for StdClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn elapsed(&self, since: Instant) -> Duration {
        since.elapsed()
    }
}
