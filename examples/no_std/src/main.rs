//! Retries on a machine without std: a timer over a tick counter, a source of entropy, and
//! the smallest executor there is.
//!
//! A board would count its ticks in an interrupt; here the executor does, each time
//! nothing is left to do. Prints how many ticks a jittered sequence waited for, which the
//! number given decides: without std the crate has no entropy of its own. If std came in
//! from anywhere, this would not link: there would be two panic handlers.
//!
//! ```text
//! cargo rustc --release -- -C link-arg=-lc && target/release/no_std 7
//! ```

#![no_std]
#![no_main]

use core::{
    ffi::{CStr, c_char, c_int},
    future::Future,
    panic::PanicInfo,
    pin::pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{Clock, Jitter, RetryBuilder};

use self::ticks::{ENTROPY, TICKS, Ticks};

mod ticks;

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

fn print(number: u32) {
    unsafe extern "C" {
        safe fn putchar(c: c_int) -> c_int;
    }
    if number > 9 {
        print(number / 10);
    }
    putchar((b'0' + (number % 10) as u8).into());
}

#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    if count > 1 {
        // SAFETY: C gives as many arguments as it counts, each ended by a zero.
        let given = unsafe { CStr::from_ptr(*arguments.add(1)) };
        let Some(given) = given.to_str().ok().and_then(|given| given.parse().ok()) else {
            return 2;
        };
        ENTROPY.store(given, Relaxed);
    }

    let policy = RetryBuilder::with_timer(Ticks).initial_delay(Duration::from_micros(9_700));
    let mut asked = 0;
    let exact = policy.jitter(Jitter::NONE);
    let reading = run(exact.retry_with(&mut asked, read_sensor));
    // 9.7 + 19.4 + 38.8 ms of waits, each rounded up.
    if reading != Ok(23) || Ticks.now() != 10 + 20 + 39 {
        return 1;
    }

    let (begun, mut asked) = (Ticks.now(), 0);
    let jittered = policy.initial_delay(Duration::from_secs(1));
    let reading = run(jittered.retry_with(&mut asked, read_sensor));
    print(Ticks.now().wrapping_sub(begun));
    c_int::from(reading != Ok(23))
}

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
