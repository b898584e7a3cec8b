//! A fleet that is told when to come back.
//!
//! Setup: 1,000 clients with the default policy call at once a server that takes 20 calls
//! a second, 20 at a time, and tells the others `Retry-After: 30`. Measured: how many come
//! back in the worst 100 ms the first time; how many give up after 4 retries; and without
//! a limit on retries, how many of these are refused, and when all are served.
//!
//! Source: the notes on kindness, of the rule before: 859 give up, and 5589 retries are
//! refused until all are served after 320 s.
//!
//! Lines: those to 5 %; ours at most 3 % in the worst 100 ms, and nobody gives up.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use crate::{
    chart::{Axis, Chart, Series},
    client::{Client, Policy},
    cores,
    failure::Failure,
    hint,
    law::Law,
    limiter::Limiter,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const CLIENTS: usize = 1000;
const HINT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Run {
    /// When those that were refused at first called again.
    returns: Vec<f64>,
    gave_up: f64,
    /// Retries that were refused.
    refused: f64,
    /// When the last was served.
    last: f64,
}

fn run(policy: Policy, seed: u64) -> Run {
    let sums = Rc::new(RefCell::new(Run::default()));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs(3600), move || {
        let limiter = Rc::new(Limiter::new(20.0, 20.0));
        for _ in 0..CLIENTS {
            let client = Client::new(policy);
            let limiter = Rc::clone(&limiter);
            let counted = Rc::clone(&counted);
            sim::spawn(async move {
                let calls = Cell::new(0);
                let call = || {
                    let taken = limiter.take();
                    let mut sums = counted.borrow_mut();
                    if calls.get() == 1 {
                        sums.returns.push(sim::seconds());
                    }
                    sums.refused += f64::from(u8::from(calls.get() > 0 && !taken));
                    calls.set(calls.get() + 1);
                    std::future::ready(taken.then_some(()).ok_or(Failure::RetryAfter(HINT)))
                };
                let result = client.call(call).await;
                let mut sums = counted.borrow_mut();
                match result {
                    Ok(()) => sums.last = sim::seconds(),
                    Err(_) => sums.gave_up += 1.0,
                }
            });
        }
    });
    sums.take()
}

/// A budget that never refuses, so that of the prototype only the rule counts.
fn prototype(hints: hint::Rule) -> Policy {
    Policy {
        hints,
        ..Policy::new(Law::Fixed).stored(1_000_000)
    }
}

fn rules() -> [(&'static str, Policy); 3] {
    [
        ("as wide as the curve", prototype(hint::moved)),
        ("the design, written out", prototype(hint::widened)),
        ("**afterbeat**", Policy::new(Law::Unlimited)),
    ]
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "A fleet that is told when to come back",
        about:
            "1,000 clients behind a limiter of 20/s that says `Retry-After: 30`: mean of 8 seeds, \
                the worst of the first column."
                .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=8).collect();
    let mut rows = Vec::new();
    for (name, policy) in rules() {
        let mut limited = cores::spread(&seeds, |seed| run(policy.retries(4), *seed));
        let unlimited = cores::spread(&seeds, |seed| run(policy.retries(u32::MAX), *seed));
        let peak = |run: &mut Run| stats::peak(&mut run.returns, 0.1) as f64;
        let peak = stats::max(&limited.iter_mut().map(peak).collect::<Vec<_>>());
        let mean = |runs: &[Run], of: fn(&Run) -> f64| {
            stats::mean(&runs.iter().map(of).collect::<Vec<_>>())
        };
        let gave_up = mean(&limited, |run| run.gave_up);
        let refused = mean(&unlimited, |run| run.refused);
        let last = mean(&unlimited, |run| run.last);
        rows.push(vec![
            name.to_owned(),
            format!("{peak:.0}"),
            format!("{gave_up:.0}"),
            format!("{refused:.0}"),
            format!("{last:.0} s"),
        ]);
        match name {
            "as wide as the curve" => section.lines.extend([
                Line::published(format!("{name}: give up"), gave_up, 859.0, 0.05),
                Line::published(format!("{name}: refused"), refused, 5589.0, 0.05),
                Line::published(format!("{name}: all served, s"), last, 320.0, 0.05),
            ]),
            _ => section.lines.extend([
                Line::new(
                    format!("{name}: in the worst 100 ms"),
                    peak,
                    Bound::AtMost(30.0),
                    0,
                ),
                Line::new(format!("{name}: give up"), gave_up, Bound::AtMost(0.0), 0),
            ]),
        }
    }
    let head = ["", "in 100 ms", "give up", "refused", "all served"];
    section.tables.push(Table::new(&head, rows));
    if scale == Scale::Table {
        section.plots.push(("hint", plot()));
    }
    section
}

/// How many come back in each 100 ms.
fn plot() -> String {
    let [moved, _, ours] = rules();
    let series = |name: &str, colour, policy: Policy| {
        let counts = stats::counts(&run(policy.retries(4), 1).returns, 0.1);
        let points = (280..=470).map(|at| (at as f64 / 10.0, *counts.get(at).unwrap_or(&0) as f64));
        Series::line(name, colour, points.collect())
    };
    Chart {
        title: "1,000 clients are told Retry-After: 30",
        subtitle: "Those that come back in each 100 ms",
        x: Axis::linear("seconds after they were told", 28.0, 47.0),
        y: Axis::linear("calls in 100 ms", 0.0, 900.0),
        shaded: None,
        mark: None,
        series: vec![
            series("afterbeat", 0, ours.1),
            series("jitter as wide as the curve's, 125 ms", 2, moved.1),
        ],
    }
    .svg()
}
