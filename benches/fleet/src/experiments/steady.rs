//! Whether retries are made while a constant share of calls fails.
//!
//! Setup: Poisson requests for 10 minutes from one process with 5 retries and a budget
//! of 10; each call fails independently. A fast server answers in 20 ms, a slow one in
//! 0.5 to 2 s; a hanging one answers in 20 ms, or not within the time-out of 3 s.
//!
//! Source: the table of laws in the notes on kindness.
//!
//! Lines: success never below law A's, and at least 99 % up to 20 % of failures; for a
//! hanging server at 10 % of them.

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

pub fn section(scale: Scale, laws: &[Law], ours: &[Law]) -> Section {
    let mut section = Section {
        title: "Steady failures",
        about: "Share of the requests that succeed: mean of the seeds.".to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    let rates: &[f64] = scale.pick(&[10.0, 100.0, 1000.0], &[100.0]);
    for (server, name) in [
        (Server::Fast, "fast"),
        (Server::Slow, "slow"),
        (Server::Hanging, "hanging"),
    ] {
        let shares: &[f64] = match server {
            Server::Hanging => &[0.1],
            _ => &[0.01, 0.05, 0.1, 0.2, 0.3],
        };
        for rate in rates {
            for share in shares {
                let seeds: Vec<u64> = (1..=if *rate < 500.0 { 8 } else { 2 }).collect();
                let what = format!("{name}, {rate}/s, {:.0} %", 100.0 * share);
                let mean = |law: Law| {
                    let work = |seed: &u64| success(server, *share, *rate, law, *seed);
                    stats::mean(&cores::spread(&seeds, work))
                };
                let a = mean(Law::A);
                let mut row = vec![what.clone()];
                for law in laws {
                    let success = if *law == Law::A { a } else { mean(*law) };
                    row.push(format!("{success:.4}"));
                    if ours.contains(law) {
                        let what = format!("{}: {what}", law.name());
                        let bound = if *share <= 0.2 { a.max(0.99) } else { a };
                        section.lines.push(Line::new(what, success, Bound::AtLeast(bound), 4));
                    }
                }
                rows.push(row);
            }
        }
    }
    let head = ["".to_owned()].into_iter();
    let head = head.chain(laws.iter().map(|law| law.name().to_owned()));
    section.tables.push(Table {
        head: head.collect(),
        rows,
    });
    section
}
