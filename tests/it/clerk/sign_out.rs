//! D: what is final, and what comes after it.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{
        MemoryStore, Refresher, RefresherEvent, RefresherStatus, Response, TokenError, TokenRequest,
    },
};
use futures_util::future::{join, poll_fn, select};
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Call, Fapi, On, SECOND, Told, client, exactly, fails_401, fails_500,
    first_jwt, forced, no_session, of_session, quiet, seconds, session, template, text, token_of,
    until,
};

#[test]
pub(super) fn a4_nothing_is_sent_without_a_session() {
    let fapi = Fapi::new(|_| no_session());
    fapi.run(async |refresher| {
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)));
        fapi.timer.sleep(600 * SECOND).await;
        refresher.get_token().await.unwrap_err();
    });
    assert_eq!(fapi.calls().len(), 1, "the one that found out");
}

/// The status is called `Refused` here, not `Failed`.
#[test]
pub(super) fn d11_a_fatal_configuration_code_stops_everything_and_is_told_once() {
    for code in [
        "api_version_invalid",
        "host_invalid",
        "native_api_disabled",
        "origin_authorization_headers_conflict",
        "origin_invalid",
    ] {
        let refuses = move || Answer::Fails(400, code);
        // At the start, at a mint, at a template's mint, at a verification.
        for place in 0..4 {
            let fapi = Fapi::new(move |call| match (place, call.on) {
                (0, _) => refuses(),
                _ if call.at < SECOND => Answer::Fine,
                (3, On::Tokens) => fails_401(),
                _ => refuses(),
            });
            let (told, builder) = Told::by(&fapi, fapi.seed());
            fapi.with(builder, async |refresher| {
                let error = match place {
                    0 => refresher.ready().await.map(drop),
                    2 => {
                        refresher.ready().await.unwrap();
                        fapi.timer.sleep(SECOND).await;
                        refresher.token(&template("hasura")).await.map(drop)
                    }
                    _ => forced(&fapi, refresher).await.map(drop),
                };
                let TokenError::Refused(why) = error.unwrap_err() else {
                    panic!("{code} at {place}");
                };
                assert_eq!((why.status(), why.code()), (Some(400), Some(code)));
                assert_eq!(why.trace_id(), Some("trace_1"));
                let sent = fapi.calls().len();
                refresher.poller().start();
                for _ in 0..100 {
                    let error = refresher.get_token().await.unwrap_err();
                    assert!(matches!(error, TokenError::Refused(_)));
                    fapi.timer.sleep(6 * SECOND).await;
                }
                assert_eq!(fapi.calls().len(), sent, "then silence");
                let last = RefresherStatus::Refused(why);
                assert_eq!(refresher.wait_for(|_| false).await, last);
                let told = told.statuses().into_iter();
                let told = told.filter(|status| *status == last);
                assert_eq!(told.count(), 1);
            });
            assert_eq!(fapi.calls().len(), [1, 2, 2, 3][place], "{code} at {place}");
        }
    }
}

