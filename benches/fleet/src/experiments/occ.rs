//! Contention for one row.
//!
//! Setup: Brooker's simulation of optimistic concurrency. N clients read and write one
//! row once; a write whose version is stale is refused, and its client backs off and
//! reads again. Each message takes |Normal(10, 2)| ms; base 5 ms, cap 2 s; the first
//! backoff is already doubled. Measured: when the last client is done, and how many
//! writes were tried.
//!
//! Source: AWS Architecture Blog, "Exponential Backoff and Jitter", 2015; the figures of
//! its program, run: 100 repetitions.
//!
//! Lines: those figures to 5 %; then ours at N = 100, the mean of 1,000 repetitions less
//! two standard errors: at most 6690 ms and 733 calls.

use std::{cell::Cell, rc::Rc, time::Duration};

use afterbeat::{Backoff, Jitter, RetryBuilder};

use crate::{
    chart::{Axis, Chart, Series},
    cores,
    failure::Failure,
    peers::{self, Curve, PEERS, Peer, Waits},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim::{self, Virtual},
    stats,
};

const CLIENTS: usize = 100;

#[derive(Clone, Copy)]
enum Curves {
    Crate(Backoff),
    Peer(fn(Curve) -> Waits, Curve),
}

/// One row and its clients' traffic.
#[derive(Default)]
struct Row {
    version: Cell<u64>,
    writes: Cell<u64>,
    last: Cell<Duration>,
}

