//! One test for each requirement on identity, start-up, wire and what is told, named by
//! its id; then the store that processes share.

use std::{
    fmt::{Debug, Write},
    io,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use afterbeat::{
    ManualTimer, Timer,
    clerk::{
        Cause, ClientToken, Counters, MemoryStore, Refresher, RefresherBuilder, RefresherEvent,
        RefresherStatus, Request, Response, SESSION, SESSION_RETRIES, SessionToken, StoreLock,
        TokenError, TokenRequest, TokenStore, Transport, TransportError,
    },
};
use futures_util::future::{Either, join, join_all, select};
use serde_json::{Value, json};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::fapi::{
    Answer, CLIENT_TOKEN, Call, Fapi, On, SECOND, client, exactly, jwt, seconds, session,
    set_wall_clock_off, wall_clock,
};

type Builder = RefresherBuilder<Fapi, ManualTimer>;

/// The instants of the session schedule, from an instant in seconds.
fn schedule_from(start: u64) -> Vec<Duration> {
    let start = Duration::from_secs(start);
    let retries = 0..=SESSION_RETRIES;
    retries.map(|n| start + *SESSION.total(n).end()).collect()
}

/// What a refresher tells of itself.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<RefresherEvent>>>);

impl Told {
    fn by(builder: Builder) -> (Self, Builder) {
        let told = Self::default();
        let events = Arc::clone(&told.0);
        let builder = builder.observe(move |event| events.lock().unwrap().push(event));
        (told, builder)
    }

    fn all(&self) -> Vec<RefresherEvent> {
        self.0.lock().unwrap().clone()
    }

    fn statuses(&self) -> Vec<RefresherStatus> {
        let status = |event| match event {
            RefresherEvent::Status(status) => Some(status),
            _ => None,
        };
        self.all().into_iter().filter_map(status).collect()
    }

    fn tokens(&self) -> Vec<SessionToken> {
        let token = |event| match event {
            RefresherEvent::Token(token) => Some(token),
            _ => None,
        };
        self.all().into_iter().filter_map(token).collect()
    }

    fn store_failures(&self) -> usize {
        let failed = |event: &RefresherEvent| matches!(event, RefresherEvent::StoreFailed(_));
        self.all().iter().filter(|event| failed(event)).count()
    }
}

/// Asks at 1 s, without the poller, for a token that is not cached.
async fn forced(fapi: &Fapi, refresher: &Refresher) -> Result<SessionToken, TokenError> {
    refresher.ready().await?;
    refresher.poller().stop();
    fapi.timer.sleep(SECOND).await;
    refresher.token(&TokenRequest::new().force()).await
}

fn template(name: impl Into<String>) -> TokenRequest {
    TokenRequest::new().template(name)
}

fn cause(error: &TokenError) -> &Cause {
    match error {
        TokenError::Unavailable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

fn status(error: &TokenError) -> u16 {
    match cause(error) {
        Cause::Status { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

fn fails_500() -> Answer {
    Answer::Fails(500, "internal_clerk_error")
}

fn fails_401() -> Answer {
    Answer::Fails(401, "signed_out")
}

fn session_without_a_token() -> Answer {
    exactly(200, &client(&json!([session(&Value::Null)])))
}

fn no_session() -> Answer {
    exactly(200, &client(&json!([])))
}

/// A token minted at 0.
fn first_jwt(sid: &str) -> String {
    let issued = 1_700_000_000;
    jwt(&json!({ "sid": sid, "sub": "user_1", "iat": issued, "exp": issued + 60 }))
}

fn authorizations(fapi: &Fapi) -> Vec<Option<String>> {
    let calls = fapi.calls().into_iter();
    calls.map(|call| call.authorization).collect()
}

// D: who is signed in.

/// Ten sequences, each for a token of its own, meet a 401.
#[test]
pub(super) fn d7_a_burst_of_401_is_one_verification() {
    let mut fapi = Fapi::new(|call| match call.on {
        On::Tokens => fails_401(),
        On::Client => session_without_a_token(),
    });
    fapi.latency = Duration::from_millis(90);
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
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

#[test]
pub(super) fn d8_a_missing_expired_token_is_sent_at_once() {
    let wants = || Answer::Fails(422, "missing_expired_token");
    let knows = |call: &Call| call.url.contains("expired_token=");

    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if knows(call) { Answer::Fine } else { wants() }
    });
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert_eq!(refresher.counters().retries, 0, "within one attempt");
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND; 2]);
    let query = format!("debug=skip_cache&expired_token={}", first_jwt("sess_1"));
    let urls: Vec<_> = fapi.calls().into_iter().map(|call| call.url).collect();
    assert!(urls[1].ends_with("debug=skip_cache"), "{}", urls[1]);
    assert!(urls[2].ends_with(&query), "{}", urls[2]);
    let shown = format!("{:?} {:?}", told.all(), fapi.requests());
    assert!(!shown.contains(&first_jwt("sess_1")[20..]), "{shown}");

    // Asked for again; and with nothing to send.
    for (known, requests) in [(true, 2), (false, 1)] {
        let fapi = Fapi::new(move |call| match call.on {
            On::Tokens => wants(),
            On::Client if known && call.at < SECOND => Answer::Fine,
            On::Client => session_without_a_token(),
        });
        let (told, builder) = Told::by(fapi.seed());
        fapi.with(builder, async |refresher| {
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert_eq!(status(&error), 422);
            let shown = format!("{error} {error:?} {:?}", told.all());
            assert!(!shown.contains(&first_jwt("sess_1")[20..]), "{shown}");
        });
        assert_eq!(fapi.instants(On::Tokens), vec![SECOND; requests]);
    }
}

/// A refusal that comes with a new client token was meant for the old one.
#[test]
pub(super) fn d9_a_401_for_a_rotated_token_is_asked_again_with_the_new_one() {
    let old = |call: &Call| call.authorization.as_deref() == Some(CLIENT_TOKEN);
    let stale = || Answer::Exactly(Response::new(401, "").authorization("rotated"));
    let sent = |n: usize| [CLIENT_TOKEN, CLIENT_TOKEN, "rotated", "rotated"][..n].to_vec();
    let authorized = |fapi: &Fapi| -> Vec<String> {
        let sent = authorizations(fapi).into_iter();
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
        assert_eq!(fapi.instants(On::Client)[1..], schedule_from(1));
    }
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
            let (told, builder) = Told::by(fapi.seed());
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
        let (told, builder) = Told::by(fapi.seed());
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

// E: start-up in an outage.

/// The mint's limit is a caller's own: here the start-up does not wait for the mint,
/// which has its turn when the request before it, that may rotate the client token, has
/// ended.
#[test]
pub(super) fn e4_a_black_hole_at_the_start_is_ready_and_degraded_after_7_s() {
    let fapi = Fapi::new(|_| Answer::Hang);
    let builder = fapi.builder().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        assert_eq!(fapi.timer.now(), 7 * SECOND);
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
        assert_eq!(fapi.timer.now(), 14 * SECOND);
    });
    let mint = &fapi.calls()[1];
    assert_eq!((mint.at, mint.on), (10 * SECOND, On::Tokens));
    assert!(
        mint.url.contains("/sessions/sess_1/tokens?"),
        "{}",
        mint.url
    );

    // The same where the identity is the store's.
    let store = MemoryStore::default();
    let healthy = Fapi::new(|_| Answer::Fine);
    healthy.with(healthy.builder().store(store.clone()), async |refresher| {
        forced(&healthy, refresher).await.unwrap();
    });
    let fapi = Fapi::new(|_| Answer::Hang);
    fapi.with(fapi.builder().store(store), async |refresher| {
        let degraded = |status: &RefresherStatus| *status == RefresherStatus::Degraded;
        refresher.wait_for(degraded).await;
        assert_eq!(fapi.timer.now(), 7 * SECOND);
    });
}

/// No empty client here: it is degraded, and says why to whoever asks.
#[test]
pub(super) fn e5_without_a_stored_token_nothing_is_minted() {
    let fapi = Fapi::new(|_| fails_500());
    fapi.run(async |refresher| {
        assert_eq!(status(&refresher.ready().await.unwrap_err()), 500);
        for _ in 0..60 {
            refresher.get_token().await.unwrap_err();
            fapi.timer.sleep(10 * SECOND).await;
        }
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}

/// The poller does it, so that each wait is the next look of its interval: 3, 6, 12, 24,
/// 30 s of Expo's kind become 5, 10, 15, 25, 30 s.
#[test]
pub(super) fn e6_the_client_is_loaded_again_in_the_background_with_a_back_off() {
    let instants = |seconds: &[u64]| -> Vec<Duration> {
        seconds.iter().copied().map(Duration::from_secs).collect()
    };
    let back_at = 120 * SECOND;
    let until = move |call: &Call| {
        if call.at < back_at {
            fails_500()
        } else {
            Answer::Fine
        }
    };
    let fapi = Fapi::new(until);
    fapi.run(async |refresher| {
        fapi.timer.sleep(100 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        fapi.timer.sleep(100 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
    let expected = instants(&[0, 5, 15, 30, 55, 85, 115, 145]);
    assert_eq!(fapi.instants(On::Client), expected);

    // Started up from a last token: also after the mint has gone well.
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => Answer::Fine,
        On::Client => until(call),
    });
    let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap();
        fapi.timer.sleep(200 * SECOND).await;
        refresher.get_token().await.unwrap();
    });
    let again = fapi.instants(On::Client);
    let expected = instants(&[0, 0, 5, 15, 30, 55, 85, 115, 145]);
    assert_eq!(again, expected);
}

/// Hangs for ever on some requests, and counts those that were dropped unanswered.
struct Hangs {
    fapi: Fapi,
    dropped: Arc<AtomicUsize>,
}

struct Dropped(Arc<AtomicUsize>, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Transport for Hangs {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut dropped = Dropped(Arc::clone(&self.dropped), false);
        let result = self.fapi.send(request).await;
        dropped.1 = true;
        result
    }
}

/// New callers share the sequence, whose next attempt is a new request.
#[test]
pub(super) fn e7_a_request_that_takes_too_long_is_cancelled_and_joined_by_nobody() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.at < 10 * SECOND {
            Answer::Hang
        } else {
            Answer::Fine
        }
    });
    let dropped = Arc::new(AtomicUsize::new(0));
    let transport = Hangs {
        fapi: fapi.clone(),
        dropped: Arc::clone(&dropped),
    };
    let api = "https://clerk.example.test".parse().unwrap();
    let (refresher, driver) = RefresherBuilder::with_timer(fapi.timer.clone(), api, transport)
        .wall_clock(wall_clock)
        .driver();
    let scenario = async {
        let error = forced(&fapi, &refresher).await.unwrap_err();
        assert!(matches!(error, TokenError::TimedOut { .. }));
        assert_eq!(
            (fapi.timer.now(), dropped.load(Ordering::Relaxed)),
            (8 * SECOND, 0)
        );
        // Asks while the request hangs, and is answered by the next.
        let token = refresher.token(&TokenRequest::new().force()).await.unwrap();
        assert_eq!(
            (fapi.timer.now(), token.expires_in()),
            (14 * SECOND, 60 * SECOND)
        );
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    };
    fapi.timer.run(async {
        match select(pin!(scenario), driver).await {
            Either::Left(((), _)) => {}
            Either::Right(_) => panic!("the driver ended"),
        }
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND, 14 * SECOND]);
}

/// `Loading` is what it begins with: it is no change, and so no event.
#[test]
pub(super) fn e8_degraded_becomes_ready_with_the_first_success() {
    let fapi = Fapi::new(|call| {
        if call.at < 20 * SECOND {
            fails_500()
        } else {
            Answer::Fine
        }
    });
    let (told, builder) = Told::by(fapi.seed().last_token(&fapi.jwt()).unwrap());
    fapi.with(builder, async |refresher| {
        let mut seen = vec![refresher.status()];
        while seen.last() != Some(&RefresherStatus::Ready) {
            let last = seen[seen.len() - 1].clone();
            seen.push(refresher.wait_for(|status| *status != last).await);
        }
        let expected = [
            RefresherStatus::Loading,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
        ];
        assert_eq!(seen, expected);
        assert_eq!(fapi.timer.now(), schedule_from(0)[4]);
        assert_eq!(told.statuses(), expected[1..]);
        refresher.get_token().await.unwrap();
    });
}

#[test]
pub(super) fn e9_a_stored_token_tells_who_it_is_and_is_never_handed_out() {
    let stored = first_jwt("sess_1");
    // Expired at the start; valid at the start.
    for begins in [3600, 0] {
        let fapi = Fapi::new(|call| match (call.on, call.at.as_secs() % 3600 < 300) {
            (On::Client, _) => fails_500(),
            (On::Tokens, true) => Answer::Hang,
            (On::Tokens, false) => Answer::Fine,
        });
        fapi.timer.advance(Duration::from_secs(begins));
        let (told, builder) = Told::by(fapi.builder().last_token(&stored).unwrap());
        fapi.with(builder, async |refresher| {
            for _ in 0..5 {
                refresher.get_token().await.unwrap_err();
            }
            fapi.timer.sleep(400 * SECOND).await;
            let token = refresher.get_token().await.unwrap();
            assert_ne!(token.expose(), stored);
        });
        assert!(told.tokens().iter().all(|token| token.expose() != stored));
        assert!(fapi.calls()[1].url.contains("/sessions/sess_1/tokens?"));
    }
}

/// The same of a token in a store: not even the observer is given it.
#[test]
pub(super) fn e9_an_expired_token_of_a_store_is_never_handed_out() {
    let store = MemoryStore::default();
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        forced(&fapi, refresher).await.unwrap();
    });
    let stored = String::from_utf8(store.load().unwrap().unwrap()).unwrap();
    fapi.client_has_token = false;
    fapi.timer.advance(3600 * SECOND);
    let (told, builder) = Told::by(fapi.builder().store(store));
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap();
        fapi.timer.sleep(60 * SECOND).await;
    });
    assert!(!told.tokens().is_empty());
    for token in told.tokens() {
        assert!(!stored.contains(token.expose()), "{token:?}");
        assert_eq!(token.expires_in(), 60 * SECOND);
    }
}

