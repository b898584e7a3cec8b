//! B: when the poller looks, and when it does not.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use afterbeat::{
    Jitter, Timer,
    clerk::{Refresher, RefresherStatus, TokenError},
};

use super::rig::{
    Answer, Fapi, On, SECOND, Told, fails_500, polled, schedule_from, seconds,
    session_without_a_token, until,
};

#[test]
pub(super) fn b1_a_look_at_once_then_5_s_after_the_end_of_the_one_before() {
    // Tokens of 10 s are never worth caching: each look mints.
    let ticks = |latency: u64, until: u64| {
        let mut fapi = Fapi::new(|call| match call.on {
            On::Tokens => Answer::Fine,
            On::Client => session_without_a_token(),
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
pub(super) fn b8_a_look_that_fails_or_panics_does_not_end_the_loop() {
    let troubles: [fn() -> Answer; 2] = [|| Answer::Fails(404, "not_found"), || Answer::Panic];
    for trouble in troubles {
        let fapi = Fapi::short_lived(move |call| {
            if call.at == 10 * SECOND {
                trouble()
            } else {
                Answer::Fine
            }
        });
        let (told, builder) = Told::by(&fapi, fapi.seed());
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
        assert_eq!(told.statuses(), statuses);
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
        Fapi::short_lived(move |call| {
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
    let fapi = Fapi::short_lived(|_| Answer::Fine);
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
    let fapi = Fapi::short_lived(|_| Answer::Fails(404, "not_found"));
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
            let fapi = Fapi::short_lived(|_| Answer::Fine);
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
pub(super) fn b14_triggers_coalesce() {
    let mut fapi = Fapi::short_lived(|_| Answer::Fine);
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
    let fapi = Fapi::short_lived(|_| Answer::Fine);
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
