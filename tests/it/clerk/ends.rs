//! How a refresher ends: dropped, shut down, or with its driver.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Weak},
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{
        Cause, MemoryStore, RefresherEvent, RefresherStatus, Refusal, Response, TokenError,
        TokenRequest, TokenStore,
    },
};
use futures_util::{
    FutureExt,
    future::{join, join_all, select},
    stream::{FuturesUnordered, StreamExt},
};

use super::rig::{Answer, Call, Fapi, On, SECOND, Told, drive, fails_500, quiet, template, text};

/// It is the refresher that is dropped: a caller that goes away cancels nothing.
#[test]
pub(super) fn a10_dropping_or_shutting_down_ends_the_sequence_and_its_sleep() {
    for shut_down in [false, true] {
        let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
        let (refresher, mut driver) = fapi.seed().driver();
        fapi.timer.run(async {
            let scenario = pin!(async {
                quiet(&refresher).await;
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

#[test]
pub(super) fn b13_dropping_ends_all_and_leaves_nothing() {
    let scripts: [fn(&Call) -> Answer; 3] = [|_| Answer::Fine, |_| fails_500(), |_| Answer::Hang];
    for (script, driver_first) in scripts.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let fapi = Fapi::short_lived(script);
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
                let template = template("hasura");
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
    let fapi = Fapi::short_lived(|call| {
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
fn dropping_the_refresher_ends_its_driver() {
    let fapi = Fapi::new(|_| Answer::Hang);
    let (refresher, driver) = fapi.seed().driver();
    let mut driver = pin!(driver);
    assert!(driver.as_mut().now_or_never().is_none());
    drop(refresher);
    assert!(driver.now_or_never().is_some());
}

/// Whoever keeps the state by the observer must hear of the end.
#[test]
fn what_has_happened_is_told_also_where_the_refresher_ends_at_once() {
    for by_drop in [false, true] {
        let fapi = Fapi::new(|_| Answer::Fine);
        let builder = fapi.builder().store(MemoryStore::default());
        let (told, builder) = Told::by(&fapi, builder);
        let (refresher, driver) = builder.driver();
        fapi.timer.run(join(driver, async {
            refresher.get_token().await.unwrap();
            fapi.timer.sleep(SECOND).await;
            refresher.sign_out();
            if by_drop {
                drop(refresher);
            } else {
                refresher.shutdown().await;
            }
        }));
        let last = told.all().pop();
        let signed_out = RefresherStatus::SignedOut(Refusal::default());
        assert!(
            matches!(&last, Some(RefresherEvent::Status(status)) if *status == signed_out),
            "by drop {by_drop}: {last:?}"
        );
    }
}

/// Only a request in flight is waited for, and nothing that ends so has failed.
#[test]
fn a_shutdown_waits_for_no_lock_that_another_process_holds() {
    let fapi = Fapi::new(|_| Answer::Fine);
    let store = MemoryStore::default();
    let (told, builder) = Told::by(&fapi, fapi.builder().store(store.clone()));
    let (refresher, driver) = builder.driver();
    fapi.timer.run(join(driver, async {
        refresher.get_token().await.unwrap();
        let _held = store.try_lock().unwrap().unwrap();
        let templates = ["a", "b", "c"].map(template);
        for request in [TokenRequest::new().force()].iter().chain(&templates) {
            assert!(refresher.token(request).now_or_never().is_none());
        }
        fapi.timer.sleep(SECOND).await;
        refresher.shutdown().await;
        let took = fapi.timer.now() - SECOND;
        assert!(took < SECOND, "{took:?}");
    }));
    assert_eq!(told.statuses(), [RefresherStatus::Ready]);
}

#[test]
fn a_shutdown_lets_the_request_in_flight_finish() {
    let mut fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| {
        Answer::Exactly(Response::new(404, "").authorization("rotated"))
    });
    fapi.latency = 2 * SECOND;
    let store = MemoryStore::default();
    let (refresher, driver) = fapi.seed().store(store.clone()).driver();
    fapi.timer.run(join(driver, async {
        quiet(&refresher).await;
        for name in ["a", "b"] {
            assert!(refresher.token(&template(name)).now_or_never().is_none());
        }
        fapi.timer.sleep(SECOND).await;
        refresher.shutdown().await;
        assert_eq!(fapi.timer.now(), 4 * SECOND);
        assert!(text(&store).contains("rotated"), "{}", text(&store));
    }));
    assert_eq!(fapi.instants(On::Tokens), [2 * SECOND], "and no other");
}

/// Each waits alone here: nothing else polls it, and no clock wakes it.
#[test]
fn the_end_of_the_driver_wakes_and_answers_whoever_waits() {
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| Answer::Hang);
    let (refresher, mut driver) = fapi.seed().driver();
    drive(&fapi.timer, &mut driver, quiet(&refresher));
    let request = template("a");
    let waits: [Pin<Box<dyn Future<Output = bool>>>; 2] = [
        Box::pin(
            refresher
                .wait_for(|_| false)
                .map(|last| last == RefresherStatus::Ready),
        ),
        Box::pin(refresher.token(&request).map(|result| {
            let error = result.unwrap_err();
            matches!(error, TokenError::Ended)
        })),
    ];
    let mut waits = FuturesUnordered::from_iter(waits);
    assert!(waits.next().now_or_never().is_none());
    assert!((&mut driver).now_or_never().is_none());
    assert_eq!(fapi.instants(On::Tokens).len(), 1, "under way");
    drop(driver);
    fapi.timer.run(async {
        assert_eq!(waits.next().await, Some(true));
        assert_eq!(waits.next().await, Some(true));
    });
}