// F: the wire.

/// Method, URL and form of the last request of one call, at 1 s, with a token of 0.
fn sent(builder: impl Fn(Builder) -> Builder, request: &TokenRequest) -> [String; 3] {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(builder(fapi.seed()), async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(SECOND).await;
        refresher.token(request).await.unwrap();
    });
    let calls = fapi.calls();
    let [_client, mint] = &calls[..] else {
        panic!("{calls:?}");
    };
    [
        mint.method.to_owned(),
        mint.url.clone(),
        mint.body.clone().unwrap(),
    ]
}

#[test]
pub(super) fn f1_requests_are_these_bytes() {
    const TOKENS: &str = "https://clerk.example.test/v1/client/sessions/sess_1/tokens";
    const QUERY: &str = "?_is_native=1&__clerk_api_version=2026-05-12";
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| refresher.ready().await.unwrap());
    let client = &fapi.calls()[0];
    let url = format!("https://clerk.example.test/v1/client{QUERY}");
    assert_eq!(
        (client.method, &client.url, &client.body),
        ("GET", &url, &None)
    );

    let new = TokenRequest::new;
    for (request, path, query, body) in [
        (new().force(), "", "&debug=skip_cache", ""),
        (new().personal(), "", "", "organization_id="),
        (new().organization(""), "", "", "organization_id="),
        (new().organization("org_1"), "", "", "organization_id=org_1"),
        (template("hasura"), "/hasura", "", ""),
        // A template's token knows no organization.
        (template("hasura").organization("org_1"), "/hasura", "", ""),
        (
            template("hasura").force(),
            "/hasura",
            "&debug=skip_cache",
            "",
        ),
    ] {
        let url = format!("{TOKENS}{path}{QUERY}{query}");
        let expected = ["POST".to_owned(), url, body.to_owned()];
        assert_eq!(sent(|builder| builder, &request), expected, "{request:?}");
    }

    let previous = format!("token={}", first_jwt("sess_1"));
    for (request, path, query, body) in [
        (
            new().force(),
            "",
            "&debug=skip_cache",
            format!("{previous}&force_origin=true"),
        ),
        (
            new().organization("org_1"),
            "",
            "",
            format!("organization_id=org_1&{previous}"),
        ),
    ] {
        let url = format!("{TOKENS}{path}{QUERY}{query}");
        let minter = |builder: Builder| builder.session_minter(true);
        assert_eq!(sent(minter, &request), ["POST".to_owned(), url, body]);
    }
}

