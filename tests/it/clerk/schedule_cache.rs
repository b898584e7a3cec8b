//! The schedule (A), the poller (B) and the cache (C): the requirements that
//! `requirements` does not hold, one test for each.

use std::{
    collections::BTreeSet,
    error::Error,
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Backoff, GiveUp, Jitter, ManualTimer, Timer,
    clerk::{
        Cause, MemoryStore, NETWORK, Refresher, RefresherBuilder, RefresherEvent, RefresherStatus,
        Response, SESSION, SessionToken, TokenError, TokenRequest, TokenStore,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{
    FutureExt,
    future::{join, join_all, select},
};
use serde_json::{Value, json};

use super::{
    fapi::{
        Answer, CLIENT_TOKEN, Call, Fapi, On, SECOND, client, exactly, jwt, seconds, session,
        set_wall_clock_off,
    },
    requirements::{cause, fails_401, fails_500, first, forced, polled, schedule_from},
};

type Builder = RefresherBuilder<Fapi, ManualTimer>;

/// What an observer was told, and when.
type Told = Arc<Mutex<Vec<(Duration, RefresherEvent)>>>;

fn observed(fapi: &Fapi, builder: Builder) -> (Builder, Told) {
    let told = Told::default();
    let (timer, notes) = (fapi.timer.clone(), Arc::clone(&told));
    let builder =
        builder.observe(move |event| notes.lock().unwrap().push((timer.now(), event.clone())));
    (builder, told)
}

/// When the observer was told of a token.
fn tokens_told(told: &Told) -> Vec<Duration> {
    let told = told.lock().unwrap();
    let tokens = told
        .iter()
        .filter(|(_, event)| matches!(event, RefresherEvent::Token(_)));
    tokens.map(|(at, _)| *at).collect()
}

fn statuses_told(told: &Told) -> Vec<RefresherStatus> {
    let told = told.lock().unwrap();
    let statuses = told.iter().filter_map(|(_, event)| match event {
        RefresherEvent::Status(status) => Some(status.clone()),
        _ => None,
    });
    statuses.collect()
}

async fn until(fapi: &Fapi, at: f64) {
    let wait = seconds(at) - fapi.timer.now();
    fapi.timer.sleep(wait).await;
}

/// What a caller gets without waiting.
fn at_once(refresher: &Refresher) -> Option<SessionToken> {
    refresher.get_token().now_or_never().map(Result::unwrap)
}

/// A session token of 60 s; `n` tells it from others of the same times.
fn token_of(origin_issued_at: Option<u64>, issued_at: u64, n: u32) -> String {
    let claims = json!({
        "sid": "sess_1",
        "sub": format!("user_{n}"),
        "iat": issued_at,
        "exp": issued_at.saturating_add(60),
    });
    let header = json!({ "alg": "RS256", "oiat": origin_issued_at }).to_string();
    let token = jwt(&claims);
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

fn mints(token: &str) -> Answer {
    exactly(200, &json!({ "jwt": token }))
}

fn client_with(token: &Value) -> Answer {
    exactly(200, &client(&json!([session(token)])))
}

/// Each look mints: a token of 10 s is never worth caching, and none comes with a
/// client.
fn short_lived(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Fapi {
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, script);
    (fapi.lifetime, fapi.client_has_token) = (10, false);
    fapi
}

/// The error is `Unavailable` with a cause that says that it is offline.
#[test]
pub(super) fn a8_a_machine_that_is_offline_makes_four_attempts() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Offline);
    let error = fapi
        .run(async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0)[..4]);
    assert_eq!(fapi.timer.now(), seconds(15.8575));
    assert!(
        matches!(cause(&error), Cause::Transport(error) if error.is_offline()),
        "{error}"
    );
}

#[test]
pub(super) fn a9_an_observer_is_told_of_each_retry_before_its_wait_and_changes_nothing() {
    let n = AtomicU32::new(0);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
        match n.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Fails(500, "first"),
            1 => Answer::Fails(429, "second"),
            2 => Answer::Fails(502, "third"),
            _ => Answer::Fails(404, "last"),
        }
    });
    let code = |cause: &Cause| match cause {
        Cause::Status { codes, .. } => codes.concat(),
        other => panic!("{other:?}"),
    };
    let retries = Arc::new(Mutex::new(Vec::new()));
    let (timer, notes) = (fapi.timer.clone(), Arc::clone(&retries));
    let builder = fapi.seed().observe(move |event| {
        if let RefresherEvent::Retrying { cause, retry, wait } = event {
            let note = (timer.now(), retry, wait, code(&cause));
            notes.lock().unwrap().push(note);
        }
        resume_unwind(Box::new("the observer's own"));
    });
    let error = fapi
        .with(builder, async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    assert_eq!(code(cause(&error)), "last");
    let expected = [
        (SECOND, 1, 3.0, "first"),
        (4 * SECOND, 2, 4.65, "second"),
        (seconds(8.65), 3, 7.2075, "third"),
    ];
    let expected =
        expected.map(|(at, retry, wait, code)| (at, retry, seconds(wait), code.to_owned()));
    assert_eq!(*retries.lock().unwrap(), expected);
}

