//! `tests/golden/clerk-runs.txt`: what the refresher does in random runs. A refresher that
//! is rebuilt must send the same requests at the same instants, give the same answers to
//! callers and report the same events.
//!
//! A run is generated from its family and its number alone; see [`script`]. All that it
//! uses of the refresher is in [`adapter`]. If a law makes a run differ from the
//! recording, [`DIFFERENCES`] lists it under that law; a run that is listed must differ.
//!
//! Each line is a run: its name, the requests, the calls and the events. Instants are in
//! seconds, to the millisecond.
//!
//! - The request `43.2To!@2`: `C` is `GET /v1/client`, `T` a mint. After it stand `a` for
//!   the template, `o` for an organization, `p` for the personal account, `!` if it is
//!   forced, `x` if it shows the expired token, and the number of the answer that brought
//!   the client token, if one did.
//! - The call `50.1T>51.3=43.2~51`: what was asked for, when the answer came if the caller
//!   had to wait, the instant of the request that brought the token, and how long the token
//!   is still valid if that is not its life less the time since.
//! - The event `46r2+4.65:500`: retry 2 follows in 4.65 s, because of a 500.
//!
//! The recording is never edited to fit. To record anew, after which the golden file shows
//! what has changed:
//!
//! ```text
//! RECORD=1 cargo test --all-features --test it clerk::recorded
//! ```
//!
//! `RECORDING=/tmp/runs.txt RUNS=2000` before that, and before the run to compare, takes
//! another file and so many runs of each family.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    future::pending,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use afterbeat::{
    Clock, Timer,
    clerk::{MemoryStore, Response, SessionToken, TokenError},
};
use futures_util::future::{Either, join, join_all, select};
use serde_json::{Value, json};

use self::{
    adapter::{ask, brought_at, builder, error, event, instant, order, rotation, slept},
    script::{Act, FAMILIES, Mood, Moods, RUNS, Script, Wanted},
};
use super::{
    crowd::Dice,
    rig::{
        Answer, CLIENT_TOKEN, Call, Fapi, On, START, Told, client, fails_401, first_jwt, jwt,
        no_session, session,
    },
};

mod adapter;
mod script;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/clerk-runs.txt");

/// A law, and the runs that differ from the recording because of it.
const DIFFERENCES: &[(&str, &str)] = &[];

// The world of a script.

fn mood(moods: &Moods, at: u128) -> Mood {
    let mood = moods.iter().find(|(until, _)| at < u128::from(*until));
    mood.map_or(Mood::Fine, |(_, mood)| *mood)
}

fn api(script: &Script) -> Fapi {
    let (script, asked) = (script.clone(), AtomicUsize::new(0));
    Fapi::new(move |call| {
        let n = asked.fetch_add(1, Ordering::Relaxed);
        let latency = script.latencies[n % script.latencies.len()];
        let answer = answer(&script, call, n + 1);
        Answer::Late(Duration::from_millis(latency), Box::new(answer))
    })
}

fn answer(script: &Script, call: &Call, n: usize) -> Answer {
    let at = call.at.as_millis();
    let (moods, gone) = match call.on {
        On::Tokens => (&script.tokens, fails_401 as fn() -> Answer),
        On::Client => (&script.client, no_session as fn() -> Answer),
    };
    match mood(moods, at) {
        Mood::Fine if script.gone.is_some_and(|gone| at >= u128::from(gone)) => gone(),
        Mood::Fine => {
            let issued = START + call.at.as_secs();
            let token = jwt(&json!({
                "sid": "sess_1",
                "sub": instant(call.at),
                "iat": issued,
                "exp": issued + script.lifetime,
            }));
            let body = match call.on {
                On::Tokens => json!({ "jwt": token }),
                On::Client if script.client_tells => {
                    client(&json!([session(&json!({ "jwt": token }))]))
                }
                On::Client => client(&json!([session(&Value::Null)])),
            };
            let response = Response::new(200, body.to_string());
            Answer::Exactly(if script.rotates {
                response.authorization(format!("rotated-{n}"))
            } else {
                response
            })
        }
        Mood::Fails(status, code) => Answer::Fails(status, code),
        Mood::Throttles(status, hint) => {
            let response = Response::new(status, "");
            Answer::Exactly(response.retry_after(Duration::from_secs(hint)))
        }
        Mood::Reject => Answer::Reject,
        Mood::Hang => Answer::Hang,
    }
}

