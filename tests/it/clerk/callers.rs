//! C: one sequence for all who ask, whoever goes away.

use std::{pin::pin, time::Duration};

use afterbeat::{
    Clock, Timer,
    clerk::{MemoryStore, Response, TokenError, TokenRequest},
};
use futures_util::{FutureExt, future::join_all};
use serde_json::json;

use super::rig::{
    Answer, CLIENT_TOKEN, Fapi, On, SECOND, at_once, fails_401, fails_500, quiet, seconds,
    session_without_a_token, template, text, token_of, until,
};

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
        quiet(refresher).await;
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
        quiet(refresher).await;
        until(&fapi, 50.0).await;
        let token = refresher.get_token().await.unwrap();
        assert_eq!(
            (fapi.timer.now(), token.expires_in()),
            (57 * SECOND, 3 * SECOND)
        );
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

#[test]
pub(super) fn c13_one_sequence_serves_every_caller() {
    for (callers, apart) in [(30, 0.5), (100, 0.2)] {
        let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
        fapi.latency = Duration::from_millis(100);
        fapi.run(async |refresher| {
            quiet(refresher).await;
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
        quiet(refresher).await;
        let request = TokenRequest::new().force();
        {
            let mut caller = pin!(refresher.token(&request));
            assert!(caller.as_mut().now_or_never().is_none());
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
            quiet(refresher).await;
            let request = TokenRequest::new().force();
            {
                let mut caller = pin!(refresher.token(&request));
                assert!(caller.as_mut().now_or_never().is_none());
                fapi.timer.sleep(Duration::from_secs(goes_after)).await;
            }
            until(&fapi, 10.0).await;
            let stored = text(&store);
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

/// D7 and G6, as far as callers go: whatever they do, five seconds pass.
#[test]
fn callers_do_not_begin_again_what_has_just_failed() {
    let fapi = Fapi::new(|call| match call.on {
        On::Tokens => fails_401(),
        On::Client => session_without_a_token(),
    });
    fapi.run(async |refresher| {
        quiet(refresher).await;
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

/// Callers may come from anywhere: only the driver does the work.
#[test]
fn a_caller_polls_no_work() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let (refresher, driver) = fapi.seed().driver();
    let mut caller = pin!(refresher.get_token());
    assert!(caller.as_mut().now_or_never().is_none());
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
        quiet(refresher).await;
        let requests = ["a", "b"].map(|name| TokenRequest::new().template(name));
        join_all(requests.iter().map(|request| refresher.token(request))).await;
        drop(refresher.token(&template("c")).await);
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

/// Twice as long as a caller of `get_token`.
#[test]
fn who_waits_for_the_session_does_so_for_14_s() {
    let fapi = Fapi::new(|_| Answer::Hang);
    let builder = fapi.builder().attempt_timeout(Duration::MAX);
    fapi.with(builder, async |refresher| {
        let error = refresher.ready().await.unwrap_err();
        assert_eq!(fapi.timer.now(), 14 * SECOND);
        let TokenError::TimedOut { limit, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(limit, 14 * SECOND);
    });
}
