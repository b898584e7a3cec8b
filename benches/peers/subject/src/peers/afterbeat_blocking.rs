//! afterbeat, by `retry_blocking`.

use std::marker::PhantomData;

use afterbeat::{RetryBuilder, TokioTimer};

#[path = "afterbeat.rs"]
mod shared;

use self::shared::{Instantly, Measured};
use crate::{
    Knobs, Poller, Subject,
    operation::{Fault, attempt},
};

pub struct Door<T>(PhantomData<T>);
pub type Slept = Door<TokioTimer>;
pub type Ready = Door<Instantly>;

impl<T: Measured> Subject for Door<T> {
    type Policy = RetryBuilder<T>;
    type Output = Result<u64, Fault>;

    const BLOCKS: bool = true;

    fn policy(knobs: Knobs) -> RetryBuilder<T> {
        shared::policy(knobs)
    }

    async fn retry<const N: usize>(policy: Self::Policy) -> Self::Output {
        policy
            .should_retry(|fault: &Fault, _| fault.retryable())
            .retry_blocking(attempt)
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub use crate::Absent as Schedule;
pub const POLLERS: &[Poller] = &[];
