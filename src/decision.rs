//! What to do after a failure, and why a sequence ended.

use core::{fmt, time::Duration};

/// What a predicate answers after a failure.
///
/// `bool` converts: `true` is [`Retry`](Self::Retry), `false` is
/// [`GiveUp`](Self::GiveUp). A decision can stop a sequence earlier than its
/// limits do, never later.
///
/// # Examples
///
/// A server's hint is a floor under the wait:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Decision, RetryBuilder};
///
/// struct Refused { status: u16, retry_after: Option<Duration> }
///
/// let policy = RetryBuilder::new().should_retry(|err: &Refused, _| match err {
///     Refused { status: 429 | 503, retry_after: Some(hint) } => Decision::RetryAfter(*hint),
///     Refused { status, .. } => (*status == 429 || *status >= 500).into(),
/// });
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// Retry after the backoff's wait.
    Retry,
    /// Retry, but not before this long from now.
    ///
    /// The interval the wait is drawn from slides up to begin here at the
    /// earliest and keeps its width, so that clients given one hint still
    /// spread. Such a wait may exceed the backoff's maximum delay; a hint above
    /// the limit for hints gives up instead.
    RetryAfter(Duration),
    /// Do not retry: the error is final.
    GiveUp,
}

impl From<bool> for Decision {
    fn from(retry: bool) -> Self {
        if retry { Self::Retry } else { Self::GiveUp }
    }
}

/// Why a sequence ended with an error.
///
/// The reasons are asked in the order written here; the first to say no is the
/// one reported.
///
/// # Examples
///
/// ```
/// use afterbeat::GiveUp;
///
/// assert_eq!(GiveUp::MaxRetries.to_string(), "the limit on retries was reached");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUp {
    /// The predicate said so.
    Decision,
    /// The limit on retries was reached.
    MaxRetries,
    /// The server asked for a longer wait than is allowed.
    MaxRetryAfter,
    /// The next wait would have ended after the limit in time.
    MaxElapsed,
    /// The retry budget had nothing left.
    Budget,
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decision => "the error is not to be retried",
            Self::MaxRetries => "the limit on retries was reached",
            Self::MaxRetryAfter => "the server asked for a longer wait than is allowed",
            Self::MaxElapsed => "the next wait would have ended after the limit in time",
            Self::Budget => "the retry budget had nothing left",
        })
    }
}
