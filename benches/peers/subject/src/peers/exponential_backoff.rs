//! exponential-backoff: a schedule only.

use std::hint::black_box;

use exponential_backoff::Backoff;

use crate::{Poller, WAITS, Waits, walk};

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let mut backoff = Backoff::new(WAITS.retries, WAITS.first, WAITS.cap);
        backoff.set_factor(2);
        backoff.set_jitter(if jittered { 0.5 } else { 0.0 });
        walk(black_box(&backoff).iter(), count);
    }
}

pub use crate::{Absent as Slept, Absent as Ready};
pub const POLLERS: &[Poller] = &[];
