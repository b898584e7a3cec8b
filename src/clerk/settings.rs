//! What a refresher is told before it starts.

use core::time::Duration;
use std::time::SystemTime;

/// What a refresher is told once and for all.
pub(super) struct Settings {
    pub(super) interval: Box<dyn Fn() -> Duration + Send + Sync>,
    pub(super) max_elapsed: Duration,
    pub(super) max_wait: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) verdict: OutageVerdict,
    pub(super) refresh_ahead: bool,
    pub(super) session_minter: bool,
    pub(super) tag_retries: bool,
    pub(super) wall_clock: fn() -> SystemTime,
}

/// What it means that the API fails while a sign-out is being verified: that `GET
/// /v1/client` answers 500, or 403 for another reason than the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutageVerdict {
    /// Nothing: the user stays signed in, and the verification is retried by the
    /// session schedule. The default.
    #[default]
    KeepAndBackOff,
    /// A sign-out, as in clerk-js 5.59.0, which ends its polling so.
    SignOut,
}
