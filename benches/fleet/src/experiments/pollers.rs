//! Pollers in step.
//!
//! Setup: 1,000 pollers with an interval of 5 s, at a server that works off 2,000 calls a
//! second from one queue. Either all are started at one instant, or they are spread at
//! first and the server then stands still for 10 s, from 60 s on. Measured: the most runs
//! begun in any aligned 100 ms of a period (20 is even); mean of 20 seeds.
//!
//! Source: H8 of the results, after Floyd and Jacobson, 1994.
//!
//! Lines: its figures without jitter and with [1, 1.1]; with the default jitter at most 42,
//! from 60 to 180 s after the start and from 80 to 140 s after the stall.

use std::{cell::RefCell, future::Future, pin::pin, rc::Rc, time::Duration};

use afterbeat::{Jitter, PollerBuilder};

use crate::{
    chart::{Axis, Chart, Series},
    cores,
    failure::Failure,
    queue::Queue,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim::{self, Virtual},
    stats,
};

const POLLERS: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(5);

/// When a run begins, for all pollers until `end`.
fn runs(jitter: Option<Jitter>, stall: bool, end: f64, seed: u64) -> Vec<f64> {
    let runs = Rc::new(RefCell::new(Vec::new()));
    let counted = Rc::clone(&runs);
    sim::run(seed, Duration::from_secs_f64(end), move || {
        let queue = Queue::new(2000.0);
        let queue = Rc::new(if stall {
            queue.reduced(60.0, 70.0, 0.0)
        } else {
            queue
        });
        for _ in 0..POLLERS {
            let queue = Rc::clone(&queue);
            let counted = Rc::clone(&counted);
            sim::spawn(async move {
                if stall {
                    sim::sleep(INTERVAL.mul_f64(fastrand::f64())).await;
                }
                let poll = || {
                    counted.borrow_mut().push(sim::seconds());
                    let answered = sim::sleep(queue.enter());
                    async move {
                        answered.await;
                        Ok::<_, Failure>(())
                    }
                };
                let poller = PollerBuilder::with_timer(Virtual, INTERVAL);
                match jitter {
                    None => forever(poller, poll).await,
                    Some(jitter) => forever(poller.jitter(jitter), poll).await,
                }
            });
        }
    });
    runs.take()
}

async fn forever<F, Fut>(poller: PollerBuilder<Virtual>, poll: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let mut stream = pin!(poller.stream(poll));
    while stream.as_mut().next().await.is_some() {}
}

/// The fullest 100 ms between two instants: mean of 20 seeds.
fn peaks(jitter: Option<Jitter>, stall: bool, periods: &[(f64, f64)]) -> Vec<f64> {
    let seeds: Vec<u64> = (1..=20).collect();
    let end = periods.iter().map(|period| period.1).fold(0.0, f64::max);
    let peaks = cores::spread(&seeds, |seed| {
        let counts = stats::counts(&runs(jitter, stall, end, *seed), 0.1);
        let peak = |(from, to): &(f64, f64)| {
            let within = &counts[(from * 10.0) as usize..counts.len().min((to * 10.0) as usize)];
            within.iter().copied().max().unwrap_or(0) as f64
        };
        periods.iter().map(peak).collect::<Vec<_>>()
    });
    let of = |at: usize| stats::mean(&peaks.iter().map(|peaks| peaks[at]).collect::<Vec<_>>());
    (0..periods.len()).map(of).collect()
}

pub fn section(scale: Scale) -> Section {
    let mut section = Section {
        title: "Pollers in step",
        about: "The most of 1,000 pollers that run in any 100 ms (20 is even), at so many seconds \
                after a common start and after a stall of 10 s; mean of 20 seeds."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    let jitters: &[(&str, Option<(f64, f64)>)] = &[
        ("none", Some((1.0, 1.0))),
        ("[1, 1.1]", Some((1.0, 1.1))),
        ("**the default**", None),
        ("[1, 1.3]", Some((1.0, 1.3))),
        ("[1, 1.25]", Some((1.0, 1.25))),
        ("[.8, 1.2]", Some((0.8, 1.2))),
        ("[1, 1.5]", Some((1.0, 1.5))),
    ];
    for (name, jitter) in &jitters[..scale.pick(7, 4)] {
        let jitter = jitter.map(|(low, high)| Jitter::between(low, high));
        let started = [(30.0, 60.0), (120.0, 180.0), (60.0, 180.0)];
        let started = peaks(jitter, false, &started);
        // The stall ends at 70 s.
        let stalled = peaks(jitter, true, &[(150.0, 210.0)])[0];
        let mut row = vec![(*name).to_owned()];
        row.extend(started.iter().map(|peak| format!("{peak:.0}")));
        row.push(format!("{stalled:.0}"));
        rows.push(row);
        let published: &[f64] = match *name {
            "none" => &[200.0, 200.0],
            "[1, 1.1]" => &[110.0, 72.0],
            _ => &[],
        };
        for ((published, measured), period) in published.iter().zip(&started).zip(["30 s", "120 s"])
        {
            let what = format!("jitter {name}, {period}");
            section
                .lines
                .push(Line::published(what, *measured, *published, 0.1));
        }
        if ["**the default**", "[1, 1.3]"].contains(name) {
            section.lines.extend([
                Line::new(
                    format!("jitter {name}, started together"),
                    started[2],
                    Bound::AtMost(42.0),
                    0,
                ),
                Line::new(
                    format!("jitter {name}, stalled"),
                    stalled,
                    Bound::AtMost(42.0),
                    0,
                ),
            ]);
        }
    }
    let head = [
        "jitter",
        "30 to 60",
        "120 to 180",
        "60 to 180",
        "stall, 80 to 140",
    ];
    section.tables.push(Table::new(&head, rows));
    if scale == Scale::Table {
        section.plots.push(("pollers", plot()));
    }
    section
}

/// The fullest 100 ms of each five seconds after a common start.
fn plot() -> String {
    let jitters = [
        ("afterbeat, the default", 0, None),
        ("no jitter", 1, Some(Jitter::NONE)),
        ("[1, 1.1]", 4, Some(Jitter::between(1.0, 1.1))),
    ];
    let series = cores::spread(&jitters, |(name, colour, jitter)| {
        let counts = stats::counts(&runs(*jitter, false, 300.0, 1), 0.1);
        let peak = |(at, counts): (usize, &[usize])| {
            (
                at as f64 * 5.0 + 2.5,
                counts.iter().copied().max().unwrap_or(0) as f64,
            )
        };
        Series::line(
            *name,
            *colour,
            counts.chunks(50).enumerate().skip(1).map(peak).collect(),
        )
    });
    Chart {
        title: "Pollers in step",
        subtitle: "1,000 pollers of 5 s, all started at one instant: the fullest 100 ms of each five seconds",
        x: Axis::linear("seconds after the start", 0.0, 300.0),
        y: Axis::linear("runs begun in 100 ms", 0.0, 220.0),
        shaded: None,
        mark: Some((20.0, "even")),
        series,
    }
    .svg()
}