/// It is the refresher that is dropped: a caller that goes away cancels nothing.
#[test]
pub(super) fn a10_dropping_or_shutting_down_ends_the_sequence_and_its_sleep() {
    for shut_down in [false, true] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
        let (refresher, mut driver) = fapi.seed().driver();
        fapi.timer.run(async {
            let scenario = pin!(async {
                refresher.ready().await.unwrap();
                refresher.poller().stop();
                let request = TokenRequest::new().force();
                let caller = pin!(refresher.token(&request));
                select(caller, fapi.timer.sleep(5 * SECOND)).await;
            });
            select(scenario, &mut driver).await;
        });
        assert_eq!(fapi.timer.sleeping(), 1, "the wait for 7.65 s");
        if shut_down {
            fapi.timer.run(refresher.shutdown());
        } else {
            drop(refresher);
        }
        fapi.timer.run(driver);
        assert_eq!((fapi.timer.now(), fapi.timer.sleeping()), (5 * SECOND, 0));
        assert_eq!(fapi.instants(On::Tokens), [0, 3].map(Duration::from_secs));
    }
}

/// A sequence's limit cuts no attempt that runs: the caller's own limit answers in time.
#[test]
pub(super) fn a14_each_attempt_is_limited_and_so_is_the_whole() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Hang);
    let limited = || fapi.seed().attempt_timeout(10 * SECOND);
    let error = fapi
        .with(limited(), async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    let limit = 10 * SECOND;
    assert!(matches!(cause(&error), Cause::TimedOut { limit: l } if *l == limit));
    let attempts = schedule_from(1.0);
    let attempts: Vec<_> = (0..)
        .zip(attempts)
        .map(|(n, at)| at + 10 * SECOND * n)
        .collect();
    assert_eq!(fapi.instants(On::Tokens), attempts);

    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Hang);
    let builder = fapi.seed().attempt_timeout(10 * SECOND);
    let builder = builder.max_elapsed(30 * SECOND).max_wait(30 * SECOND);
    fapi.with(builder, async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err();
        assert_eq!(fapi.timer.now(), 31 * SECOND);
        let TokenError::TimedOut {
            limit,
            retries,
            cause,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((limit, retries), (30 * SECOND, 2));
        assert!(matches!(*cause.unwrap(), Cause::TimedOut { .. }));
        fapi.timer.sleep(600 * SECOND).await;
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [1.0, 14.0, 28.65].map(seconds),
        "none is begun after the limit"
    );
}

#[test]
pub(super) fn a15_no_number_overflows_or_makes_a_hot_loop() {
    for factor in [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0, -2.0, 0.999] {
        SESSION.try_factor(factor).unwrap_err();
    }
    for (low, high) in [
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (-0.5, 1.0),
        (2.0, 1.0),
        (0.0, 0.0),
        (1.0, f64::INFINITY),
    ] {
        Jitter::try_between(low, high).unwrap_err();
    }
    let longest = Duration::from_nanos(u64::MAX);
    for initial in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        for cap in [Duration::ZERO, 50 * SECOND, Duration::MAX] {
            for factor in [1.0, 2.0, 1e300, f64::MAX] {
                let curve = SESSION.initial_delay(initial).factor(factor).max_delay(cap);
                for retry in [1, 2, 3, 1_000_000, u32::MAX] {
                    let (lo, hi) = curve.bounds(retry).into_inner();
                    assert!(hi <= cap && lo >= initial.min(cap).min(longest));
                }
            }
        }
    }
    let curve: Backoff = SESSION.factor(2.0);
    assert!(
        curve
            .delays()
            .take(1_000_000)
            .all(|wait| (3 * SECOND..=50 * SECOND).contains(&wait))
    );

    // A poller that is told not to wait waits all the same.
    let fapi = short_lived(|_| Answer::Fine);
    let builder = fapi.seed().interval(Duration::ZERO);
    fapi.with(builder, async |_| fapi.timer.sleep(seconds(0.95)).await);
    assert_eq!(fapi.instants(On::Tokens).len(), 9);

    // Attempts without any time keep the schedule.
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Hang);
    let builder = fapi.seed().attempt_timeout(Duration::ZERO);
    fapi.with(builder, async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0));
}

/// Times that the API tells are numbers too.
#[test]
pub(super) fn a15_a_token_from_the_end_of_time_ends_nothing() {
    let last = token_of(None, u64::MAX - 1, 1);
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => fails_401(),
        On::Client => client_with(&json!({ "jwt": last })),
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        fapi.timer.sleep(60 * SECOND).await;
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    });
}

#[test]
pub(super) fn a16_jitter_is_alive_at_the_cap_and_never_exceeds_it() {
    let curves = [
        (SESSION.jitter(Jitter::SPREAD), 50 * SECOND),
        (NETWORK, 5 * SECOND),
    ];
    for (curve, cap) in curves {
        let waits = (0..1000).map(|seed| curve.delays_seeded(seed).nth(7).unwrap());
        let waits: Vec<Duration> = waits.collect();
        assert!(waits.iter().all(|wait| (cap / 2..=cap).contains(wait)));
        assert!(waits.iter().collect::<BTreeSet<_>>().len() > 990);
        let mean = waits.iter().sum::<Duration>() / 1000;
        assert!(
            mean.abs_diff(cap * 3 / 4) < cap / 50,
            "uniform over the interval's half: {mean:?}"
        );
    }
}

