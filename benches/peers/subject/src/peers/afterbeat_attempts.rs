//! afterbeat, by `attempts`.

use std::{future::Future, marker::PhantomData};

use afterbeat::{RetryBuilder, TokioTimer};

#[path = "afterbeat.rs"]
mod shared;

use self::shared::{Instantly, Measured};
use crate::{
    Knobs, Poller, Subject,
    operation::{Fault, operate},
};

pub struct Door<T>(PhantomData<T>);
pub type Slept = Door<TokioTimer>;
pub type Ready = Door<Instantly>;

impl<T: Measured> Subject for Door<T> {
    type Policy = RetryBuilder<T>;
    type Output = Result<u64, Fault>;

    fn policy(knobs: Knobs) -> RetryBuilder<T> {
        shared::policy(knobs)
    }

    fn retry<const N: usize>(
        policy: Self::Policy,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        let mut attempts = policy
            .should_retry(|fault: &Fault, _| fault.retryable())
            .attempts();
        async move {
            loop {
                match operate::<N>().await {
                    Ok(value) => {
                        attempts.succeeded();
                        return Ok(value);
                    }
                    Err(fault) => attempts.failed(fault).await?,
                }
            }
        }
    }

    fn result(output: Self::Output) -> Result<u64, Fault> {
        output
    }
}

pub use crate::Absent as Schedule;
pub const POLLERS: &[Poller] = &[];