#[test]
pub(super) fn d13_the_reason_of_a_sign_out_is_kept_and_given_to_everyone() {
    type Answers = fn() -> Answer;
    type Reason = (Option<u16>, Option<&'static str>, Option<&'static str>);
    let cases: [(Answers, Reason); 4] = [
        (fails_401, (Some(401), Some("signed_out"), Some("trace_1"))),
        (
            || Answer::Fails(403, "user_banned"),
            (Some(403), Some("user_banned"), Some("trace_1")),
        ),
        (
            || Answer::Exactly(Response::new(401, "<html>").trace_id("ray_1")),
            (Some(401), None, Some("ray_1")),
        ),
        (no_session, (None, None, None)),
    ];
    for (verification, reason) in cases {
        let fapi = Fapi::new(move |call| match call.on {
            _ if call.at < SECOND => Answer::Fine,
            On::Tokens => fails_401(),
            On::Client => verification(),
        });
        let (told, builder) = Told::by(&fapi, fapi.seed());
        fapi.with(builder, async |refresher| {
            let first = forced(&fapi, refresher).await.map(drop);
            fapi.timer.sleep(3600 * SECOND).await;
            let later = refresher.get_token().await.map(drop);
            let other = refresher.token(&template("hasura")).await.map(drop);
            let ready = refresher.ready().await;
            let mut reasons: Vec<_> = [first, later, other, ready]
                .into_iter()
                .map(|result| match result.unwrap_err() {
                    TokenError::SignedOut(why) => why,
                    other => panic!("{other:?}"),
                })
                .collect();
            let statuses = [refresher.status(), refresher.wait_for(|_| false).await];
            for status in statuses.into_iter().chain(told.statuses().pop()) {
                match status {
                    RefresherStatus::SignedOut(why) => reasons.push(why),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(reasons.len(), 7);
            for why in reasons {
                assert_eq!((why.status(), why.code(), why.trace_id()), reason);
            }
        });
    }
}

/// clerk-js sends 700 requests in 70 s.
#[test]
fn a_401_from_everything_for_ever_is_a_handful_of_requests_then_silence() {
    let mut fapi = Fapi::new(|call| {
        if call.at < SECOND {
            Answer::Fine
        } else {
            fails_401()
        }
    });
    fapi.latency = Duration::from_millis(100);
    fapi.run(async |refresher| {
        for _ in 0..700 {
            fapi.timer.sleep(Duration::from_millis(100)).await;
            let _ = refresher.get_token().await;
        }
    });
    assert_eq!(fapi.calls().len(), 1 + 2);
}

/// A sign-out while a mint is in flight that will bring two secrets.
#[test]
pub(super) fn c12_what_comes_after_a_sign_out_is_neither_stored_nor_told() {
    let minted = token_of(None, 1_700_000_100, 1);
    let mut fapi = {
        let body = json!({ "jwt": minted }).to_string();
        Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            Answer::Exactly(Response::new(200, body.clone()).authorization("rotated"))
        })
    };
    fapi.latency = 2 * SECOND;
    let store = MemoryStore::default();
    let (told, builder) = Told::by(&fapi, fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        quiet(refresher).await;
        let request = TokenRequest::new().force();
        let leaver = async {
            fapi.timer.sleep(SECOND).await;
            refresher.sign_out();
        };
        let (late, ()) = join(refresher.token(&request), leaver).await;
        assert!(matches!(late, Err(TokenError::SignedOut(_))), "{late:?}");
        fapi.timer.sleep(60 * SECOND).await;
    });
    assert_eq!(fapi.calls().len(), 2);
    let after = told.each(|(at, event)| (at >= 3 * SECOND).then_some(event));
    assert!(
        matches!(
            after[..],
            [RefresherEvent::Status(RefresherStatus::SignedOut(_))]
        ),
        "{after:?}"
    );
    let stored = text(&store);
    for secret in [&minted, "rotated", CLIENT_TOKEN] {
        assert!(!stored.contains(secret), "{secret}");
    }
}

#[test]
pub(super) fn c12_a_caller_in_a_wait_is_told_of_the_sign_out_at_once() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
    fapi.run(async |refresher| {
        let leaver = async {
            until(&fapi, 5.0).await;
            refresher.sign_out();
        };
        let (late, ()) = join(forced(&fapi, refresher), leaver).await;
        assert!(matches!(late, Err(TokenError::SignedOut(_))), "{late:?}");
        assert_eq!(fapi.timer.now(), 5 * SECOND);
        fapi.timer.sleep(60 * SECOND).await;
    });
    assert_eq!(fapi.instants(On::Tokens), [1, 4].map(Duration::from_secs));
}

/// A token that comes after the sign-out is nobody's.
#[test]
fn an_answer_that_comes_after_the_sign_out_is_dropped() {
    let mut fapi = Fapi::new(|call| match (call.on, call.url.contains("slow")) {
        _ if call.at < SECOND => Answer::Fine,
        (On::Tokens, true) => Answer::Fine,
        _ => fails_401(),
    });
    fapi.latency = Duration::from_millis(300);
    fapi.run(async |refresher| {
        quiet(refresher).await;
        fapi.timer.sleep(seconds(0.8)).await;
        let slow = async {
            // Sent before the sign-out is confirmed, answered after it.
            fapi.timer.sleep(seconds(0.5)).await;
            refresher.token(&template("slow")).await
        };
        let forced = TokenRequest::new().force();
        let (signed_out, late) = join(refresher.token(&forced), slow).await;
        assert!(matches!(signed_out, Err(TokenError::SignedOut(_))));
        assert!(matches!(late, Err(TokenError::SignedOut(_))), "{late:?}");
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
    });
}

