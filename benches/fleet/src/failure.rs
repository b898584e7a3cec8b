//! How a call ends badly, as its caller sees it.

use std::time::Duration;

use afterbeat::Decision;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller stopped waiting.
    TimedOut,
    /// The server said no, and may say yes later.
    Refused,
    /// The server said when to come back.
    RetryAfter(Duration),
    /// The server answered, and will give the same answer again.
    Final,
}

impl Failure {
    /// What every policy of this package answers.
    pub fn decision(self) -> Decision {
        match self {
            Self::TimedOut | Self::Refused => Decision::Retry,
            Self::RetryAfter(wait) => Decision::RetryAfter(wait),
            Self::Final => Decision::GiveUp,
        }
    }
}
