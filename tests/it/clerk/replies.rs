//! F: what is read, and what is not believed.

use std::{pin::pin, time::Duration};

use afterbeat::{
    Timer,
    clerk::{Cause, RefresherStatus, Response, TokenRequest},
};
use futures_util::future::{Either, join, select};
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Fapi, On, SECOND, Told, cause, client, exactly, fails_500, first,
    first_jwt, forced, jwt, quiet, schedule_from, session, template,
};

#[test]
pub(super) fn f3_a_response_keeps_clears_or_replaces_the_client_token() {
    for (header, next) in [
        (None, Some(CLIENT_TOKEN)),
        (Some(""), None),
        (Some("  "), None),
        (Some("Bearer"), None),
        (Some("bearer "), None),
        (Some("Bearer new"), Some("new")),
        (Some("BEARER  new "), Some("new")),
        (Some("new"), Some("new")),
        (Some("bearernew"), Some("bearernew")),
        // What is no token at all replaces none.
        (Some("two words"), Some(CLIENT_TOKEN)),
        (Some("Bearer two words"), Some(CLIENT_TOKEN)),
        (Some("t\u{f6}ken"), Some(CLIENT_TOKEN)),
    ] {
        for status in [200, 404, 429, 500, 503] {
            let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
                if call.url.contains("/next?") {
                    return Answer::Fine;
                }
                let body = json!({ "jwt": first_jwt("sess_1") }).to_string();
                let response = Response::new(status, body);
                Answer::Exactly(match header {
                    Some(header) => response.authorization(header),
                    None => response,
                })
            });
            let (told, builder) = Told::by(&fapi, fapi.seed());
            fapi.with(builder, async |refresher| {
                let first = template("first");
                let first = refresher.token(&first);
                let wait = fapi.timer.sleep(SECOND);
                drop(select(pin!(first), wait).await);
                refresher.token(&template("next")).await.unwrap();
            });
            let calls = fapi.calls();
            assert!(calls[2].url.contains("/next?"));
            let used = calls[2].authorization.as_deref();
            assert_eq!(used, next, "{header:?} on {status}");
            let changed = if next == Some(CLIENT_TOKEN) {
                vec![]
            } else {
                vec![next.map(str::to_owned)]
            };
            assert_eq!(told.client_tokens(), changed, "{header:?} on {status}");
        }
    }
}

/// By F5 no two requests are under way, so none can be overtaken; and an answer that comes
/// too late is nobody's.
#[test]
pub(super) fn f4_an_older_answer_never_replaces_a_newer_client_token() {
    let rotates = |to: &'static str| Answer::Exactly(Response::new(404, "").authorization(to));
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if call.url.contains("/slow?") {
            // Given up at 10 s.
            Answer::Late(15 * SECOND, Box::new(rotates("older")))
        } else {
            rotates("newer")
        }
    });
    fapi.latency = 3 * SECOND;
    let builder = fapi.builder().max_wait(Duration::MAX);
    fapi.with(builder, async |refresher| {
        quiet(refresher).await;
        let (slow, quick) = (template("slow"), template("quick"));
        let (_, _) = join(refresher.token(&slow), refresher.token(&quick)).await;
        let _ = refresher.token(&template("last")).await;
    });
    let calls = fapi.calls();
    let quick = calls.iter().find(|call| call.url.contains("/quick?"));
    assert_eq!(quick.unwrap().authorization.as_deref(), Some(CLIENT_TOKEN));
    let last = calls.last().unwrap();
    assert!(last.url.contains("/last?"), "{}", last.url);
    assert_eq!(last.authorization.as_deref(), Some("newer"));
}

#[test]
pub(super) fn f7_the_trace_id_is_the_bodys_or_else_the_ray() {
    let named = r#"{"errors":[],"clerk_trace_id":"trace_1"}"#;
    for (body, ray, expected) in [
        (named, None, Some("trace_1")),
        (named, Some("ray_1"), Some("trace_1")),
        (r#"{"errors":[]}"#, Some("ray_1"), Some("ray_1")),
        (r#"{"clerk_trace_id":null}"#, Some("ray_1"), Some("ray_1")),
        ("<html>", Some("ray_1"), Some("ray_1")),
        ("", None, None),
    ] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            let response = Response::new(404, body);
            Answer::Exactly(match ray {
                Some(ray) => response.trace_id(ray),
                None => response,
            })
        });
        let error = fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap_err());
        let Cause::Status { trace_id, .. } = cause(&error) else {
            panic!("{error:?}");
        };
        assert_eq!(trace_id.as_deref(), expected, "{body} {ray:?}");
        let said = error.to_string();
        assert_eq!(said.contains("(trace "), expected.is_some(), "{said}");
    }
}

#[test]
fn a_rotated_client_token_is_used_from_then_on() {
    let answer = |header: &'static str| {
        move || {
            let body = json!({ "errors": [] }).to_string();
            Answer::Exactly(Response::new(500, body).authorization(header))
        }
    };
    let rotates = first(1, answer("Bearer rotated"), fails_500);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| rotates());
    fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap_err());
    let sent: Vec<_> = fapi
        .calls()
        .into_iter()
        .map(|call| call.authorization)
        .collect();
    assert_eq!(sent[1].as_deref(), Some(CLIENT_TOKEN));
    assert_eq!(
        sent[2].as_deref(),
        Some("rotated"),
        "also from an error response"
    );
}

