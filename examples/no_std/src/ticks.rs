//! A board's timer: a counter of milliseconds that wraps after 49 days.

use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use afterbeat::{Clock, Timer};

/// Milliseconds, which an interrupt would count.
pub static TICKS: AtomicU32 = AtomicU32::new(0);

/// What a hardware generator has given at the start; it makes devices that are switched
/// on together differ.
pub static ENTROPY: AtomicU32 = AtomicU32::new(0);

/// The timer over [`TICKS`].
#[derive(Clone, Copy, Debug)]
pub struct Ticks;

/// The sleep of [`Ticks`].
#[derive(Debug)]
pub struct Sleep {
    since: u32,
    millis: u32,
}

/// The longest time that the counter can tell from the future.
const HALF: u32 = u32::MAX / 2;

impl Clock for Ticks {
    type Instant = u32;

    fn now(&self) -> u32 {
        TICKS.load(Relaxed)
    }

    fn elapsed(&self, since: u32) -> Duration {
        let ticks = self.now().wrapping_sub(since);
        Duration::from_millis(if ticks > HALF { 0 } else { ticks.into() })
    }

    /// `SplitMix64` from what the hardware has given.
    fn entropy(&self) -> u64 {
        let state = ENTROPY.load(Relaxed).wrapping_add(0x9e37_79b9);
        ENTROPY.store(state, Relaxed);
        let mut z = u64::from(state).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Timer for Ticks {
    type Sleep = Sleep;

    fn sleep(&self, duration: Duration) -> Sleep {
        // Rounded up: 12.7 ms are 13 ticks. What the counter cannot tell is cut to 24 days.
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Sleep {
            since: self.now(),
            millis: u32::try_from(millis).map_or(HALF, |millis| millis.min(HALF)),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Ticks.now().wrapping_sub(self.since) < self.millis {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}
