//! Agents that fail together.
//!
//! Setup: 500 agents fail at one instant and wait 1, 2, 4 ... 32 s; the most calls in any
//! 100 ms, for each of the six retries; mean of 40 seeds. Then once more with a cap of
//! 4 s, eight retries.
//!
//! Source: the measurement in microsoft/retina #2609, of equal jitter and of "added" jitter,
//! which is ours below the cap.
//!
//! Lines: both to 5 %, on the mean of the six; ours no worse than "added"; at the cap
//! ours still falls, to at most 25 at the eighth retry.

use std::time::Duration;

use afterbeat::Backoff;

use crate::{
    cores,
    peers::{self, Curve, Waits},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    stats,
};

const AGENTS: usize = 500;

const CURVE: Curve = Curve {
    initial: 1.0,
    factor: 2.0,
    cap: 32.0,
};

/// The peak of each retry.
fn peaks(waits: fn(Curve) -> Waits, cap: f64, retries: usize) -> Vec<f64> {
    let seeds: Vec<u64> = (1..=40).collect();
    let runs = cores::spread(&seeds, |seed| {
        fastrand::seed(*seed);
        let mut calls = vec![Vec::with_capacity(AGENTS); retries];
        for _ in 0..AGENTS {
            let mut at = 0.0;
            for (wait, calls) in waits(Curve { cap, ..CURVE }).zip(&mut calls) {
                at += wait;
                calls.push(at);
            }
        }
        let peak = |calls: &mut Vec<f64>| stats::peak(calls, 0.1) as f64;
        calls.iter_mut().map(peak).collect::<Vec<_>>()
    });
    let of = |at: usize| stats::mean(&runs.iter().map(|peaks| peaks[at]).collect::<Vec<_>>());
    (0..retries).map(of).collect()
}

fn by_the_crate(curve: Curve) -> Waits {
    let backoff = Backoff::new()
        .initial_delay(Duration::from_secs_f64(curve.initial))
        .max_delay(Duration::from_secs_f64(curve.cap));
    let waits = backoff.delays_seeded(fastrand::u64(..));
    Box::new(waits.map(|wait| wait.as_secs_f64()))
}

/// How far on average the measured are from the published.
fn ratio(measured: &[f64], published: &[f64]) -> f64 {
    let ratios = measured
        .iter()
        .zip(published)
        .map(|(one, other)| one / other);
    stats::mean(&ratios.collect::<Vec<_>>())
}

pub fn section(_: Scale) -> Section {
    let mut section = Section {
        title: "Agents that fail together",
        about: "The most of 500 calls in any 100 ms, at each retry; mean of 40 seeds.".to_owned(),
        ..Section::default()
    };
    let row = |name: &str, peaks: &[f64]| {
        let mut row = vec![name.to_owned()];
        row.extend((0..8).map(|at| {
            peaks
                .get(at)
                .map_or(String::new(), |peak| format!("{peak:.1}"))
        }));
        row
    };
    let equal = peaks(peers::equal, 32.0, 6);
    let ours = peaks(by_the_crate, 64.0, 6);
    let clipped = peaks(peers::clerk, 4.0, 8);
    let capped = peaks(by_the_crate, 4.0, 8);
    let published_equal = [119.2, 62.5, 36.1, 22.8, 13.6, 9.3];
    let published_added = [66.5, 37.1, 22.4, 14.7, 9.7, 6.8];
    section.lines.extend([
        Line::published(
            "equal, measured to published",
            ratio(&equal, &published_equal),
            1.0,
            0.05,
        ),
        Line::published(
            "added, measured to published",
            ratio(&ours, &published_added),
            1.0,
            0.05,
        ),
        Line::published(
            "clerk-js at a cap of 4 s, eighth retry",
            clipped[7],
            36.5,
            0.05,
        ),
        Line::new(
            "afterbeat at a cap of 4 s, eighth retry",
            capped[7],
            Bound::AtMost(25.0),
            1,
        ),
    ]);
    let head = ["law"].into_iter().map(str::to_owned);
    section.tables.push(Table {
        head: head.chain((1..=8).map(|retry| retry.to_string())).collect(),
        rows: vec![
            row("equal, published", &published_equal),
            row("equal", &equal),
            row("added, published", &published_added),
            row("**afterbeat**", &ours),
            row("clerk-js, cap 4 s", &clipped),
            row("**afterbeat**, cap 4 s", &capped),
        ],
    });
    section
}
