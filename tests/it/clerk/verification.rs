//! D: a suspected sign-out, and the question whether it is one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{Cause, OutageVerdict, RefresherStatus, Response, TokenError},
};
use futures_util::future::join_all;
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Call, Fapi, On, SECOND, cause, exactly, fails_401, fails_500, first_jwt,
    forced, quiet, schedule_from, seconds, session_without_a_token, status, template,
};

#[test]
pub(super) fn d1_a_session_that_is_still_there_stays() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_401());
    fapi.run(async |refresher| {
        // The client's answer brings a token, which serves the caller.
        forced(&fapi, refresher).await.unwrap();
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
    assert_eq!(fapi.calls().len(), 1 + 2);
}

fn outage_of_client(status: u16, code: &'static str) -> Fapi {
    Fapi::new(move |call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => Answer::Fails(status, code),
    })
}

#[test]
pub(super) fn d2_an_outage_at_the_verification_ends_in_the_verdict() {
    for status in [500, 403] {
        let fapi = outage_of_client(status, "x");
        let builder = fapi.seed().outage_verdict(OutageVerdict::SignOut);
        fapi.with(builder, async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            let TokenError::SignedOut(reason) = error else {
                panic!("{error:?}")
            };
            assert_eq!((reason.status(), reason.code()), (Some(status), Some("x")));
            assert_eq!(reason.trace_id(), Some("trace_1"));
            refresher.poller().start();
            fapi.timer.sleep(600 * SECOND).await;
        });
        assert_eq!(fapi.calls().len(), 1 + 2, "then silence");

        let fapi = outage_of_client(status, "x");
        fapi.run(async |refresher| {
            forced(&fapi, refresher).await.unwrap_err();
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
            let kept = refresher.get_token().await;
            assert!(kept.is_err(), "nothing is cached any more after 162 s");
        });
        assert_eq!(fapi.instants(On::Client)[1..10], schedule_from(1.0));
    }
}

#[test]
pub(super) fn d3_a_network_error_at_the_verification_signs_nobody_out() {
    for verdict in [OutageVerdict::SignOut, OutageVerdict::KeepAndBackOff] {
        let fapi = Fapi::new(move |call| match call.on {
            _ if call.at < SECOND => Answer::Fine,
            On::Tokens => fails_401(),
            On::Client => Answer::Reject,
        });
        fapi.with(fapi.seed().outage_verdict(verdict), async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(matches!(cause(&error), Cause::Transport(_)), "{error}");
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        });
    }
}

#[test]
pub(super) fn d4_what_fails_in_the_background_is_told_and_kills_nothing() {
    let broken = Arc::new(AtomicBool::new(true));
    let fapi = {
        let broken = Arc::clone(&broken);
        Fapi::new(move |call| match call.on {
            _ if call.at < SECOND => Answer::Fine,
            On::Client => exactly(200, &json!("what?")),
            On::Tokens if broken.load(Ordering::Relaxed) => fails_401(),
            On::Tokens => Answer::Fine,
        })
    };
    fapi.run(async |refresher| {
        fapi.timer.sleep(260 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        broken.store(false, Ordering::Relaxed);
        fapi.timer.sleep(300 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Ready);
        refresher.get_token().await.unwrap();
    });
}

#[test]
pub(super) fn d5_only_an_authentication_failure_is_verified() {
    for (status, code, verified) in [
        (400, "client_not_found", false),
        (401, "authentication_invalid", true),
        (403, "authorization_invalid", false),
        (403, "user_banned", true),
        (403, "user_deactivated", true),
        (404, "resource_not_found", false),
        (422, "missing_expired_token", true),
        (429, "too_many_requests", false),
        (500, "internal_clerk_error", false),
    ] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| Answer::Fails(status, code));
        fapi.run(async |refresher| {
            let _ = forced(&fapi, refresher).await;
            assert!(!matches!(refresher.status(), RefresherStatus::SignedOut(_)));
        });
        let verifications = fapi.instants(On::Client).len() - 1;
        assert_eq!(verifications, usize::from(verified), "{status} {code}");
    }
}

