//! One test for each requirement, named by its id.

use std::{
    cell::RefCell,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, GiveUp, Jitter, ManualTimer, RetryBuilder, Timer,
    clerk::{
        Cause, MemoryStore, NETWORK, NETWORK_RETRIES, OutageVerdict, RefresherStatus, Response,
        SESSION, SESSION_RETRIES, TokenError, TokenRequest, TokenStore,
    },
};
use futures_util::future::join_all;
use serde_json::json;

use super::fapi::{
    Answer, CLIENT_TOKEN, Fapi, On, SECOND, client, exactly, jwt, seconds, session,
    set_wall_clock_off,
};

/// The instants of the session schedule, from the first request.
const SCHEDULE: [f64; 9] = [
    0.0,
    3.0,
    7.65,
    14.8575,
    26.029_125,
    43.345_143_75,
    70.184_972_813,
    111.786_707_860,
    161.786_707_860,
];

/// The schedule, counted from an instant.
pub(super) fn schedule_from(start: f64) -> Vec<Duration> {
    SCHEDULE
        .iter()
        .map(|at| seconds(start) + seconds(*at))
        .collect()
}

/// Asks at an instant, without the poller, for a token that is not cached.
pub(super) async fn forced(
    fapi: &Fapi,
    refresher: &afterbeat::clerk::Refresher,
) -> Result<(), TokenError> {
    refresher.ready().await?;
    refresher.poller().stop();
    fapi.timer.sleep(SECOND).await;
    refresher
        .token(&TokenRequest::new().force())
        .await
        .map(drop)
}

pub(super) fn cause(error: &TokenError) -> &Cause {
    match error {
        TokenError::Unavailable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

/// `n` answers, then `rest`.
pub(super) fn first(
    n: u32,
    answer: impl Fn() -> Answer,
    rest: fn() -> Answer,
) -> impl Fn() -> Answer {
    let given = AtomicU32::new(0);
    move || {
        if given.fetch_add(1, Ordering::Relaxed) < n {
            answer()
        } else {
            rest()
        }
    }
}

pub(super) fn fails_500() -> Answer {
    Answer::Fails(500, "internal_clerk_error")
}

pub(super) fn fails_401() -> Answer {
    Answer::Fails(401, "signed_out")
}

pub(super) fn throttled(hint: u64) -> Answer {
    Answer::Exactly(Response::new(429, "slow down").retry_after(Duration::from_secs(hint)))
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
                On::Client => exactly(200, &client(&json!([session(&json!(null))]))),
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
pub(super) fn a4_nothing_is_sent_without_a_session() {
    let fapi = Fapi::new(|_| exactly(200, &client(&json!([]))));
    fapi.run(async |refresher| {
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::SignedOut(_)));
        fapi.timer.sleep(600 * SECOND).await;
        refresher.get_token().await.unwrap_err();
    });
    assert_eq!(fapi.calls().len(), 1, "the one that found out");
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

#[test]
pub(super) fn a11_retry_after_is_a_floor() {
    for (status, hint, second) in [(429, 20, 21), (503, 20, 21), (429, 1, 4)] {
        let answer = move |n| {
            let hint = Duration::from_secs(hint);
            match n {
                0 => Answer::Exactly(Response::new(status, "").retry_after(hint)),
                1 => fails_500(),
                _ => Answer::Fine,
            }
        };
        let n = AtomicU32::new(0);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| {
            answer(n.fetch_add(1, Ordering::Relaxed))
        });
        fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
        let second = Duration::from_secs(second);
        assert_eq!(
            fapi.instants(On::Tokens),
            [SECOND, second, second + seconds(4.65)]
        );
    }
}

#[test]
pub(super) fn a12_a_hint_beyond_the_limit_in_time_fails_now_and_is_carried() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| throttled(300));
    let builder = fapi.seed().max_elapsed(60 * SECOND);
    fapi.with(builder, async |refresher| {
        let error = forced(&fapi, refresher).await.unwrap_err();
        let TokenError::Unavailable { cause, reason, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*reason, GiveUp::MaxElapsed);
        let hint = Some(300 * SECOND);
        assert!(matches!(&**cause, Cause::Status { retry_after, .. } if *retry_after == hint));
        assert_eq!(fapi.timer.now(), SECOND);
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND]);
}