/// The session named, else the one last active, else any; one that is over is none.
#[test]
fn the_session_is_the_one_named_or_last_active_or_any() {
    let listed = json!([
        { "id": "sess_0", "status": "ended" },
        { "id": "sess_2", "status": "active" },
        { "id": "sess_3", "status": "active" },
    ]);
    for (named, last, expected) in [
        (Some("sess_3"), "sess_2", Some("sess_3")),
        (Some("sess_0"), "sess_2", None),
        (Some("sess_9"), "sess_2", None),
        (None, "sess_3", Some("sess_3")),
        (None, "sess_0", Some("sess_2")),
    ] {
        let client = json!({ "sessions": listed, "last_active_session_id": last });
        let body = json!({ "response": client });
        let fapi = Fapi::new(move |call| match call.on {
            On::Client => exactly(200, &body),
            On::Tokens => Answer::Fine,
        });
        let mut builder = fapi.seed();
        if let Some(named) = named {
            builder = builder.session_id(named);
        }
        let known = fapi.with(builder, async |refresher| {
            let known = refresher.ready().await;
            fapi.timer.sleep(6 * SECOND).await;
            known
        });
        assert_eq!(known.is_ok(), expected.is_some(), "{named:?} {last}");
        let minted = fapi.calls().into_iter().find(|call| call.on == On::Tokens);
        let minted = minted.map(|call| call.url.split('/').nth(6).unwrap().to_owned());
        assert_eq!(minted.as_deref(), expected);
    }
}

#[test]
fn a_client_with_another_sessions_token_is_not_believed() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => Answer::Fine,
        On::Client => {
            let foreign = json!({ "jwt": first_jwt("sess_2") });
            exactly(200, &client(&json!([session(&foreign)])))
        }
    });
    fapi.run(async |refresher| {
        let token = refresher.get_token().await.unwrap();
        assert_eq!(token.claims().session_id(), "sess_1");
    });
}

#[test]
fn a_templates_token_need_not_say_of_which_session_it_is() {
    let bare = || json!({ "jwt": jwt(&json!({ "sub": "user_1", "iat": 0, "exp": 60 })) });
    let fapi = Fapi::new(move |call| match call.on {
        On::Client => Answer::Fine,
        On::Tokens => exactly(200, &bare()),
    });
    fapi.run(async |refresher| {
        let template = template("hasura");
        let token = refresher.token(&template).await.unwrap();
        assert_eq!(token.claims().session_id(), "sess_1");
        refresher.token(&template).await.unwrap();
        let own = TokenRequest::new().force();
        let waiting = refresher.token(&own);
        let limit = fapi.timer.sleep(SECOND);
        assert!(
            matches!(select(pin!(waiting), limit).await, Either::Right(_)),
            "the session's own one has to"
        );
    });
    assert_eq!(fapi.instants(On::Tokens).len(), 2, "cached as any other");
}

#[test]
fn another_sessions_token_and_another_places_template_are_refused() {
    let strange = jwt(&json!({ "sid": "sess_2", "sub": "user_2", "iat": 0, "exp": 60 }));
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
        exactly(200, &json!({ "jwt": strange }))
    });
    fapi.run(async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err().to_string();
        assert!(
            error.ends_with("a body that holds the token of another session"),
            "{error}"
        );
        for name in ["", ".", ".."] {
            let error = refresher
                .token(&TokenRequest::new().template(name))
                .await
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the template `{name}` is not the name of one")
            );
        }
    });
    assert!(fapi.calls().iter().all(|call| !call.url.contains("..")));
}

#[test]
fn bad_replies_are_clear_errors_and_sign_nobody_out() {
    let bad = [
        (
            "<html>502</html>",
            "the API answered 200 with a body that is not JSON",
        ),
        ("", "the API answered 200 with a body that is not JSON"),
        ("{}", "the API answered 200 with a body that has no `jwt`"),
        (
            r#"{"jwt":"x"}"#,
            "the session token is not three parts with dots between them",
        ),
        (
            r#"{"jwt":"!.!.!"}"#,
            "the session token has a header that is not base64url of JSON",
        ),
    ];
    for (body, said) in bad {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            Answer::Exactly(Response::new(200, body))
        });
        fapi.run(async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(error.to_string().ends_with(said), "{error}");
            assert_eq!(refresher.status(), RefresherStatus::Degraded);
        });
        assert_eq!(
            fapi.instants(On::Tokens),
            schedule_from(1.0),
            "retried by the schedule"
        );
    }
    let html = || Answer::Exactly(Response::new(401, "<html>").trace_id("ray_1"));
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| html());
    fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
    assert_eq!(
        fapi.calls().len(),
        1 + 2,
        "by status first: a 401 in HTML is verified"
    );
}

/// What it says goes into errors and logs.
#[test]
fn a_name_that_is_long_or_not_graphic_is_in_no_error() {
    let longest = "a".repeat(100);
    let too_long = "b".repeat(101);
    let body = json!({
        "errors": [
            { "code": longest },
            { "code": too_long },
            { "code": "two words" },
            { "code": "a\nline" },
            { "code": "resource_not_found" },
        ],
        "clerk_trace_id": too_long,
    });
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| exactly(400, &body));
    let error = fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap_err());
    let Cause::Status {
        codes, trace_id, ..
    } = cause(&error)
    else {
        panic!("{error:?}");
    };
    assert_eq!(*codes, [longest, "resource_not_found".to_owned()]);
    assert_eq!(*trace_id, None);
}