#[test]
pub(super) fn d6_a_401_from_the_verification_is_an_answer() {
    let fapi = outage_of_client(401, "x");
    fapi.run(async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)));
        refresher.poller().start();
        fapi.timer.sleep(600 * SECOND).await;
        assert_eq!(
            refresher.get_token().await.unwrap_err().to_string(),
            error.to_string()
        );
        assert_eq!(
            error.to_string(),
            "signed out: the API answered 401 x (trace trace_1)"
        );
    });
    assert_eq!(fapi.calls().len(), 1 + 2, "then silence");
}

/// Ten sequences, each for a token of its own, meet a 401.
#[test]
pub(super) fn d7_a_burst_of_401_is_one_verification() {
    let mut fapi = Fapi::new(|call| match call.on {
        On::Tokens => fails_401(),
        On::Client => session_without_a_token(),
    });
    fapi.latency = Duration::from_millis(90);
    fapi.run(async |refresher| {
        quiet(refresher).await;
        let timer = &fapi.timer;
        let burst = (0..10).map(|n| async move {
            timer.sleep(seconds(0.1) * n).await;
            let error = refresher.token(&template(n.to_string())).await;
            assert_eq!(status(&error.unwrap_err()), 401);
        });
        join_all(burst).await;
        assert_eq!(fapi.instants(On::Tokens).len(), 10);
        assert_eq!(refresher.counters().verifications, 1);

        // Five seconds count from its end, not from its begin.
        let ended = fapi.instants(On::Client)[1] + fapi.latency;
        let ask = async |at: Duration, name: &str| {
            timer.sleep(at - timer.now()).await;
            refresher.token(&template(name)).await.unwrap_err();
        };
        ask(ended + seconds(4.9) - fapi.latency, "within").await;
        assert_eq!(refresher.counters().verifications, 1);
        ask(ended + seconds(5.0) - fapi.latency, "after").await;
        assert_eq!(refresher.counters().verifications, 2);
    });
    assert_eq!(fapi.instants(On::Client).len(), 1 + 2);
}

/// A refusal that comes with a new client token was meant for the old one.
#[test]
pub(super) fn d9_a_401_for_a_rotated_token_is_asked_again_with_the_new_one() {
    let old = |call: &Call| call.authorization.as_deref() == Some(CLIENT_TOKEN);
    let stale = || Answer::Exactly(Response::new(401, "").authorization("rotated"));
    let sent = |n: usize| [CLIENT_TOKEN, CLIENT_TOKEN, "rotated", "rotated"][..n].to_vec();
    let authorized = |fapi: &Fapi| -> Vec<String> {
        let sent = fapi.authorizations().into_iter();
        sent.map(Option::unwrap).collect()
    };

    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if old(call) { stale() } else { Answer::Fine }
    });
    fapi.run(async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert_eq!(refresher.counters().verifications, 0);
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND; 2]);
    assert_eq!(authorized(&fapi), sent(3));

    // Refused with the new one too: verified like any other, and once.
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens if old(call) => stale(),
        On::Tokens => fails_401(),
        On::Client => session_without_a_token(),
    });
    fapi.run(async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err();
        assert_eq!(status(&error), 401);
        assert_eq!(refresher.counters().verifications, 1);
    });
    assert_eq!(authorized(&fapi), sent(4));

    // At the start, where a 401 would sign out at once.
    let fapi = Fapi::new(move |call| if old(call) { stale() } else { Answer::Fine });
    fapi.run(async |refresher| refresher.ready().await.unwrap());
    assert_eq!(fapi.instants(On::Client), [Duration::ZERO; 2]);
}

#[test]
pub(super) fn d10_an_unreachable_verification_is_unconfirmed_and_backs_off() {
    let troubles: [fn() -> Answer; 4] = [
        || Answer::Fails(502, "x"),
        || Answer::Fails(503, "x"),
        || Answer::Fails(504, "x"),
        || Answer::Reject,
    ];
    for trouble in troubles {
        let fapi = Fapi::new(move |call| match call.on {
            _ if call.at < SECOND => Answer::Fine,
            On::Tokens => fails_401(),
            On::Client => trouble(),
        });
        fapi.with(fapi.builder(), async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
            for at in [30, 50, 54, 58] {
                fapi.timer
                    .sleep(Duration::from_secs(at) - fapi.timer.now())
                    .await;
                let token = refresher.get_token().await.unwrap();
                assert_eq!(token.expose(), first_jwt("sess_1"), "at {at}");
                assert!(token.expires_in() > Duration::ZERO);
            }
            fapi.timer.sleep(seconds(60.0) - fapi.timer.now()).await;
            refresher.get_token().await.unwrap_err();
            fapi.timer.sleep(seconds(163.0) - fapi.timer.now()).await;
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        });
        assert_eq!(fapi.instants(On::Tokens), [SECOND]);
        assert_eq!(fapi.instants(On::Client)[1..], schedule_from(1.0));
    }
}