/// A request has no other header of its own; the real one's are looked at in `http.rs`.
#[test]
pub(super) fn f2_a_request_has_one_authorization_the_token_as_it_is() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        refresher.token(&TokenRequest::new().force()).await.unwrap();
        refresher.token(&template("hasura")).await.unwrap();
    });
    let requests = fapi.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.authorization(), Some(CLIENT_TOKEN));
        let elsewhere = format!("{} {:?}", request.url(), request.body());
        assert!(!elsewhere.contains(CLIENT_TOKEN), "{elsewhere}");
    }
    // Without a client token there is none, rather than an empty one.
    let fapi = Fapi::new(|_| Answer::Fine);
    let api = "https://clerk.example.test".parse().unwrap();
    let builder = RefresherBuilder::with_timer(fapi.timer.clone(), api, fapi.clone());
    fapi.with(builder.wall_clock(wall_clock), async |refresher| {
        refresher.ready().await.unwrap();
    });
    assert_eq!(authorizations(&fapi), [None]);
}

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
            let (told, builder) = Told::by(fapi.seed());
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
            let tells = |event| match event {
                RefresherEvent::ClientToken(token) => Some(token),
                _ => None,
            };
            let told: Vec<_> = told.all().into_iter().filter_map(tells).collect();
            let told: Vec<_> = told
                .iter()
                .map(|token| token.as_ref().map(ClientToken::expose))
                .collect();
            let changed = if next == Some(CLIENT_TOKEN) {
                vec![]
            } else {
                vec![next]
            };
            assert_eq!(told, changed, "{header:?} on {status}");
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
            rotates("older")
        } else {
            rotates("newer")
        }
    });
    // The slow one's answer would come at 15 s, but has been given up at 10 s.
    fapi.latency = 3 * SECOND;
    let slow = Slow(fapi.clone());
    let api = "https://clerk.example.test".parse().unwrap();
    let (refresher, driver) = RefresherBuilder::with_timer(fapi.timer.clone(), api, slow)
        .client_token(CLIENT_TOKEN.parse().unwrap())
        .wall_clock(wall_clock)
        .max_wait(Duration::MAX)
        .driver();
    let scenario = async {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        let (slow, quick) = (template("slow"), template("quick"));
        let (_, _) = join(refresher.token(&slow), refresher.token(&quick)).await;
        let _ = refresher.token(&template("last")).await;
    };
    fapi.timer.run(async {
        drop(select(pin!(scenario), driver).await);
    });
    let calls = fapi.calls();
    let quick = calls.iter().find(|call| call.url.contains("/quick?"));
    assert_eq!(quick.unwrap().authorization.as_deref(), Some(CLIENT_TOKEN));
    let last = calls.last().unwrap();
    assert!(last.url.contains("/last?"), "{}", last.url);
    assert_eq!(last.authorization.as_deref(), Some("newer"));
}

/// Answers what is called slow 12 s late.
struct Slow(Fapi);

impl Transport for Slow {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        if request.path().ends_with("/slow") {
            self.0.timer.sleep(12 * SECOND).await;
        }
        self.0.send(request).await
    }
}

/// Everything that is written to `tracing` by anyone.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// An error as a program shows it: with all that it says of its sources.
fn shown(error: &dyn std::error::Error) -> String {
    let mut shown = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        write!(shown, "{error} {error:?} {error:#?} ").unwrap();
        next = error.source();
    }
    shown
}