// What is written down.

fn sent(call: &Call) -> String {
    let place = call.url.split('?').next().unwrap();
    let what = match (call.body.as_deref(), place.ends_with("/a")) {
        (None, _) => "C",
        (_, true) => "Ta",
        (Some("organization_id="), _) => "Tp",
        (Some(""), _) => "T",
        (Some(_), _) => "To",
    };
    let mark = |part: &str, mark| if call.url.contains(part) { mark } else { "" };
    let forced = mark("skip_cache", "!");
    let shows = mark("expired_token", "x");
    let used = match call.authorization.as_deref() {
        Some(CLIENT_TOKEN) => String::new(),
        used => format!("@{}", rotation(used)),
    };
    format!("{}{what}{forced}{shows}{used}", instant(call.at))
}

/// A call that was answered just now.
fn answered(
    script: &Script,
    wanted: Wanted,
    [begun, now]: [Duration; 2],
    result: &Result<SessionToken, TokenError>,
) -> String {
    let what = match wanted {
        Wanted::Own => "T",
        Wanted::Forced => "T!",
        Wanted::Template => "Ta",
        Wanted::Organization => "To",
        Wanted::Personal => "Tp",
    };
    let mut line = format!("{}{what}", instant(begun));
    if now > begun {
        write!(line, ">{}", instant(now)).unwrap();
    }
    let token = match result {
        Ok(token) => token,
        Err(of) => return line + error(of),
    };
    let brought = brought_at(token);
    let since = now.as_secs_f64() - brought.parse::<f64>().unwrap();
    let (left, expected) = (token.expires_in(), script.lifetime as f64 - since);
    write!(line, "={brought}").unwrap();
    if (left.as_secs_f64() - expected).abs() > 0.01 {
        write!(line, "~{}", instant(left)).unwrap();
    }
    line
}

/// A run, as a line without its name.
fn run(script: &Script) -> String {
    let fapi = api(script);
    let store = MemoryStore::default();
    let asleep = Cell::new(0);
    let calls = RefCell::new(BTreeMap::new());
    let mut told = Vec::new();
    for life in &script.lives {
        let mut builder = builder(&fapi, script);
        if script.last_token {
            builder = builder.last_token(&first_jwt("sess_1")).unwrap();
        }
        if script.store {
            builder = builder.store(store.clone());
        }
        let (notes, builder) = Told::by(&fapi, builder);
        let (refresher, driver) = builder.driver();
        let mut driver = pin!(driver);
        let acts = life.acts.iter().enumerate().map(|(n, (at, act))| {
            let (fapi, refresher, calls, asleep) = (&fapi, &refresher, &calls, &asleep);
            async move {
                // Beside all that happens at whole milliseconds.
                fapi.timer
                    .sleep(Duration::from_micros(at * 1000 + 333))
                    .await;
                match *act {
                    Act::Ask { wanted, leaves } => {
                        let begun = fapi.timer.now();
                        let leaves = async {
                            match leaves {
                                Some(wait) => fapi.timer.sleep(Duration::from_millis(wait)).await,
                                None => pending().await,
                            }
                        };
                        let call = pin!(ask(refresher, wanted));
                        if let Either::Left((result, _)) = select(call, pin!(leaves)).await {
                            let at = [begun, fapi.timer.now()];
                            let call = answered(script, wanted, at, &result);
                            calls.borrow_mut().insert((begun, n), call);
                        }
                    }
                    Act::Sleep(seconds) => {
                        asleep.set(asleep.get() + seconds);
                        slept(asleep.get());
                    }
                    act => order(refresher, act),
                }
            }
        });
        let scenario = async {
            let end = fapi.timer.sleep(Duration::from_secs(life.lasts));
            select(join_all(acts), end).await;
        };
        fapi.timer.run(select(pin!(scenario), driver.as_mut()));
        if life.shut_down {
            fapi.timer.run(join(refresher.shutdown(), driver));
        } else {
            drop(refresher);
        }
        told.extend(notes.each(|(at, of)| Some(format!("{}{}", instant(at), event(of)))));
        fapi.timer.advance(Duration::from_secs(life.pause));
    }
    let sent: Vec<_> = fapi.calls().iter().map(sent).collect();
    let calls: Vec<_> = calls.into_inner().into_values().collect();
    [sent, calls, told].map(|part| part.join(" ")).join(" | ")
}

