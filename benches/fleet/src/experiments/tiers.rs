//! Retries at every tier.
//!
//! Setup: 100 requests a second pass three tiers, each with 4 retries, to a database that
//! refuses all calls for a minute, in 20 ms.
//!
//! Source: the notes on kindness: 5 x 5 x 5 calls a request without budgets; the Builders'
//! Library has the same for five tiers.
//!
//! Lines: 125 without budgets; with one of 10 at each tier at most 1.1.

use std::{cell::Cell, rc::Rc, time::Duration};

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

/// Calls of the database for each request.
fn work(policy: Policy, seed: u64) -> f64 {
    let sums = Rc::new((Cell::new(0_u32), Cell::new(0_u32)));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs(3600), move || {
        let tiers = Rc::new([(); 3].map(|()| Client::new(policy)));
        arrivals::poisson(seed, 100.0, 60.0, move || {
            let tiers = Rc::clone(&tiers);
            let counted = Rc::clone(&counted);
            async move {
                counted.0.set(counted.0.get() + 1);
                let database = || {
                    counted.1.set(counted.1.get() + 1);
                    Answer::failed(Duration::from_millis(20), Failure::Refused).arrival()
                };
                let third = || tiers[2].call(database);
                let second = || tiers[1].call(third);
                let _ = tiers[0].call(second).await;
            }
        });
    });
    f64::from(sums.1.get()) / f64::from(sums.0.get())
}

pub fn section(_: Scale) -> Section {
    let seeds: Vec<u64> = (1..=2).collect();
    let work = |law| {
        let policy = Policy::new(law).retries(4);
        stats::max(&cores::spread(&seeds, |seed| work(policy, *seed)))
    };
    let (without, with) = (work(Law::Unlimited), work(JUDGED));
    Section {
        title: "Three tiers, and the database is down",
        about: "Calls of the database for each request; worst of 2 seeds.".to_owned(),
        tables: vec![Table::new(
            &["no budget", "a budget of 10 at each tier"],
            vec![vec![format!("{without:.0}"), format!("{with:.3}")]],
        )],
        lines: vec![
            Line::published("no budget", without, 125.0, 0.0),
            Line::new(
                "afterbeat, a budget at each tier",
                with,
                Bound::AtMost(1.1),
                3,
            ),
        ],
        ..Section::default()
    }
}
