//! All that a run uses of the refresher, and how it is written down.

use std::time::Duration;

use afterbeat::clerk::{
    Cause, ClientToken, Refresher, RefresherEvent, RefresherStatus, SessionToken, TokenError,
    TokenRequest,
};

use super::{
    super::rig::{Builder, Fapi, SECOND, set_wall_clock_off, template},
    script::{Act, Script, Wanted},
};

pub fn builder(fapi: &Fapi, script: &Script) -> Builder {
    if script.seed_ways {
        return fapi.seed();
    }
    fapi.builder()
        .max_wait(7 * SECOND)
        .attempt_timeout(10 * SECOND)
}

pub fn order(refresher: &Refresher, act: Act) {
    match act {
        Act::Look => refresher.poller().trigger(),
        Act::Pause => refresher.poller().stop(),
        Act::Resume => refresher.poller().start(),
        Act::Organization(id) => refresher.set_organization(id),
        Act::SignOut => refresher.sign_out(),
        Act::Ask { .. } | Act::Sleep(_) => unreachable!("no order"),
    }
}

pub async fn ask(refresher: &Refresher, wanted: Wanted) -> Result<SessionToken, TokenError> {
    let request = match wanted {
        Wanted::Own => return refresher.get_token().await,
        Wanted::Forced => TokenRequest::new().force(),
        Wanted::Template => template("a"),
        Wanted::Organization => TokenRequest::new().organization("org_1"),
        Wanted::Personal => TokenRequest::new().personal(),
    };
    refresher.token(&request).await
}

pub fn error(error: &TokenError) -> &'static str {
    match error {
        TokenError::SignedOut(_) => "out",
        TokenError::Refused(_) => "refused",
        TokenError::TimedOut { .. } => "late",
        TokenError::Unavailable { .. } => "none",
        TokenError::Ended => "ended",
        other => panic!("{other:?}"),
    }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Status { status, .. } => status.to_string(),
        Cause::Transport(_) => "reject".to_owned(),
        Cause::TimedOut { .. } => "hang".to_owned(),
        Cause::Gated { .. } => "gate".to_owned(),
        _ => "bad".to_owned(),
    }
}

pub fn event(event: RefresherEvent) -> String {
    match event {
        RefresherEvent::Status(status) => match status {
            RefresherStatus::Ready => "ready",
            RefresherStatus::Degraded => "degraded",
            RefresherStatus::SignedOut(_) => "out",
            RefresherStatus::Refused(_) => "refused",
            other => panic!("{other:?}"),
        }
        .to_owned(),
        RefresherEvent::Token(token) => format!("={}", brought_at(&token)),
        RefresherEvent::ClientToken(token) => {
            format!("@{}", rotation(token.as_ref().map(ClientToken::expose)))
        }
        RefresherEvent::Retrying {
            cause: of,
            retry,
            wait,
        } => format!("r{retry}+{}:{}", instant(wait), cause(&of)),
        other => panic!("{other:?}"),
    }
}

/// The machine has slept for so many seconds in all.
pub fn slept(seconds: u64) {
    set_wall_clock_off(i64::try_from(seconds).unwrap());
}

/// In seconds, rounded down to the millisecond.
pub fn instant(at: Duration) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    let text = format!("{seconds}.{millis:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub fn brought_at(token: &SessionToken) -> String {
    token.claims().subject().to_owned()
}

pub fn rotation(token: Option<&str>) -> String {
    let number = token.map(|token| token.trim_start_matches("rotated-"));
    number.unwrap_or("none").to_owned()
}
