//! G6: what a refresher may ask of the API, whatever the API does and whoever asks.
//!
//! Where a law gives way, it says why: an order to the poller, the start-up in an outage,
//! a wall clock that is moved. A mint that fails for good, with a 404, ends its sequence
//! at once and has no law here: the poller tries it at each look, callers each 5 s.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use afterbeat::{
    Clock, ManualTimer, Timer,
    clerk::{
        MemoryStore, Refresher, RefresherEvent, RefresherStatus, SessionToken, TokenError,
        TokenRequest,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{Either, join_all, select};
use proptest::prelude::*;
use serde_json::Value;

use self::{
    api::{Api, Sent},
    case::{Act, Case, Mood, case},
};
use super::rig::{CLIENT_TOKEN, Fapi, On, SECOND, over, seconds, set_wall_clock_off};

mod api;
mod case;

/// A call that ended by itself.
struct Ended {
    at: Duration,
    end: Duration,
    key: (bool, bool),
    result: Result<SessionToken, TokenError>,
}

struct Run {
    case: Arc<Case>,
    log: Vec<Sent>,
    /// Who was told of a sign-out, and when.
    out: Vec<(usize, Duration)>,
    calls: Vec<Ended>,
    /// When nothing may be sent any more: the pollers have stopped, the work has ended.
    silent: Duration,
}

/// The longest that work in flight may go on: a start-up, a sequence and its verification
/// of nine requests each, and the gates.
const WORK: Duration = Duration::from_secs(1200);

impl Run {
    fn new(case: Case) -> Self {
        let case = Arc::new(case);
        let timer = Fapi::new(|_| unreachable!("only its clock is used")).timer;
        let log = Arc::<Mutex<Vec<Sent>>>::default();
        let out = Arc::<Mutex<Vec<(usize, Duration)>>>::default();
        let store = case.shared.then(MemoryStore::default);
        let refresher = |who| {
            let api = Api {
                who,
                timer: timer.clone(),
                case: Arc::clone(&case),
                log: Arc::clone(&log),
            };
            let (clock, out) = (timer.clone(), Arc::clone(&out));
            let mut builder = over(&timer, api)
                .client_token(CLIENT_TOKEN.parse().unwrap())
                .observe(move |event| {
                    if let RefresherEvent::Status(RefresherStatus::SignedOut(_)) = event {
                        out.lock().unwrap().push((who, clock.now()));
                    }
                });
            if let Some(store) = &store {
                builder = builder.store(store.clone());
            }
            builder.driver()
        };
        let (refreshers, drivers): (Vec<_>, Vec<_>) = (0..case.refreshers).map(refresher).unzip();
        let calls = Mutex::default();
        let mut at = 0;
        let acts = case.acts.iter().map(|(wait, who, act)| {
            at += wait;
            let (timer, calls) = (&timer, &calls);
            let refresher = &refreshers[who % refreshers.len()];
            let at = Duration::from_millis(at);
            async move {
                timer.sleep(at).await;
                perform(timer, refresher, *act, calls).await;
            }
        });
        let scenario = async {
            join_all(acts).await;
            timer.sleep(100 * SECOND).await;
            // A start-up in an outage starts the poller when its mint has ended (E1), also
            // one that was stopped meanwhile: the second stop is after that.
            for _ in 0..2 {
                for refresher in &refreshers {
                    refresher.poller().stop();
                }
                timer.sleep(WORK).await;
            }
            let silent = timer.now();
            timer.sleep(1000 * SECOND).await;
            silent
        };
        let silent = timer.run(async {
            match select(pin!(scenario), join_all(drivers)).await {
                Either::Left((silent, _)) => silent,
                Either::Right(_) => panic!("the drivers ended"),
            }
        });
        drop(refreshers);
        let log = log.lock().unwrap().clone();
        let out = out.lock().unwrap().clone();
        Self {
            log,
            out,
            calls: calls.into_inner().unwrap(),
            silent,
            case,
        }
    }
}

async fn perform(timer: &ManualTimer, refresher: &Refresher, act: Act, calls: &Mutex<Vec<Ended>>) {
    match act {
        Act::Call {
            template,
            organization,
            force,
            leaves,
        } => {
            let mut request = TokenRequest::new();
            if template {
                request = request.template("tpl");
            }
            if organization {
                request = request.organization("org_1");
            }
            if force {
                request = request.force();
            }
            let at = timer.now();
            let leaves = async {
                match leaves {
                    Some(wait) => timer.sleep(Duration::from_millis(wait)).await,
                    None => std::future::pending().await,
                }
            };
            let call = pin!(refresher.token(&request));
            if let Either::Left((result, _)) = select(call, pin!(leaves)).await {
                let (end, key) = (timer.now(), (template, organization));
                calls.lock().unwrap().push(Ended {
                    at,
                    end,
                    key,
                    result,
                });
            }
            let counters = refresher.counters();
            let sum = counters.served + counters.coalesced + counters.led;
            assert_eq!(counters.calls, sum, "{counters:?}");
        }
        Act::Start => refresher.poller().start(),
        Act::Stop => refresher.poller().stop(),
        Act::Trigger => refresher.poller().trigger(),
        Act::WallClock(off) => set_wall_clock_off(off),
        Act::SignOut => refresher.sign_out(),
    }
}

impl Run {
    fn orders(&self, who: usize, wanted: fn(Act) -> bool) -> Vec<Duration> {
        let mut at = 0;
        let acts = self.case.acts.iter().map(|(wait, whom, act)| {
            at += wait;
            (Duration::from_millis(at), whom % self.case.refreshers, *act)
        });
        acts.filter(|(_, whom, act)| *whom == who && wanted(*act))
            .map(|(at, ..)| at)
            .collect()
    }

    /// Whether the first request found the session, before the last token was gone by.
    fn started_well(&self, who: usize) -> bool {
        let first = self.log.iter().find(|sent| sent.who == who);
        first.is_some_and(|sent| sent.brings_a_token() && sent.end <= 7 * SECOND)
    }

    /// Ten mints of a key that all fail take a whole sequence and a pause.
    fn nine_mints_a_sequence(&self) {
        let total = seconds(161.786_707_860);
        for who in 0..self.case.refreshers {
            let orders = self.orders(who, |act| matches!(act, Act::Start | Act::Trigger));
            let mine = || self.log.iter().filter(|sent| sent.who == who);
            let mut keys: Vec<_> = mine().map(|sent| &sent.key).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let mints: Vec<_> = mine()
                    .filter(|sent| sent.on == On::Tokens && sent.key == *key)
                    .collect();
                for ten in mints.windows(10) {
                    let last = ten[9].at;
                    // A sequence also ends where a token is fresh that has been there: the
                    // store's, or one that a wall clock set back makes young again.
                    let young = self.case.refreshers > 1 || self.case.moves_the_wall_clock();
                    let life = u64::from(young) * self.case.lifetime;
                    let first = ten[0].at.saturating_sub(Duration::from_secs(life));
                    let helped = self
                        .log
                        .iter()
                        .any(|sent| sent.brings_a_token() && first <= sent.end && sent.end <= last);
                    if helped || !ten[..9].iter().all(|sent| sent.is_passing()) {
                        continue;
                    }
                    // The poller looks at once where it was told to, maybe while the sequence
                    // before went on, and after the mint of a start-up in an outage (E1).
                    let told = orders
                        .iter()
                        .any(|at| *at + WORK > ten[0].at && *at <= last);
                    let told = told || !self.started_well(who);
                    let pause = if told { Duration::ZERO } else { 5 * SECOND };
                    let under_way: Duration = ten[..9].iter().map(|sent| sent.end - sent.at).sum();
                    let took = last - ten[0].at;
                    assert!(took >= total + pause + under_way, "{ten:#?}");
                }
            }
        }
    }

    fn no_request_while_gated(&self) {
        for (n, gating) in self.log.iter().enumerate() {
            let Some((from, until)) = gating.gate() else {
                continue;
            };
            let early = self.log[n + 1..].iter().find(|sent| {
                // Another process has only the wall clock to go by.
                let told = sent.who == gating.who || !self.case.moves_the_wall_clock();
                told && from <= sent.at && sent.at < until
            });
            assert!(early.is_none(), "{gating:#?}\n{early:#?}");
        }
    }

    /// Where the start-up found its session at once, `/client` is only asked to verify.
    fn one_verification_in_5_s(&self) {
        for who in (0..self.case.refreshers).filter(|who| self.started_well(*who)) {
            let asked = self.log.iter();
            let asked = asked.filter(|sent| sent.who == who && sent.on == On::Client);
            let verifying: Vec<_> = asked.skip(1).collect();
            for pair in verifying.windows(2) {
                let repeated = pair[0].is_passing()
                    || matches!(pair[0].mood, Mood::Fails(403, _) | Mood::Offline);
                let pause = if repeated { 3 } else { 5 } * SECOND;
                assert!(pair[1].at >= pair[0].end + pause, "{pair:#?}");
            }
        }
    }

    fn one_request_at_a_time(&self) {
        for pair in self.log.windows(2) {
            assert!(pair[0].end <= pair[1].at, "{pair:#?}");
        }
    }

    fn silence_when_stopped(&self) {
        let late = self.log.iter().find(|sent| sent.at > self.silent);
        assert!(late.is_none(), "after {:?}: {late:#?}", self.silent);
        for (who, at) in &self.out {
            let late = self
                .log
                .iter()
                .find(|sent| sent.who == *who && sent.at > *at);
            assert!(late.is_none(), "signed out at {at:?}: {late:#?}");
        }
    }

    fn signed_out_only_where_told_so(&self) {
        for (who, at) in &self.out {
            let mut told = self.log.iter();
            let told = told.any(|sent| sent.who == *who && sent.end <= *at && sent.signs_out());
            let asked = self.orders(*who, |act| matches!(act, Act::SignOut));
            assert!(
                told || asked.contains(at),
                "{who} at {at:?}: {:#?}",
                self.log
            );
        }
    }

    fn every_call_ends_in_7_s(&self) {
        for call in &self.calls {
            assert!(
                call.end - call.at <= 7 * SECOND,
                "{:?} {:?}",
                call.at,
                call.result
            );
        }
    }

    fn tokens_are_alive_and_the_right_ones(&self) {
        for call in &self.calls {
            let Ok(token) = &call.result else { continue };
            let payload = token.expose().split('.').nth(1).unwrap();
            let claims: Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
            let (template, organization) = call.key;
            assert_eq!(claims["template"] == "tpl", template, "{claims}");
            assert_eq!(claims["org_id"] == "org_1", organization, "{claims}");
            assert!(token.expires_in() > Duration::ZERO);
            // The age of another process's token is known by the wall clock alone.
            if self.case.refreshers > 1 && self.case.sets_the_wall_clock_back() {
                continue;
            }
            let issued = Duration::from_millis(claims["issued_ms"].as_u64().unwrap());
            let end = issued + Duration::from_secs(self.case.lifetime);
            assert!(call.end < end, "at {:?}: {claims}", call.end);
        }
    }
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").map_or(300, |cases| cases.parse().unwrap());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(cases())]

    /// A few hundred cases; `PROPTEST_CASES=10000` for a soak of a minute.
    #[test]
    fn the_load_is_bounded(case in case()) {
        let run = Run::new(case);
        run.nine_mints_a_sequence();
        run.no_request_while_gated();
        run.one_verification_in_5_s();
        run.one_request_at_a_time();
        run.silence_when_stopped();
        run.signed_out_only_where_told_so();
        run.every_call_ends_in_7_s();
        run.tokens_are_alive_and_the_right_ones();
    }
}
