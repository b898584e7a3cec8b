//! Why there is no token.

use core::{fmt, time::Duration};
use std::{io, sync::Arc};

use super::{token::InvalidToken, transport::TransportError};
use crate::decision::{Decision, GiveUp};

/// Why a caller gets no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The user is signed out: confirmed, and final until the next sign-in.
    #[error("signed out: {0}")]
    SignedOut(Refusal),
    /// The API refuses what the program is, not who the user is. Final: nothing is
    /// sent any more.
    #[error("refused for good: {0}")]
    Refused(Refusal),
    /// The caller has waited for as long as it may; the sequence goes on.
    #[error(
        "no token within {limit:?}, after {retries} retries so far{}",
        Last(cause)
    )]
    TimedOut {
        /// The limit that was met.
        limit: Duration,
        /// How many retries the sequence had begun.
        retries: u32,
        /// What failed last, if anything had.
        #[source]
        cause: Option<Arc<Cause>>,
    },
    /// It could not be found out; the user is not signed out.
    #[error("no token after {retries} retries in {elapsed:?}, {reason}: {cause}")]
    Unavailable {
        /// What failed last.
        #[source]
        cause: Arc<Cause>,
        /// Why no retry followed.
        reason: GiveUp,
        /// How many retries were made.
        retries: u32,
        /// How long it took.
        elapsed: Duration,
    },
    /// The request cannot be sent.
    #[error("the template `{template}` is not the name of one")]
    InvalidTemplate {
        /// The template's name: empty, or what a path takes for a place.
        template: String,
    },
    /// The refresher's driver has ended, or was never polled and has been dropped.
    #[error("the refresher's driver has ended")]
    Ended,
}

/// What the API said when it ended a session, or refused the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) trace_id: Option<String>,
}

impl Refusal {
    /// Returns the status of the answer; none where the API told of a client without
    /// the session, or the program itself has signed the user out.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the API's error code, such as `signed_out`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the API's trace id, for its support.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the API answered {status}")?,
            None => f.write_str("there is no such session any more")?,
        }
        write_details(f, self.code.as_slice(), self.trace_id.as_deref())
    }
}

/// What failed in one request.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// There was no response.
    #[error(transparent)]
    Transport(TransportError),
    /// The API answered with an error.
    #[error("the API answered {status}{}", Details(codes, trace_id.as_deref()))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The API's error codes; none where the body was not the API's.
        codes: Vec<String>,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
        /// The API's trace id, for its support.
        trace_id: Option<String>,
    },
    /// The API's answer cannot be read.
    #[error("the API answered {status} with a body that {rule}")]
    Malformed {
        /// The HTTP status.
        status: u16,
        /// The rule that the body breaks.
        rule: &'static str,
    },
    /// The API's answer holds a token that is none.
    #[error(transparent)]
    InvalidToken(InvalidToken),
    /// An earlier `Retry-After` is not over; no request was sent.
    #[error("the API asked for no request before another {left:?}")]
    Gated {
        /// How long it still gates.
        left: Duration,
    },
    /// The user was signed out meanwhile, or the refresher ended.
    #[error("the refresher sends nothing any more")]
    Over,
    /// There was no response in time.
    #[error("no response within {limit:?}")]
    TimedOut {
        /// The limit of one attempt.
        limit: Duration,
    },
    /// The store that the state is kept in could not be read or locked; no request
    /// was sent.
    #[error("the store: {0}")]
    Store(#[source] Arc<io::Error>),
    /// The transport panicked.
    #[error("the transport panicked")]
    Panicked,
}

impl Cause {
    /// Whether a request that failed so is worth a retry.
    pub(super) fn decision(&self) -> Decision {
        match *self {
            Self::Gated { left } => Decision::RetryAfter(left),
            Self::Status {
                status: 429 | 503,
                retry_after: Some(wait),
                ..
            } => Decision::RetryAfter(wait),
            Self::Status { status: 409, .. } => self.has_code(&["resource_locked"]).into(),
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..).into(),
            Self::Panicked | Self::Over => Decision::GiveUp,
            _ => Decision::Retry,
        }
    }

    /// Whether the user may be signed out: to be verified.
    pub(super) fn suspects_sign_out(&self) -> bool {
        self.has_status(&[401, 422]) || self.denies_the_user()
    }

    /// Whether this answer to `GET /v1/client` confirms it.
    pub(super) fn confirms_sign_out(&self) -> bool {
        self.has_status(&[401]) || self.denies_the_user()
    }

    fn denies_the_user(&self) -> bool {
        self.has_status(&[403]) && self.has_code(&["user_banned", "user_deactivated"])
    }

    pub(super) fn has_status(&self, statuses: &[u16]) -> bool {
        matches!(self, Self::Status { status, .. } if statuses.contains(status))
    }

    fn has_code(&self, wanted: &[&str]) -> bool {
        let Self::Status { codes, .. } = self else {
            return false;
        };
        codes.iter().any(|code| wanted.contains(&code.as_str()))
    }

    /// Whether the API refuses the program itself, whatever it asks for.
    pub(super) fn refuses_the_program(&self) -> bool {
        self.has_status(&[400])
            && self.has_code(&[
                "api_version_invalid",
                "host_invalid",
                "native_api_disabled",
                "origin_authorization_headers_conflict",
                "origin_invalid",
            ])
    }

    /// Whether the API wants to see the last session token, though it has expired.
    pub(super) fn wants_the_expired_token(&self) -> bool {
        self.has_status(&[422]) && self.has_code(&["missing_expired_token"])
    }

    /// What is to be kept of an answer that ended all work.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Status {
                status,
                codes,
                trace_id,
                ..
            } => Refusal {
                status: Some(*status),
                code: codes.first().cloned(),
                trace_id: trace_id.clone(),
            },
            _ => Refusal::default(),
        }
    }
}

/// The last cause, where there is one.
struct Last<'a>(&'a Option<Arc<Cause>>);

impl fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_ref()
            .map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// Codes and trace id, where there are any.
struct Details<'a>(&'a [String], Option<&'a str>);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_details(f, self.0, self.1)
    }
}

fn write_details(f: &mut fmt::Formatter<'_>, codes: &[String], trace: Option<&str>) -> fmt::Result {
    if !codes.is_empty() {
        write!(f, " {}", codes.join(", "))?;
    }
    trace.map_or(Ok(()), |id| write!(f, " (trace {id})"))
}