#[test]
pub(super) fn a13_retry_after_gates_every_caller() {
    // During the sequence that met it.
    let answer = first(1, || throttled(20), || Answer::Fine);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        let late = async {
            fapi.timer.sleep(5 * SECOND).await;
            refresher.token(&TokenRequest::new().force()).await
        };
        let early = TokenRequest::new().force();
        let (early, late) = futures_util::future::join(refresher.token(&early), late).await;
        assert_eq!(early.unwrap().expose(), late.unwrap().expose());
    });
    assert_eq!(fapi.instants(On::Tokens), [Duration::ZERO, 20 * SECOND]);

    // Also after that sequence gave up on it, and for every other key.
    let answer = first(1, || throttled(7200), || Answer::Fine);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        fapi.timer.sleep(3600 * SECOND).await;
        let template = TokenRequest::new().template("hasura");
        let waiting = refresher.token(&template).await.unwrap();
        assert_eq!(waiting.claims().subject(), "user_1");
    });
    assert_eq!(fapi.instants(On::Tokens), [SECOND, 7201 * SECOND]);
}

/// A13: nor is it over for another process before it is for this one.
#[test]
pub(super) fn a13_a_stored_gate_is_not_rounded_down() {
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| throttled(20));
    fapi.latency = Duration::from_nanos(1);
    let store = MemoryStore::default();
    let builder = fapi.seed().store(store.clone());
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap();
        let request = TokenRequest::new().force();
        let call = refresher.token(&request);
        futures_util::future::select(pin!(call), fapi.timer.sleep(SECOND)).await;
    });
    let state: serde_json::Value = serde_json::from_slice(&store.load().unwrap().unwrap()).unwrap();
    // Met after two answers, 2 ns after the start.
    assert_eq!(state["gate"]["until_ms"], 1_700_000_020_001_u64);
}

/// A13: a wall clock that is set back makes a stored gate no longer, neither for the
/// process that met it nor for the next one, which waits as if it had met it now.
#[test]
fn a13_a_stored_gate_outlasts_no_wall_clock() {
    for restarts in [false, true] {
        let fapi = Fapi::new(|call| match (call.on, call.at.as_secs()) {
            (On::Tokens, 0) => throttled(20),
            _ => Answer::Fine,
        });
        let store = MemoryStore::default();
        let run = |time: Duration| {
            let builder = fapi.builder().store(store.clone());
            fapi.with(builder, async |refresher| {
                let forced = TokenRequest::new().force();
                let back = async {
                    fapi.timer.sleep(SECOND).await;
                    set_wall_clock_off(-3600);
                    fapi.timer.sleep(time).await;
                };
                let _ = futures_util::future::join(refresher.token(&forced), back).await;
            });
        };
        run(if restarts {
            Duration::ZERO
        } else {
            24 * SECOND
        });
        if restarts {
            run(30 * SECOND);
        }
        // After the start-up and the mint that met it.
        let next = fapi.calls()[2].at;
        assert!(next >= 20 * SECOND && next <= 30 * SECOND, "{next:?}");
    }
}

/// Runs a refresher for a while and returns the instants of its mints.
pub(super) fn polled(fapi: &Fapi, until: Duration) -> Vec<Duration> {
    fapi.run(async |_| fapi.timer.sleep(until).await);
    fapi.instants(On::Tokens)
}

#[test]
pub(super) fn b1_a_look_at_once_then_5_s_after_the_end_of_the_one_before() {
    // Tokens of 10 s are never worth caching: each look mints.
    let ticks = |latency: u64, until: u64| {
        let mut fapi = Fapi::new(|call| match call.on {
            On::Tokens => Answer::Fine,
            On::Client => exactly(200, &client(&json!([session(&json!(null))]))),
        });
        (fapi.lifetime, fapi.latency) = (10, Duration::from_secs(latency));
        polled(&fapi, Duration::from_secs(until))
            .iter()
            .map(Duration::as_secs)
            .collect::<Vec<_>>()
    };
    // The look at 0 finds no session yet.
    assert_eq!(ticks(0, 17), [5, 10, 15]);
    assert_eq!(ticks(2, 20), [5, 12, 19]);

    // With all its retries a look may last: the next comes 5 s after their end.
    let fapi = Fapi::tokens_fail_from(30 * SECOND, |_| fails_500());
    let mints = polled(&fapi, 300 * SECOND);
    assert_eq!(mints[..9], schedule_from(50.0));
    assert_eq!(mints[9], seconds(50.0) + seconds(166.786_707_860));
}

