//! Many small processes, each with a budget of its own.
//!
//! Setup: a queue of 200 calls/s at a load of .8, time-out 1 s; the capacity falls to 20 %
//! for 10 s. 100 or 1,000 processes, 3 retries, full jitter from 100 ms.
//!
//! Source: H5 of the results. The stored retries are made once, at the start of the
//! outage, so they add processes x n / (C (1 - load)) to the time of recovery: measured
//! 113.5 s with AWS's 500 tokens at 14 a retry, and 52.5 s with a tenth of successes and 10.
//!
//! Lines: those two to a tenth; ours with n = 3 and 100 processes, and n = 1 and 1,000, to a
//! tenth of what is predicted.

use std::time::Duration;

use afterbeat::{Backoff, Jitter};

use super::recovery::{Setup, recovery};
use crate::{
    client::Policy,
    cores,
    law::{JUDGED, Law, Terms},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    stats,
};

/// The mean time of recovery of the seeds.
fn mean(processes: usize, policy: Policy) -> f64 {
    let setup = Setup {
        rate: 160.0,
        processes,
        load: 0.8,
        time_out: 1.0,
    };
    let policy = Policy {
        backoff: Backoff::new()
            .initial_delay(Duration::from_millis(100))
            .jitter(Jitter::FULL),
        ..policy.retries(3)
    };
    let seeds: Vec<u64> = (1..=8).collect();
    stats::mean(&cores::spread(&seeds, |seed| {
        recovery(setup, policy, 300.0, *seed)
    }))
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "Many small processes",
        about: "Seconds until the service has recovered, and what the stored retries predict; \
                mean of 8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let without = mean(100, Policy::new(Law::NoRetries));
    let bucket = |terms, stored| Policy::new(Law::Bucket(terms)).stored(stored);
    let ours = |stored| Policy::new(JUDGED).stored(stored);
    // A name, what is published, processes, stored retries of each, and the policy.
    let mut setups = vec![
        (
            "AWS 500/14",
            Some(113.5),
            100,
            500.0 / 14.0,
            bucket(Terms::AWS, 500),
        ),
        (
            "a tenth of successes, 10",
            Some(52.5),
            100,
            10.0,
            bucket(Terms::SUCCESSES, 10),
        ),
        ("**afterbeat**, n = 3", None, 100, 3.0, ours(3)),
        ("**afterbeat**, n = 1", None, 1000, 1.0, ours(1)),
    ];
    if scale == Scale::Table {
        setups.extend([
            ("**afterbeat**, n = 10", None, 100, 10.0, ours(10)),
            ("**afterbeat**, n = 1", None, 100, 1.0, ours(1)),
        ]);
    }
    let mut rows = vec![vec![
        "no retries".to_owned(),
        "100".to_owned(),
        String::new(),
        format!("{without:.0}"),
    ]];
    for (name, published, processes, stored, policy) in setups {
        let predicted = without + processes as f64 * stored / (200.0 * 0.2);
        let measured = mean(processes, policy);
        rows.push(vec![
            name.to_owned(),
            processes.to_string(),
            format!("{predicted:.0}"),
            format!("{measured:.0}"),
        ]);
        let what = format!("{name}, {processes} processes");
        section.lines.push(match published {
            Some(figure) => Line::published(what, measured, figure, 0.1),
            None => Line::new(
                format!("{what}, measured to predicted"),
                measured / predicted,
                Bound::AtMost(1.1),
                2,
            ),
        });
    }
    section.tables.push(Table::new(
        &["", "processes", "predicted", "measured"],
        rows,
    ));
    section
}
