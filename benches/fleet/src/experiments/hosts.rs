//! One budget for ten hosts, one of which is dead.
//!
//! Setup: 1,000 requests a second from one process, evenly over ten hosts, with 5 retries
//! and a budget of 10; one host refuses every call, the others 7 %, in 20 ms.
//!
//! Source: the notes on kindness: with one budget for all the dead host is called 1.82 times
//! a request, and 97.1 % succeed at the others. The 7 % are chosen to meet both, for the
//! source does not say how often the others fail.
//!
//! Lines: those, of law V; with a budget for each host, at most 1.1 calls a request at the dead one, and at
//! least 99 % succeed at the others.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::{JUDGED, Law},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const HOSTS: usize = 10;

#[derive(Default)]
struct Counts {
    dead: u32,
    calls: u32,
    healthy: u32,
    succeeded: u32,
}

/// Calls a request at the dead host, and success at the others.
fn hosts(budgets: usize, policy: Policy, seed: u64) -> (f64, f64) {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let counted = Rc::clone(&counts);
    sim::run(seed, Duration::from_secs(360), move || {
        let client = || Rc::new(Client::new(policy));
        let clients: Vec<_> = std::iter::repeat_with(client).take(budgets).collect();
        let mut host = 0;
        arrivals::poisson(seed, 1000.0, 300.0, move || {
            host = (host + 1) % HOSTS;
            let dead = host == 0;
            let client = Rc::clone(&clients[host % budgets]);
            let counted = Rc::clone(&counted);
            async move {
                let call = || {
                    counted.borrow_mut().calls += u32::from(dead);
                    let latency = Duration::from_millis(20);
                    let answer = if dead || fastrand::f64() < 0.07 {
                        Answer::failed(latency, Failure::Refused)
                    } else {
                        Answer::ok(latency)
                    };
                    answer.arrival()
                };
                let ok = client.call(call).await.is_ok();
                let mut counts = counted.borrow_mut();
                counts.dead += u32::from(dead);
                counts.healthy += u32::from(!dead);
                counts.succeeded += u32::from(ok);
            }
        });
    });
    let counts = counts.borrow();
    let share = |part: u32, all: u32| f64::from(part) / f64::from(all);
    (
        share(counts.calls, counts.dead),
        share(counts.succeeded, counts.healthy),
    )
}

pub fn section(_: Scale) -> Section {
    let mut section = Section {
        title: "Ten hosts, one of them dead",
        about: "Calls a request at the dead host, and success at the others; mean of 2 seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=2).collect();
    let mut rows = Vec::new();
    for (name, budgets, law) in [
        ("V, one budget for all", 1, Law::Fixed),
        ("**afterbeat**, one budget for all", 1, JUDGED),
        ("**afterbeat**, a budget for each host", HOSTS, JUDGED),
    ] {
        let policy = Policy::new(law);
        let runs = cores::spread(&seeds, |seed| hosts(budgets, policy, *seed));
        let (calls, success): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
        let (calls, success) = (stats::mean(&calls), stats::mean(&success));
        rows.push(vec![
            name.to_owned(),
            format!("{calls:.2}"),
            format!("{success:.3}"),
        ]);
        if law == Law::Fixed {
            section.lines.extend([
                Line::published(format!("{name}: calls at the dead host"), calls, 1.82, 0.05),
                Line::published(
                    format!("{name}: success at the others"),
                    success,
                    0.971,
                    0.05,
                ),
            ]);
        } else if budgets > 1 {
            section.lines.extend([
                Line::new(
                    format!("{name}: calls at the dead host"),
                    calls,
                    Bound::AtMost(1.1),
                    3,
                ),
                Line::new(
                    format!("{name}: success at the others"),
                    success,
                    Bound::AtLeast(0.99),
                    4,
                ),
            ]);
        }
    }
    section.tables.push(Table::new(
        &["", "calls at the dead host", "success at the others"],
        rows,
    ));
    section
}