#[test]
pub(super) fn d12_the_status_counts_whatever_the_body_is() {
    for body in ["<html>slow down</html>", "", "{", "[]", "null"] {
        let given = AtomicU32::new(0);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            match given.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::Exactly(Response::new(429, body).retry_after(7 * SECOND)),
                1 => Answer::Exactly(Response::new(502, body)),
                2 => Answer::Exactly(Response::new(401, body)),
                _ => fails_500(),
            }
        });
        fapi.run(async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            assert_eq!(refresher.counters().verifications, 1, "the 401");
        });
        // 429 with a hint, then 502 by the schedule's second wait.
        let instants = [1.0, 8.0, 12.65].map(seconds);
        assert_eq!(fapi.instants(On::Tokens), instants, "{body}");
    }
}

/// A captive portal's JSON is not a client without sessions.
#[test]
fn only_a_client_tells_of_its_sessions() {
    for (body, signed_out) in [
        (json!({ "response": null }), true),
        (json!({ "response": { "sessions": [] } }), true),
        (json!({ "response": "blocked" }), false),
        (json!({ "response": {} }), false),
        (json!({ "ok": true }), false),
    ] {
        let fapi = Fapi::new(move |_| exactly(200, &body));
        let error = fapi.run(async |refresher| refresher.ready().await.unwrap_err());
        assert_eq!(
            matches!(error, TokenError::SignedOut(_)),
            signed_out,
            "{error}"
        );
    }
}

/// A refused request is repeated once with the new client token, then verified.
#[test]
fn an_api_that_rotates_on_each_401_is_a_handful_of_requests_then_silence() {
    let given = AtomicU32::new(0);
    let mut fapi = Fapi::new(move |call| match given.fetch_add(1, Ordering::Relaxed) {
        _ if call.at < SECOND => Answer::Fine,
        // Ends the loop of a refresher that does not, so that the test fails.
        20.. => Answer::Fine,
        n => {
            let refuses = Response::new(401, "");
            Answer::Exactly(refuses.authorization(format!("rotated-{n}")))
        }
    });
    fapi.latency = Duration::from_millis(100);
    fapi.run(async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)), "{error}");
        fapi.timer.sleep(600 * SECOND).await;
    });
    let asked: Vec<_> = fapi.calls().iter().map(|call| call.on).collect();
    let expected = [On::Client, On::Tokens, On::Tokens, On::Client, On::Client];
    assert_eq!(asked, expected);
}

/// The same code with another status means nothing.
#[test]
fn a_code_counts_with_its_own_status_alone() {
    for (status, code) in [
        (401, "native_api_disabled"),
        (403, "api_version_invalid"),
        (500, "origin_invalid"),
        (400, "user_banned"),
        (409, "user_deactivated"),
        (500, "user_banned"),
        (400, "missing_expired_token"),
        (500, "missing_expired_token"),
    ] {
        let fapi = Fapi::new(move |call| match call.on {
            _ if call.at < SECOND => Answer::Fine,
            On::Client => session_without_a_token(),
            On::Tokens => Answer::Fails(status, code),
        });
        fapi.run(async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        });
        let asked = format!("{status} {code}");
        let verified = fapi.instants(On::Client).len() > 1;
        assert_eq!(verified, status == 401, "{asked}");
        let repeats = status == 500;
        let mints = if repeats { 9 } else { 1 };
        assert_eq!(fapi.instants(On::Tokens).len(), mints, "{asked}");
    }

    // Nor does one confirm a sign-out.
    for (status, code) in [(500, "user_banned"), (502, "user_deactivated")] {
        let fapi = outage_of_client(status, code);
        fapi.run(async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        });
    }
}