#[test]
pub(super) fn f6_no_secret_is_shown_anywhere() {
    const SIGNATURE: &str = "c2lnbmF0dXJl";
    let lines = Lines::default();
    let everything = lines.clone();
    let bad_jwt = format!("{}.{SIGNATURE}", first_jwt("sess_1"));
    // What the API echoes is no name of an error.
    let echo = json!({
        "errors": [{ "code": format!("not a code: {CLIENT_TOKEN}"), "message": CLIENT_TOKEN,
            "long_message": first_jwt("sess_1") }],
        "clerk_trace_id": format!("not an id: {CLIENT_TOKEN}"),
        "meta": { "client": CLIENT_TOKEN },
    });
    let fapi = Fapi::new(move |call| {
        let other = call.url.contains("expired_token=");
        let part = call.url.split('?').next().unwrap().rsplit('/').next();
        match part.unwrap() {
            "client" if call.at < SECOND => Answer::Fine,
            "client" => exactly(500, &echo),
            "tokens" if other => exactly(404, &echo),
            "tokens" => Answer::Fails(422, "missing_expired_token"),
            "malformed" => exactly(200, &json!({ "jwt": bad_jwt })),
            "foreign" => exactly(200, &json!({ "jwt": first_jwt("sess_2") })),
            "rotates" => {
                Answer::Exactly(Response::new(404, "").authorization("Bearer rotated-secret"))
            }
            "panics" => Answer::Panic,
            "rejects" => Answer::Reject,
            _ => exactly(400, &echo),
        }
    });
    let store = MemoryStore::default();
    let builder = fapi.builder().session_minter(false).tag_retries(true);
    let builder = builder.store(store.clone()).max_elapsed(2 * SECOND);
    let (told, builder) = Told::by(builder.last_token(&first_jwt("sess_1")).unwrap());
    tracing::subscriber::with_default(lines, || {
        tracing::info!(?builder, ?store, "begins");
        fapi.with(builder, async |refresher| {
            refresher.ready().await.unwrap();
            refresher.poller().stop();
            fapi.timer.sleep(SECOND).await;
            let token = refresher.get_token().await.unwrap();
            tracing::info!(?token, claims = ?token.claims(), "has");
            let mut requests: Vec<TokenRequest> = [
                "malformed",
                "foreign",
                "rotates",
                "panics",
                "rejects",
                "else",
            ]
            .map(template)
            .to_vec();
            requests.push(TokenRequest::new().force());
            for request in &requests {
                let error = refresher.token(request).await.unwrap_err();
                tracing::info!(error = shown(&error), ?request, "failed");
                tracing::info!(?refresher, poller = ?refresher.poller(), "still");
                tracing::info!(status = ?refresher.status(), "still");
                tracing::info!(counters = ?refresher.counters(), "still");
            }
            tracing::info!(lock = ?store.try_lock().unwrap(), "holds");
        });
        for event in told.all() {
            tracing::info!(?event, "told");
        }
        for request in fapi.requests() {
            tracing::info!(?request, "sent");
        }
        let response = Response::new(200, first_jwt("sess_1"))
            .authorization(CLIENT_TOKEN)
            .retry_after(SECOND);
        tracing::info!(?response, "got");
        let driver = fapi.builder().driver().1;
        tracing::info!(?driver, "drives");
        let errors: [&dyn std::error::Error; 2] = [
            &format!("{CLIENT_TOKEN}\n")
                .parse::<ClientToken>()
                .unwrap_err(),
            &fapi
                .builder()
                .last_token(&first_jwt("sess_1")[9..])
                .unwrap_err(),
        ];
        for error in errors {
            tracing::info!(error = shown(error), "invalid");
        }
    });
    let urls: Vec<_> = fapi.calls().into_iter().map(|call| call.url).collect();
    assert!(urls.iter().any(|url| url.contains("expired_token=")));
    assert!(authorizations(&fapi).contains(&Some("rotated-secret".to_owned())));
    let everything = everything.0.lock().unwrap();
    assert!(everything.contains("ClientToken(..)"), "{everything}");
    assert!(everything.contains("StoreLock(..)"), "{everything}");
    let payload = first_jwt("sess_1");
    let payload = payload.split('.').nth(1).unwrap();
    for secret in [CLIENT_TOKEN, "rotated-secret", SIGNATURE, payload] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
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
pub(super) fn f8_a_session_minter_is_given_the_token_before() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let builder = fapi.seed().session_minter(true);
    fapi.with(builder, async |refresher| {
        let second = forced(&fapi, refresher).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        refresher.token(&template("hasura")).await.unwrap();
        // After it has expired, too.
        fapi.timer.sleep(120 * SECOND).await;
        refresher.get_token().await.unwrap();
        let bodies = fapi.calls().into_iter().filter_map(|call| call.body);
        let [first, second] = [&first_jwt("sess_1"), second.expose()];
        let expected = [
            format!("token={first}&force_origin=true"),
            format!("token={second}"),
            format!("token={second}"),
        ];
        assert_eq!(bodies.collect::<Vec<_>>(), expected);
    });
    let forced = |call: &Call| call.url.contains("debug=skip_cache");
    let forced: Vec<_> = fapi.calls().iter().map(forced).collect();
    assert_eq!(forced, [false, true, false, false]);

    // Nothing before it: nothing is sent. Another session's is not its own.
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.client_has_token = false;
    let builder = fapi.seed().session_minter(true);
    let builder = builder.last_token(&first_jwt("sess_2")).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap();
    });
    assert_eq!(fapi.calls()[1].body.as_deref(), Some(""));
}

/// GETs and POSTs alike: here both are retried.
#[test]
pub(super) fn f9_a_repeated_request_says_its_number_where_that_is_asked_for() {
    let tags = |asked: bool| -> Vec<(On, Option<String>)> {
        let given = AtomicU32::new(0);
        let fapi = Fapi::new(move |_| match given.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::Reject,
            3 | 4 => fails_500(),
            5 => Answer::Fails(422, "missing_expired_token"),
            _ => Answer::Fine,
        });
        let builder = if asked {
            fapi.seed().tag_retries(true)
        } else {
            fapi.seed()
        };
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            refresher.token(&template("hasura")).await.unwrap();
        });
        let tag = |call: Call| {
            let tag = call.url.split_once("&_clerk_retry_attempt=");
            let tag = tag.map(|(_, tag)| tag.to_owned());
            (call.on, tag)
        };
        fapi.calls().into_iter().map(tag).collect()
    };
    let tagged = [
        (On::Client, None),
        (On::Client, Some("1")),
        (On::Client, Some("2")),
        (On::Tokens, None),
        (On::Tokens, Some("1")),
        (On::Tokens, Some("2")),
        // The same attempt, once more with the last token.
        (On::Tokens, Some("2")),
        (On::Tokens, None),
    ];
    let owned = |(on, tag): (On, Option<&str>)| (on, tag.map(str::to_owned));
    assert_eq!(tags(true), tagged.map(owned));
    assert_eq!(tags(false), tagged.map(|(on, _)| (on, None)));
}

// G: what is told.

