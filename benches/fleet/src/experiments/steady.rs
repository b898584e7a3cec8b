//! Whether retries are made while a constant share of calls fails.
//!
//! Setup: Poisson requests for 10 minutes from one process with 5 retries and a budget
//! of 10; each call fails independently. A fast server answers in 20 ms, a slow one in
//! 0.5 to 2 s; a hanging one answers in 20 ms, or not within the time-out of 3 s.
//!
//! Source: the table of laws in the notes on kindness.
//!
//! Lines: success never below law A's, and at least 99 % up to 20 % of failures; for a
//! hanging server at 10 % of them; as the prototype of the law to 0.2 %.

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

#[derive(Clone, Copy, PartialEq)]
enum Server {
    Fast,
    Slow,
    Hanging,
}

impl Server {
    fn answer(self, share: f64) -> Answer {
        let latency = match self {
            Self::Slow => 0.5 + 1.5 * fastrand::f64(),
            _ => 0.02,
        };
        let latency = Duration::from_secs_f64(latency);
        if fastrand::f64() >= share {
            Answer::ok(latency)
        } else if self == Self::Hanging {
            Answer::failed(Duration::from_secs(3), Failure::TimedOut)
        } else {
            Answer::failed(latency, Failure::Refused)
        }
    }
}

/// The share of the requests that succeed.
fn success(server: Server, share: f64, rate: f64, law: Law, seed: u64) -> f64 {
    let sums = Rc::new(RefCell::new((0_u64, 0_u64)));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs(660), move || {
        let client = Rc::new(Client::new(Policy::new(law)));
        arrivals::poisson(seed, rate, 600.0, move || {
            let client = Rc::clone(&client);
            let counted = Rc::clone(&counted);
            async move {
                let result = client.call(|| server.answer(share).arrival()).await;
                let mut sums = counted.borrow_mut();
                sums.0 += 1;
                sums.1 += u64::from(result.is_ok());
            }
        });
    });
    let (requests, succeeded) = *sums.borrow();
    succeeded as f64 / requests as f64
}

/// What is run: a server and its name, and the shares that fail.
const SERVERS: [(Server, &str, &[f64]); 3] = [
    (Server::Fast, "fast", &[0.01, 0.05, 0.1, 0.2, 0.3]),
    (Server::Slow, "slow", &[0.01, 0.05, 0.1, 0.2, 0.3]),
    (Server::Hanging, "hanging", &[0.1]),
];

pub fn section(scale: Scale) -> Section {
    let laws: &[Law] = scale.pick(law::compared(scale), &[Law::A, ORACLE, JUDGED]);
    let mut section = Section {
        title: "Steady failures",
        about: "Share of the requests that succeed: mean of the seeds.".to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    let mut curves = vec![vec![(0.0, 100.0)]; laws.len()];
    let rates: &[f64] = scale.pick(&[10.0, 100.0, 1000.0], &[100.0]);
    for (server, name, shares) in SERVERS {
        for (rate, share) in rates
            .iter()
            .flat_map(|rate| shares.iter().map(move |share| (rate, share)))
        {
            let seeds: Vec<u64> = (1..=if *rate < 500.0 { 8 } else { 2 }).collect();
            let what = format!("{name}, {rate}/s, {:.0} %", 100.0 * share);
            let means: Vec<f64> = laws
                .iter()
                .map(|law| {
                    let work = |seed: &u64| success(server, *share, *rate, *law, *seed);
                    stats::mean(&cores::spread(&seeds, work))
                })
                .collect();
            let of = |law: Law| means[laws.iter().position(|one| *one == law).expect("compared")];
            let (judged, a) = (of(JUDGED), of(Law::A));
            // To a ten thousandth, for the two draw different failures.
            let least = if *share <= 0.2 { a.max(0.99) } else { a } - 1e-4;
            section.lines.extend([
                Line::new(what.clone(), judged, Bound::AtLeast(least), 4),
                Line::new(
                    format!("{what}, less the prototype's"),
                    judged - of(ORACLE),
                    Bound::Between(-0.002, 0.002),
                    4,
                ),
            ]);
            let mut row = vec![what];
            row.extend(means.iter().map(|mean| format!("{mean:.4}")));
            rows.push(row);
            if server == Server::Slow && rate == rates.last().expect("there are rates") {
                for (curve, mean) in curves.iter_mut().zip(&means) {
                    curve.push((100.0 * share, 100.0 * mean));
                }
            }
        }
    }
    section.tables.push(Table::of_laws(laws, rows));
    if scale == Scale::Table {
        section.plots.push(("steady", plot(laws, curves)));
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
    let series = laws.iter().zip(curves).filter_map(|(law, points)| {
        shown(*law).map(|(name, colour)| Series::line(name, colour, points))
    });
    let mut series: Vec<_> = series.collect();
    series.sort_by_key(|series| series.colour);
    Chart {
        title: "Steady failures",
        subtitle: "A slow server (0.5 to 2 s), 1,000 requests/s, 5 retries and a budget of 10",
        x: Axis::linear("calls that fail, %", 0.0, 30.0),
        y: Axis::linear("requests that succeed, %", 60.0, 100.0),
        shaded: None,
        mark: None,
        series,
    }
    .svg()
}
