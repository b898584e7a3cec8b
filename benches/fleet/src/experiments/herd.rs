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
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::Law,
    queue::Queue,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const CLIENTS: usize = 10_000;
const DOWN: f64 = 300.0;

/// When the last client was served, from the end of the outage, and calls a client.
fn herd(processes: usize, policy: Policy, end: f64, seed: u64) -> (f64, f64) {
    let sums = Rc::new(RefCell::new((0_usize, 0_u64, 0.0)));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs_f64(end), move || {
        let queue = Rc::new(Queue::new(500.0));
        let client = || Rc::new(Client::new(policy));
        let budgets: Vec<_> = std::iter::repeat_with(client).take(processes).collect();
        for at in 0..CLIENTS {
            let client = Rc::clone(&budgets[at % processes]);
            let queue = Rc::clone(&queue);
            let counted = Rc::clone(&counted);
            sim::spawn(async move {
                sim::sleep(Duration::from_secs_f64(10.0 * fastrand::f64())).await;
                let call = || {
                    counted.borrow_mut().1 += 1;
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
                sums.2 = sim::seconds();
            });
        }
    });
    let (served, calls, last) = *sums.borrow();
    let last = if served == CLIENTS { last - DOWN } else { f64::INFINITY };
    (last, calls as f64 / CLIENTS as f64)
}

pub fn section(scale: Scale, judged: Law) -> Section {
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
        ("one process, n = 30", 1, policy(judged, 30)),
        ("100 processes, n = 10", 100, policy(judged, 10)),
        ("10,000 processes, n = 3", CLIENTS, policy(judged, 3)),
    ];
    if scale == Scale::Table {
        setups.push(("no retries", 1, policy(Law::NoRetries, 0)));
    }
    let mut rows = Vec::new();
    for (name, processes, policy) in setups {
        let end = 600.0;
        let runs = cores::spread(&seeds, |seed| herd(processes, policy, end, *seed));
        let (last, calls): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
        let (last, calls) = (stats::max(&last), stats::max(&calls));
        let served = if last.is_finite() { format!("{last:.0} s") } else { "never".to_owned() };
        rows.push(vec![name.to_owned(), served, format!("{calls:.0}")]);
        if policy.law == judged {
            section.lines.extend([
                Line::new(format!("{name}: s"), last, Bound::AtMost(60.0), 0),
                Line::new(format!("{name}: calls a client"), calls, Bound::AtMost(45.0), 0),
            ]);
        } else if policy.law == Law::Unlimited {
            let what = "published: no budget, s";
            section.lines.push(Line::new(what, last, Bound::AtLeast(300.0), 0));
        }
    }
    section.tables.push(Table {
        head: ["", "all served", "calls a client"].map(str::to_owned).to_vec(),
        rows,
    });
    section
}
