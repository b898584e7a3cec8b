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
    /// No request before this instant.
    pub(super) gated_until: Option<SystemTime>,
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
        (state["version"] == 1).then(|| Self {
            client_token: state["client_token"]
                .as_str()
                .and_then(|token| token.parse().ok()),
            token: token(&state["token"]),
            gated_until: instant(&state["gated_until_ms"]),
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let since = |instant: SystemTime| instant.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        // Rounded so that a token is none too young, and a gate none too short.
        let not_before = |since: Duration| since.saturating_add(Duration::from_nanos(999_999));
        let token = self.token.as_ref().map(|saved| {
            json!({
                "jwt": saved.token.expose(),
                "organization": saved.organization,
                "minted_at_ms": millis(since(saved.minted_at)),
            })
        });
        let state = json!({
            "version": 1,
            "client_token": self.client_token.as_ref().map(ClientToken::expose),
            "token": token,
            "gated_until_ms": self.gated_until.map(|until| millis(not_before(since(until)))),
        });
        state.to_string().into_bytes()
    }
}
