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
    cores,
    failure::Failure,
    peers::{self, Curve, Waits},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim::{self, Virtual},
    stats,
};

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
fn contend(clients: usize, curves: Curves, seed: u64) -> (f64, f64) {
    let row = Rc::new(Row::default());
    let shared = Rc::clone(&row);
    sim::run(seed, Duration::MAX, move || {
        for _ in 0..clients {
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

fn repeated(clients: usize, curves: Curves, times: u64) -> (Vec<f64>, Vec<f64>) {
    let seeds: Vec<u64> = (1..=times).collect();
    let runs = cores::spread(&seeds, |seed| contend(clients, curves, *seed));
    runs.iter().map(|(time, calls)| (time * 1000.0, *calls)).unzip()
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

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "Contention for one row",
        about: "Milliseconds until the last of N clients has written, and writes tried; mean of \
                100 repetitions, of 1,000 where a standard error is given."
            .to_owned(),
        ..Section::default()
    };
    let peer = Curves::Peer;
    let base = Curve {
        initial: 0.005,
        ..CURVE
    };
    let published: &[(&str, Curves, f64, f64)] = &[
        ("full", peer(peers::full, CURVE), 4925.0, 795.0),
        ("exponential", peer(peers::bare, CURVE), 63572.0, 1861.0),
        ("none", peer(none, CURVE), 2026.0, 2422.0),
        ("equal", peer(peers::equal, CURVE), 6620.0, 813.0),
        ("decorrelated", peer(peers::decorrelated, base), 4576.0, 1000.0),
    ];
    let mut rows = Vec::new();
    for (name, curves, time, calls) in &published[..scale.pick(5, 2)] {
        let (times, counts) = repeated(100, *curves, 100);
        let (times, counts) = (stats::mean(&times), stats::mean(&counts));
        rows.push(vec![format!("Brooker's {name}"), format!("{times:.0} / {counts:.0}")]);
        section.lines.extend([
            Line::published(format!("{name}, ms"), times, *time, 0.05),
            Line::published(format!("{name}, calls"), counts, *calls, 0.05),
        ]);
    }
    let (times, calls) = repeated(100, Curves::Crate(ours()), 1000);
    let least = |values: &[f64]| stats::mean(values) - 2.0 * stats::standard_error(values);
    rows.push(vec![
        "**afterbeat**".to_owned(),
        format!(
            "{:.0} ± {:.0} / {:.0} ± {:.1}",
            stats::mean(&times),
            stats::standard_error(&times),
            stats::mean(&calls),
            stats::standard_error(&calls)
        ),
    ]);
    section.lines.extend([
        Line::new("afterbeat, ms", least(&times), Bound::AtMost(6690.0), 0),
        Line::new("afterbeat, calls", least(&calls), Bound::AtMost(733.0), 0),
    ]);
    if scale == Scale::Table {
        let mut others = vec![
            ("afterbeat, `Jitter::FULL`", Curves::Crate(ours().jitter(Jitter::FULL))),
            (
                "afterbeat, `Jitter::FULL`, factor 3",
                Curves::Crate(
                    ours()
                        .initial_delay(Duration::from_millis(15))
                        .factor(3.0)
                        .jitter(Jitter::FULL),
                ),
            ),
        ];
        // stamina's jitter is a second, whatever the base.
        let comparable = peers::PEERS.iter().filter(|one| one.name != "stamina");
        others.extend(comparable.map(|one| (one.name, peer(one.waits, CURVE))));
        for (name, curves) in others {
            let (times, calls) = repeated(100, curves, 100);
            rows.push(vec![
                name.to_owned(),
                format!("{:.0} / {:.0}", stats::mean(&times), stats::mean(&calls)),
            ]);
        }
    }
    section.tables.push(Table {
        head: vec!["law".to_owned(), "N = 100: ms / calls".to_owned()],
        rows,
    });
    section
}
