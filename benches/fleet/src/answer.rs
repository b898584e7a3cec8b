//! What a server will answer to a call, known when the call is made.

use std::time::Duration;

use crate::{failure::Failure, sim};

pub struct Answer {
    pub after: Duration,
    pub result: Result<(), Failure>,
}

impl Answer {
    pub fn ok(after: Duration) -> Self {
        Self {
            after,
            result: Ok(()),
        }
    }

    pub fn failed(after: Duration, failure: Failure) -> Self {
        Self {
            after,
            result: Err(failure),
        }
    }

    /// What a caller sees who waits no longer than `limit`.
    pub fn within(self, limit: Duration) -> Self {
        if self.after > limit {
            Self::failed(limit, Failure::TimedOut)
        } else {
            self
        }
    }

    pub async fn arrival(self) -> Result<(), Failure> {
        sim::sleep(self.after).await;
        self.result
    }
}
