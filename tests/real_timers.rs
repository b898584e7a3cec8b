//! The timers that ship, by the real clock: programs without tokio. A test waits for
//! events and looks at their order; only "never early" is asked of a duration.

use std::time::Duration;

use afterbeat::{Clock, RetryBuilder, StdClock};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn a_blocking_program_needs_std_alone() {
    let begun = StdClock.now();
    let mut calls = 0;
    let result = RetryBuilder::blocking()
        .initial_delay(MILLI)
        .max_elapsed(Duration::from_secs(3600))
        .retry_blocking(|| {
            calls += 1;
            if calls < 4 { Err("refused") } else { Ok(calls) }
        });
    assert_eq!(result, Ok(4));
    assert!(StdClock.elapsed(begun) >= 7 * MILLI);
}

#[cfg(feature = "futures-timer")]
mod smol_program {
    use std::{
        future::ready,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
    };

    use afterbeat::{FuturesTimer, PollerBuilder, Timer, check_timer};

    use super::*;

    #[test]
    fn its_timer_keeps_the_contract() {
        smol::block_on(check_timer(&FuturesTimer, |instant, hour| instant + hour));
    }

    #[test]
    fn it_retries_in_a_spawned_task() {
        let mut calls = 0;
        let retries = RetryBuilder::with_timer(FuturesTimer)
            .initial_delay(MILLI)
            .max_elapsed(Duration::from_secs(3600))
            .retry(move || {
                calls += 1;
                ready(if calls < 4 { Err("refused") } else { Ok(calls) })
            });
        assert_eq!(smol::block_on(smol::spawn(retries)), Ok(4));
    }

    #[test]
    fn it_polls_until_it_shuts_down() {
        let runs = AtomicU32::new(0);
        let (handle, driver) = PollerBuilder::with_timer(FuturesTimer, MILLI).driver(|_| {
            || {
                runs.fetch_add(1, Relaxed);
                ready(Ok::<_, ()>(()))
            }
        });
        smol::block_on(smol::future::zip(driver, async {
            handle.wait_for(|status| status.runs >= 3).await;
            handle.shutdown().await.unwrap();
        }));
        let ended = runs.load(Relaxed);
        assert!(ended >= 3);
        smol::block_on(FuturesTimer.sleep(3 * MILLI));
        assert_eq!(runs.load(Relaxed), ended);
    }
}

#[cfg(feature = "embassy-time")]
mod embassy_program {
    use std::future::ready;

    use afterbeat::{EmbassyTimer, check_timer};

    use super::*;

    #[test]
    fn its_timer_keeps_the_contract() {
        let later = |instant, hour: Duration| {
            instant + embassy_time::Duration::from_micros(hour.as_micros() as u64)
        };
        smol::block_on(check_timer(&EmbassyTimer, later));
    }

    #[test]
    fn it_retries() {
        let mut calls = 0;
        let retries = RetryBuilder::with_timer(EmbassyTimer)
            .initial_delay(MILLI)
            .max_elapsed(Duration::from_secs(3600))
            .retry(|| {
                calls += 1;
                ready(if calls < 4 { Err("refused") } else { Ok(calls) })
            });
        assert_eq!(smol::block_on(retries), Ok(4));
    }
}
