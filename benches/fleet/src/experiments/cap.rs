//! A fleet that is at the cap together.
//!
//! Setup: 5,000 clients, base 100 ms, factor 2, cap 5 s, all before their twelfth wait at
//! one instant; the worst bucket of 50 ms, as a share of the fleet, after that wait and
//! after four more.
//!
//! Source: H2 (a) of the results.
//!
//! Lines: the published shares to a fifth; ours at most 2.6 %.

use std::time::Duration;

use afterbeat::Backoff;

use crate::{
    cores,
    peers::{Curve, PEERS, Waits},
    rain::{Panel, Rain},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    stats,
};

const CLIENTS: usize = 5000;
const BUCKET: f64 = 0.05;

const CURVE: Curve = Curve {
    initial: 0.1,
    factor: 2.0,
    cap: 5.0,
};

fn ours() -> Backoff {
    Backoff::new()
        .initial_delay(Duration::from_millis(100))
        .max_delay(Duration::from_secs(5))
}

fn by_the_crate(_: Curve) -> Waits {
    let waits = ours().delays_seeded(fastrand::u64(..));
    Box::new(waits.map(|wait| wait.as_secs_f64()))
}

/// When each client makes its next five calls.
fn returns(waits: fn(Curve) -> Waits, seed: u64) -> [Vec<f64>; 5] {
    fastrand::seed(seed);
    let mut calls: [Vec<f64>; 5] = Default::default();
    for _ in 0..CLIENTS {
        let mut at = 0.0;
        for (wait, calls) in waits(CURVE).skip(11).zip(&mut calls) {
            at += wait;
            calls.push(at);
        }
    }
    calls
}

/// The share of the fleet in the worst bucket, after the first and the fifth wait.
fn shares(waits: fn(Curve) -> Waits) -> [f64; 2] {
    let seeds: Vec<u64> = (1..=8).collect();
    let worst = cores::spread(&seeds, |seed| {
        let calls = returns(waits, *seed);
        [&calls[0], &calls[4]].map(|calls| stats::fullest(calls, BUCKET) as f64 / CLIENTS as f64)
    });
    [0, 1].map(|at| stats::mean(&worst.iter().map(|shares| shares[at]).collect::<Vec<_>>()))
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "A fleet at the cap",
        about: "Share of 5,000 clients in the worst 50 ms, after one wait at the cap and after \
                five; mean of 8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let percent = |[first, fifth]: [f64; 2]| {
        let share = |share: f64| format!("{:.1} %", 100.0 * share);
        vec![share(first), share(fifth)]
    };
    let measured = shares(by_the_crate);
    let mut rows = vec![[vec!["**afterbeat**".to_owned()], percent(measured)].concat()];
    let published = [
        ("clerk-js, p-retry", 1.0, 1.0),
        ("Polly", 1.0, 0.999),
        ("Kubernetes", 0.105, 0.061),
        ("gRPC", 0.029, 0.017),
        ("AWS, equal", 0.025, 0.013),
        ("AWS, decorrelated", 0.308, 0.063),
        ("cenkalti/backoff", 0.014, 0.009),
        ("AWS, gax, Envoy", 0.013, 0.008),
    ];
    for one in &PEERS {
        let shares = shares(one.waits);
        rows.push([vec![one.name.to_owned()], percent(shares)].concat());
        if let Some((name, first, fifth)) = published.iter().find(|row| row.0 == one.name) {
            section.lines.extend([
                Line::published(format!("{name}, first"), shares[0], *first, 0.2),
                Line::published(format!("{name}, fifth"), shares[1], *fifth, 0.2),
            ]);
        }
    }
    section.lines.extend([
        Line::new("afterbeat, first", measured[0], Bound::AtMost(0.026), 3),
        Line::new("afterbeat, fifth", measured[1], Bound::AtMost(0.026), 3),
    ]);
    section
        .tables
        .push(Table::new(&["law", "first", "fifth"], rows));
    if scale == Scale::Table {
        section.plots.push(("cap", plot(measured)));
    }
    section
}

/// The calls of every twentieth client, in 16 s.
fn plot(ours: [f64; 2]) -> String {
    let panel = |name, waits: fn(Curve) -> Waits, [first, _]: [f64; 2], colour| {
        let calls = returns(waits, 1);
        let client = |at: usize| calls.iter().map(|calls| calls[at]).collect();
        Panel {
            name,
            note: format!("worst 50 ms: {:.1} % of the fleet", 100.0 * first),
            calls: (0..CLIENTS).step_by(20).map(client).collect(),
            colour,
        }
    };
    let peer = |label, name: &str, colour| {
        let one = PEERS.iter().find(|one| one.name == name).expect("a peer");
        panel(label, one.waits, shares(one.waits), colour)
    };
    Rain {
        title: "A fleet at the cap",
        subtitle: "Each dot is a call, each row one of 250 clients whose waits have all reached 5 s",
        label: "seconds after a common failure",
        seconds: 16.0,
        panels: vec![
            peer("jitter, then the cap: clerk-js, p-retry, stamina, Polly", "clerk-js, p-retry", 2),
            peer("the cap, then up to a tenth: Kubernetes", "Kubernetes", 4),
            panel("the interval is clipped: afterbeat", by_the_crate, ours, 0),
        ],
    }
    .svg()
}
