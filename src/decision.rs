//! What to do after a failure, and why a sequence ended.

use core::{fmt, time::Duration};

use crate::seal::Sealed;

/// What a predicate answers after a failure.
///
/// `bool` converts: `true` is [`Retry`](Self::Retry), `false` is
/// [`GiveUp`](Self::GiveUp). A decision can stop a sequence earlier than its
/// limits do, never later.
///
/// # Examples
///
/// A wait that the server asks for is a floor:
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
///
/// A curve of the caller's own, as a table. The predicate is asked after the last failure
/// too, so it must have an answer beyond the table:
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{Clock, Decision, ManualTimer, RetryBuilder};
///
/// const WAITS: [u64; 3] = [10, 20, 500]; // milliseconds
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(&timer)
///     .max_retries(WAITS.len() as u32)
///     .should_retry(|_: &&str, iteration| match WAITS.get(iteration as usize - 1) {
///         Some(wait) => Decision::RetryIn(Duration::from_millis(*wait)),
///         None => Decision::GiveUp,
///     });
/// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>("refused") })), Err("refused"));
/// assert_eq!(timer.now(), Duration::from_millis(10 + 20 + 500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// Retry after the backoff's wait.
    Retry,
    /// Retry, but not before this long from now: what a server's `Retry-After` asks for.
    ///
    /// If the backoff's wait can be shorter, the wait is drawn from an interval that begins
    /// here instead. It is as wide as the backoff's, or half of this duration if that is
    /// more, so clients that are given one value spread out; with
    /// [`Jitter::NONE`](crate::Jitter::NONE) the wait is exactly this. It may exceed the
    /// backoff's maximum delay. A duration above the policy's limit
    /// ([`max_retry_after`](crate::RetryBuilder::max_retry_after)) gives up instead.
    RetryAfter(Duration),
    /// Retry after exactly this long, without jitter, whatever the backoff's wait is.
    ///
    /// It may be shorter than the backoff's wait or exceed its maximum delay. The limits
    /// hold, that of [`max_retry_after`](crate::RetryBuilder::max_retry_after) too, and the
    /// curve advances; the schedule that a policy prints does not know of it.
    RetryIn(Duration),
    /// Do not retry: the error is final.
    GiveUp,
}

impl From<bool> for Decision {
    fn from(retry: bool) -> Self {
        if retry { Self::Retry } else { Self::GiveUp }
    }
}

/// What a predicate may answer with: a `bool` or a [`Decision`].
#[diagnostic::on_unimplemented(
    message = "a predicate answers with a `bool` or a `Decision`, not with `{Self}`",
    label = "this predicate",
    note = "a predicate is not async: it decides by the error alone, and what takes time belongs \
            into the operation"
)]
pub trait IntoDecision: Sealed {
    #[doc(hidden)]
    fn into_decision(self) -> Decision;
}

impl Sealed for bool {}

impl IntoDecision for bool {
    fn into_decision(self) -> Decision {
        self.into()
    }
}

impl Sealed for Decision {}

impl IntoDecision for Decision {
    fn into_decision(self) -> Decision {
        self
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
    /// The retry budget refused the retry, and the limits allowed no further wait.
    Budget,
    /// The wait before the retry was interrupted, which only a wait that blocks its thread
    /// can be.
    Interrupted,
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decision => "the error is not to be retried",
            Self::MaxRetries => "the limit on retries was reached",
            Self::MaxRetryAfter => "the server asked for a longer wait than is allowed",
            Self::MaxElapsed => "the next wait would have ended after the limit in time",
            Self::Budget => "the retry budget had nothing left",
            Self::Interrupted => "the wait before the retry was interrupted",
        })
    }
}