#[test]
pub(super) fn b2_two_looks_are_never_under_way_at_once() {
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        if call.at.as_secs() % 3 == 0 {
            fails_500()
        } else {
            Answer::Fine
        }
    });
    (fapi.lifetime, fapi.latency) = (10, 7 * SECOND);
    let mints = polled(&fapi, 600 * SECOND);
    assert!(mints.len() > 20);
    assert!(mints.windows(2).all(|pair| pair[1] - pair[0] >= 7 * SECOND));
}

#[test]
pub(super) fn b3_starting_again_is_still_one_loop() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.lifetime = 10;
    fapi.run(async |refresher| {
        for _ in 0..3 {
            refresher.poller().start();
        }
        fapi.timer.sleep(seconds(27.0)).await;
        refresher.poller().start();
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [5, 10, 15, 20, 25].map(Duration::from_secs)
    );
}

#[test]
pub(super) fn b4_a_stop_ends_the_wait_and_a_start_looks_at_once() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.lifetime = 10;
    fapi.run(async |refresher| {
        fapi.timer.sleep(seconds(12.0)).await;
        refresher.poller().stop();
        fapi.timer.sleep(seconds(21.0)).await;
        refresher.poller().start();
        fapi.timer.sleep(seconds(6.0)).await;
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [5, 10, 33, 38].map(Duration::from_secs)
    );
}

#[test]
pub(super) fn b5_a_stop_in_the_first_wait_holds() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.lifetime = 10;
    fapi.run(async |refresher| {
        fapi.timer.sleep(seconds(3.0)).await;
        refresher.poller().stop();
        fapi.timer.sleep(seconds(60.0)).await;
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}

#[test]
pub(super) fn b6_a_stop_during_a_look_holds() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    (fapi.lifetime, fapi.latency) = (10, 2 * SECOND);
    fapi.run(async |refresher| {
        fapi.timer.sleep(seconds(6.0)).await;
        refresher.poller().stop();
        fapi.timer.sleep(seconds(60.0)).await;
    });
    assert_eq!(fapi.instants(On::Tokens), [5 * SECOND]);
}

#[test]
pub(super) fn b7_stop_and_start_during_a_look_are_one_loop() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    (fapi.lifetime, fapi.latency) = (10, 2 * SECOND);
    fapi.run(async |refresher| {
        fapi.timer.sleep(seconds(6.0)).await;
        refresher.poller().stop();
        refresher.poller().start();
        fapi.timer.sleep(seconds(15.0)).await;
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [5, 7, 14, 21].map(Duration::from_secs)[..3]
    );
}

#[test]
pub(super) fn c1_a_cached_token_is_served_while_15_s_are_left() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        refresher.poller().stop();
        let token = refresher.get_token().await.unwrap();
        assert_eq!(token.expires_in(), 60 * SECOND);
        fapi.timer.sleep(45 * SECOND).await;
        let same = refresher.get_token().await.unwrap();
        assert_eq!(
            (same.expose(), same.expires_in()),
            (token.expose(), 15 * SECOND)
        );
        assert_eq!(fapi.instants(On::Tokens), []);
        fapi.timer.sleep(SECOND).await;
        let new = refresher.get_token().await.unwrap();
        assert_ne!(new.expose(), token.expose());
        assert_eq!(fapi.instants(On::Tokens), [46 * SECOND]);
    });
}

#[test]
pub(super) fn c2_callers_at_once_share_one_request() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = SECOND;
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        fapi.timer.sleep(46 * SECOND).await;
        let tokens = join_all((0..10).map(|_| refresher.get_token())).await;
        assert!(
            tokens
                .iter()
                .all(|token| token.as_ref().unwrap().expires_in() == 59 * SECOND)
        );
    });
    assert_eq!(fapi.instants(On::Tokens).len(), 1);
}

/// C18: the machine was suspended while the answer was on its way.
#[test]
pub(super) fn c18_a_token_that_expired_on_its_way_is_not_handed_out() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = SECOND;
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        let suspended = async {
            fapi.timer.sleep(seconds(0.5)).await;
            set_wall_clock_off(60);
        };
        let request = TokenRequest::new().force();
        let call = refresher.token(&request);
        let (token, ()) = futures_util::future::join(call, suspended).await;
        assert_eq!(token.unwrap().expires_in(), 59 * SECOND);
    });
    let mints = fapi.instants(On::Tokens);
    assert_eq!(mints, [SECOND, 5 * SECOND], "again, 3 s after its answer");
}