/// Retries are told, not attempts: there is one more of these.
#[test]
pub(super) fn a17_the_error_tells_how_often_how_long_and_why() {
    let answer = first(
        8,
        || Answer::Fails(500, "early"),
        || {
            let body = json!({ "errors": [{ "code": "last" }] }).to_string();
            let response = Response::new(503, body).retry_after(7 * SECOND);
            Answer::Exactly(response.trace_id("ray_9"))
        },
    );
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    let error = fapi
        .run(async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    let source = error.source().unwrap().to_string();
    assert_eq!(source, "the API answered 503 last (trace ray_9)");
    let TokenError::Unavailable {
        cause,
        reason,
        retries,
        elapsed,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((reason, retries + 1), (GiveUp::MaxRetries, 9));
    assert_eq!(elapsed, seconds(161.786_707_860));
    let Cause::Status {
        status,
        codes,
        retry_after,
        trace_id,
    } = &*cause
    else {
        panic!("{cause:?}")
    };
    assert_eq!((*status, codes.concat().as_str()), (503, "last"));
    assert_eq!(*retry_after, Some(7 * SECOND));
    assert_eq!(trace_id.as_deref(), Some("ray_9"));
}

#[test]
pub(super) fn a18_what_is_transient_is_retried_and_nothing_else() {
    let requests = |answer: &(dyn Fn() -> Answer + Send + Sync)| {
        // Its answers are given out one by one: a script must own what it uses.
        let answers = Mutex::new((0..9).map(|_| answer()).collect::<Vec<_>>());
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            answers.lock().unwrap().pop().unwrap_or(Answer::Fine)
        });
        fapi.run(async |refresher| {
            let _ = forced(&fapi, refresher).await;
            assert!(!matches!(refresher.status(), RefresherStatus::SignedOut(_)));
        });
        fapi.instants(On::Tokens).len()
    };
    for (status, code, expected) in [
        (302, "", 1),
        (400, "client_not_found", 1),
        (400, "invalid_action_for_session", 1),
        (400, "native_api_disabled", 1),
        (400, "origin_authorization_headers_conflict", 1),
        (400, "origin_invalid", 1),
        (400, "host_invalid", 1),
        (400, "api_version_invalid", 1),
        (401, "signed_out", 1),
        (401, "authentication_invalid", 1),
        (401, "dev_browser_unauthenticated", 1),
        (401, "action_for_session_not_authorized", 1),
        (401, "deprovisioned", 1),
        (401, "requires_device_attestation", 1),
        (401, "requires_captcha", 1),
        (403, "user_banned", 1),
        (403, "user_deactivated", 1),
        (403, "authorization_invalid", 1),
        (403, "quota_exceeded", 1),
        (404, "resource_not_found", 1),
        (408, "", 9),
        (409, "resource_locked", 9),
        (409, "another_conflict", 1),
        (410, "", 1),
        // The one repetition is part of the attempt, with the last token.
        (422, "missing_expired_token", 2),
        (422, "another_code", 1),
        (425, "", 9),
        (429, "too_many_requests", 9),
        (500, "internal_clerk_error", 9),
        (501, "", 9),
        (502, "", 9),
        (503, "service_unavailable", 9),
        (504, "gateway_timeout", 9),
        (599, "", 9),
    ] {
        let requests = requests(&|| Answer::Fails(status, code));
        assert_eq!(requests, expected, "{status} {code}");
    }
    assert_eq!(requests(&|| Answer::Reject), 9);
    assert_eq!(requests(&|| mints("no token")), 9);
    for (status, expected) in [(429, 9), (502, 9), (404, 1)] {
        let html = || Answer::Exactly(Response::new(status, "<html>"));
        assert_eq!(requests(&html), expected, "{status} in HTML");
    }
}

#[test]
pub(super) fn a19_callers_are_answered_in_time_while_the_sequence_goes_on() {
    let black_hole = |from: u64, to: u64| {
        Fapi::tokens_fail_from(Duration::from_secs(from), move |call| {
            if call.at < Duration::from_secs(to) {
                Answer::Hang
            } else {
                Answer::Fine
            }
        })
    };
    // With nothing cached.
    let mut fapi = black_hole(0, 20);
    fapi.client_has_token = false;
    fapi.with(fapi.builder(), async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        let error = refresher.get_token().await.unwrap_err();
        let limit = 7 * SECOND;
        assert!(matches!(error, TokenError::TimedOut { limit: l, .. } if l == limit));
        assert_eq!(fapi.timer.now(), limit);
        until(&fapi, 30.0).await;
        // By the attempt that began after the recovery.
        let token = at_once(refresher).unwrap();
        assert_eq!(token.expires_in(), seconds(60.0 - (30.0 - 27.65)));
    });
    assert_eq!(fapi.instants(On::Tokens), [0.0, 13.0, 27.65].map(seconds));

    // With a token that is near its end, but valid.
    let fapi = black_hole(0, 600);
    fapi.with(fapi.builder().refresh_ahead(false), async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        until(&fapi, 50.0).await;
        let token = refresher.get_token().await.unwrap();
        assert_eq!(
            (fapi.timer.now(), token.expires_in()),
            (57 * SECOND, 3 * SECOND)
        );
    });
}

#[test]
pub(super) fn b8_a_look_that_fails_or_panics_does_not_end_the_loop() {
    let troubles: [fn() -> Answer; 2] = [|| Answer::Fails(404, "not_found"), || Answer::Panic];
    for trouble in troubles {
        let fapi = short_lived(move |call| {
            if call.at == 10 * SECOND {
                trouble()
            } else {
                Answer::Fine
            }
        });
        let (builder, told) = observed(&fapi, fapi.seed());
        fapi.with(builder, async |_| fapi.timer.sleep(22 * SECOND).await);
        assert_eq!(
            fapi.instants(On::Tokens),
            [5, 10, 15, 20].map(Duration::from_secs)
        );
        let statuses = [
            RefresherStatus::Ready,
            RefresherStatus::Degraded,
            RefresherStatus::Ready,
        ];
        assert_eq!(statuses_told(&told), statuses);
    }
}

