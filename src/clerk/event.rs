//! What a refresher tells of itself.

use core::time::Duration;
use std::{io, sync::Arc};

use super::{
    error::{Cause, Refusal},
    token::{ClientToken, SessionToken},
};

/// What a refresher knows of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefresherStatus {
    /// It is not known yet which session there is.
    Loading,
    /// The last sequence for the active token brought one.
    Ready,
    /// The last sequence for the active token failed, or the start-up; the user is not
    /// signed out.
    Degraded,
    /// The user is signed out: confirmed. Nothing is sent any more.
    SignedOut(Refusal),
    /// The API refuses the program itself, by its configuration. Nothing is sent any
    /// more.
    Refused(Refusal),
}

/// What a refresher's observer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RefresherEvent {
    /// The status has changed.
    Status(RefresherStatus),
    /// The active session's own token is another one than before.
    Token(SessionToken),
    /// The API has rotated the client token, or taken it back. A store has it already.
    ClientToken(Option<ClientToken>),
    /// A request has failed and will be repeated.
    Retrying {
        /// What failed.
        cause: Arc<Cause>,
        /// The number of the retry to come, from 1.
        retry: u32,
        /// How long it waits.
        wait: Duration,
    },
    /// The store could not be locked, read or written. Until it can be locked and read
    /// nothing is sent; what could not be written is written with the next change.
    StoreFailed(Arc<io::Error>),
}

/// How much a refresher has done.
///
/// `calls = served + coalesced + led`, at every instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls for a token.
    pub calls: u64,
    /// Calls that were answered at once.
    pub served: u64,
    /// Calls that waited for work in flight.
    pub coalesced: u64,
    /// Calls for which work was begun.
    pub led: u64,
    /// Requests sent.
    pub requests: u64,
    /// Retries decided.
    pub retries: u64,
    /// Requests not sent, because a `Retry-After` was not over.
    pub gate_waits: u64,
    /// Sign-outs suspected, and verified.
    pub verifications: u64,
}