#[test]
pub(super) fn c3_force_asks_for_a_new_token() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
    let calls = fapi.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].method, calls[1].method), ("GET", "POST"));
    assert!(calls[1].url.ends_with("&debug=skip_cache"));
}

#[test]
pub(super) fn c4_template_and_organization_make_another_token() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        let requests = [
            TokenRequest::new().template("hasura"),
            TokenRequest::new().organization("org_1"),
            TokenRequest::new().organization("org_2"),
            TokenRequest::new().personal(),
        ];
        for _ in 0..3 {
            for request in &requests {
                refresher.token(request).await.unwrap();
            }
        }
    });
    let mints = fapi
        .calls()
        .into_iter()
        .filter(|call| call.on == On::Tokens);
    let mints: Vec<_> = mints
        .map(|call| {
            let path = call
                .url
                .split('?')
                .next()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap();
            (path.to_owned(), call.body.unwrap())
        })
        .collect();
    let expected = [
        ("hasura", ""),
        ("tokens", "organization_id=org_1"),
        ("tokens", "organization_id=org_2"),
        ("tokens", "organization_id="),
    ];
    assert_eq!(
        mints,
        expected.map(|(path, body)| (path.to_owned(), body.to_owned()))
    );
}

#[test]
pub(super) fn c13_one_sequence_serves_every_caller() {
    for (callers, apart) in [(30, 0.5), (100, 0.2)] {
        let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
        fapi.latency = Duration::from_millis(100);
        fapi.run(async |refresher| {
            refresher.ready().await.unwrap();
            refresher.poller().stop();
            fapi.timer.sleep(60 * SECOND).await;
            let timer = &fapi.timer;
            let callers = (0..callers).map(|n| {
                let late = seconds(apart) * n;
                async move {
                    timer.sleep(late).await;
                    refresher.get_token().await.unwrap_err()
                }
            });
            join_all(callers).await;
        });
        assert_eq!(fapi.instants(On::Tokens).len(), 9);
    }
}

/// A caller that goes away cancels nothing for the others, nor the work itself.
#[test]
pub(super) fn c13_a_caller_that_goes_away_cancels_nothing() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 2 * SECOND;
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        let request = TokenRequest::new().force();
        {
            let mut caller = pin!(refresher.token(&request));
            assert!(
                caller
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        }
        fapi.timer.sleep(3 * SECOND).await;
        let token = refresher.get_token().await.unwrap();
        assert_eq!(
            token.expires_in(),
            57 * SECOND,
            "the one that nobody waited for"
        );
    });
    assert_eq!(fapi.instants(On::Tokens).len(), 1);
}

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

fn outage_of_client(status: u16) -> Fapi {
    Fapi::new(move |call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => Answer::Fails(status, "x"),
    })
}

#[test]
pub(super) fn d2_an_outage_at_the_verification_ends_in_the_verdict() {
    for status in [500, 403] {
        let fapi = outage_of_client(status);
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

        let fapi = outage_of_client(status);
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
    let fapi = outage_of_client(401);
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

/// An API that is down from the start; `mint` says of `/tokens`.
fn down(mint: fn() -> Answer) -> Fapi {
    Fapi::new(move |call| match call.on {
        On::Client => fails_500(),
        On::Tokens => mint(),
    })
}

#[test]
pub(super) fn e1_in_an_outage_the_poller_waits_for_one_forced_mint() {
    type Mint = fn() -> Answer;
    let cases: [(Mint, usize); 3] = [(|| Answer::Fine, 1), (fails_500, 9), (|| Answer::Panic, 1)];
    for (mint, requests) in cases {
        let mut fapi = down(mint);
        fapi.latency = Duration::from_millis(100);
        let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
        let phases = RefCell::new(Vec::new());
        fapi.with(builder, async |refresher| {
            refresher.ready().await.unwrap();
            let status = format!("{refresher:?}");
            phases.borrow_mut().push(status.contains("phase: Stop"));
            fapi.timer.sleep(seconds(163.0)).await;
            assert!(
                !format!("{refresher:?}").contains("phase: Stop"),
                "the poller goes on"
            );
        });
        assert_eq!(phases.into_inner(), [true]);
        let mints = fapi
            .calls()
            .into_iter()
            .filter(|call| call.on == On::Tokens);
        let forced = mints.filter(|call| call.url.contains("skip_cache")).count();
        assert_eq!(forced, requests);
    }
}

#[test]
pub(super) fn e4_a_start_up_that_waits_no_longer_still_learns_of_a_rotation() {
    let mut fapi = Fapi::new(|call| match call.on {
        On::Client => Answer::Exactly(Response::new(500, "").authorization("rotated")),
        On::Tokens => Answer::Fine,
    });
    fapi.latency = 8 * SECOND;
    let builder = fapi.builder().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        fapi.timer.sleep(7 * SECOND).await;
        refresher.ready().await.unwrap();
        assert_eq!(fapi.timer.now(), 7 * SECOND);
        fapi.timer.sleep(10 * SECOND).await;
    });
    let mint = &fapi.calls()[1];
    assert_eq!((mint.on, mint.at), (On::Tokens, 8 * SECOND));
    assert_eq!(mint.authorization.as_deref(), Some("rotated"));
}

