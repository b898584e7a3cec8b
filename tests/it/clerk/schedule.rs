//! A: what is retried, when, and with which words it is given up.

use std::{
    collections::BTreeSet,
    error::Error,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Backoff, Clock, GiveUp, Jitter, ManualTimer, RetryBuilder, Timer,
    clerk::{
        Cause, NETWORK, NETWORK_RETRIES, RefresherEvent, RefresherStatus, Response, SESSION,
        SESSION_RETRIES, TokenError,
    },
};
use serde_json::json;

use super::rig::{
    Answer, Fapi, On, SECOND, cause, client_with, fails_401, fails_500, first, forced, mints,
    schedule_from, seconds, session_without_a_token, token_of,
};

/// The policies say of themselves what the table says.
#[test]
fn the_schedules_are_those_of_the_reference() {
    let waits: Vec<f64> = SESSION
        .delays()
        .take(8)
        .map(|wait| wait.as_secs_f64())
        .collect();
    assert_eq!(waits[..4], [3.0, 4.65, 7.2075, 11.171_625]);
    assert_eq!(
        format!("{:.6?}", SESSION.total(SESSION_RETRIES).end()),
        "161.786708s"
    );
}

#[test]
pub(super) fn a1_nine_requests_by_the_session_schedule() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
    let error = fapi
        .run(async |refresher| forced(&fapi, refresher).await)
        .unwrap_err();
    assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0));
    let TokenError::Unavailable {
        reason,
        retries,
        elapsed,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((reason, retries), (GiveUp::MaxRetries, 8));
    assert_eq!(elapsed, seconds(161.786_707_860));
    assert_eq!(SESSION.total(SESSION_RETRIES), elapsed..=elapsed);
}

#[test]
pub(super) fn a2_a_success_ends_the_sequence() {
    let answer = first(2, fails_500, || Answer::Fine);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        assert_eq!(fapi.timer.now(), seconds(8.65));
        assert_eq!(fapi.timer.sleeping(), 0);
    });
    assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0)[..3]);
}

#[test]
pub(super) fn a3_other_4xx_are_not_retried() {
    for status in [400, 401, 403, 404, 422] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| Answer::Fails(status, "x"));
        // A suspected sign-out is answered with the session's token: go without.
        let fapi = if matches!(status, 401 | 422) {
            Fapi::new(move |call| match call.on {
                On::Tokens => Answer::Fails(status, "x"),
                On::Client => session_without_a_token(),
            })
        } else {
            fapi
        };
        let error = fapi
            .run(async |refresher| forced(&fapi, refresher).await)
            .unwrap_err();
        assert!(matches!(cause(&error), Cause::Status { status: s, .. } if *s == status));
        assert_eq!(fapi.instants(On::Tokens), [SECOND], "{status}");
        assert_eq!(fapi.timer.now(), SECOND);
    }
}

#[test]
pub(super) fn a5_the_immediate_retry_is_asked_for_by_name() {
    let instants = |backoff: Backoff| {
        let timer = ManualTimer::new();
        let mut calls = Vec::new();
        let policy = RetryBuilder::with_timer(&timer).backoff(backoff.jitter(Jitter::NONE));
        let _ = timer.run(policy.retry(|| {
            calls.push(timer.now().as_millis());
            async { Err::<(), ()>(()) }
        }));
        calls
    };
    assert_eq!(instants(Backoff::new()), [0, 125, 375, 875, 1875]);
    assert_eq!(
        instants(Backoff::new().immediate_retry(true)),
        [0, 100, 225, 475, 975]
    );
}

#[test]
pub(super) fn a6_only_a_get_that_did_not_get_through_is_repeated_at_once() {
    let fapi = Fapi::new(|_| Answer::Reject);
    fapi.run(async |refresher| refresher.ready().await.unwrap_err());
    let gets = fapi.instants(On::Client);
    assert_eq!(gets.len(), NETWORK_RETRIES as usize + 1);
    for (n, at) in (0..).zip(&gets) {
        assert!(NETWORK.total(n).contains(at), "{n}: {at:?}");
    }
    assert_eq!(NETWORK.total(3), seconds(2.2)..=seconds(4.4));

    let fapi = Fapi::new(|_| fails_500());
    fapi.run(async |refresher| refresher.ready().await.unwrap_err());
    assert_eq!(
        fapi.instants(On::Client),
        [Duration::ZERO],
        "a status got through"
    );

    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Reject);
    fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap_err());
    assert_eq!(
        fapi.instants(On::Tokens),
        schedule_from(1.0),
        "a POST keeps its own schedule"
    );
}

#[test]
pub(super) fn a7_429_is_retried() {
    let answer = first(
        1,
        || Answer::Fails(429, "too_many_requests"),
        || Answer::Fine,
    );
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
    assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0)[..2]);
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
    let fapi = Fapi::short_lived(|_| Answer::Fine);
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
