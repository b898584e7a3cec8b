//! `tests/golden/clerk-js-traces.json`: when clerk-js 5.59.0 asked for a token,
//! and when this refresher does under the same faults.
//!
//! The reference drops the fraction of a millisecond at each wait, so that an
//! instant may be off by one millisecond for each wait before it.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Answer, Call, Fapi, On, client, exactly};

pub const TRACES: &str = include_str!("../../golden/clerk-js-traces.json");

/// What the API does in a scenario.
fn answer(faults: &Value, call: &Call) -> Answer {
    let endpoint = match call.on {
        On::Tokens => "tokens",
        On::Client => "client",
    };
    let now = call.at.as_secs_f64() * 1e3;
    for fault in faults.as_array().into_iter().flatten() {
        let within = fault["from"].as_f64().unwrap() <= now && now < fault["to"].as_f64().unwrap();
        if !within {
            continue;
        }
        if fault["on"] == endpoint || fault["on"] == "all" {
            return match fault["status"].as_u64() {
                Some(status) => Answer::Fails(status as u16, "scripted"),
                None => Answer::Reject,
            };
        }
        if fault["sign_out"] == true && call.on == On::Client {
            return exactly(200, &client(&json!([])));
        }
    }
    Answer::Fine
}

fn replay(id: &str) {
    let traces: Value = serde_json::from_str(TRACES).unwrap();
    let scenario = traces["scenarios"].as_array().unwrap();
    let scenario = scenario
        .iter()
        .find(|scenario| scenario["id"] == id)
        .unwrap();
    let settings = &scenario["settings"];
    let faults = settings["faults"].clone();
    let mut fapi = Fapi::new(move |call| answer(&faults, call));
    fapi.latency = Duration::from_millis(settings["latency_ms"].as_u64().unwrap_or(0));
    let from_last_token = settings["cookie_jwt"] == "valid";
    // Started up without it, the refresher asks for its client until it is there (E6),
    // and would find a token with it that the reference knows nothing of.
    fapi.client_has_token = !from_last_token;
    let mut builder = fapi.seed();
    if from_last_token {
        builder = builder.last_token(&fapi.jwt()).unwrap();
    }
    let horizon = Duration::from_millis(scenario["horizon_ms"].as_u64().unwrap());
    fapi.with(builder, async |_| {
        use afterbeat::Timer;
        fapi.timer.sleep(horizon).await;
    });

    let recorded = scenario["results"]["5.59.0"]["tokens"].as_array().unwrap();
    let recorded: Vec<u64> = recorded
        .iter()
        .map(|sent| sent[0].as_u64().unwrap())
        .collect();
    let mut ours = fapi.instants(On::Tokens);
    // At the horizon itself both may or may not be on time.
    ours.retain(|at| *at < horizon);
    let before = recorded
        .iter()
        .filter(|ms| u128::from(**ms) < horizon.as_millis());
    assert_eq!(ours.len(), before.count(), "{id}: {ours:?}\n{recorded:?}");
    for (waits, (ours, recorded)) in (1..).zip(ours.iter().zip(&recorded)) {
        let apart = ours.abs_diff(Duration::from_millis(*recorded));
        // Each request has at most as many waits of its own before it, and polls.
        assert!(
            apart <= Duration::from_millis(waits),
            "{id}: {ours:?}, recorded {recorded} ms"
        );
    }
}

macro_rules! replays {
    ($($name:ident $id:literal)*) => {
        $(
            #[test]
            fn $name() {
                replay($id);
            }
        )*
    };
}

replays! {
    healthy "healthy"
    every_answer_takes_120_ms "healthy-latency-120"
    tokens_answer_500_for_200_s "tokens-500-200s"
    tokens_answer_500_for_ever "tokens-500-forever"
    tokens_cannot_be_reached_for_200_s "tokens-reject-200s"
    tokens_answer_401_and_the_session_is_alive "tokens-401-session-alive"
    tokens_answer_401_and_the_session_is_gone "tokens-401-session-gone"
    the_program_starts_in_a_total_outage "load-all-500-cookie"
}