#[test]
pub(super) fn g1_the_status_goes_both_ways_until_it_is_final() {
    let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
        (_, 0..20) => fails_500(),
        (On::Tokens, 100..400 | 800..1100) => fails_500(),
        (On::Tokens, 1500..) => fails_401(),
        (On::Client, 1500..) => no_session(),
        _ => Answer::Fine,
    });
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        assert_eq!(refresher.status(), RefresherStatus::Loading);
        let expected = [
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
        ];
        for status in &expected {
            let reached = refresher.wait_for(|now| now == status).await;
            assert_eq!((&reached, &refresher.status()), (status, status));
        }
        let last = refresher.wait_for(|_| false).await;
        assert!(matches!(last, RefresherStatus::SignedOut(_)), "{last:?}");
        fapi.timer.sleep(3600 * SECOND).await;
        assert_eq!(told.statuses(), [&expected[..], &[last]].concat());
    });

    let fapi = Fapi::new(|_| Answer::Fails(400, "native_api_disabled"));
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        let last = refresher.wait_for(|_| false).await;
        assert!(matches!(last, RefresherStatus::Refused(_)), "{last:?}");
        fapi.timer.sleep(3600 * SECOND).await;
        assert_eq!(told.statuses(), [last]);
    });
}

/// A token that the verification brought makes it ready again like any other.
#[test]
pub(super) fn g1_a_token_that_came_with_the_verification_makes_it_ready() {
    let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
        (On::Tokens, 0..100) => fails_500(),
        (On::Tokens, _) => fails_401(),
        (On::Client, _) => Answer::Fine,
    });
    let builder = fapi.seed().max_elapsed(20 * SECOND);
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        fapi.timer.sleep(100 * SECOND).await;
        refresher.get_token().await.unwrap();
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
}

#[test]
pub(super) fn g2_only_the_active_token_is_told_of() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(SECOND).await;
        refresher.token(&template("hasura")).await.unwrap();
        let other = TokenRequest::new().organization("org_1");
        let other = refresher.token(&other).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.tokens().len(), 1, "the one of the start");
        let own = refresher.token(&TokenRequest::new().force()).await.unwrap();
        fapi.timer.sleep(SECOND).await;
        let tokens = told.tokens();
        let tokens: Vec<_> = tokens.iter().map(SessionToken::expose).collect();
        assert_eq!(tokens, [&first_jwt("sess_1"), own.expose()]);
        assert_ne!(own.expose(), other.expose());

        // What becomes the active one is minted for that, and told of.
        refresher.set_organization(Some("org_2"));
        let switched = refresher.get_token().await.unwrap();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.tokens().pop().unwrap().expose(), switched.expose());
    });
}

#[test]
pub(super) fn g3_a_token_is_told_of_when_it_is_another_one() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        for _ in 0..10 {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(told.tokens().len(), 1);

    // The API gives the same one again.
    let same = || exactly(200, &json!({ "jwt": first_jwt("sess_1") }));
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| same());
    let (told, builder) = Told::by(fapi.seed());
    fapi.with(builder, async |refresher| {
        for _ in 0..10 {
            refresher.token(&TokenRequest::new().force()).await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(
        (fapi.instants(On::Tokens).len(), told.tokens().len()),
        (10, 1)
    );
}

/// A small generator: what a test does is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// An API with troubles of its own, the same for one seed, each for some seconds.
fn troubled(seed: u64) -> impl Fn(&Call) -> Answer + Send + Sync {
    move |call| {
        let mut dice = Dice(seed ^ (call.at.as_secs() / 13) << 20);
        dice.below(2);
        match (dice.below(8), call.on) {
            (0 | 1, _) => fails_500(),
            (2, _) => Answer::Reject,
            (3, On::Tokens) => fails_401(),
            (4, _) => Answer::Exactly(Response::new(429, "").retry_after(9 * SECOND)),
            (5, On::Tokens) => Answer::Hang,
            (6, On::Tokens) => Answer::Fails(404, "resource_not_found"),
            _ => Answer::Fine,
        }
    }
}

/// Callers of all kinds, some of which go away; `check` is asked at each step.
async fn callers(
    timer: &ManualTimer,
    refresher: &Refresher,
    dice: &mut Dice,
    check: impl Fn(&Counters),
) -> u64 {
    let steps: Vec<_> = (0..40)
        .map(|_| [4000, 6, 3000, 4].map(|n| dice.below(n)))
        .collect();
    let calls = steps.iter().scan(0, |at, [wait, kind, patience, leaves]| {
        *at += *wait;
        let begins = Duration::from_millis(*at);
        let request = match kind {
            0 => template("a"),
            1 => template(".."),
            2 => TokenRequest::new().organization("org_1"),
            3 => TokenRequest::new().force(),
            _ => TokenRequest::new(),
        };
        let patience = match leaves {
            0 => Duration::from_millis(*patience),
            _ => 3600 * SECOND,
        };
        let check = &check;
        Some(async move {
            timer.sleep(begins).await;
            let call = refresher.token(&request);
            drop(select(pin!(call), timer.sleep(patience)).await);
            check(&refresher.counters());
        })
    });
    join_all(calls).await;
    steps.len() as u64
}

#[test]
pub(super) fn g4_the_counters_add_up_at_every_instant() {
    let add_up = |counters: &Counters| {
        let sum = counters.served + counters.coalesced + counters.led;
        assert_eq!(counters.calls, sum, "{counters:?}");
    };
    let mut sums = [0; 6];
    for seed in 0..25 {
        let mut fapi = Fapi::new(troubled(seed));
        fapi.latency = Duration::from_millis(300);
        let (told, builder) = Told::by(fapi.builder());
        let mut dice = Dice(seed);
        fapi.with(builder, async |refresher| {
            let called = callers(&fapi.timer, refresher, &mut dice, add_up).await;
            let counters = refresher.counters();
            add_up(&counters);
            assert_eq!(counters.calls, called);
            assert_eq!(counters.requests, fapi.calls().len() as u64);
            let retrying =
                |event: &RefresherEvent| matches!(event, RefresherEvent::Retrying { .. });
            let retries = told.all().into_iter().filter(retrying).count();
            assert_eq!(counters.retries, retries as u64);
            let parts = [
                counters.served,
                counters.coalesced,
                counters.led,
                counters.retries,
                counters.gate_waits,
                counters.verifications,
            ];
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
        });
    }
    assert!(sums.iter().all(|sum| *sum > 10), "{sums:?}");
}

/// Four days, twice, to the nanosecond and the byte the same: no real clock is read, nor
/// slept by.
#[test]
pub(super) fn g5_days_pass_in_virtual_time_alone() {
    let run = || {
        let store = MemoryStore::default();
        let fapi = Fapi::new(|call| match call.at.as_secs() % 36_000 {
            30_000..30_600 if call.on == On::Tokens => fails_500(),
            _ => Answer::Fine,
        });
        let (told, builder) = Told::by(fapi.builder().store(store.clone()));
        fapi.with(builder.interval(60 * SECOND), async |refresher| {
            fapi.timer.sleep(4 * 86_400 * SECOND).await;
            refresher.get_token().await.unwrap();
        });
        let stored = String::from_utf8(store.load().unwrap().unwrap()).unwrap();
        let now = wall_clock().duration_since(UNIX_EPOCH).unwrap();
        let minted = serde_json::from_str::<Value>(&stored).unwrap()["token"]["minted_at_ms"]
            .as_u64()
            .unwrap();
        assert!(
            now - Duration::from_millis(minted) < 60 * SECOND,
            "{stored}"
        );
        let instants: Vec<_> = fapi.calls().iter().map(|call| call.at).collect();
        (instants, format!("{:?}", told.all()), stored)
    };
    let once = run();
    assert!(once.0.len() > 4 * 86_400 / 60, "{}", once.0.len());
    assert!(once == run());
}

/// Laws of load, whatever the API and the callers do. A verification is the reload's
/// twin on the wire, so it is counted by the refresher.
#[test]
pub(super) fn g6_no_outage_and_no_crowd_makes_a_storm() {
    for seed in 0..25 {
        let mut fapi = Fapi::new(troubled(seed));
        fapi.latency = Duration::from_millis(300);
        let mut dice = Dice(seed);
        fapi.with(fapi.builder(), async |refresher| {
            let timer = &fapi.timer;
            let verifies = |counters: &Counters| {
                let most = timer.now().as_secs() / 5 + 1;
                assert!(counters.verifications <= most, "{counters:?}");
            };
            callers(timer, refresher, &mut dice, verifies).await;
            refresher.sign_out();
            let sent = fapi.calls().len();
            callers(timer, refresher, &mut dice, |_| {}).await;
            timer.sleep(600 * SECOND).await;
            assert_eq!(fapi.calls().len(), sent, "silence after a sign-out");
        });
        let calls = fapi.calls();
        let again = troubled(seed);
        for pair in calls.windows(2) {
            assert!(
                pair[1].at - pair[0].at >= fapi.latency,
                "one at a time: {pair:?}"
            );
            let gate = match again(&pair[0]) {
                Answer::Exactly(response) if response.status() == 429 => 9 * SECOND,
                _ => Duration::ZERO,
            };
            let open = pair[0].at + fapi.latency + gate;
            assert!(pair[1].at >= open, "within a Retry-After: {pair:?}");
        }
    }

    // Nothing works, and everyone asks.
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
    fapi.with(fapi.builder(), async |refresher| {
        refresher.ready().await.unwrap();
        let timer = &fapi.timer;
        join_all((0..2000).map(|n| async move {
            timer.sleep(seconds(0.4) * n).await;
            let request = TokenRequest::new();
            let request = if n % 3 == 0 { request.force() } else { request };
            let _ = refresher.token(&request).await;
        }))
        .await;
    });
    let mints = fapi.instants(On::Tokens);
    let window = seconds(161.786_707_860) + 5 * SECOND;
    assert!(mints.len() > 36, "{}", mints.len());
    for tenth in mints.windows(10) {
        assert!(tenth[9] - tenth[0] >= window, "{tenth:?}");
    }
}

// The store that processes share.

/// Drives two refreshers, of two processes, while `scenario` goes on.
fn two<R>(
    fapi: &Fapi,
    [one, other]: [Builder; 2],
    scenario: impl AsyncFnOnce(&Refresher, &Refresher) -> R,
) -> R {
    let ((one, one_driver), (other, other_driver)) = (one.driver(), other.driver());
    fapi.timer.run(async {
        let drivers = join(one_driver, other_driver);
        match select(pin!(scenario(&one, &other)), drivers).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("the drivers ended before the scenario"),
        }
    })
}

/// A store with troubles.
#[derive(Clone, Default)]
struct Troubled {
    memory: MemoryStore,
    loads_fail: Arc<AtomicBool>,
    saves_fail: Arc<AtomicBool>,
}

impl Troubled {
    fn text(&self) -> String {
        let bytes = self.memory.load().unwrap().unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }
}

impl TokenStore for Troubled {
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.memory.try_lock()
    }
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        if self.loads_fail.load(Ordering::Relaxed) {
            Err(io::Error::other("planted"))
        } else {
            self.memory.load()
        }
    }
    fn save(&self, state: &[u8]) -> io::Result<()> {
        if self.saves_fail.load(Ordering::Relaxed) {
            Err(io::Error::other("planted"))
        } else {
            self.memory.save(state)
        }
    }
}

