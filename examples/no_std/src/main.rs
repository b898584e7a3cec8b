//! Retries on a machine without std: a `Timer` over a tick counter, and the
//! smallest executor there is.
//!
//! A board would count its ticks in an interrupt; here the executor does, each time
//! nothing is left to do. If std came in from anywhere, this would not link: there
//! would be two panic handlers.
//!
//! ```text
//! cargo rustc --release -- -C link-arg=-lc && target/release/no_std
//! ```

#![no_std]
#![no_main]

use core::{
    future::Future,
    panic::PanicInfo,
    pin::{Pin, pin},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{Jitter, RetryBuilder, Timer};

/// Milliseconds since the start.
static TICKS: AtomicU32 = AtomicU32::new(0);

struct Ticks;

struct Until(u32);

impl Timer for Ticks {
    type Instant = u32;
    type Sleep = Until;

    fn now(&self) -> u32 {
        TICKS.load(Relaxed)
    }

    fn elapsed(&self, since: u32) -> Duration {
        Duration::from_millis(u64::from(self.now().wrapping_sub(since)))
    }

    fn sleep(&self, duration: Duration) -> Until {
        let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Until(self.now().saturating_add(millis))
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Ticks.now() < self.0 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

/// Polls at each tick.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        TICKS.fetch_add(1, Relaxed);
    }
}

/// A sensor that answers the fourth time it is asked.
async fn read_sensor(asked: &mut u32) -> Result<u32, &'static str> {
    *asked += 1;
    if *asked < 4 { Err("busy") } else { Ok(23) }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let policy = RetryBuilder::with_timer(Ticks)
        .initial_delay(Duration::from_millis(10))
        .jitter(Jitter::NONE);
    let mut asked = 0;
    let reading = run(policy.retry_with(&mut asked, read_sensor));
    // 10 + 20 + 40 ms of waits.
    i32::from(reading != Ok(23) || Ticks.now() != 70)
}

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
