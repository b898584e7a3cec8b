//! C: which token is served, and for how long.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{Cause, RefresherStatus, TokenError, TokenRequest},
};
use serde_json::{Value, json};

use super::rig::{
    Answer, Fapi, On, SECOND, Told, at_once, cause, client, exactly, fails_401, fails_500, first,
    forced, mints, no_session, quiet, schedule_from, seconds, session, template, token_of, until,
};

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
            template("hasura"),
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
        let template = template("hasura");
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
    let (told, builder) = Told::by(&fapi, fapi.seed());
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
    assert_eq!(told.statuses(), ready_then_degraded);
    assert_eq!(told.token_instants(), [Duration::ZERO]);
    assert_eq!(told.client_tokens(), []);
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
        On::Client => no_session(),
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

/// For 5 s callers share the error; the call after that asks again.
#[test]
pub(super) fn c21_a_malformed_token_is_not_cached_and_is_asked_for_again() {
    for malformed in ["x", "a.b.c", ""] {
        let answer = first(1, move || mints(malformed), || Answer::Fine);
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| answer());
        fapi.run(async |refresher| forced(&fapi, refresher).await.unwrap());
        assert_eq!(fapi.instants(On::Tokens), schedule_from(1.0)[..2]);

        let fapi = Fapi::tokens_fail_from(Duration::ZERO, move |_| mints(malformed));
        let (told, builder) = Told::by(&fapi, fapi.seed().max_elapsed(SECOND));
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
        assert_eq!(told.token_instants(), [Duration::ZERO]);
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

/// The sequence has not failed, and takes no longer than a caller may wait.
#[test]
fn a_token_in_its_last_second_is_not_given_out_where_a_new_one_comes() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = Duration::from_millis(100);
    fapi.with(fapi.builder(), async |refresher| {
        quiet(refresher).await;
        fapi.timer.sleep(Duration::from_millis(59_400)).await;
        let token = refresher.get_token().await.unwrap();
        assert!(token.expires_in() > 59 * SECOND, "{token:?}");
    });
}

/// Its life is as long as the margin of the refresh ahead.
#[test]
fn a_life_of_17_s_is_not_refreshed_on_each_call() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.lifetime = 17;
    let builder = fapi.builder().interval(Duration::MAX);
    fapi.with(builder, async |refresher| {
        let first = refresher.get_token().await.unwrap();
        for _ in 0..8 {
            assert_eq!(at_once(refresher).unwrap().expose(), first.expose());
            fapi.timer.sleep(SECOND).await;
        }
    });
    assert_eq!(fapi.instants(On::Tokens), []);
}