/// A panic of the program's own interval ends the loop, and everyone is told.
#[test]
pub(super) fn b8_a_loop_that_ends_by_a_panic_ends_visibly() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let builder = fapi.seed();
    let builder = builder.interval_by(|| -> Duration { resume_unwind(Box::new("planted")) });
    let (refresher, driver) = builder.driver();
    fapi.timer.run(driver);
    let error = fapi.timer.run(refresher.get_token()).unwrap_err();
    assert!(matches!(error, TokenError::Ended), "{error}");
    fapi.timer.run(refresher.wait_for(|_| false));
}

#[test]
pub(super) fn b9_a_look_that_never_ends_is_bounded() {
    let hanging = |to: Duration| {
        short_lived(move |call| {
            if call.at < to {
                Answer::Hang
            } else {
                Answer::Fine
            }
        })
    };
    let limited = |fapi: &Fapi| fapi.seed().attempt_timeout(10 * SECOND);
    let fapi = hanging(6 * SECOND);
    fapi.with(limited(&fapi), async |_| {
        fapi.timer.sleep(24 * SECOND).await;
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [5, 18, 23].map(Duration::from_secs)
    );

    let fapi = hanging(Duration::MAX);
    fapi.with(limited(&fapi), async |_| {
        fapi.timer.sleep(265 * SECOND).await;
    });
    let looks = fapi.instants(On::Tokens);
    assert_eq!(looks[9], seconds(5.0 + 161.786_707_860 + 90.0 + 5.0));
}

/// The look at 0 finds no session yet.
#[test]
pub(super) fn b10_the_interval_is_asked_for_after_each_look() {
    let fapi = short_lived(|_| Answer::Fine);
    let asked = AtomicU32::new(0);
    let builder = fapi.seed().interval_by(move || {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        seconds(if first { 1.5 } else { 5.0 })
    });
    fapi.with(builder, async |_| fapi.timer.sleep(12 * SECOND).await);
    assert_eq!(fapi.instants(On::Tokens), [1.5, 6.5, 11.5].map(seconds));
}

/// A1 owns the back-off after mints that failed, so that the poller's interval stays;
/// start-ups that failed wait 3, 6, 12, 24, 30 s.
#[test]
pub(super) fn b11_the_schedule_backs_mints_off_and_the_poller_start_ups() {
    let fapi = short_lived(|_| Answer::Fails(404, "not_found"));
    let looks = polled(&fapi, 27 * SECOND);
    assert_eq!(looks, [5, 10, 15, 20, 25].map(Duration::from_secs));

    let start_ups = |interval: u64| {
        let fapi = Fapi::new(|call| {
            if call.at < 100 * SECOND {
                fails_500()
            } else {
                Answer::Fine
            }
        });
        let builder = fapi.seed().interval(Duration::from_secs(interval));
        fapi.with(builder, async |_| fapi.timer.sleep(300 * SECOND).await);
        let start_ups = fapi.instants(On::Client);
        start_ups.iter().map(Duration::as_secs).collect::<Vec<_>>()
    };
    assert_eq!(start_ups(1), [0, 3, 9, 21, 45, 75, 105]);
    // At a look, and no sooner.
    assert_eq!(start_ups(5), [0, 5, 15, 30, 55, 85, 115]);
}

#[test]
pub(super) fn b12_pollers_with_jitter_drift_apart() {
    let tenth_looks = |jitter: Jitter| {
        let looks = (0..100).map(|_| {
            let fapi = short_lived(|_| Answer::Fine);
            let builder = fapi.seed().jitter(jitter);
            fapi.with(builder, async |_| fapi.timer.sleep(110 * SECOND).await);
            let mut looks = fapi.instants(On::Tokens);
            looks.insert(0, Duration::ZERO);
            for pair in looks.windows(2) {
                assert!((5 * SECOND..=10 * SECOND).contains(&(pair[1] - pair[0])));
            }
            looks[10]
        });
        looks.collect::<BTreeSet<_>>()
    };
    assert_eq!(tenth_looks(Jitter::NONE), BTreeSet::from([50 * SECOND]));
    assert!(tenth_looks(Jitter::SPREAD).len() > 95);
}

#[test]
pub(super) fn b13_dropping_ends_all_and_leaves_nothing() {
    let scripts: [fn(&Call) -> Answer; 3] = [|_| Answer::Fine, |_| fails_500(), |_| Answer::Hang];
    for (script, driver_first) in scripts.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let fapi = short_lived(script);
        // One in the refresher's core, one in its driver.
        let alive = Arc::new(());
        let (of_core, of_driver) = (Arc::clone(&alive), Arc::clone(&alive));
        let builder = fapi.builder().interval_by(move || {
            let _alive = &of_core;
            5 * SECOND
        });
        let builder = builder.observe(move |_| {
            let _alive = &of_driver;
        });
        let (refresher, mut driver) = builder.driver();
        fapi.timer.run(async {
            let scenario = pin!(async {
                refresher.ready().await.unwrap();
                let template = TokenRequest::new().template("hasura");
                let _ = refresher.token(&template).now_or_never();
                let _ = refresher.get_token().await;
                fapi.timer.sleep(6 * SECOND).await;
            });
            select(scenario, &mut driver).await;
        });
        assert_eq!(Arc::strong_count(&alive), 3);
        let remote = refresher.poller();
        if driver_first {
            drop(driver);
            drop(refresher);
        } else {
            drop(refresher);
            fapi.timer.run(driver);
        }
        assert_eq!(Arc::strong_count(&alive), 1);
        assert_eq!(fapi.timer.sleeping(), 0);
        remote.trigger();
        remote.start();
        let sent = fapi.calls().len();
        fapi.timer.advance(600 * SECOND);
        assert_eq!(fapi.calls().len(), sent);
    }
}

