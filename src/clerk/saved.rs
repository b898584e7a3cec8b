//! What a store keeps of a refresher.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::token::{ClientToken, SessionToken};

/// The state that outlives a process. Instants are those of the wall clock, which the
/// processes of one machine share.
#[derive(Default)]
pub(super) struct Saved {
    pub(super) client_token: Option<ClientToken>,
    pub(super) token: Option<SavedToken>,
    pub(super) gate: Option<SavedGate>,
}

/// No request before an instant, nor for longer than that was away when it was saved,
/// however the wall clock has been set since. In whole milliseconds, none too short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SavedGate {
    until_ms: u64,
    wait_ms: u64,
}

impl SavedGate {
    pub(super) fn new(now: SystemTime, wait: Duration) -> Option<Self> {
        let millis = |time: Duration| u64::try_from(time.as_nanos().div_ceil(1_000_000)).ok();
        let until = now.checked_add(wait)?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self {
            until_ms: millis(until)?,
            wait_ms: millis(wait)?,
        })
    }

    pub(super) fn left(self, now: SystemTime) -> Duration {
        let wait = Duration::from_millis(self.wait_ms);
        // Later than the platform can tell: as long as it may be.
        let until = UNIX_EPOCH.checked_add(Duration::from_millis(self.until_ms));
        until.map_or(wait, |until| {
            until.duration_since(now).unwrap_or_default().min(wait)
        })
    }
}

/// The session's own token, and when it was minted.
#[derive(Clone)]
pub(super) struct SavedToken {
    pub(super) token: SessionToken,
    pub(super) organization: Option<String>,
    pub(super) minted_at: SystemTime,
}

impl Saved {
    /// None where the bytes are not a state.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let state: Value = serde_json::from_slice(bytes).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let instant = |value: &Value| {
            // Later than the platform can tell: none.
            UNIX_EPOCH.checked_add(Duration::from_millis(value.as_u64()?))
        };
        let token = |saved: &Value| {
            Some(SavedToken {
                token: SessionToken::parse(saved["jwt"].as_str()?).ok()?,
                organization: text(&saved["organization"]),
                minted_at: instant(&saved["minted_at_ms"])?,
            })
        };
        let gate = |saved: &Value| {
            Some(SavedGate {
                until_ms: saved["until_ms"].as_u64()?,
                wait_ms: saved["wait_ms"].as_u64()?,
            })
        };
        (state["version"] == 1).then(|| Self {
            client_token: state["client_token"]
                .as_str()
                .and_then(|token| token.parse().ok()),
            token: token(&state["token"]),
            gate: gate(&state["gate"]),
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let millis = |instant: SystemTime| {
            let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        let token = self.token.as_ref().map(|saved| {
            json!({
                "jwt": saved.token.expose(),
                "organization": saved.organization,
                "minted_at_ms": millis(saved.minted_at),
            })
        });
        let gate = self
            .gate
            .map(|gate| json!({ "until_ms": gate.until_ms, "wait_ms": gate.wait_ms }));
        let state = json!({
            "version": 1,
            "client_token": self.client_token.as_ref().map(ClientToken::expose),
            "token": token,
            "gate": gate,
        });
        state.to_string().into_bytes()
    }
}
