//! A herd after an outage.
//!
//! Setup: 10,000 clients each have a job to be done once, over a server that refuses all
//! calls for 300 s, in 20 ms, and then serves 500 a second from one queue, dead work too.
//! The time-out is 5 s; a job that fails is tried again after 10 s. The policy is the
//! default one, with one budget for each process.
//!
//! Source: the notes on kindness: as shipped, without a budget, 117 calls a client and
//! never an end.
//!
//! Lines: with a budget, all served within 60 s of the end of the outage, with at most 45
//! calls a client.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    chart::{Axis, Chart, Series},
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::{JUDGED, Law},
    queue::Queue,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const CLIENTS: usize = 10_000;
const DOWN: f64 = 300.0;

struct Run {
    /// When the last client was served, from the end of the outage.
    last: f64,
    /// When the server was called.
    calls: Vec<f64>,
}

fn herd(processes: usize, policy: Policy, end: f64, seed: u64) -> Run {
    let sums = Rc::new(RefCell::new((0, 0.0, Vec::new())));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs_f64(end), move || {
        let queue = Rc::new(Queue::new(500.0));
        let client = || Rc::new(Client::new(policy));
        let clients: Vec<_> = std::iter::repeat_with(client).take(processes).collect();
        for at in 0..CLIENTS {
            let client = Rc::clone(&clients[at % processes]);
            let queue = Rc::clone(&queue);
            let counted = Rc::clone(&counted);
            sim::spawn(async move {
                sim::sleep(Duration::from_secs_f64(10.0 * fastrand::f64())).await;
                let call = || {
                    counted.borrow_mut().2.push(sim::seconds());
                    let answer = if sim::seconds() < DOWN {
                        Answer::failed(Duration::from_millis(20), Failure::Refused)
                    } else {
                        Answer::ok(queue.enter()).within(Duration::from_secs(5))
                    };
                    answer.arrival()
                };
                while client.call(call).await.is_err() {
                    sim::sleep(Duration::from_secs(10)).await;
                }
                let mut sums = counted.borrow_mut();
                sums.0 += 1;
                sums.1 = sim::seconds();
            });
        }
    });
    let (served, last, calls) = sums.take();
    let last = if served == CLIENTS {
        last - DOWN
    } else {
        f64::INFINITY
    };
    Run { last, calls }
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "A herd after an outage",
        about: "10,000 clients after 300 s: seconds until the last is served, and calls a client; \
                worst of the seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=scale.pick(4, 2)).collect();
    let policy = |law, stored| Policy::new(law).retries(4).stored(stored);
    let mut setups = vec![
        ("no budget", 1, policy(Law::Unlimited, 0)),
        ("one process, n = 30", 1, policy(JUDGED, 30)),
        ("100 processes, n = 10", 100, policy(JUDGED, 10)),
        ("10,000 processes, n = 3", CLIENTS, policy(JUDGED, 3)),
    ];
    if scale == Scale::Table {
        setups.push(("no retries", 1, policy(Law::NoRetries, 0)));
    }
    let mut rows = Vec::new();
    for (name, processes, policy) in setups {
        let end = 600.0;
        let runs = cores::spread(&seeds, |seed| herd(processes, policy, end, *seed));
        let worst = |of: fn(&Run) -> f64| stats::max(&runs.iter().map(of).collect::<Vec<_>>());
        let last = worst(|run| run.last);
        let calls = worst(|run| run.calls.len() as f64 / CLIENTS as f64);
        let served = if last.is_finite() {
            format!("{last:.0} s")
        } else {
            "never".to_owned()
        };
        rows.push(vec![name.to_owned(), served, format!("{calls:.0}")]);
        if policy.law == JUDGED {
            section.lines.extend([
                Line::new(format!("{name}: s"), last, Bound::AtMost(60.0), 0),
                Line::new(
                    format!("{name}: calls a client"),
                    calls,
                    Bound::AtMost(45.0),
                    0,
                ),
            ]);
        } else if policy.law == Law::Unlimited {
            let what = "published: no budget, s";
            section
                .lines
                .push(Line::new(what, last, Bound::AtLeast(300.0), 0));
        }
    }
    section
        .tables
        .push(Table::new(&["", "all served", "calls a client"], rows));
    if scale == Scale::Table {
        section.plots.push(("herd", plot()));
    }
    section
}

/// Calls in each second about the end of the outage.
fn plot() -> String {
    let policy = |law| Policy::new(law).retries(4);
    let policies = [
        (
            "afterbeat, 100 processes, a budget of 10 each",
            0,
            policy(JUDGED),
        ),
        ("4 retries, no budget", 2, policy(Law::Unlimited)),
    ];
    let series = cores::spread(&policies, |(name, colour, policy)| {
        let run = herd(100, *policy, 400.0, 1);
        let counts = stats::counts(&run.calls, 1.0);
        let count = |at: usize| counts.get(at).copied().unwrap_or(0) as f64;
        let points = (270..400).map(|at| (at as f64 - DOWN, count(at)));
        Series::line(*name, *colour, points.collect())
    });
    Chart {
        title: "A herd after an outage",
        subtitle: "10,000 clients after 300 s; the server then takes 500 calls a second, the time-out is 5 s",
        x: Axis::linear("seconds after the end of the outage", -30.0, 100.0),
        y: Axis::linear("calls a second", 0.0, 6000.0),
        shaded: Some((-30.0, 0.0, "outage")),
        mark: Some((500.0, "capacity")),
        series,
    }
    .svg()
}
