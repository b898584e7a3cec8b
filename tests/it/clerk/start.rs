//! E: how it starts, also where the API does not answer.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{
        MemoryStore, RefresherStatus, Request, Response, TokenError, TokenRequest, TokenStore,
        Transport, TransportError,
    },
};

use super::rig::{
    Answer, Call, Fapi, On, SECOND, Told, at_once, drive, fails_500, first_jwt, forced, over,
    schedule_from, seconds, status, text, throttled,
};

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
    let (refresher, driver) = over(&fapi.timer, transport).driver();
    drive(&fapi.timer, driver, async {
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
    let (told, builder) = Told::by(&fapi, fapi.seed().last_token(&fapi.jwt()).unwrap());
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
        assert_eq!(fapi.timer.now(), schedule_from(0.0)[4]);
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
        let (told, builder) = Told::by(&fapi, fapi.builder().last_token(&stored).unwrap());
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

#[test]
fn without_a_last_token_a_start_up_takes_as_long_as_its_request() {
    let mut fapi = Fapi::new(|_| Answer::Fine);
    fapi.latency = 9 * SECOND;
    let builder = fapi.builder().attempt_timeout(10 * SECOND);
    let (told, builder) = Told::by(&fapi, builder);
    fapi.with(builder, async |refresher| {
        let error = refresher.get_token().await.unwrap_err();
        assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
        assert_eq!(fapi.timer.now(), 7 * SECOND);
        refresher.ready().await.unwrap();
        assert_eq!(fapi.timer.now(), 9 * SECOND);
        fapi.timer.sleep(SECOND).await;
        assert_eq!(at_once(refresher).unwrap().expires_in(), 50 * SECOND);
    });
    assert_eq!(told.statuses(), [RefresherStatus::Ready]);
    assert_eq!(fapi.calls().len(), 1);
}

/// The failures before that no longer count.
#[test]
fn a_start_up_that_falls_back_on_the_last_token_begins_its_back_off_anew() {
    let store = MemoryStore::default();
    let other = Fapi::new(|_| Answer::Fine);
    other.with(other.builder().store(store.clone()), async |refresher| {
        forced(&other, refresher).await.unwrap();
    });
    let kept = text(&store);

    let store = MemoryStore::default();
    let fapi = down(|| Answer::Fine);
    fapi.with(fapi.seed().store(store.clone()), async |refresher| {
        fapi.timer.sleep(60 * SECOND).await;
        // From another process that has been luckier.
        store.save(kept.as_bytes()).unwrap();
        fapi.timer.sleep(60 * SECOND).await;
        refresher.get_token().await.unwrap();
    });
    let asked = fapi.instants(On::Client);
    let in_vain = asked.iter().filter(|at| **at < 60 * SECOND).count();
    assert!(in_vain < 6, "{asked:?}");
    let fallen_back = fapi.instants(On::Tokens)[0];
    let soon = |at: &&Duration| (fallen_back..fallen_back + 20 * SECOND).contains(*at);
    assert!(asked.iter().filter(soon).count() > 2, "{asked:?}");
}
