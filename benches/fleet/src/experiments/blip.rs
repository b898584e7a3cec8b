//! Whether requests survive a server that refuses for two seconds.
//!
//! Setup: Poisson requests for 20 minutes from one process with 5 retries; all calls
//! take 20 ms; for the last 2 s of each 120 s they are refused.
//!
//! Source: the table of laws in the notes on kindness.
//!
//! Lines: of the requests begun in a blip at least 95 % succeed, at 10 and 100 a second
//! with a budget of 10, and at 1000 a second with one of 30; their calls, successful
//! ones included, are at most 2 a request and 2n a blip.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::Law,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const LATENCY: Duration = Duration::from_millis(20);
const PERIOD: f64 = 120.0;
const BLIP: f64 = 2.0;
const BLIPS: f64 = 10.0;

fn refuses(at: f64) -> bool {
    at % PERIOD >= PERIOD - BLIP
}

/// Of the requests begun in a blip: how many there were, how many succeeded, and
/// their calls.
#[derive(Clone, Copy, Default)]
struct Begun {
    requests: f64,
    succeeded: f64,
    calls: f64,
}

fn blips(rate: f64, policy: Policy, seed: u64) -> Begun {
    let sums = Rc::new(RefCell::new(Begun::default()));
    let counted = Rc::clone(&sums);
    // The last blip is followed by half a minute of health, as the others are.
    let end = BLIPS * PERIOD + 30.0;
    sim::run(seed, Duration::from_secs_f64(end), move || {
        let client = Rc::new(Client::new(policy));
        arrivals::poisson(seed, rate, end, move || {
            let client = Rc::clone(&client);
            let counted = Rc::clone(&counted);
            async move {
                let within = refuses(sim::seconds());
                let mut calls = 0.0;
                let call = || {
                    calls += 1.0;
                    let answer = if refuses(sim::seconds()) {
                        Answer::failed(LATENCY, Failure::Refused)
                    } else {
                        Answer::ok(LATENCY)
                    };
                    answer.arrival()
                };
                let result = client.call(call).await;
                if within {
                    let mut sums = counted.borrow_mut();
                    sums.requests += 1.0;
                    sums.succeeded += f64::from(u8::from(result.is_ok()));
                    sums.calls += calls;
                }
            }
        });
    });
    sums.take()
}

pub fn section(scale: Scale, laws: &[Law], ours: &[Law]) -> Section {
    let gated = [(10.0, 10), (100.0, 10), (1000.0, 30)];
    let mut setups = gated.to_vec();
    if scale == Scale::Table {
        setups.extend([(1.0, 10), (3.0, 10), (30.0, 10), (300.0, 10), (1000.0, 10), (10.0, 3), (100.0, 3)]);
    }
    let seeds: Vec<u64> = (1..=8).collect();
    let mut section = Section {
        title: "A blip of two seconds",
        about: "Success of the requests begun in it, and their calls a request: 8 seeds of ten \
                blips."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    for (rate, stored) in setups {
        let what = format!("{rate}/s, n = {stored}");
        let mut row = vec![what.clone()];
        for law in laws {
            let policy = Policy::new(*law).stored(stored);
            let sums = cores::spread(&seeds, |seed| blips(rate, policy, *seed));
            let share = |sums: &Begun| sums.succeeded / sums.requests;
            let success: Vec<f64> = sums.iter().map(share).collect();
            let calls: Vec<f64> = sums.iter().map(|sums| sums.calls / sums.requests).collect();
            row.push(format!("{:.3}, {:.2}", stats::mean(&success), stats::mean(&calls)));
            if ours.contains(law) && gated.contains(&(rate, stored)) {
                let allowed = |sums: &Begun| 2.0 * sums.requests + 2.0 * f64::from(stored) * BLIPS;
                let used: Vec<f64> = sums.iter().map(|sums| sums.calls / allowed(sums)).collect();
                let what = format!("{}: {what}", law.name());
                section.lines.extend([
                    Line::new(
                        format!("{what}: success, worst seed"),
                        stats::min(&success),
                        Bound::AtLeast(0.95),
                        3,
                    ),
                    Line::new(
                        format!("{what}: calls, as a share of what is allowed"),
                        stats::max(&used),
                        Bound::AtMost(1.0),
                        3,
                    ),
                ]);
            }
        }
        rows.push(row);
    }
    let head = ["".to_owned()].into_iter();
    let head = head.chain(laws.iter().map(|law| law.name().to_owned()));
    section.tables.push(Table {
        head: head.collect(),
        rows,
    });
    section
}