#[test]
fn a_start_up_in_an_outage_has_the_token_that_the_store_kept() {
    let store = MemoryStore::default();
    let healthy = Arc::new(AtomicBool::new(true));
    let up = Arc::clone(&healthy);
    let fapi = Fapi::new(move |_| {
        if up.load(Ordering::Relaxed) {
            Answer::Fine
        } else {
            Answer::Reject
        }
    });
    let first = fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        refresher.token(&TokenRequest::new().force()).await.unwrap()
    });
    healthy.store(false, Ordering::Relaxed);
    fapi.with(fapi.builder().store(store), async |refresher| {
        refresher.ready().await.unwrap();
        let began = fapi.timer.now();
        let token = refresher.get_token().await.unwrap();
        assert_eq!(fapi.timer.now(), began, "nobody waits for it");
        assert_eq!(token.expose(), first.expose());
        assert_eq!(token.expires_in(), 60 * SECOND - began);
        assert_eq!(refresher.status(), RefresherStatus::Degraded);
    });
}

#[test]
pub(super) fn e2_a_4xx_at_the_start_bubbles_up() {
    let fapi = Fapi::new(|_| Answer::Fails(400, "client_not_found"));
    let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        let error = refresher.ready().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no token after 0 retries in 0ns, the error is not to be retried: \
             the API answered 400 client_not_found (trace trace_1)"
        );
        fapi.timer.sleep(60 * SECOND).await;
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}

#[test]
pub(super) fn e3_looks_and_the_forced_mint_never_overlap() {
    let mut fapi = down(fails_500);
    fapi.latency = 3 * SECOND;
    let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |_| fapi.timer.sleep(600 * SECOND).await);
    let mints = fapi.instants(On::Tokens);
    assert!(mints.len() > 18);
    assert!(mints.windows(2).all(|pair| pair[1] - pair[0] >= 3 * SECOND));
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

#[test]
fn bad_input_is_refused_with_value_and_rule() {
    let api = |text: &str| {
        text.parse::<afterbeat::clerk::FrontendApi>()
            .unwrap_err()
            .to_string()
    };
    for (value, rule) in [
        ("", "is neither an http(s) URL nor a publishable key"),
        (
            "ftp://clerk.example.test",
            "is neither an http(s) URL nor a publishable key",
        ),
        ("https://", "has no host"),
        ("https://:443", "has no host"),
        ("https://a.test:https", "has a port that is not one"),
        ("https://a.test?x=1", "has a host that is not one"),
        ("https://a test", "has a host that is not one"),
        ("https://a%0db", "has a host that is not one"),
        ("https://[::1", "has a host that is not one"),
        ("https://a.test:+80", "has a port that is not one"),
        ("https://a.test:70000", "has a port that is not one"),
        (
            "https://a.test/../x",
            "holds more than an origin and a plain path",
        ),
        (
            "https://a.test//x",
            "holds more than an origin and a plain path",
        ),
        ("pk_live_???", "has a key that is not base64"),
        ("pk_live_Y2xlcms", "has a key that does not end in `$`"),
        ("pk_live_JA", "has no host"),
        ("pk_live_YS9iJA", "has a key that holds more than a host"),
    ] {
        assert_eq!(api(value), format!("`{value}` {rule}"));
    }
    for fine in [
        "https://[::1]:8080",
        "http://127.0.0.1:80/a/b-c/",
        "https://a.test",
    ] {
        let api = fine.parse::<afterbeat::clerk::FrontendApi>().unwrap();
        assert_eq!(api.to_string(), fine.trim_end_matches('/'));
    }
    for secret in ["sk_live_abcdef", "https://me:hunter2@a.test"] {
        let error = secret.parse::<afterbeat::clerk::FrontendApi>().unwrap_err();
        assert!(
            format!("{error} {error:?}").contains("(not shown)"),
            "{error}"
        );
        assert!(
            !format!("{error} {error:?}").contains(&secret[8..]),
            "{error}"
        );
    }
    for bad in ["", "two words", "line\n", "t\u{f6}ken"] {
        let error = bad.parse::<afterbeat::clerk::ClientToken>().unwrap_err();
        let said = "the client token is not one or more characters of visible ASCII";
        assert_eq!(error.to_string(), said);
    }
    let fapi = Fapi::new(|_| Answer::Fine);
    let last = |jwt: &str| fapi.seed().last_token(jwt).unwrap_err().to_string();
    assert_eq!(
        last("secret"),
        "the session token is not three parts with dots between them"
    );
    let endless = jwt(&json!({ "sid": "s", "sub": "u", "iat": 5, "exp": 5 }));
    assert_eq!(
        last(&endless),
        "the session token expires before it was issued"
    );
    let nameless = jwt(&json!({ "sub": "u", "iat": 5, "exp": 9 }));
    assert_eq!(last(&nameless), "the session token has no `sid`");
}