#[test]
pub(super) fn f5_of_two_processes_one_refreshes_for_both() {
    for latency in [0, 800] {
        let mut fapi = Fapi::new(|_| Answer::Fine);
        fapi.latency = Duration::from_millis(latency);
        let store = MemoryStore::default();
        let builders = [(); 2].map(|()| fapi.builder().store(store.clone()));
        two(&fapi, builders, async |one, other| {
            fapi.timer.sleep(600 * SECOND).await;
            let (one, other) = (one.get_token().await, other.get_token().await);
            assert_eq!(one.unwrap().expose(), other.unwrap().expose());
        });
        // One of 43 s and the answer's time.
        let mints = fapi.instants(On::Tokens);
        assert!((13..=14).contains(&mints.len()), "{mints:?}");
        let apart = mints.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.min().unwrap() >= 43 * SECOND, "{mints:?}");
        let calls = fapi.calls();
        let apart = calls.windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(apart.min().unwrap() >= fapi.latency, "one at a time");
    }
}

#[test]
pub(super) fn f5_what_one_process_has_rotated_the_other_uses() {
    let rotations = AtomicU32::new(0);
    // Each request rotates, as users report; a stale token is the end.
    let fapi = Fapi::new(move |call| {
        let n = rotations.fetch_add(1, Ordering::Relaxed);
        let current = match n {
            0 => CLIENT_TOKEN.to_owned(),
            n => format!("rotated-{n}"),
        };
        if call.authorization.as_deref() != Some(&current) {
            return fails_401();
        }
        let body = match call.on {
            On::Tokens => json!({ "jwt": first_jwt("sess_1") }),
            On::Client => client(&json!([session(&Value::Null)])),
        };
        let response = Response::new(200, body.to_string());
        Answer::Exactly(response.authorization(format!("rotated-{}", n + 1)))
    });
    let store = MemoryStore::default();
    let builders = [(); 2].map(|()| fapi.seed().store(store.clone()));
    two(&fapi, builders, async |one, other| {
        for n in 0..20 {
            let (one_asks, other_asks) = (template(format!("one-{n}")), template(format!("o-{n}")));
            let both = join(one.token(&one_asks), other.token(&other_asks)).await;
            both.0.unwrap();
            both.1.unwrap();
            fapi.timer.sleep(7 * SECOND).await;
        }
    });
    assert!(fapi.calls().len() >= 42);
}

