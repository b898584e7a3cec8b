use core::time::Duration;
use std::time::Instant;

use futures_timer::Delay;

use super::{Clock, Timer};

/// About 30 years: a deadline that every platform's clock can tell.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The clock of the standard library, with the sleeps of the crate `futures-timer`, for
/// any executor: smol, async-std, `futures`.
///
/// One thread, which the first sleep starts, wakes all sleepers of the process. Sleeps of
/// more than about 30 years end after that.
///
/// On `wasm32-unknown-unknown` enable the feature `wasm-bindgen` of `futures-timer`; reading
/// the clock panics there, so a policy can have neither a limit in time nor an observer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{FuturesTimer, RetryBuilder};
///
/// let policy = RetryBuilder::with_timer(FuturesTimer).initial_delay(Duration::from_millis(2));
/// let mut answers = [Err("refused"), Ok(200)].into_iter();
/// let answer = policy.retry(|| std::future::ready(answers.next().unwrap()));
/// assert_eq!(smol::block_on(answer), Ok(200));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FuturesTimer;

impl Clock for FuturesTimer {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn elapsed(&self, since: Instant) -> Duration {
        since.elapsed()
    }
}

impl Timer for FuturesTimer {
    type Sleep = Delay;

    fn sleep(&self, duration: Duration) -> Delay {
        Delay::new(duration.min(LONGEST))
    }
}
