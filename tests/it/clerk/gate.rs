//! A: what a `Retry-After` forbids, to whom, and for how long.

use std::{
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use afterbeat::{
    Clock, GiveUp, Timer,
    clerk::{Cause, MemoryStore, Response, TokenError, TokenRequest, TokenStore},
};
use futures_util::{
    FutureExt,
    future::{join, select},
};
use serde_json::json;

use super::rig::{
    Answer, Fapi, On, SECOND, START, fails_500, first, forced, quiet, seconds, set_wall_clock_off,
    template, text, throttled,
};

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
        quiet(refresher).await;
        let late = async {
            fapi.timer.sleep(5 * SECOND).await;
            refresher.token(&TokenRequest::new().force()).await
        };
        let early = TokenRequest::new().force();
        let (early, late) = join(refresher.token(&early), late).await;
        assert_eq!(early.unwrap().expose(), late.unwrap().expose());
    });
    assert_eq!(fapi.instants(On::Tokens), [Duration::ZERO, 20 * SECOND]);

    // Also after that sequence gave up on it, and for every other key.
    let answer = first(1, || throttled(7200), || Answer::Fine);
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
    fapi.run(async |refresher| {
        forced(&fapi, refresher).await.unwrap_err();
        fapi.timer.sleep(3600 * SECOND).await;
        let template = template("hasura");
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
        select(pin!(call), fapi.timer.sleep(SECOND)).await;
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
                let _ = join(refresher.token(&forced), back).await;
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

/// A gate of the far future, from a wall clock that was wrong, is a day, and the half of
/// one by which the network schedule spreads those who wait for it.
#[test]
pub(super) fn a_stored_gate_ends_all_work_for_a_day_at_most() {
    const DAY: Duration = Duration::from_secs(86_400);
    for until in [u64::MAX, (START + DAY.as_secs() + 1) * 1000] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let store = MemoryStore::default();
        let gate = json!({ "until_ms": until, "wait_ms": u64::MAX });
        let state = json!({ "version": 1, "gate": gate });
        store.save(state.to_string().as_bytes()).unwrap();
        let builder = fapi.seed().store(store).interval(60 * SECOND);
        fapi.with(builder, async |_| {
            fapi.timer.sleep(DAY * 3 / 2 + 120 * SECOND).await;
        });
        let begins = fapi.calls()[0].at;
        let latest = DAY * 3 / 2 + 120 * SECOND;
        assert!((DAY..latest).contains(&begins), "{begins:?}");
    }
}

/// A wall clock that jumps neither opens this process's own gate nor holds it shut.
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
        assert_eq!(mints, [1, 41].map(Duration::from_secs), "{off}");
    }
}

/// A store that was restored from an older copy holds the shorter one.
#[test]
fn a_shorter_retry_after_does_not_end_a_longer_one() {
    let meets = |hint: u64| {
        let answer = first(1, move || throttled(hint), || Answer::Fine);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
        let store = MemoryStore::default();
        (fapi, store)
    };
    let (fapi, other) = meets(5);
    fapi.with(fapi.builder().store(other.clone()), async |refresher| {
        quiet(refresher).await;
        let _ = refresher.token(&template("a")).now_or_never();
        fapi.timer.sleep(SECOND).await;
    });

    let (fapi, store) = meets(40);
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        quiet(refresher).await;
        let _ = refresher.token(&template("a")).now_or_never();
        fapi.timer.sleep(SECOND).await;
        store.save(text(&other).as_bytes()).unwrap();
        refresher.token(&template("b")).await.unwrap();
    });
    assert_eq!(
        fapi.instants(On::Tokens),
        [0, 40, 40].map(Duration::from_secs)
    );
}
