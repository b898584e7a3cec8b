//! This refresher beside the recordings of clerk-js 5.59.0 and 6.40.0, under the same
//! faults. To see the table:
//!
//! ```text
//! cargo test --all-features --test it clerk::report -- --nocapture
//! ```
//!
//! Ours is the default refresher, without callers but for the application call of a
//! scenario; a focus event triggers its poller, the cookie of a page load is a store that
//! an earlier run has left. The columns, and what can be known of them:
//!
//! - **requests**: `POST /tokens` and `GET /client`; not `/environment` and `/touch`,
//!   which only a browser needs.
//! - **dry**: how long no token is at hand, from load to the horizon, signed out or not. A
//!   token is at hand from the answer that brought it until the version serves it no
//!   more: in 5.59.0 with less than 15 s left, in 6.40.0 with 5 s, in ours at its end. The
//!   recordings do not tell of a token: every 200 of `/tokens`, and of `/client` and
//!   `/touch` unless the scenario says otherwise, is taken for one with its whole life
//!   before it; the cookie's token for one of 6.40.0 from the end of its load.
//! - **unheard**: how long a caller who asked at that instant would get none: for the
//!   recordings, where no token is at hand and the API refuses; they are given a request
//!   of their own for each caller, answered at once. Ours is asked, in a replay for each
//!   second; who waits longer than 7 s gets none.
//! - **out**: sign-outs; **false**: while the session was alive, as far as `/client`
//!   told.
//! - **back**: from the end of the last fault until a token is at hand.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{MemoryStore, RefresherEvent, RefresherStatus, Response, TokenRequest},
};
use serde_json::{Value, json};

use self::better::{BETTER, TOUCH, tolerance};
use super::{
    rig::{Answer, Call, Fapi, On, SECOND, client, exactly},
    traces::TRACES,
};

mod better;

const PEERS: [&str; 2] = ["5.59.0", "6.40.0"];

fn ms(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().unwrap())
}

/// Half-open spans of time, in order and apart.
#[derive(Default)]
struct Spans(Vec<(Duration, Duration)>);

impl Spans {
    fn of(mut spans: Vec<(Duration, Duration)>) -> Self {
        spans.sort();
        let mut apart: Vec<(Duration, Duration)> = Vec::new();
        for (from, to) in spans {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ if from < to => apart.push((from, to)),
                _ => {}
            }
        }
        Self(apart)
    }

    fn gaps(&self, horizon: Duration) -> Self {
        let from = self.0.iter().map(|span| span.1);
        let to = self.0.iter().map(|span| span.0);
        let gaps = std::iter::once(Duration::ZERO).chain(from);
        Self::of(gaps.zip(to.chain([horizon])).collect())
    }

    fn both(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        let common = pairs.map(|(a, b)| (a.0.max(b.0), a.1.min(b.1)));
        Self::of(common.filter(|span| span.0 < span.1).collect())
    }

    fn from(&self, start: Duration) -> Option<Duration> {
        let ends_later = self.0.iter().find(|span| span.1 > start);
        ends_later.map(|span| span.0.max(start))
    }

    fn total(&self) -> Duration {
        self.0.iter().map(|span| span.1 - span.0).sum()
    }
}

struct Scenario<'a> {
    id: &'a str,
    horizon: Duration,
    settings: &'a Value,
    results: &'a Value,
}

impl<'a> Scenario<'a> {
    fn new(scenario: &'a Value) -> Self {
        Self {
            id: scenario["id"].as_str().unwrap(),
            horizon: ms(&scenario["horizon_ms"]),
            settings: &scenario["settings"],
            results: &scenario["results"],
        }
    }

