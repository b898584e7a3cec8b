//! The loop that a person writes for a thread.

use std::{hint::black_box, time::Duration};

use crate::{
    Knobs, Poller, Subject,
    operation::{Fault, attempt},
};

fn by_hand(policy: Knobs, sleep: impl Fn(Duration)) -> Result<u64, Fault> {
    let mut delay = policy.first;
    let mut retries = 0;
    loop {
        match attempt() {
            Err(fault) if fault.retryable() && retries < policy.retries => {
                sleep(delay);
                delay = (delay * 2).min(policy.cap);
                retries += 1;
            }
            result => return result,
        }
    }
}

/// By a clock or at once.
pub struct Hand<const AT_ONCE: bool>;
pub type Slept = Hand<false>;
pub type Ready = Hand<true>;

impl<const AT_ONCE: bool> Subject for Hand<AT_ONCE> {
    type Policy = Knobs;
    type Output = Result<u64, Fault>;

    const BLOCKS: bool = true;

    fn policy(knobs: Knobs) -> Knobs {
        knobs
    }

    async fn retry<const N: usize>(policy: Knobs) -> Self::Output {
        by_hand(policy, |wait| {
            if AT_ONCE {
                black_box(wait);
            } else {
                // What the crates that block do too.
                std::thread::sleep(wait);
            }
        })
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub use crate::Absent as Schedule;
pub const POLLERS: &[Poller] = &[];
