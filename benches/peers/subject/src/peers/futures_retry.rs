//! futures-retry: it has no schedule, so its handler is written here.

use std::{future::Future, time::Duration};

use futures_retry::{ErrorHandler, FutureRetry, RetryPolicy};

use crate::{
    Knobs, Poller, Subject,
    operation::{Fault, operate},
};

/// Decides with a doubling delay, or without any delay.
#[derive(Clone)]
pub struct Handler<const AT_ONCE: bool> {
    delay: Duration,
    cap: Duration,
    left: u32,
}

impl<const AT_ONCE: bool> ErrorHandler<Fault> for Handler<AT_ONCE> {
    type OutError = Fault;

    fn handle(&mut self, _attempt: usize, fault: Fault) -> RetryPolicy<Fault> {
        if !fault.retryable() || self.left == 0 {
            return RetryPolicy::ForwardError(fault);
        }
        self.left -= 1;
        if AT_ONCE {
            return RetryPolicy::Repeat;
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(self.cap);
        RetryPolicy::WaitRetry(delay)
    }
}

pub struct Handled<const AT_ONCE: bool>;
pub type Slept = Handled<false>;
pub type Ready = Handled<true>;

impl<const AT_ONCE: bool> Subject for Handled<AT_ONCE> {
    type Policy = Handler<AT_ONCE>;
    type Output = Result<(u64, usize), (Fault, usize)>;

    fn policy(knobs: Knobs) -> Handler<AT_ONCE> {
        Handler {
            delay: knobs.first,
            cap: knobs.cap,
            left: knobs.retries,
        }
    }

    fn retry<const N: usize>(
        policy: Handler<AT_ONCE>,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        FutureRetry::new(operate::<N>, policy)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output.map(|(value, _)| value).map_err(|(fault, _)| fault)
    }
}

pub use crate::Absent as Schedule;
pub const POLLERS: &[Poller] = &[];