fn runs(each: u64) -> impl Iterator<Item = (String, Script)> {
    let families = (0..).zip(FAMILIES);
    families.flat_map(move |(family, (name, script))| {
        (0..each).map(move |n| {
            let mut dice = Dice((family * 1000 + n + 1_u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            dice.below(2);
            (format!("{name}-{n:02}"), script(&mut dice))
        })
    })
}

#[test]
fn random_runs_are_as_recorded() {
    let each = env::var("RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let file = env::var("RECORDING").unwrap_or_else(|_| GOLDEN.to_owned());
    let runs = runs(each).map(|(name, script)| (name, run(&script), script));
    let ours: Vec<_> = runs.collect();
    if env::var_os("RECORD").is_some() {
        let line = |(name, run, _): &_| format!("{name} | {run}\n");
        fs::write(file, ours.iter().map(line).collect::<String>()).unwrap();
        return;
    }
    let recorded = fs::read_to_string(file).unwrap();
    let recorded = recorded.lines().map(|line| line.split_once(" | ").unwrap());
    let recorded: BTreeMap<_, _> = recorded.collect();
    assert_eq!(recorded.len(), ours.len());
    let as_recorded = |(name, run, _): &&(String, String, Script)| recorded[&**name] == *run;
    let (_, differ): (Vec<_>, Vec<_>) = ours.iter().partition(as_recorded);
    let named = DIFFERENCES.iter().flat_map(|(_, names)| names.split(' '));
    let named: BTreeSet<_> = named.collect();
    let unnamed = differ.iter().filter(|(name, ..)| !named.contains(&**name));
    for (name, run, script) in unnamed.take(3) {
        let recorded = recorded[&**name];
        println!("{name}: {script:#?}\nrecorded: {recorded}\nnow:      {run}");
    }
    let differ: BTreeSet<_> = differ.iter().map(|(name, ..)| &**name).collect();
    let unnamed: Vec<_> = differ.difference(&named).collect();
    let untrue: Vec<_> = named.difference(&differ).collect();
    assert!(
        unnamed.is_empty() && untrue.is_empty(),
        "{unnamed:?}, and no longer {untrue:?}"
    );
}

/// A family that met none of its troubles would show nothing.
#[test]
fn the_recording_meets_what_it_is_about() {
    let golden = fs::read_to_string(GOLDEN).unwrap();
    for (family, marks) in [
        ("plain", ":500 :429 :reject :hang late To Tp"),
        ("seed", ":500 :429 :reject T>"),
        ("starts", "0C degraded none T! late"),
        ("orders", "Tout To Tp"),
        ("pauses", ":500 late"),
        ("gates", ":429 :503 late"),
        ("sleeps", ":500 late ~"),
        ("outages", "Tout refused none degraded :500 :reject Tx"),
        ("lives", "@9 Tout late"),
    ] {
        let runs = golden.lines().filter(|run| run.starts_with(family));
        let runs: Vec<_> = runs.collect();
        assert_eq!(runs.len() as u64, RUNS);
        for mark in marks.split(' ') {
            let met = runs.iter().filter(|run| run.contains(mark)).count();
            assert!(met > 3, "{family}: {mark} in {met} runs");
        }
    }
}