    fn faults(&self) -> impl Iterator<Item = &'a Value> {
        self.settings["faults"].as_array().into_iter().flatten()
    }

    /// Where a mint fails.
    fn refusals(&self) -> Spans {
        let faults = self
            .faults()
            .filter(|fault| fault["on"] == "tokens" || fault["on"] == "all");
        Spans::of(
            faults
                .map(|fault| (ms(&fault["from"]), ms(&fault["to"])))
                .collect(),
        )
    }

    fn last_fault_ends(&self) -> Option<Duration> {
        self.faults()
            .map(|fault| ms(&fault["to"]))
            .max()
            .filter(|end| *end < self.horizon)
    }

    /// Whether `/client` itself says that the session is over.
    fn session_ends(&self) -> bool {
        self.faults().any(|fault| {
            fault["sign_out"] == true || fault["on"] == "client" && fault["status"] == 401
        })
    }

    fn lifetime(&self) -> Duration {
        Duration::from_secs(self.settings["ttl_s"].as_u64().unwrap_or(60))
    }

    /// What is at hand, until the sign-out and the horizon.
    fn row(&self, requests: usize, at_hand: Vec<(Duration, Duration)>, out: &[Duration]) -> Row {
        let end = out
            .first()
            .copied()
            .unwrap_or(self.horizon)
            .min(self.horizon);
        let at_hand = at_hand.into_iter().map(|(from, to)| (from, to.min(end)));
        let at_hand = Spans::of(at_hand.filter(|span| span.0 < span.1).collect());
        let dry = at_hand.gaps(self.horizon);
        let mut nobody_hears = self.refusals().0;
        nobody_hears.push((end, self.horizon));
        let back = self.last_fault_ends().map(|end| {
            let back = at_hand.from(end);
            back.map_or(Duration::MAX, |back| back - end)
        });
        Row {
            requests,
            unheard: dry.both(&Spans::of(nobody_hears)).total(),
            dry: dry.total(),
            dry_spans: dry,
            out: out.len(),
            false_out: if self.session_ends() { 0 } else { out.len() },
            back: back.unwrap_or_default(),
        }
    }

    fn recorded(&self, version: &str) -> Row {
        let result = &self.results[version];
        let other = result["other"].as_array().unwrap();
        let listed = |name: &str| other.iter().filter(|sent| sent[2] == name).count();
        // The list ends after 120; what follows is `/client` alone.
        let more = result["other_count"].as_u64().unwrap() as usize - other.len();
        let tokens = result["tokens"].as_array().unwrap();
        let brings = |sent: &&Value| {
            let known = ["client", "touch"].contains(&sent[2].as_str().unwrap());
            known && sent[3] == 200 && self.settings["no_last_active_token"] != true
        };
        let minted = tokens.iter().filter(|sent| sent[1] == 200);
        let mut brought: Vec<_> = minted
            .map(|sent| ms(&sent[2]))
            .chain(other.iter().filter(brings).map(|sent| ms(&sent[4])))
            .collect();
        if version == "6.40.0" && self.settings["cookie_jwt"] == "valid" {
            brought.push(ms(&result["load_settled_at"]));
        }
        let not_served = if version == "5.59.0" { 15 } else { 5 } * SECOND;
        let served = self.lifetime() - not_served;
        let changes = result["session_changes"].as_array().unwrap();
        let out: Vec<_> = changes
            .iter()
            .filter(|change| change[1].is_null())
            .map(|change| ms(&change[0]))
            .collect();
        self.row(
            tokens.len() + listed("client") + more,
            brought.into_iter().map(|at| (at, at + served)).collect(),
            &out,
        )
    }

    fn fapi(&self) -> Fapi {
        let settings = self.settings.clone();
        let mut fapi = Fapi::new(move |call| answer(&settings, call));
        fapi.latency = Duration::from_millis(self.settings["latency_ms"].as_u64().unwrap_or(0));
        fapi.lifetime = self.lifetime().as_secs();
        fapi.client_has_token = self.settings["no_last_active_token"] != true;
        fapi
    }

    /// Replays until an instant, at which a caller asks.
    fn replay(&self, until: Duration, asks: bool) -> Replay {
        let store = (self.settings["cookie_jwt"] == "valid").then(kept_from_before);
        let fapi = self.fapi();
        let told: Arc<Mutex<Vec<(Duration, RefresherEvent)>>> = Arc::default();
        let mut builder = fapi.builder().observe({
            let (timer, told) = (fapi.timer.clone(), Arc::clone(&told));
            move |event| told.lock().unwrap().push((timer.now(), event))
        });
        if let Some(store) = store {
            builder = builder.store(store);
        }
        let heard = fapi.with(builder, async |refresher| {
            for action in self.settings["actions"].as_array().into_iter().flatten() {
                let wait = ms(&action["at"]).saturating_sub(fapi.timer.now());
                if fapi.timer.now() + wait >= until {
                    break;
                }
                fapi.timer.sleep(wait).await;
                if action["do"] == "focus" {
                    refresher.poller().trigger();
                } else {
                    refresher.token(&TokenRequest::new().force()).await.unwrap();
                }
            }
            fapi.timer.sleep(until - fapi.timer.now()).await;
            asks && refresher.get_token().await.is_ok()
        });
        let told = std::mem::take(&mut *told.lock().unwrap());
        Replay { fapi, told, heard }
    }

    fn ours(&self) -> Row {
        let Replay { fapi, told, .. } = self.replay(self.horizon, false);
        let (mut at_hand, mut out) = (Vec::new(), Vec::new());
        for (at, event) in told {
            match event {
                RefresherEvent::Token(token) => at_hand.push((at, at + token.expires_in())),
                RefresherEvent::Status(RefresherStatus::SignedOut(_)) => out.push(at),
                _ => {}
            }
        }
        let requests = fapi.calls().len();
        let mut row = self.row(requests, at_hand, &out);
        let refused = self.refusals();
        if out.is_empty() {
            for (from, _) in row.dry_spans.0.iter().filter(|span| span.0 > SECOND) {
                let heard = self.replay(*from - SECOND, true).heard;
                assert!(heard, "{}: {from:?} and not served to its end", self.id);
            }
            for (from, to) in row.dry_spans.both(&refused.gaps(self.horizon)).0 {
                let mut at = from;
                while at < to {
                    if !self.replay(at, true).heard {
                        row.unheard += SECOND.min(to - at);
                    }
                    at += SECOND;
                }
            }
        }
        row
    }
}

