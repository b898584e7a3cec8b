//! retry-policies: a schedule only, which answers with a time of the wall clock.

use std::{hint::black_box, time::SystemTime};

use retry_policies::{Jitter, RetryPolicy, policies::ExponentialBackoff};

use crate::{Poller, WAITS, Waits};

pub struct Schedule;

impl Waits for Schedule {
    fn take(jittered: bool, count: u32) {
        let jitter = if jittered { Jitter::Full } else { Jitter::None };
        let policy = ExponentialBackoff::builder()
            .retry_bounds(WAITS.first, WAITS.cap)
            .jitter(jitter)
            .base(2)
            .build_with_max_retries(WAITS.retries);
        let policy = black_box(policy);
        let begun = SystemTime::UNIX_EPOCH;
        for retry in 0..count {
            black_box(policy.should_retry(begun, retry));
        }
    }
}

pub use crate::{Absent as Slept, Absent as Ready};
pub const POLLERS: &[Poller] = &[];
