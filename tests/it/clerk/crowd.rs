//! G: callers of all kinds, before an API with troubles of its own.

use std::{pin::pin, time::Duration};

use afterbeat::{
    Clock, ManualTimer, Timer,
    clerk::{Counters, Refresher, RefresherEvent, Response, TokenRequest},
};
use futures_util::future::{join_all, select};

use super::rig::{Answer, Call, Fapi, On, SECOND, Told, fails_401, fails_500, seconds, template};

/// A small generator: what a test does is the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// An API with troubles of its own, the same for one seed, each for some seconds.
fn troubled(seed: u64) -> impl Fn(&Call) -> Answer + Send + Sync {
    move |call| {
        let mut dice = Dice(seed ^ (call.at.as_secs() / 13) << 20);
        dice.below(2);
        match (dice.below(8), call.on) {
            (0 | 1, _) => fails_500(),
            (2, _) => Answer::Reject,
            (3, On::Tokens) => fails_401(),
            (4, _) => Answer::Exactly(Response::new(429, "").retry_after(9 * SECOND)),
            (5, On::Tokens) => Answer::Hang,
            (6, On::Tokens) => Answer::Fails(404, "resource_not_found"),
            _ => Answer::Fine,
        }
    }
}

/// Callers of all kinds, some of which go away; `check` is asked at each step.
async fn callers(
    timer: &ManualTimer,
    refresher: &Refresher,
    dice: &mut Dice,
    check: impl Fn(&Counters),
) -> u64 {
    let steps: Vec<_> = (0..40)
        .map(|_| [4000, 6, 3000, 4].map(|n| dice.below(n)))
        .collect();
    let calls = steps.iter().scan(0, |at, [wait, kind, patience, leaves]| {
        *at += *wait;
        let begins = Duration::from_millis(*at);
        let request = match kind {
            0 => template("a"),
            1 => template(".."),
            2 => TokenRequest::new().organization("org_1"),
            3 => TokenRequest::new().force(),
            _ => TokenRequest::new(),
        };
        let patience = match leaves {
            0 => Duration::from_millis(*patience),
            _ => 3600 * SECOND,
        };
        let check = &check;
        Some(async move {
            timer.sleep(begins).await;
            let call = refresher.token(&request);
            drop(select(pin!(call), timer.sleep(patience)).await);
            check(&refresher.counters());
        })
    });
    join_all(calls).await;
    steps.len() as u64
}

#[test]
pub(super) fn g4_the_counters_add_up_at_every_instant() {
    let add_up = |counters: &Counters| {
        let sum = counters.served + counters.coalesced + counters.led;
        assert_eq!(counters.calls, sum, "{counters:?}");
    };
    let mut sums = [0; 6];
    for seed in 0..25 {
        let mut fapi = Fapi::new(troubled(seed));
        fapi.latency = Duration::from_millis(300);
        let (told, builder) = Told::by(&fapi, fapi.builder());
        let mut dice = Dice(seed);
        fapi.with(builder, async |refresher| {
            let called = callers(&fapi.timer, refresher, &mut dice, add_up).await;
            let counters = refresher.counters();
            add_up(&counters);
            assert_eq!(counters.calls, called);
            assert_eq!(counters.requests, fapi.calls().len() as u64);
            let retrying =
                |event: &RefresherEvent| matches!(event, RefresherEvent::Retrying { .. });
            let retries = told.all().into_iter().filter(retrying).count();
            assert_eq!(counters.retries, retries as u64);
            let parts = [
                counters.served,
                counters.coalesced,
                counters.led,
                counters.retries,
                counters.gate_waits,
                counters.verifications,
            ];
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part;
            }
        });
    }
    assert!(sums.iter().all(|sum| *sum > 10), "{sums:?}");
}

/// Laws of load, whatever the API and the callers do. A verification is the reload's
/// twin on the wire, so it is counted by the refresher.
#[test]
pub(super) fn g6_no_outage_and_no_crowd_makes_a_storm() {
    for seed in 0..25 {
        let mut fapi = Fapi::new(troubled(seed));
        fapi.latency = Duration::from_millis(300);
        let mut dice = Dice(seed);
        fapi.with(fapi.builder(), async |refresher| {
            let timer = &fapi.timer;
            let verifies = |counters: &Counters| {
                let most = timer.now().as_secs() / 5 + 1;
                assert!(counters.verifications <= most, "{counters:?}");
            };
            callers(timer, refresher, &mut dice, verifies).await;
            refresher.sign_out();
            let sent = fapi.calls().len();
            callers(timer, refresher, &mut dice, |_| {}).await;
            timer.sleep(600 * SECOND).await;
            assert_eq!(fapi.calls().len(), sent, "silence after a sign-out");
        });
        let calls = fapi.calls();
        let again = troubled(seed);
        for pair in calls.windows(2) {
            assert!(
                pair[1].at - pair[0].at >= fapi.latency,
                "one at a time: {pair:?}"
            );
            let gate = match again(&pair[0]) {
                Answer::Exactly(response) if response.status() == 429 => 9 * SECOND,
                _ => Duration::ZERO,
            };
            let open = pair[0].at + fapi.latency + gate;
            assert!(pair[1].at >= open, "within a Retry-After: {pair:?}");
        }
    }

    // Nothing works, and everyone asks.
    let fapi = Fapi::tokens_fail_from(Duration::ZERO, |_| fails_500());
    fapi.with(fapi.builder(), async |refresher| {
        refresher.ready().await.unwrap();
        let timer = &fapi.timer;
        join_all((0..2000).map(|n| async move {
            timer.sleep(seconds(0.4) * n).await;
            let request = TokenRequest::new();
            let request = if n % 3 == 0 { request.force() } else { request };
            let _ = refresher.token(&request).await;
        }))
        .await;
    });
    let mints = fapi.instants(On::Tokens);
    let window = seconds(161.786_707_860) + 5 * SECOND;
    assert!(mints.len() > 36, "{}", mints.len());
    for tenth in mints.windows(10) {
        assert!(tenth[9] - tenth[0] >= window, "{tenth:?}");
    }
}