#[test]
fn no_secret_is_shown() {
    let fapi = Fapi::tokens_fail_from(60 * SECOND, |_| fails_500());
    let jwt = fapi.jwt();
    let builder = fapi.seed().last_token(&jwt).unwrap();
    let mut shown = vec![format!("{builder:?}")];
    fapi.with(builder, async |refresher| {
        let token = refresher.get_token().await.unwrap();
        shown.push(format!("{refresher:?} {token:?} {:?}", refresher.poller()));
        refresher.poller().stop();
        fapi.timer.sleep(60 * SECOND).await;
        let error = refresher.get_token().await.unwrap_err();
        shown.push(format!(
            "{error} {error:?} {:?}",
            std::error::Error::source(&error)
        ));
    });
    let token: afterbeat::clerk::ClientToken = CLIENT_TOKEN.parse().unwrap();
    let response = Response::new(200, fapi.jwt()).authorization(CLIENT_TOKEN);
    shown.push(format!("{token:?} {response:?} {:?}", fapi.requests()));
    let shown = shown.concat();
    assert!(
        !shown.contains(CLIENT_TOKEN) && !shown.contains(&jwt[20..]),
        "{shown}"
    );
    assert_eq!(fapi.calls()[0].authorization.as_deref(), Some(CLIENT_TOKEN));
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

#[test]
fn dropping_the_refresher_ends_its_driver() {
    let fapi = Fapi::new(|_| Answer::Hang);
    let (refresher, driver) = fapi.seed().driver();
    let mut driver = pin!(driver);
    let mut context = Context::from_waker(Waker::noop());
    assert!(driver.as_mut().poll(&mut context).is_pending());
    drop(refresher);
    assert!(driver.as_mut().poll(&mut context).is_ready());
}

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
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(seconds(0.8)).await;
        let slow = async {
            // Sent before the sign-out is confirmed, answered after it.
            fapi.timer.sleep(seconds(0.5)).await;
            refresher.token(&TokenRequest::new().template("slow")).await
        };
        let forced = TokenRequest::new().force();
        let (signed_out, late) = futures_util::future::join(refresher.token(&forced), slow).await;
        assert!(matches!(signed_out, Err(TokenError::SignedOut(_))));
        assert!(matches!(late, Err(TokenError::SignedOut(_))), "{late:?}");
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
    });
}

/// A client that brings the same token again does not make it any younger.
#[test]
fn a_token_that_comes_with_a_client_is_as_old_as_it_is() {
    let issued_at_0 = Fapi::new(|_| Answer::Fine).jwt();
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => fails_401(),
        On::Client => {
            let token = json!({ "jwt": issued_at_0 });
            exactly(200, &client(&json!([session(&token)])))
        }
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        assert_eq!(
            refresher.get_token().await.unwrap().expires_in(),
            60 * SECOND
        );
        fapi.timer.sleep(30 * SECOND).await;
        assert_eq!(
            refresher.get_token().await.unwrap().expires_in(),
            30 * SECOND
        );
        for _ in 0..10 {
            fapi.timer.sleep(30 * SECOND).await;
            refresher.get_token().await.unwrap_err();
        }
    });
}