/// The time of one message.
fn delay() -> Duration {
    let radius = (-2.0 * (1.0 - fastrand::f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * fastrand::f64()).cos();
    Duration::from_secs_f64((10.0 + 2.0 * normal).abs() / 1000.0)
}

impl Row {
    async fn update(&self) -> Result<(), Failure> {
        sim::sleep(delay()).await;
        let version = self.version.get();
        sim::sleep(delay()).await;
        self.writes.set(self.writes.get() + 1);
        sim::sleep(delay()).await;
        let fresh = version == self.version.get();
        if fresh {
            self.version.set(version + 1);
        }
        sim::sleep(delay()).await;
        if fresh { Ok(()) } else { Err(Failure::Refused) }
    }
}

/// The seconds until the last client is done, and the writes.
fn contend(curves: Curves, seed: u64) -> (f64, f64) {
    let row = Rc::new(Row::default());
    let shared = Rc::clone(&row);
    sim::run(seed, Duration::MAX, move || {
        for _ in 0..CLIENTS {
            let row = Rc::clone(&shared);
            sim::spawn(async move {
                match curves {
                    Curves::Crate(backoff) => {
                        let policy = RetryBuilder::with_timer(Virtual)
                            .backoff(backoff)
                            .without_max_retries()
                            .seed(fastrand::u64(..));
                        let _ = policy.retry(|| row.update()).await;
                    }
                    Curves::Peer(waits, curve) => {
                        let mut waits = waits(curve);
                        while row.update().await.is_err() {
                            let wait = waits.next().expect("the waits never end");
                            sim::sleep(Duration::from_secs_f64(wait)).await;
                        }
                    }
                }
                row.last.set(sim::now());
            });
        }
    });
    (row.last.get().as_secs_f64(), row.writes.get() as f64)
}

/// Of so many repetitions, the milliseconds and the writes.
fn repeated(curves: Curves, times: u64) -> (Vec<f64>, Vec<f64>) {
    let seeds: Vec<u64> = (1..=times).collect();
    let runs = cores::spread(&seeds, |seed| contend(curves, *seed));
    runs.iter()
        .map(|(time, calls)| (time * 1000.0, *calls))
        .unzip()
}

const CURVE: Curve = Curve {
    initial: 0.01,
    factor: 2.0,
    cap: 2.0,
};

/// Never waits.
fn none(_: Curve) -> Waits {
    Box::new(std::iter::repeat(0.0))
}

fn ours() -> Backoff {
    Backoff::new()
        .initial_delay(Duration::from_millis(10))
        .max_delay(Duration::from_secs(2))
}

/// Brooker's laws, and the figures of his program: ms and calls.
fn published() -> [(&'static str, Curves, f64, f64); 5] {
    let peer = Curves::Peer;
    let undoubled = Curve {
        initial: 0.005,
        ..CURVE
    };
    [
        ("no wait", peer(none, CURVE), 2026.0, 2422.0),
        (
            "exponential, no jitter",
            peer(peers::bare, CURVE),
            63572.0,
            1861.0,
        ),
        ("equal jitter", peer(peers::equal, CURVE), 6620.0, 813.0),
        (
            "full jitter: AWS, gax, Envoy",
            peer(peers::full, CURVE),
            4925.0,
            795.0,
        ),
        (
            "decorrelated jitter",
            peer(peers::decorrelated, undoubled),
            4576.0,
            1000.0,
        ),
    ]
}

/// The other peers, and ours with other jitter.
fn others() -> Vec<(&'static str, Curves)> {
    let full = ours().jitter(Jitter::FULL);
    let tripled = full.initial_delay(Duration::from_millis(15)).factor(3.0);
    let mut others = vec![
        ("afterbeat, full jitter", Curves::Crate(full)),
        ("afterbeat, full jitter, factor 3", Curves::Crate(tripled)),
    ];
    // AWS's laws are Brooker's; stamina's jitter is a second, whatever the base.
    let known = |one: &&Peer| one.name != "stamina" && !one.name.starts_with("AWS");
    let peers = PEERS.iter().filter(known);
    others.extend(peers.map(|one| (one.name, Curves::Peer(one.waits, CURVE))));
    others
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "Contention for one row",
        about: "100 clients: milliseconds until the last has written, and writes tried; mean of \
                100 repetitions, for ours of 1,000 with its standard error."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    let mut points = Vec::new();
    let mut take = |name: &str, times: &[f64], calls: &[f64], error: String| {
        let (time, calls) = (stats::mean(times), stats::mean(calls));
        rows.push(vec![
            name.to_owned(),
            format!("{time:.0} / {calls:.0}{error}"),
        ]);
        let colour = usize::from(!name.contains("afterbeat"));
        let name = name.replace("**", "");
        // The table alone has what is off the plot, or under AWS's point.
        if time < 20_000.0 && calls < 1100.0 && name != "afterbeat, full jitter" {
            points.push(Series::point(name, colour, (time / 1000.0, calls)));
        }
    };
    let (times, calls) = repeated(Curves::Crate(ours()), 1000);
    let [time, call] = [&times, &calls].map(|values| stats::standard_error(values));
    take(
        "**afterbeat**",
        &times,
        &calls,
        format!(" (± {time:.0} / {call:.1})"),
    );
    let least = |values: &[f64]| stats::mean(values) - 2.0 * stats::standard_error(values);
    for (name, curves, ms, count) in published() {
        let (times, calls) = repeated(curves, 100);
        take(name, &times, &calls, String::new());
        section.lines.extend([
            Line::published(format!("{name}, ms"), stats::mean(&times), ms, 0.05),
            Line::published(format!("{name}, calls"), stats::mean(&calls), count, 0.05),
        ]);
    }
    section.lines.extend([
        Line::new("afterbeat, ms", least(&times), Bound::AtMost(6690.0), 0),
        Line::new("afterbeat, calls", least(&calls), Bound::AtMost(733.0), 0),
    ]);
    if scale == Scale::Table {
        for (name, curves) in others() {
            let (times, calls) = repeated(curves, 100);
            take(name, &times, &calls, String::new());
        }
        section.plots.push(("occ", plot(points)));
    }
    section
        .tables
        .push(Table::new(&["law", "ms / calls"], rows));
    section
}

fn plot(series: Vec<Series>) -> String {
    Chart {
        title: "Contention for one row",
        subtitle: "100 clients write one row, once each; base 5 ms, cap 2 s: below and to the left is better",
        x: Axis::linear("seconds until the last has written", 4.0, 20.0),
        y: Axis::linear("writes tried", 600.0, 1100.0),
        shaded: None,
        mark: None,
        series,
    }
    .svg()
}