/// A program may ask for any number of templates.
#[test]
pub(super) fn b13_no_end_of_a_sequence_is_kept_for_ever() {
    let fapi = short_lived(|call| {
        if call.url.contains("/tokens/") {
            Answer::Fails(404, "not_found")
        } else {
            Answer::Fine
        }
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        let requests: Vec<_> = (0..300)
            .map(|n| TokenRequest::new().template(format!("template_{n}")))
            .collect();
        let ends = join_all(requests.iter().map(|request| refresher.token(request))).await;
        let ends: Vec<Weak<Cause>> = ends
            .into_iter()
            .map(|end| match end {
                Err(TokenError::Unavailable { cause, .. }) => Arc::downgrade(&cause),
                other => panic!("{other:?}"),
            })
            .collect();
        let kept = || ends.iter().filter(|end| end.strong_count() > 0).count();
        assert_eq!(kept(), 300, "shared with callers for 5 s");
        fapi.timer.sleep(11 * SECOND).await;
        assert_eq!(kept(), 0);
    });
}

#[test]
pub(super) fn b14_triggers_coalesce() {
    let mut fapi = short_lived(|_| Answer::Fine);
    fapi.latency = 2 * SECOND;
    let triggers = async |refresher: &Refresher| {
        for _ in 0..3 {
            refresher.poller().trigger();
        }
    };
    fapi.run(async |refresher| {
        // During the look from 5 to 7; then in a wait.
        until(&fapi, 6.0).await;
        triggers(refresher).await;
        until(&fapi, 10.0).await;
        triggers(refresher).await;
        until(&fapi, 16.0).await;
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [5, 7, 10].map(Duration::from_secs)
    );

    // Nothing is to be done for a token that is fresh.
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        until(&fapi, 20.0).await;
        triggers(refresher).await;
        until(&fapi, 24.0).await;
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}

#[test]
pub(super) fn b15_the_poller_runs_only_while_there_is_a_session() {
    let fapi = short_lived(|_| Answer::Fine);
    fapi.run(async |refresher| {
        until(&fapi, 12.0).await;
        refresher.sign_out();
        refresher.poller().trigger();
        fapi.timer.sleep(300 * SECOND).await;
        // Nor where it is asked to.
        refresher.poller().start();
        fapi.timer.sleep(300 * SECOND).await;
        let asleep = fapi.timer.sleeping();
        assert!(asleep <= 1, "{asleep}");
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)));
    });
    assert_eq!(fapi.instants(On::Tokens), [5, 10].map(Duration::from_secs));
    assert_eq!(fapi.instants(On::Client).len(), 1);
}

#[test]
pub(super) fn c5_a_session_that_has_changed_keeps_its_cached_token() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => fails_401(),
        On::Client if call.at < SECOND => Answer::Fine,
        On::Client => {
            let mut session = session(&Value::Null);
            session["updated_at"] = json!(1_700_000_010_000_u64);
            session["status"] = json!("pending");
            exactly(200, &client(&json!([session])))
        }
    });
    fapi.run(async |refresher| {
        let token = refresher.get_token().await.unwrap();
        until(&fapi, 10.0).await;
        // Refused, and verified, which tells of the change.
        let template = TokenRequest::new().template("hasura");
        refresher.token(&template).await.unwrap_err();
        assert_eq!(fapi.instants(On::Client).len(), 2);
        assert_eq!(at_once(refresher).unwrap().expose(), token.expose());
    });
    assert_eq!(fapi.instants(On::Tokens).len(), 1, "the template's");
}

/// From 55 s on a caller waits for the new token, and gets the old one a second before
/// its end where none has come (C16).
#[test]
pub(super) fn c6_the_token_is_refreshed_ahead_and_served_meanwhile() {
    for interval in [1, 5, 60] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Hang);
        let builder = fapi.builder().attempt_timeout(Duration::MAX);
        let builder = builder.interval(Duration::from_secs(interval));
        fapi.with(builder, async |refresher| {
            until(&fapi, 42.9).await;
            assert_eq!(fapi.instants(On::Tokens), [], "{interval}");
            until(&fapi, 43.1).await;
            assert_eq!(fapi.instants(On::Tokens), [43 * SECOND], "{interval}");
            for at in [44, 50, 54] {
                until(&fapi, f64::from(at)).await;
                let token = at_once(refresher).unwrap();
                assert_eq!(token.expires_in(), SECOND * (60 - at));
            }
            until(&fapi, 55.0).await;
            assert!(at_once(refresher).is_none());
            let late = refresher.get_token().await.unwrap();
            assert_eq!((fapi.timer.now(), late.expires_in()), (59 * SECOND, SECOND));
        });
        assert_eq!(fapi.instants(On::Tokens), [43 * SECOND], "shared");
    }
}

/// The poller's own interval, which looks whatever the life, is out of the way here.
#[test]
pub(super) fn c7_a_token_of_17_s_or_less_is_not_refreshed_ahead() {
    for (lifetime, expected) in [(10, vec![]), (17, vec![]), (18, vec![1, 2, 3])] {
        let mut fapi = Fapi::new(|_| Answer::Fine);
        fapi.lifetime = lifetime;
        let builder = fapi.builder().interval(Duration::MAX);
        fapi.with(builder, async |_| fapi.timer.sleep(seconds(3.5)).await);
        let mints = fapi.instants(On::Tokens);
        let mints: Vec<_> = mints.iter().map(Duration::as_secs).collect();
        assert_eq!(mints, expected, "{lifetime}");
    }
}