/// A sign-out is a fence: what is under way ends, and brings nobody else's session.
#[test]
fn after_a_sign_out_nothing_is_sent_and_no_other_session_is_taken() {
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens if call.url.contains("hasura") && call.at < 4 * SECOND => fails_500(),
        On::Tokens => fails_401(),
        // Another user's session, and no longer the one that was asked for.
        On::Client => exactly(
            200,
            &client(&json!([{ "id": "sess_2", "status": "active" }])),
        ),
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        fapi.timer.sleep(SECOND).await;
        let template = template("hasura");
        let own = async {
            fapi.timer.sleep(SECOND).await;
            refresher.token(&TokenRequest::new().force()).await
        };
        let (template, own) = join(refresher.token(&template), own).await;
        assert!(matches!(own, Err(TokenError::SignedOut(_))));
        assert!(matches!(template, Err(TokenError::SignedOut(_))));
        refresher.poller().start();
        fapi.timer.sleep(600 * SECOND).await;
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
    });
    // Start-up; the template's; the own one and its verification; then nothing.
    assert_eq!(fapi.calls().len(), 1 + 1 + 2);
}

/// A driver's waker that signs the user out the n-th time that the driver wakes itself.
struct SignsOut {
    refresher: Arc<Refresher>,
    fapi: Fapi,
    polled: AtomicBool,
    wakes: AtomicUsize,
    at: usize,
    sent: AtomicUsize,
    inner: Mutex<Waker>,
}

impl Wake for SignsOut {
    fn wake(self: Arc<Self>) {
        // Not the clock's wakes: no step lies around them.
        let within = self.polled.load(Ordering::Relaxed);
        if within && self.wakes.fetch_add(1, Ordering::Relaxed) == self.at {
            self.refresher.sign_out();
            let sent = self.fapi.calls().len();
            self.sent.store(sent, Ordering::Relaxed);
        }
        let inner = self.inner.lock().unwrap().clone();
        inner.wake();
    }
}

#[test]
fn a_sign_out_between_any_two_steps_is_final() {
    let scripts: [fn(&Call) -> Answer; 4] = [
        |_| Answer::Fine,
        |call| match call.on {
            On::Tokens => Answer::Fine,
            On::Client => fails_500(),
        },
        |_| fails_500(),
        |call| {
            let body = match call.on {
                On::Tokens => json!({ "jwt": of_session("sess_1", 1) }),
                On::Client => client(&json!([session(&json!({ "jwt": first_jwt("sess_1") }))])),
            };
            Answer::Exactly(Response::new(200, body.to_string()).authorization("rotated"))
        },
    ];
    let mut reached = 0;
    for (script, at) in scripts
        .into_iter()
        .flat_map(|s| (0..30).map(move |at| (s, at)))
    {
        let fapi = Fapi::new(script);
        let store = MemoryStore::default();
        // What another process has left behind.
        let (before, driver) = fapi.builder().store(store.clone()).driver();
        fapi.timer.run(select(pin!(before.ready()), driver));
        drop(before);
        let builder = fapi.builder().store(store);
        let builder = builder.last_token(&first_jwt("sess_1")).unwrap();
        let (told, builder) = Told::by(&fapi, builder);
        let (refresher, mut driver) = builder.driver();
        let hook = Arc::new(SignsOut {
            refresher: Arc::new(refresher),
            fapi: fapi.clone(),
            polled: AtomicBool::new(false),
            wakes: AtomicUsize::new(0),
            at,
            sent: AtomicUsize::new(usize::MAX),
            inner: Mutex::new(Waker::noop().clone()),
        });
        let hooked = poll_fn(|context| {
            context.waker().clone_into(&mut hook.inner.lock().unwrap());
            hook.polled.store(true, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&hook));
            let polled = Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
            hook.polled.store(false, Ordering::Relaxed);
            polled
        });
        let sleep = fapi.timer.sleep(200 * SECOND);
        fapi.timer.run(select(pin!(sleep), pin!(hooked)));
        let sent = hook.sent.load(Ordering::Relaxed);
        if sent == usize::MAX {
            continue;
        }
        reached += 1;
        let told = told.all();
        let of = format!("wake {at}: {told:#?}");
        let status = hook.refresher.status();
        assert!(
            matches!(status, RefresherStatus::SignedOut(_)),
            "{status:?} {of}"
        );
        assert_eq!(fapi.calls().len(), sent, "{of}");
        let over =
            |event: &_| matches!(event, RefresherEvent::Status(RefresherStatus::SignedOut(_)));
        let end = told.iter().position(over).expect("told of the sign-out");
        assert_eq!(end + 1, told.len(), "{of}");
    }
    assert!(reached > 20, "{reached}");
}