/// D7 and G6, as far as callers go: whatever they do, five seconds pass.
#[test]
fn callers_do_not_begin_again_what_has_just_failed() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => fails_401(),
        On::Client => exactly(200, &client(&json!([session(&json!(null))]))),
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(SECOND).await;
        for n in 0..39 {
            let request = TokenRequest::new();
            let request = if n % 2 == 0 { request.force() } else { request };
            refresher.token(&request).await.unwrap_err();
            fapi.timer.sleep(Duration::from_millis(250)).await;
        }
    });
    assert_eq!(fapi.instants(On::Tokens), [1, 6].map(Duration::from_secs));
    assert_eq!(fapi.instants(On::Client).len(), 1 + 2);
}

/// The same for a start-up that failed: no storm while nothing is known.
#[test]
fn callers_do_not_begin_again_a_start_up_that_has_just_failed() {
    let fapi = Fapi::new(|_| fails_500());
    fapi.run(async |refresher| {
        for _ in 0..99 {
            refresher.get_token().await.unwrap_err();
            fapi.timer.sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(fapi.instants(On::Client), [0, 5].map(Duration::from_secs));
}

/// E1: also where a caller is the first to want a token.
#[test]
pub(super) fn e1_the_mint_of_a_start_up_is_forced_whoever_waits_for_it() {
    let fapi = down(|| Answer::Fine);
    let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap()
    });
    let mints = fapi
        .calls()
        .into_iter()
        .filter(|call| call.on == On::Tokens);
    let forced: Vec<bool> = mints.map(|call| call.url.contains("skip_cache")).collect();
    assert_eq!(forced, [true]);
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
        let template = TokenRequest::new().template("hasura");
        let own = async {
            fapi.timer.sleep(SECOND).await;
            refresher.token(&TokenRequest::new().force()).await
        };
        let (template, own) = futures_util::future::join(refresher.token(&template), own).await;
        assert!(matches!(own, Err(TokenError::SignedOut(_))));
        assert!(matches!(template, Err(TokenError::SignedOut(_))));
        refresher.poller().start();
        fapi.timer.sleep(600 * SECOND).await;
        assert!(matches!(refresher.status(), RefresherStatus::SignedOut(_)));
    });
    // Start-up; the template's; the own one and its verification; then nothing.
    assert_eq!(fapi.calls().len(), 1 + 1 + 2);
}

/// B15, E6: a start-up that failed for want of a network is begun again.
#[test]
fn a_start_up_that_failed_is_begun_again_without_a_caller() {
    for trouble in [(|| Answer::Reject) as fn() -> Answer, fails_500, || {
        throttled(8)
    }] {
        let fapi = Fapi::new(move |call| {
            if call.at < 10 * SECOND {
                trouble()
            } else {
                Answer::Fine
            }
        });
        fapi.run(async |refresher| {
            fapi.timer.sleep(30 * SECOND).await;
            assert_eq!(refresher.status(), RefresherStatus::Ready);
        });
        let windows = fapi.instants(On::Client);
        assert!(windows.len() < 12, "{windows:?}");
    }
}

/// A throttled start with a last token is an outage like any other.
#[test]
fn a_429_at_the_start_falls_back_on_the_last_token() {
    let fapi = Fapi::new(|call| match call.on {
        On::Client => throttled(8),
        On::Tokens => Answer::Fine,
    });
    let builder = fapi.seed().last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.get_token().await.unwrap()
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [8 * SECOND],
        "gated by the client's answer"
    );
}

