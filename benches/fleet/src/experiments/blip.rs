//! Whether requests survive a server that refuses for two seconds.
//!
//! Setup: Poisson requests for 20 minutes from one process with 5 retries; all calls
//! take 20 ms; for the last 2 s of each 120 s they are refused.
//!
//! Source: the table of laws in the notes on kindness.
//!
//! Lines: of the requests begun in a blip at least 95 % succeed, at 10 and 100 a second
//! with a budget of 10, and at 1000 a second with one of 30; their calls, successful
//! ones included, are at most 2 a request and 2n a blip; success as the prototype's of the
//! law to 0.5 %.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    chart::{Axis, Chart, Series},
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::{self, JUDGED, Law, ORACLE},
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

/// Those that the lines are about: requests a second, and stored retries.
const GATED: [(f64, u32); 3] = [(10.0, 10), (100.0, 10), (1000.0, 30)];

const FURTHER: [(f64, u32); 7] = [
    (1.0, 10),
    (3.0, 10),
    (30.0, 10),
    (300.0, 10),
    (1000.0, 10),
    (10.0, 3),
    (100.0, 3),
];

pub fn section(scale: Scale) -> Section {
    let laws = law::compared(scale);
    let mut section = Section {
        title: "A blip of two seconds",
        about: "Success of the requests begun in it, and their calls a request: mean of 8 \
                seeds of ten blips, of 4 where there is no line."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    // For each law with n = 10, the rates and the share that succeeds.
    let mut curves = vec![Vec::new(); laws.len()];
    let further: &[(f64, u32)] = scale.pick(&FURTHER, &[]);
    for (rate, stored) in GATED.iter().chain(further) {
        let what = format!("{rate}/s, n = {stored}");
        let gated = GATED.contains(&(*rate, *stored));
        let seeds: Vec<u64> = (1..=if gated { 8 } else { 4 }).collect();
        let sums: Vec<_> = laws
            .iter()
            .map(|law| {
                let policy = Policy::new(*law).stored(*stored);
                cores::spread(&seeds, |seed| blips(*rate, policy, *seed))
            })
            .collect();
        let of = |sums: &[Begun], of: fn(&Begun) -> f64| sums.iter().map(of).collect::<Vec<_>>();
        let success = |sums: &[Begun]| of(sums, |one| one.succeeded / one.requests);
        let calls = |sums: &[Begun]| of(sums, |one| one.calls / one.requests);
        let mut row = vec![what.clone()];
        for (sums, curve) in sums.iter().zip(&mut curves) {
            let mean = stats::mean(&success(sums));
            row.push(format!("{mean:.3}, {:.2}", stats::mean(&calls(sums))));
            if *stored == 10 {
                curve.push((*rate, 100.0 * mean));
            }
        }
        rows.push(row);
        if !gated {
            continue;
        }
        let of = |law: Law| &sums[laws.iter().position(|one| *one == law).expect("compared")];
        let judged = of(JUDGED);
        let allowed = |one: &Begun| 2.0 * one.requests + 2.0 * f64::from(*stored) * BLIPS;
        let used: Vec<f64> = judged.iter().map(|one| one.calls / allowed(one)).collect();
        let apart = stats::mean(&success(judged)) - stats::mean(&success(of(ORACLE)));
        section.lines.extend([
            Line::new(
                format!("{what}: success, worst seed"),
                stats::min(&success(judged)),
                Bound::AtLeast(0.95),
                3,
            ),
            Line::new(
                format!("{what}: calls, of what is allowed"),
                stats::max(&used),
                Bound::AtMost(1.0),
                3,
            ),
            Line::new(
                format!("{what}: success, less the prototype's"),
                apart,
                Bound::Between(-0.005, 0.005),
                3,
            ),
        ]);
    }
    section.tables.push(Table::of_laws(laws, rows));
    if scale == Scale::Table {
        section.plots.push(("blip", plot(laws, curves)));
    }
    section
}

fn plot(laws: &[Law], curves: Vec<Vec<(f64, f64)>>) -> String {
    let shown = |law: Law| match law {
        Law::Crate => Some(("afterbeat", 0)),
        Law::NoRetries => Some(("no retries", 1)),
        Law::A => Some(("a token bucket that is asked once", 2)),
        _ => None,
    };
    let mut series: Vec<_> = laws
        .iter()
        .zip(curves)
        .filter_map(|(law, mut points)| {
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            shown(*law).map(|(name, colour)| Series::line(name, colour, points))
        })
        .collect();
    series.sort_by_key(|series| series.colour);
    Chart {
        title: "A blip of two seconds",
        subtitle: "Requests begun while the server refuses: how many succeed, with a budget of 10 retries",
        x: Axis::logarithmic("requests a second", 1.0, 1000.0),
        y: Axis::linear("succeed, %", 0.0, 100.0),
        shaded: None,
        mark: None,
        series,
    }
    .svg()
}
