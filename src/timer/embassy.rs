use core::time::Duration;

use embassy_time::{Instant, TICK_HZ};

use super::{Clock, Timer};

const NANOS: u128 = 1_000_000_000;

/// Embassy's clock and sleep, for its executor and its boards.
///
/// The program chooses a time driver, as every program with embassy does. Sleeps are
/// rounded up to whole ticks. After a sleep was dropped, embassy may keep its task's waker
/// until the deadline: one for each task, however many it has dropped.
///
/// Without the feature `std` its numbers for jitter are *the same after each start*. Wrap it
/// in a timer of your own that overrides [`Clock::entropy`] with the board's generator.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use afterbeat::{EmbassyTimer, RetryBuilder};
///
/// # async fn read_sensor(asked: &mut u32) -> Result<u32, &'static str> {
/// #     *asked += 1;
/// #     if *asked < 3 { Err("busy") } else { Ok(23) }
/// # }
/// # let reading = async {
/// let policy = RetryBuilder::with_timer(EmbassyTimer).initial_delay(Duration::from_millis(2));
/// let reading = policy.retry_with(&mut 0, read_sensor).await;
/// assert_eq!(reading, Ok(23));
/// # };
/// # drop(reading);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyTimer;

impl Clock for EmbassyTimer {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn elapsed(&self, since: Instant) -> Duration {
        let ticks = Instant::now().as_ticks().saturating_sub(since.as_ticks());
        let (seconds, rest) = (ticks / TICK_HZ, ticks % TICK_HZ);
        let nanos = u128::from(rest) * NANOS / u128::from(TICK_HZ);
        Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos as u64))
    }
}

impl Timer for EmbassyTimer {
    type Sleep = embassy_time::Timer;

    fn sleep(&self, duration: Duration) -> embassy_time::Timer {
        let ticks = duration
            .as_nanos()
            .saturating_mul(TICK_HZ.into())
            .div_ceil(NANOS);
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        let deadline = Instant::now().as_ticks().saturating_add(ticks);
        embassy_time::Timer::at(Instant::from_ticks(deadline))
    }
}
