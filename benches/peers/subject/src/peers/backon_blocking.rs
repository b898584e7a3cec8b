//! backon, for a thread.

use std::{hint::black_box, time::Duration};

use backon::{BlockingRetryable, ExponentialBuilder};

use crate::{
    Knobs, Poller, Subject,
    operation::{Fault, attempt},
};

/// By a clock or at once.
pub struct Backon<const AT_ONCE: bool>;
pub type Slept = Backon<false>;
pub type Ready = Backon<true>;

impl<const AT_ONCE: bool> Subject for Backon<AT_ONCE> {
    type Policy = ExponentialBuilder;
    type Output = Result<u64, Fault>;

    const BLOCKS: bool = true;

    fn policy(knobs: Knobs) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(knobs.first)
            .with_factor(2.0)
            .with_max_delay(knobs.cap)
            .with_max_times(knobs.retries as usize)
    }

    async fn retry<const N: usize>(policy: ExponentialBuilder) -> Self::Output {
        let retry = attempt
            .retry(policy)
            .when(|fault: &Fault| fault.retryable());
        if AT_ONCE {
            retry
                .sleep(|wait: Duration| {
                    black_box(wait);
                })
                .call()
        } else {
            retry.call()
        }
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub use crate::Absent as Schedule;
pub const POLLERS: &[Poller] = &[];