/// No reply can end all work: a hint of 584 years gates for a day.
#[test]
fn a_gate_opens_after_a_day() {
    let answer = first(1, || throttled(u64::MAX), || Answer::Fine);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        fapi.timer.sleep(24 * 3600 * SECOND).await;
        refresher.get_token().await.unwrap();
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
        let template = TokenRequest::new().template("hasura");
        let token = refresher.token(&template).await.unwrap();
        assert_eq!(token.claims().session_id(), "sess_1");
        refresher.token(&template).await.unwrap();
        let own = TokenRequest::new().force();
        let waiting = refresher.token(&own);
        let limit = fapi.timer.sleep(SECOND);
        assert!(
            matches!(
                futures_util::future::select(pin!(waiting), limit).await,
                futures_util::future::Either::Right(_)
            ),
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

/// Callers may come from anywhere: only the driver does the work.
#[test]
fn a_caller_polls_no_work() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (refresher, driver) = fapi.seed().driver();
    let mut context = Context::from_waker(Waker::noop());
    let mut caller = pin!(refresher.get_token());
    assert!(caller.as_mut().poll(&mut context).is_pending());
    assert_eq!(fapi.calls().len(), 0);
    drop(driver);
    let error = fapi.timer.run(caller).unwrap_err();
    assert_eq!(error.to_string(), "the refresher's driver has ended");
    assert!(fapi.timer.run(refresher.get_token()).is_err());
}

/// F5: each request has the client token that the one before it brought, whoever asks
/// and for what.
#[test]
pub(super) fn f5_requests_that_may_rotate_are_sent_one_at_a_time() {
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |call| {
        let header = if call.url.contains("/a?") {
            "rotated-a"
        } else {
            "rotated-b"
        };
        Answer::Exactly(Response::new(404, "").authorization(header))
    });
    fapi.latency = SECOND;
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        let requests = ["a", "b"].map(|name| TokenRequest::new().template(name));
        join_all(requests.iter().map(|request| refresher.token(request))).await;
        drop(refresher.token(&TokenRequest::new().template("c")).await);
    });
    let calls = fapi.calls();
    let sent: Vec<_> = calls
        .iter()
        .map(|call| call.authorization.clone().unwrap())
        .collect();
    assert_eq!(sent, [CLIENT_TOKEN, CLIENT_TOKEN, "rotated-a", "rotated-b"]);
    let instants: Vec<_> = calls.iter().map(|call| call.at.as_secs()).collect();
    assert_eq!(instants, [0, 1, 2, 3]);
}

/// A token that is older than the one that is there does not take its place.
#[test]
fn a_staler_token_never_replaces_a_fresher_one() {
    let old = Fapi::new(|_| Answer::Fine).jwt();
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens if call.at > 20 * SECOND => fails_401(),
        On::Tokens => Answer::Fine,
        On::Client => exactly(200, &client(&json!([session(&json!({ "jwt": old }))]))),
    });
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.poller().stop();
        fapi.timer.sleep(20 * SECOND).await;
        let force = TokenRequest::new().force();
        let fresh = refresher.token(&force).await.unwrap();
        fapi.timer.sleep(10 * SECOND).await;
        refresher.token(&force).await.unwrap_err();
        let kept = refresher.get_token().await.unwrap();
        assert_eq!(
            (kept.expose(), kept.expires_in()),
            (fresh.expose(), 50 * SECOND)
        );
    });
}

/// The last token of another session says nothing of this one.
#[test]
fn a_last_token_of_another_session_is_not_fallen_back_on() {
    let fapi = down(|| Answer::Fine);
    let builder = fapi.seed().session_id("sess_9");
    let builder = builder.last_token(&fapi.jwt()).unwrap();
    fapi.with(builder, async |refresher| {
        refresher.ready().await.unwrap_err()
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}

/// A name goes into a path as one place of it.
#[test]
fn names_are_encoded() {
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.run(async |refresher| {
        let request = TokenRequest::new().template("a/b?c");
        refresher.token(&request).await.unwrap();
        let request = TokenRequest::new().organization("org 1&x=y");
        refresher.token(&request).await.unwrap();
    });
    let calls = fapi.calls();
    assert!(
        calls[1].url.contains("/tokens/a%2Fb%3Fc?"),
        "{}",
        calls[1].url
    );
    assert_eq!(
        calls[2].body.as_deref(),
        Some("organization_id=org%201%26x%3Dy")
    );
}

/// The program's choice of an organization outlives what a client says of its last one.
#[test]
fn a_chosen_organization_stays_chosen() {
    let fapi = Fapi::tokens_fail_from(50 * SECOND, |_| fails_401());
    fapi.run(async |refresher| {
        refresher.ready().await.unwrap();
        refresher.set_organization(Some("org_2"));
        fapi.timer.sleep(60 * SECOND).await;
    });
    let calls = fapi.calls();
    let mints = calls.iter().filter(|call| call.on == On::Tokens);
    let bodies: Vec<_> = mints.map(|call| call.body.as_deref().unwrap()).collect();
    assert!(bodies.len() > 2 && fapi.instants(On::Client).len() > 1);
    assert!(
        bodies.iter().all(|body| *body == "organization_id=org_2"),
        "{bodies:?}"
    );
}
