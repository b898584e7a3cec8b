//! Refreshers of two processes that share a store.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{MemoryStore, Refresher, RefresherStatus, Response, TokenStore},
};
use futures_util::future::join;
use serde_json::{Value, json};

use super::rig::{
    Answer, Builder, CLIENT_TOKEN, Fapi, On, SECOND, Told, client, drive, fails_401, fails_500,
    first_jwt, forced, no_session, seconds, session, template,
};

/// Drives two refreshers, of two processes, while `scenario` goes on.
fn two<R>(
    fapi: &Fapi,
    [one, other]: [Builder; 2],
    scenario: impl AsyncFnOnce(&Refresher, &Refresher) -> R,
) -> R {
    let ((one, one_driver), (other, other_driver)) = (one.driver(), other.driver());
    let drivers = join(one_driver, other_driver);
    drive(&fapi.timer, drivers, scenario(&one, &other))
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
    // The network schedule spreads what a hint has gathered, over half of the hint.
    let sent = fapi.instants(On::Client)[1];
    assert!((40 * SECOND..=60 * SECOND).contains(&sent), "{sent:?}");
}

#[test]
pub(super) fn a_lock_that_is_held_for_long_sends_nothing_and_loses_nothing() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let (told, builder) = Told::by(&fapi, fapi.builder().store(store.clone()));
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
            error.to_string().contains("another process holds its lock"),
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
    let (told, builder) = Told::by(&fapi, fapi.builder().store(store.clone()));
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