#[test]
pub(super) fn c8_a_failure_of_the_network_is_an_error_and_takes_nothing_away() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Offline);
    let (builder, told) = observed(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        until(&fapi, 46.0).await;
        for _ in 0..9 {
            match refresher.get_token().await {
                Ok(token) => assert!(token.expires_in() > Duration::ZERO),
                Err(error) => assert!(
                    matches!(cause(&error), Cause::Transport(error) if error.is_offline()),
                    "{error}"
                ),
            }
            fapi.timer.sleep(10 * SECOND).await;
        }
        assert!(refresher.get_token().await.is_err());
    });
    let ready_then_degraded = [RefresherStatus::Ready, RefresherStatus::Degraded];
    assert_eq!(statuses_told(&told), ready_then_degraded);
    assert_eq!(tokens_told(&told), [Duration::ZERO]);
    let told = told.lock().unwrap();
    let cleared =
        |(_, event): &(_, RefresherEvent)| matches!(event, RefresherEvent::ClientToken(_));
    assert!(!told.iter().any(cleared));
}

/// Where neither says when its origin issued it, the older one is staler here too.
#[test]
pub(super) fn c9_a_staler_token_changes_neither_cache_nor_events() {
    for (kept, incoming, replaced) in [
        ((Some(100), 100), (Some(90), 200), false),
        ((Some(100), 100), (Some(100), 99), false),
        ((Some(100), 100), (Some(100), 100), true),
        ((Some(100), 100), (Some(101), 90), true),
        ((Some(1), 100), (None, 200), false),
        ((None, 100), (Some(1), 90), true),
        ((None, 100), (None, 99), false),
        ((None, 100), (None, 100), true),
    ] {
        let kept_token = token_of(kept.0, kept.1, 1);
        let incoming_token = token_of(incoming.0, incoming.1, 2);
        let last = if replaced {
            incoming_token.clone()
        } else {
            kept_token.clone()
        };
        let fapi = Fapi::new(move |call| match call.on {
            On::Tokens => mints(&incoming_token),
            On::Client => client_with(&json!({ "jwt": kept_token })),
        });
        let (builder, told) = observed(&fapi, fapi.seed());
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            let row = format!("{kept:?} {incoming:?}");
            assert_eq!(at_once(refresher).unwrap().expose(), last, "{row}");
            fapi.timer.sleep(SECOND).await;
            let events = 1 + usize::from(replaced);
            assert_eq!(tokens_told(&told).len(), events, "{row}");
        });
    }
}

/// The issuer's clock may go back, by a failover to another machine.
#[test]
pub(super) fn c9_a_token_that_has_expired_keeps_no_other_out() {
    let (before, after) = (token_of(None, 7200, 1), token_of(None, 3600, 2));
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => mints(&after),
        On::Client => client_with(&json!({ "jwt": before })),
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        until(&fapi, 61.0).await;
        for _ in 0..10 {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(fapi.instants(On::Tokens), [61 * SECOND]);
}

#[test]
pub(super) fn c10_a_token_in_place_of_another_makes_no_second_refresh() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(fapi.builder(), async |refresher| {
        refresher.ready().await.unwrap();
        until(&fapi, 0.5).await;
        let asleep = fapi.timer.sleeping();
        for _ in 0..5 {
            refresher.token(&TokenRequest::new().force()).await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
        assert_eq!(fapi.timer.sleeping(), asleep);
        until(&fapi, 55.5).await;
    });
    let mints = fapi.instants(On::Tokens);
    assert_eq!(mints[4..], [4.5, 47.5].map(seconds));
}

#[test]
pub(super) fn c11_a_suspension_signs_nobody_out_and_credentials_are_read_again() {
    const SLEPT: u64 = 8 * 3600;
    let fresh = token_of(None, 1_700_000_000 + SLEPT, 1);
    let fapi = Fapi::new(move |call| match call.on {
        _ if call.at <= SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => client_with(&json!({ "jwt": fresh })),
    });
    let store = MemoryStore::default();
    let (builder, told) = observed(&fapi, fapi.builder().store(store.clone()));
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        refresher.poller().start();
        until(&fapi, 3.0).await;
        set_wall_clock_off(SLEPT.cast_signed());
        // Meanwhile another process has had the client token rotated.
        let state = String::from_utf8(store.load().unwrap().unwrap()).unwrap();
        let state = state.replace(CLIENT_TOKEN, "rotated-elsewhere");
        store.save(state.as_bytes()).unwrap();
        until(&fapi, 30.0).await;
        assert_eq!(refresher.status(), RefresherStatus::Ready);
        assert!(at_once(refresher).is_some());
    });
    assert_eq!(
        statuses_told(&told),
        [RefresherStatus::Ready],
        "at no time signed out"
    );
    let late: Vec<Call> = fapi.calls().into_iter().skip(2).collect();
    let late: Vec<_> = late
        .iter()
        .map(|call| (call.on, call.authorization.as_deref()))
        .collect();
    let rotated = Some("rotated-elsewhere");
    assert_eq!(late, [(On::Tokens, rotated), (On::Client, rotated)]);
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
    let (builder, told) = observed(&fapi, fapi.seed().store(store.clone()));
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
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
    let told = told.lock().unwrap();
    let after: Vec<_> = told.iter().filter(|(at, _)| *at >= 3 * SECOND).collect();
    assert!(
        matches!(
            after[..],
            [(_, RefresherEvent::Status(RefresherStatus::SignedOut(_)))]
        ),
        "{after:?}"
    );
    let stored = String::from_utf8(store.load().unwrap().unwrap()).unwrap();
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

