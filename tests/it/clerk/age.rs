//! C: how old a token is, and which of two is the fresher.

use std::time::Duration;

use afterbeat::{
    Clock, Timer,
    clerk::{MemoryStore, RefresherStatus, SessionToken, TokenRequest, TokenStore},
};
use futures_util::future::join;
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Call, Fapi, On, SECOND, Told, at_once, client, client_with, exactly,
    fails_401, forced, jwt, mints, of_session, quiet, seconds, session, set_wall_clock_off, text,
    token_of, until,
};

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
        let (told, builder) = Told::by(&fapi, fapi.seed());
        fapi.with(builder, async |refresher| {
            forced(&fapi, refresher).await.unwrap();
            let row = format!("{kept:?} {incoming:?}");
            assert_eq!(at_once(refresher).unwrap().expose(), last, "{row}");
            fapi.timer.sleep(SECOND).await;
            let events = 1 + usize::from(replaced);
            assert_eq!(told.token_instants().len(), events, "{row}");
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
        quiet(refresher).await;
        until(&fapi, 61.0).await;
        for _ in 0..10 {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(fapi.instants(On::Tokens), [61 * SECOND]);
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
    let (told, builder) = Told::by(&fapi, fapi.builder().store(store.clone()));
    fapi.with(builder, async |refresher| {
        forced(&fapi, refresher).await.unwrap();
        refresher.poller().start();
        until(&fapi, 3.0).await;
        set_wall_clock_off(SLEPT.cast_signed());
        // Meanwhile another process has had the client token rotated.
        let state = text(&store);
        let state = state.replace(CLIENT_TOKEN, "rotated-elsewhere");
        store.save(state.as_bytes()).unwrap();
        until(&fapi, 30.0).await;
        assert_eq!(refresher.status(), RefresherStatus::Ready);
        assert!(at_once(refresher).is_some());
    });
    assert_eq!(
        told.statuses(),
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
        quiet(refresher).await;
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
        let (token, ()) = join(call, suspended).await;
        assert_eq!(token.unwrap().expires_in(), 59 * SECOND);
    });
    let mints = fapi.instants(On::Tokens);
    assert_eq!(mints, [SECOND, 5 * SECOND], "again, 3 s after its answer");
}

#[test]
pub(super) fn c19_the_life_of_a_token_begins_with_its_request() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 8 * SECOND;
    let (told, builder) = Told::by(&fapi, fapi.seed());
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
    let tokens = told.tokens();
    let lives: Vec<_> = tokens.iter().map(SessionToken::expires_in).collect();
    assert_eq!(lives, [52 * SECOND; 2]);
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
        quiet(refresher).await;
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

/// The API rolls back: what it mints is older than what is there, for ever.
#[test]
fn a_token_that_is_to_be_refreshed_keeps_no_other_out() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => {
            let issued = 1_600_000_000 + call.at.as_secs();
            let claims = json!({
                "sid": "sess_1", "sub": "user_1", "iat": issued, "exp": issued + 60,
            });
            exactly(200, &json!({ "jwt": jwt(&claims) }))
        }
        On::Client => Answer::Fine,
    });
    fapi.with(fapi.builder(), async |refresher| {
        for _ in 0..600 {
            fapi.timer.sleep(SECOND / 10).await;
            refresher.get_token().await.unwrap();
        }
    });
    let mints = fapi.instants(On::Tokens);
    assert!(mints.len() <= 2, "{mints:?}");
}

/// An answer from some cache on the way brings the same token again.
#[test]
fn the_same_token_again_is_no_younger_than_it_was() {
    let api = Fapi::new(|_| Answer::Fine);
    let token = api.jwt();
    let fapi = Fapi::new(move |call| match call.on {
        On::Tokens => exactly(200, &json!({ "jwt": token })),
        On::Client => exactly(200, &client(&json!([session(&serde_json::Value::Null)]))),
    });
    fapi.with(fapi.builder(), async |refresher| {
        for second in 0..100 {
            let token = refresher.get_token().await;
            let left = token.map_or(Duration::ZERO, |token| token.expires_in());
            assert!(
                left <= 60 * SECOND - fapi.timer.now().min(60 * SECOND),
                "{second}"
            );
            fapi.timer.sleep(SECOND).await;
        }
    });
}

/// Another program of the user's had it minted twenty seconds before.
#[test]
fn a_token_that_comes_with_a_client_is_as_old_as_its_issuer_says() {
    let fapi = Fapi::new(|call| match call.on {
        _ if call.at < SECOND => Answer::Fine,
        On::Tokens => fails_401(),
        On::Client => client_with(&json!({ "jwt": of_session("sess_1", 10) })),
    });
    fapi.run(async |refresher| {
        quiet(refresher).await;
        until(&fapi, 30.0).await;
        let token = refresher.token(&TokenRequest::new().force()).await.unwrap();
        assert_eq!(token.expose(), of_session("sess_1", 10));
        assert_eq!(token.expires_in(), 40 * SECOND);
        until(&fapi, 69.0).await;
        assert_eq!(fapi.calls().len(), 3);
        let late = refresher.get_token().await;
        assert!(late.is_err() || late.unwrap().expires_in() <= SECOND);
    });
}

/// The wall clock cannot tell the stored token's age then. The issuer's clock can, once
/// another token has told what it reads.
#[test]
fn a_wall_clock_set_back_between_runs_makes_no_stored_token_young() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let run = || {
        let builder = fapi.builder().store(store.clone());
        fapi.with(builder, async |refresher| {
            // The client's own token is another organization's.
            refresher.set_organization(Some("org_1"));
            refresher.get_token().await.unwrap()
        })
    };
    let first = run();
    fapi.timer.advance(3600 * SECOND);
    set_wall_clock_off(-3600);
    let second = run();
    assert_ne!(second.expose(), first.expose());
    assert_eq!(second.claims().lifetime(), second.expires_in());
}