struct Replay {
    fapi: Fapi,
    told: Vec<(Duration, RefresherEvent)>,
    heard: bool,
}

/// What an earlier run has left behind, just now.
fn kept_from_before() -> MemoryStore {
    let store = MemoryStore::default();
    let fapi = Fapi::new(|_| Answer::Fine);
    fapi.with(fapi.builder().store(store.clone()), async |refresher| {
        let request = TokenRequest::new().force();
        refresher.token(&request).await.unwrap();
    });
    store
}

/// What the API does in a scenario.
fn answer(settings: &Value, call: &Call) -> Answer {
    let endpoint = match call.on {
        On::Tokens => "tokens",
        On::Client => "client",
    };
    let within = |from: &Value, to: &Value| ms(from) <= call.at && call.at < ms(to);
    let faults = settings["faults"].as_array().into_iter().flatten();
    for fault in faults.filter(|fault| within(&fault["from"], &fault["to"])) {
        if fault["on"] != endpoint && fault["on"] != "all" {
            if fault["sign_out"] == true && call.on == On::Client {
                return exactly(200, &client(&json!([])));
            }
            continue;
        }
        let Some(status) = fault["status"].as_u64() else {
            let windows = settings["online_windows"].as_array();
            let mut offline = windows.into_iter().flatten();
            return if offline.any(|window| within(&window[0], &window[1])) {
                Answer::Offline
            } else {
                Answer::Reject
            };
        };
        let hint = fault
            .pointer("/headers/retry-after")
            .and_then(Value::as_str);
        let answer = match hint {
            Some(hint) => {
                let hint = Duration::from_secs(hint.parse().unwrap());
                Answer::Exactly(Response::new(status as u16, "").retry_after(hint))
            }
            None => Answer::Fails(status as u16, "scripted"),
        };
        return match fault["latency_ms"].as_u64() {
            Some(latency) => Answer::Late(Duration::from_millis(latency), Box::new(answer)),
            None => answer,
        };
    }
    Answer::Fine
}