#[test]
pub(super) fn f5_a_retry_after_met_by_one_process_gates_the_other() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.at < 10 * SECOND {
            Answer::Exactly(Response::new(429, "").retry_after(40 * SECOND))
        } else {
            Answer::Fine
        }
    });
    let store = MemoryStore::default();
    let builders = [(); 2].map(|()| fapi.seed().store(store.clone()));
    two(&fapi, builders, async |one, other| {
        one.ready().await.unwrap();
        other.ready().await.unwrap();
        let late = async {
            fapi.timer.sleep(5 * SECOND).await;
            other.token(&template("b")).await.unwrap();
            assert_eq!(fapi.timer.now(), 40 * SECOND);
            assert_eq!(other.counters().gate_waits, 1);
        };
        let first = template("a");
        join(one.token(&first), late).await.0.unwrap();
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [0, 40, 40].map(Duration::from_secs)
    );

    // A process that begins later, too.
    let fapi = Fapi::new(|call| {
        if call.at < 10 * SECOND {
            Answer::Exactly(Response::new(429, "").retry_after(40 * SECOND))
        } else {
            Answer::Fine
        }
    });
    let store = MemoryStore::default();
    fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        fapi.timer.sleep(3 * SECOND).await;
        refresher.status()
    });
    fapi.with(fapi.seed().store(store), async |refresher| {
        refresher.ready().await.unwrap();
    });
    // The network schedule spreads what a hint has gathered.
    let sent = fapi.instants(On::Client)[1];
    assert!((40 * SECOND..=seconds(40.1)).contains(&sent), "{sent:?}");
}

#[test]
pub(super) fn a_save_that_fails_is_told_and_loses_no_rotated_token() {
    let rotated = AtomicU32::new(0);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        if call.url.contains("/rotates?") {
            let n = rotated.fetch_add(1, Ordering::Relaxed);
            let header = format!("rotated-{n}");
            return Answer::Exactly(Response::new(404, "").authorization(header));
        }
        Answer::Fine
    });
    let store = Troubled::default();
    let (told, builder) = Told::by(fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        // The store holds the token of the start, then a stale one.
        refresher.token(&template("a")).await.unwrap();
        assert!(store.text().contains(CLIENT_TOKEN));
        store.saves_fail.store(true, Ordering::Relaxed);
        refresher.token(&template("rotates")).await.unwrap_err();
        fapi.timer.sleep(SECOND).await;
        assert_eq!(told.store_failures(), 1);
        assert_eq!(refresher.status(), RefresherStatus::Ready);
        refresher.token(&template("b")).await.unwrap();
        refresher.token(&template("c")).await.unwrap();
        // The next save that goes well makes up for it.
        store.saves_fail.store(false, Ordering::Relaxed);
        refresher.token(&template("d")).await.unwrap();
        assert!(store.text().contains("rotated-0"));
    });
    let sent = authorizations(&fapi);
    let sent: Vec<_> = sent.iter().map(|token| token.as_deref().unwrap()).collect();
    let rotated = "rotated-0";
    assert_eq!(
        sent,
        [
            CLIENT_TOKEN,
            CLIENT_TOKEN,
            CLIENT_TOKEN,
            rotated,
            rotated,
            rotated
        ]
    );
}

#[test]
pub(super) fn a_lock_that_is_held_for_long_sends_nothing_and_loses_nothing() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let (told, builder) = Told::by(fapi.builder().store(store.clone()));
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        let held = store.try_lock().unwrap().unwrap();
        let sent = fapi.calls().len();
        // Due at 43 s; served while it is valid, and then not.
        fapi.timer.sleep(58 * SECOND).await;
        refresher.get_token().await.unwrap();
        assert!(told.store_failures() > 0);
        fapi.timer.sleep(20 * SECOND).await;
        let error = refresher.get_token().await.unwrap_err();
        assert!(
            shown(&error).contains("another process holds its lock"),
            "{error}"
        );
        assert_eq!(fapi.calls().len(), sent);
        drop(held);
        fapi.timer.sleep(60 * SECOND).await;
        refresher.get_token().await.unwrap();
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });

    // A lock that is held for less than a request may take is waited for.
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let (told, builder) = Told::by(fapi.builder().store(store.clone()));
    fapi.with(builder, async |refresher| {
        let held = store.try_lock().unwrap().unwrap();
        let release = async {
            fapi.timer.sleep(5 * SECOND).await;
            drop(held);
        };
        join(refresher.ready(), release).await.0.unwrap();
        assert_eq!(told.store_failures(), 0);
    });
    let begun = fapi.instants(On::Client)[0];
    assert!((5 * SECOND..seconds(5.11)).contains(&begun), "{begun:?}");
}

#[test]
pub(super) fn a_store_with_garbage_is_told_of_and_written_anew() {
    let garbage: [&[u8]; 7] = [
        b"",
        b"\xff\x00\xfe",
        b"{",
        b"[]",
        b"null",
        br#"{"version":2}"#,
        br#"{"client_token":"stale"}"#,
    ];
    for bytes in garbage {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        store.save(bytes).unwrap();
        let (told, builder) = Told::by(fapi.seed().store(store.clone()));
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            assert!(told.store_failures() > 0, "{bytes:?}");
            assert!(store.text().contains(CLIENT_TOKEN), "{bytes:?}");
            let failures = told.store_failures();
            refresher.token(&template("a")).await.unwrap();
            assert_eq!(told.store_failures(), failures);
        });
        assert!(
            authorizations(&fapi)
                .iter()
                .all(|sent| sent.as_deref() == Some(CLIENT_TOKEN))
        );
    }

    // A state with parts of the wrong kind: what can be read is.
    for part in [
        json!({ "version": 1 }),
        json!({ "version": 1, "client_token": 5, "token": 5, "gated_until_ms": "x" }),
        json!({ "version": 1, "client_token": "two words", "token": { "jwt": "x" } }),
        json!({ "version": 1, "token": { "jwt": first_jwt("sess_1"), "minted_at_ms": u64::MAX } }),
        json!({ "version": 1, "gated_until_ms": 0 }),
    ] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        store.save(part.to_string().as_bytes()).unwrap();
        fapi.with(fapi.seed().store(store), async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            assert_eq!(fapi.timer.now(), SECOND, "{part}");
        });
    }
}

/// A gate of the far future, from a wall clock that was wrong, is a day.
#[test]
pub(super) fn a_stored_gate_ends_all_work_for_a_day_at_most() {
    for until in [u64::MAX, 1_700_000_000_000 + 86_400_001] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = MemoryStore::default();
        let state = json!({ "version": 1, "gated_until_ms": until });
        store.save(state.to_string().as_bytes()).unwrap();
        fapi.with(fapi.seed().store(store), async |_| {
            fapi.timer.sleep(2 * 86_400 * SECOND).await;
        });
        assert!(!fapi.calls().is_empty());
    }
}

/// A wall clock that jumps moves a stored gate, and neither opens this process's own nor
/// ends all work.
#[test]
pub(super) fn a_retry_after_holds_whatever_the_wall_clock_does() {
    for off in [-3600, 3600] {
        let given = AtomicU32::new(0);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            match given.fetch_add(1, Ordering::Relaxed) {
                0 => Answer::Exactly(Response::new(429, "").retry_after(40 * SECOND)),
                _ => Answer::Fine,
            }
        });
        let store = MemoryStore::default();
        fapi.with(fapi.seed().store(store), async |refresher| {
            let asks = forced(&fapi, refresher);
            let jumps = async {
                fapi.timer.sleep(5 * SECOND).await;
                set_wall_clock_off(off);
            };
            join(asks, jumps).await.0.unwrap();
        });
        let mints = fapi.instants(On::Tokens);
        let again = if off < 0 { 41 + 3600 } else { 41 };
        assert_eq!(mints[0], SECOND);
        assert!(
            (41 * SECOND..=Duration::from_secs(again)).contains(&mints[1]),
            "{mints:?}"
        );
    }
}