#[test]
pub(super) fn c12_what_comes_for_an_earlier_organization_is_not_told() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 2 * SECOND;
    let (builder, told) = observed(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        until(&fapi, 3.0).await;
        let request = TokenRequest::new().force();
        let switch = async {
            fapi.timer.sleep(SECOND).await;
            refresher.set_organization(Some("org_1"));
        };
        let (earlier, ()) = join(refresher.token(&request), switch).await;
        earlier.unwrap();
        assert_eq!(fapi.timer.now(), 5 * SECOND);
        until(&fapi, 8.0).await;
    });
    let mints = fapi.calls().into_iter().skip(1);
    let mints: Vec<_> = mints.map(|call| (call.at, call.body.unwrap())).collect();
    let expected = [(3, ""), (5, "organization_id=org_1")];
    assert_eq!(
        mints,
        expected.map(|(at, body)| (Duration::from_secs(at), body.to_owned()))
    );
    assert_eq!(
        tokens_told(&told),
        [2, 7].map(Duration::from_secs),
        "the client's and the new organization's"
    );
}

/// A client tells which organization was last active on the API's side; what the
/// program has chosen goes before it.
#[test]
pub(super) fn c12_an_organization_that_was_chosen_stays() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.url.contains("/hasura") {
            fails_401()
        } else {
            Answer::Fine
        }
    });
    fapi.run(async |refresher| {
        // Before the session is known, and once a verification has told of it again.
        refresher.set_organization(Some("org_1"));
        refresher.get_token().await.unwrap();
        let template = TokenRequest::new().template("hasura");
        refresher.token(&template).await.unwrap_err();
        refresher.token(&TokenRequest::new().force()).await.unwrap();
    });
    let bodies = fapi.calls().into_iter().filter_map(|call| call.body);
    let bodies: Vec<_> = bodies.collect();
    assert_eq!(
        bodies,
        ["organization_id=org_1", "", "organization_id=org_1"]
    );
}

#[test]
pub(super) fn c14_a_refresh_ahead_that_fails_goes_on_by_the_schedule() {
    let fapi = Fapi::tokens_fail_from(43 * SECOND, |_| fails_500());
    fapi.with(fapi.builder(), async |refresher| {
        until(&fapi, 50.0).await;
        assert_eq!(at_once(refresher).unwrap().expires_in(), 10 * SECOND);
        until(&fapi, 100.0).await;
        refresher.get_token().await.unwrap_err();
        until(&fapi, 209.0).await;
    });
    assert_eq!(fapi.instants(On::Tokens), schedule_from(43.0));
}

#[test]
pub(super) fn c15_a_forced_refresh_that_fails_keeps_the_old_token() {
    for status in [400, 404, 500] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| Answer::Fails(status, "x"));
        let builder = fapi.seed().max_elapsed(SECOND);
        fapi.with(builder, async |refresher| {
            let old = refresher.get_token().await.unwrap();
            forced(&fapi, refresher).await.unwrap_err();
            let kept = at_once(refresher).unwrap();
            assert_eq!(
                (kept.expose(), kept.expires_in()),
                (old.expose(), 59 * SECOND)
            );
        });
        assert_eq!(fapi.instants(On::Tokens).len(), 1, "{status}");
    }

    // Unless the user is signed out.
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => exactly(200, &client(&json!([]))),
    });
    fapi.run(async |refresher| {
        refresher.get_token().await.unwrap();
        forced(&fapi, refresher).await.unwrap_err();
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)));
    });
}

#[test]
pub(super) fn c16_a_token_that_is_still_valid_is_given_out_where_its_refresh_fails() {
    for refresh_ahead in [true, false] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
        let builder = fapi.builder().refresh_ahead(refresh_ahead);
        fapi.with(builder, async |refresher| {
            for (at, left) in [(56.0, 4.0), (59.75, 0.25)] {
                until(&fapi, at).await;
                let token = at_once(refresher).unwrap();
                assert_eq!(token.expires_in(), seconds(left));
            }
            until(&fapi, 60.0).await;
            let error = refresher.get_token().await.unwrap_err();
            assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
        });
    }
}

#[test]
pub(super) fn c17_a_clock_that_is_wrong_changes_nothing() {
    let served = |skew: i64, refresh_ahead: bool| {
        let fapi = Fapi::new(|_| Answer::Fine);
        set_wall_clock_off(skew);
        let builder = fapi.builder().refresh_ahead(refresh_ahead);
        let builder = builder.store(MemoryStore::default());
        let served = fapi.with(builder, async |refresher| {
            let mut served = Vec::new();
            for at in 1..150 {
                until(&fapi, f64::from(at)).await;
                served.push(at_once(refresher).map(|token| token.expires_in()));
            }
            served
        });
        (fapi.instants(On::Tokens), served)
    };
    for refresh_ahead in [true, false] {
        let expected = served(0, refresh_ahead);
        assert!((2..=3).contains(&expected.0.len()));
        for skew in [-120, -30, 30, 42, 55] {
            assert_eq!(served(skew, refresh_ahead), expected, "{skew}");
        }
    }
}

#[test]
pub(super) fn c18_a_suspension_counts_and_a_clock_set_back_does_not() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        until(&fapi, 20.0).await;
        set_wall_clock_off(600);
        assert!(at_once(refresher).is_none(), "10 minutes passed in sleep");
        let token = refresher.get_token().await.unwrap();
        assert_eq!(token.expires_in(), 60 * SECOND);
        assert_eq!(fapi.instants(On::Tokens), [20 * SECOND]);

        set_wall_clock_off(0);
        until(&fapi, 65.0).await;
        let token = at_once(refresher).unwrap();
        assert_eq!(token.expires_in(), 15 * SECOND);
        until(&fapi, 66.0).await;
        assert!(at_once(refresher).is_none(), "by the monotonic clock");
    });
}