#[derive(Default)]
struct Row {
    requests: usize,
    dry: Duration,
    dry_spans: Spans,
    unheard: Duration,
    out: usize,
    false_out: usize,
    /// `MAX` where it never is.
    back: Duration,
}

impl Row {
    fn columns(&self) -> [(&'static str, u128); 5] {
        [
            ("requests", self.requests as u128),
            ("dry", self.dry.as_millis()),
            ("unheard", self.unheard.as_millis()),
            ("false", self.false_out as u128),
            ("back", self.back.as_millis()),
        ]
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.dry += other.dry;
        self.unheard += other.unheard;
        self.out += other.out;
        self.false_out += other.false_out;
        self.back = self.back.saturating_add(other.back);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = match self.back {
            Duration::MAX => "never".to_owned(),
            back => format!("{:.1}", back.as_secs_f64()),
        };
        let [dry, unheard] = [self.dry, self.unheard].map(|time| time.as_secs_f64());
        let (requests, out, false_out) = (self.requests, self.out, self.false_out);
        write!(
            f,
            "{requests:>5} {dry:>7.1} {unheard:>7.1} {out:>3} {false_out:>5} {back:>6}"
        )
    }
}

#[test]
fn beside_the_recordings() {
    let traces: Value = serde_json::from_str(TRACES).unwrap();
    let heading = "  req     dry unheard out false   back";
    println!(
        "{:<37}| {:<37} | {:<37} | {}",
        "", "ours", PEERS[0], PEERS[1]
    );
    println!("{:<37}| {heading} | {heading} | {heading}", "");
    let print = |id: &str, [ours, a, b]: &[Row; 3]| println!("{id:<37}| {ours} | {a} | {b}");
    let mut sums: [Row; 3] = Default::default();
    let mut better = BTreeSet::new();
    let mut by_touch = 0;
    for scenario in traces["scenarios"].as_array().unwrap() {
        let scenario = Scenario::new(scenario);
        let id = scenario.id;
        let [first, last] = PEERS.map(|version| scenario.recorded(version));
        let rows = [scenario.ours(), first, last];
        print(id, &rows);
        assert_eq!(rows[0].false_out, 0, "{id}");
        for (theirs, version) in rows[1..].iter().zip(PEERS) {
            for ((name, theirs), (_, ours)) in theirs.columns().into_iter().zip(rows[0].columns()) {
                let tolerance = if name == "requests" { 0 } else { tolerance(id) };
                if theirs + tolerance < ours {
                    better.insert((version, name, id));
                }
            }
        }
        if id == TOUCH {
            by_touch = rows[0].dry.as_millis() - rows[2].dry.as_millis();
        }
        for (sum, row) in sums.iter_mut().zip(&rows) {
            sum.add(row);
        }
    }
    print("sum", &sums);

    let [ours, _, theirs] = &sums;
    assert!(ours.requests <= theirs.requests);
    // In the whole sum it is worse, by less than one scenario brings.
    assert!(ours.dry.as_millis() <= theirs.dry.as_millis() + by_touch);
    let lines = BETTER.iter().flat_map(|(_, lines)| *lines);
    let listed: Vec<_> = lines
        .flat_map(|line| {
            let (version, rest) = line.split_once(' ').unwrap();
            let (column, ids) = rest.split_once(' ').unwrap();
            ids.split(' ').map(move |id| (version, column, id))
        })
        .collect();
    let said: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(said.len(), listed.len(), "said once");
    let unsaid: Vec<_> = better.difference(&said).collect();
    let untrue: Vec<_> = said.difference(&better).collect();
    assert!(
        unsaid.is_empty() && untrue.is_empty(),
        "{unsaid:#?}\n{untrue:#?}"
    );
}