#[test]
pub(super) fn a_sign_out_clears_the_store() {
    let gone = |store: &Troubled| {
        let text = store.text();
        assert!(
            !text.contains(CLIENT_TOKEN) && !text.contains("eyJ"),
            "{text}"
        );
    };
    // In the middle of a request that rotates the token.
    for at in [1.0, 1.5] {
        let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| {
            let body = json!({ "jwt": first_jwt("sess_1") }).to_string();
            Answer::Exactly(Response::new(200, body).authorization("rotated-secret"))
        });
        fapi.latency = SECOND;
        let store = Troubled::default();
        let (told, builder) = Told::by(fapi.seed().store(store.clone()));
        fapi.with(builder, async |refresher| {
            refresher.ready().await.unwrap();
            let request = TokenRequest::new().force();
            let sign_out = async {
                fapi.timer.sleep(seconds(at)).await;
                refresher.sign_out();
            };
            let _ = join(refresher.token(&request), sign_out).await;
            fapi.timer.sleep(60 * SECOND).await;
            gone(&store);
            assert!(!store.text().contains("rotated-secret"), "{}", store.text());
            assert_eq!(told.store_failures(), 0);
        });
    }

    // And where the program ends right after, or the store cannot be had at first.
    for (ends_by_drop, trouble) in [(false, false), (true, false), (false, true)] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = Troubled::default();
        let (refresher, driver) = fapi.seed().store(store.clone()).driver();
        fapi.timer.run(async {
            let scenario = async {
                forced(&fapi, &refresher).await.unwrap();
                assert!(store.text().contains(CLIENT_TOKEN));
                store.saves_fail.store(trouble, Ordering::Relaxed);
                refresher.sign_out();
                if trouble {
                    fapi.timer.sleep(SECOND).await;
                    assert!(store.text().contains(CLIENT_TOKEN));
                    store.saves_fail.store(false, Ordering::Relaxed);
                }
                if ends_by_drop {
                    drop(refresher);
                } else {
                    refresher.shutdown().await;
                }
            };
            join(scenario, driver).await;
        });
        gone(&store);
    }
}

/// A confirmed sign-out forgets the session, not the client: it is who signs in again.
#[test]
pub(super) fn a_confirmed_sign_out_forgets_the_stored_session() {
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < 2 * SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => no_session(),
    });
    let store = Troubled::default();
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert!(store.text().contains("eyJ"));
        fapi.timer.sleep(2 * SECOND).await;
        refresher
            .token(&TokenRequest::new().force())
            .await
            .unwrap_err();
    });
    assert!(!store.text().contains("eyJ"), "{}", store.text());
    assert!(store.text().contains(CLIENT_TOKEN));
}

#[test]
pub(super) fn a_store_that_cannot_be_read_sends_nothing() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = Troubled::default();
    store.loads_fail.store(true, Ordering::Relaxed);
    let (told, builder) = Told::by(fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        let error = refresher.ready().await.unwrap_err();
        assert!(matches!(cause(&error), Cause::Store(_)), "{error}");
        fapi.timer.sleep(600 * SECOND).await;
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
        assert!(told.store_failures() > 1);
        assert_eq!(fapi.calls().len(), 0);
        store.loads_fail.store(false, Ordering::Relaxed);
        fapi.timer.sleep(60 * SECOND).await;
        refresher.get_token().await.unwrap();
    });

    // In the middle: the cached token is served, and the mint is retried.
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = Troubled::default();
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        store.loads_fail.store(true, Ordering::Relaxed);
        let request = template("a");
        let mend = async {
            fapi.timer.sleep(5 * SECOND).await;
            assert_eq!(fapi.instants(On::Tokens), []);
            store.loads_fail.store(false, Ordering::Relaxed);
        };
        join(refresher.token(&request), mend).await.0.unwrap();
    });
    assert_eq!(fapi.instants(On::Tokens), [seconds(7.65)]);
}

/// A process that was degraded is ready with the token that another one has minted.
#[test]
pub(super) fn g1_a_token_of_another_process_makes_it_ready() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.at < 100 * SECOND {
            fails_500()
        } else {
            Answer::Fine
        }
    });
    let store = MemoryStore::default();
    let builders = [(); 2].map(|()| fapi.seed().store(store.clone()).max_elapsed(20 * SECOND));
    two(&fapi, builders, async |one, other| {
        one.poller().stop();
        forced(&fapi, other).await.unwrap_err();
        assert_eq!(other.status(), RefresherStatus::Degraded);
        fapi.timer.sleep(100 * SECOND).await;
        let token = one.get_token().await.unwrap();
        assert_eq!(other.get_token().await.unwrap().expose(), token.expose());
        assert_eq!(other.status(), RefresherStatus::Ready);
    });
    assert!(fapi.instants(On::Tokens).last().unwrap() > &(100 * SECOND));
}

/// What a store tells of the session outlives a start-up in an outage, whatever that
/// saves; also where the session is named.
#[test]
pub(super) fn e4_the_stored_session_survives_starts_in_an_outage() {
    for named in [false, true] {
        let store = MemoryStore::default();
        let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
            (_, 0..100) => Answer::Fine,
            (On::Client, _) => Answer::Exactly(Response::new(429, "").retry_after(SECOND)),
            (On::Tokens, _) => fails_500(),
        });
        let builder = || {
            let builder = fapi.seed().store(store.clone());
            if named {
                builder.session_id("sess_1")
            } else {
                builder
            }
        };
        fapi.with(builder(), async |refresher| {
            forced(&fapi, refresher).await.unwrap();
        });
        fapi.timer.advance(100 * SECOND);
        for start in 1..4 {
            let before = fapi.instants(On::Tokens).len();
            fapi.with(builder(), async |refresher| {
                refresher.ready().await.unwrap();
                fapi.timer.sleep(10 * SECOND).await;
                assert_eq!(refresher.status(), RefresherStatus::Degraded);
            });
            let mints = fapi.instants(On::Tokens).len();
            assert!(mints > before, "named: {named}, start {start}");
        }
    }
}

/// The store tells of no sign-out: the other asks for itself, and is answered the same.
#[test]
pub(super) fn a_sign_out_of_one_process_is_found_out_by_the_other() {
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => no_session(),
    });
    let store = MemoryStore::default();
    let builders = [(); 2].map(|()| fapi.seed().store(store.clone()));
    two(&fapi, builders, async |one, other| {
        forced(&fapi, one).await.unwrap_err();
        fapi.timer.sleep(120 * SECOND).await;
        for refresher in [one, other] {
            assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
        }
    });
}