#[test]
pub(super) fn c19_the_life_of_a_token_begins_with_its_request() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 8 * SECOND;
    let (builder, told) = observed(&fapi, fapi.seed());
    fapi.with(builder, async |refresher| {
        let with_the_client = refresher.get_token().await.unwrap();
        assert_eq!(with_the_client.expires_in(), 52 * SECOND);
        refresher.poller().stop();
        until(&fapi, 20.0).await;
        let minted = refresher.token(&TokenRequest::new().force()).await.unwrap();
        assert_eq!(minted.expires_in(), 52 * SECOND);
        until(&fapi, 65.0).await;
        assert_eq!(at_once(refresher).unwrap().expires_in(), 15 * SECOND);
        until(&fapi, 66.0).await;
        assert!(at_once(refresher).is_none());
    });
    let told = told.lock().unwrap();
    let lives = told.iter().filter_map(|(_, event)| match event {
        RefresherEvent::Token(token) => Some(token.expires_in()),
        _ => None,
    });
    assert_eq!(lives.collect::<Vec<_>>(), [52 * SECOND; 2]);
}

#[test]
pub(super) fn c20_a_caller_that_goes_away_loses_no_rotation() {
    for (goes_after, minted) in [(1, true), (2, true), (3, true), (1, false)] {
        let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            let (status, body) = if minted {
                (200, json!({ "jwt": token_of(None, 1_700_000_000, 1) }))
            } else {
                (404, json!({}))
            };
            let response = Response::new(status, body.to_string());
            Answer::Exactly(response.authorization("Bearer rotated"))
        });
        fapi.latency = 2 * SECOND;
        let store = MemoryStore::default();
        let builder = fapi.seed().store(store.clone());
        fapi.with(builder, async |refresher| {
            refresher.ready().await.unwrap();
            refresher.poller().stop();
            let request = TokenRequest::new().force();
            {
                let mut caller = pin!(refresher.token(&request));
                assert!(caller.as_mut().now_or_never().is_none());
                fapi.timer.sleep(Duration::from_secs(goes_after)).await;
            }
            until(&fapi, 10.0).await;
            let stored = String::from_utf8(store.load().unwrap().unwrap()).unwrap();
            assert!(stored.contains("\"rotated\"") && !stored.contains(CLIENT_TOKEN));
            let _ = refresher.token(&request).await;
        });
        let sent: Vec<_> = fapi
            .calls()
            .into_iter()
            .map(|call| call.authorization.unwrap())
            .collect();
        assert_eq!(sent, [CLIENT_TOKEN, CLIENT_TOKEN, "rotated"]);
    }
}

/// For 5 s callers share the error; the call after that asks again.
#[test]
pub(super) fn c21_a_malformed_token_is_not_cached_and_is_asked_for_again() {
    for malformed in ["x", "a.b.c", ""] {
        let answer = first(1, move || mints(malformed), || Answer::Fine);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
        fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
        assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0)[..2]);

        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| mints(malformed));
        let (builder, told) = observed(&fapi, fapi.seed().max_elapsed(SECOND));
        fapi.with(builder, async |refresher| {
            let old = refresher.get_token().await.unwrap();
            let error = forced(&fapi, refresher).await.unwrap_err();
            assert!(matches!(cause(&error), Cause::InvalidToken(_)), "{error}");
            assert_eq!(at_once(refresher).unwrap().expose(), old.expose());
            until(&fapi, 7.0).await;
            refresher
                .token(&TokenRequest::new().force())
                .await
                .unwrap_err();
        });
        assert_eq!(fapi.instants(On::Tokens), [1, 7].map(Duration::from_secs));
        assert_eq!(tokens_told(&told), [Duration::ZERO]);
    }
}

#[test]
pub(super) fn c22_an_observer_that_panics_takes_nothing_away() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let told = Arc::new(AtomicU32::new(0));
    let heard = Arc::clone(&told);
    let builder = fapi.seed().observe(move |_| {
        heard.fetch_add(1, Ordering::Relaxed);
        resume_unwind(Box::new("the observer's own"));
    });
    fapi.with(builder, async |refresher| {
        let token = refresher.get_token().await.unwrap();
        until(&fapi, 40.0).await;
        assert_eq!(at_once(refresher).unwrap().expose(), token.expose());
        until(&fapi, 51.0).await;
        assert_eq!(at_once(refresher).unwrap().expires_in(), 59 * SECOND);
        assert_eq!(refresher.status(), RefresherStatus::Ready);
    });
    assert_eq!(fapi.instants(On::Tokens), [50 * SECOND]);
    assert_eq!(told.load(Ordering::Relaxed), 3, "ready, and two tokens");
}

#[test]
pub(super) fn c23_a_token_says_how_long_it_is_still_valid() {
    let n = AtomicU32::new(0);
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, move |call| {
        let n = n.fetch_add(1, Ordering::Relaxed);
        mints(&token_of(None, 1_700_000_000 + call.at.as_secs(), n))
    });
    (fapi.latency, fapi.client_has_token) = (Duration::from_millis(300), false);
    for refresh_ahead in [true, false] {
        let builder = fapi.builder().refresh_ahead(refresh_ahead);
        fapi.with(builder, async |refresher| {
            for _ in 0..300 {
                let token = refresher.get_token().await.unwrap();
                let n = token.claims().subject().replace("user_", "");
                let sent = fapi.instants(On::Tokens)[n.parse::<usize>().unwrap()];
                let age = fapi.timer.now() - sent;
                assert_eq!(token.expires_in(), 60 * SECOND - age);
                assert!(age < 60 * SECOND);
                fapi.timer.sleep(seconds(0.7)).await;
            }
        });
    }
}
