//! How long an overload outlives its cause.
//!
//! Setup: Poisson requests from a number of processes, each with a budget of 10 and 5
//! retries, at a server that works off one queue, calls that have timed out included.
//! After 30 s its capacity falls to 20 % for 10 s. It has recovered when ten seconds have
//! begun in which 95 % of the requests are answered at the first try.
//!
//! Source: the table of laws in the notes on kindness; without retries it must take
//! 24 s at load .85 and 63 s at .93, as there.
//!
//! Lines: at most 1.6 times the time without retries, seed by seed; as the prototype of
//! the law to a tenth.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    chart::{Axis, Chart, Series},
    client::{Client, Policy},
    cores,
    law::{self, JUDGED, Law, ORACLE, Terms},
    queue::Queue,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

const DOWN: f64 = 30.0;
const UP: f64 = 40.0;
const SEEDS: u64 = 8;
/// Over so many seconds the service must be good.
const WINDOW: usize = 10;

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub rate: f64,
    pub processes: usize,
    pub load: f64,
    pub time_out: f64,
}

/// For each second, the requests begun and those answered at the first try.
fn course(setup: Setup, policy: Policy, end: f64, seed: u64) -> Vec<(u32, u32)> {
    let Setup {
        rate,
        processes,
        load,
        time_out,
    } = setup;
    let seconds = Rc::new(RefCell::new(vec![(0, 0); end as usize + 1]));
    let counted = Rc::clone(&seconds);
    sim::run(seed, Duration::from_secs_f64(end), move || {
        let queue = Rc::new(Queue::new(rate / load).reduced(DOWN, UP, 0.2));
        let client = || Rc::new(Client::new(policy));
        let clients: Vec<_> = std::iter::repeat_with(client).take(processes).collect();
        let mut turn = 0;
        arrivals::poisson(seed, rate, end, move || {
            turn = (turn + 1) % processes;
            let client = Rc::clone(&clients[turn]);
            let queue = Rc::clone(&queue);
            let counted = Rc::clone(&counted);
            async move {
                let mut first = true;
                let call = || {
                    let limit = Duration::from_secs_f64(time_out);
                    let answer = Answer::ok(queue.enter()).within(limit);
                    if std::mem::take(&mut first) {
                        let second = &mut counted.borrow_mut()[sim::seconds() as usize];
                        second.0 += 1;
                        second.1 += u32::from(answer.result.is_ok());
                    }
                    answer.arrival()
                };
                let _ = client.call(call).await;
            }
        });
    });
    let mut seconds = seconds.take();
    seconds.pop();
    seconds
}

/// The seconds from the restoration of the capacity to that of the service.
pub fn recovery(setup: Setup, policy: Policy, end: f64, seed: u64) -> f64 {
    let seconds = course(setup, policy, end, seed);
    let good = seconds[UP as usize..].windows(WINDOW).position(|window| {
        let requests: u32 = window.iter().map(|second| second.0).sum();
        let answered: u32 = window.iter().map(|second| second.1).sum();
        f64::from(answered) >= 0.95 * f64::from(requests)
    });
    good.map_or(f64::INFINITY, |after| after as f64)
}

fn recoveries(setup: Setup, law: Law, end: f64) -> Vec<f64> {
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    cores::spread(&seeds, |seed| recovery(setup, Policy::new(law), end, *seed))
}

const fn setup(rate: f64, processes: usize, load: f64, time_out: f64) -> Setup {
    Setup {
        rate,
        processes,
        load,
        time_out,
    }
}

/// Those that the lines are about.
const GATED: [Setup; 5] = [
    setup(1000.0, 1, 0.85, 3.0),
    setup(1000.0, 1, 0.93, 3.0),
    setup(1000.0, 100, 0.85, 3.0),
    setup(1000.0, 100, 0.93, 3.0),
    setup(100.0, 10, 0.93, 3.0),
];

const FURTHER: [Setup; 4] = [
    setup(10.0, 1, 0.93, 3.0),
    setup(100.0, 10, 0.93, 1.0),
    setup(1000.0, 100, 0.85, 1.0),
    setup(1000.0, 100, 0.93, 1.0),
];

fn seconds(time: f64) -> String {
    if time.is_finite() {
        format!("{time:.0}")
    } else {
        "never".to_owned()
    }
}

pub fn section(scale: Scale) -> Section {
    let laws = law::compared(scale);
    let end = scale.pick(300.0, 250.0);
    let mut section = Section {
        title: "Recovery from an overload",
        about: "Seconds until the requests are answered at the first try again: mean of 8 seeds, \
                the worst in brackets; then the worst ratio to the same seed without retries."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    let further: &[Setup] = scale.pick(&FURTHER, &[]);
    for (at, setup) in GATED.iter().chain(further).enumerate() {
        let Setup {
            rate,
            processes,
            load,
            time_out,
        } = setup;
        let from = match processes {
            1 => "one process".to_owned(),
            more => format!("{more} processes"),
        };
        let what = format!("{rate}/s, {from}, load {load}, time-out {time_out} s");
        let times: Vec<_> = laws
            .iter()
            .map(|law| recoveries(*setup, *law, end))
            .collect();
        let without = &times[0];
        let worst = |times: &[f64]| {
            let ratios = times.iter().zip(without).map(|(time, base)| time / base);
            stats::max(&ratios.collect::<Vec<_>>())
        };
        let mut row = vec![what.clone()];
        row.extend(times.iter().map(|times| {
            let (mean, most) = (stats::mean(times), stats::max(times));
            let ratio = worst(times);
            if most.is_finite() {
                format!("{mean:.0} ({most:.0}), {ratio:.2}x")
            } else {
                let lost = times.iter().filter(|time| time.is_infinite()).count();
                format!("{} ({lost} of {SEEDS} never)", seconds(mean))
            }
        }));
        rows.push(row);
        if at >= GATED.len() {
            continue;
        }
        let of = |law: Law| &times[laws.iter().position(|one| *one == law).expect("compared")];
        if at < 2 {
            let published = [24.0, 63.0][at];
            let mean = stats::mean(without);
            section.lines.push(Line::published(
                format!("{what}, no retries, s"),
                mean,
                published,
                0.05,
            ));
        }
        let agree = stats::mean(of(JUDGED)) / stats::mean(of(ORACLE));
        section.lines.extend([
            Line::new(what.clone(), worst(of(JUDGED)), Bound::AtMost(1.6), 2),
            Line::new(
                format!("{what}, to the prototype"),
                agree,
                Bound::Between(0.9, 1.1),
                2,
            ),
        ]);
    }
    section.tables.push(Table::of_laws(laws, rows));
    if scale == Scale::Table {
        section.plots.push(("recovery", plot()));
    }
    section
}

/// The share answered at the first try, second by second.
fn plot() -> String {
    let policies = [
        ("afterbeat, budget of 10", 0, JUDGED),
        ("no retries", 1, Law::NoRetries),
        ("5 retries, no budget", 2, Law::Unlimited),
        ("a tenth of first tries", 4, Law::Bucket(Terms::ATTEMPTS)),
    ];
    let setup = setup(1000.0, 100, 0.85, 3.0);
    let series = cores::spread(&policies, |(name, colour, law)| {
        let course = course(setup, Policy::new(*law), 120.0, 1);
        let share = |(at, (all, ok)): (usize, &(u32, u32))| {
            (at as f64 - UP, 100.0 * f64::from(*ok) / f64::from(*all))
        };
        let points = course.iter().enumerate().map(share).collect();
        Series::line(*name, *colour, points)
    });
    Chart {
        title: "Recovery from an overload",
        subtitle: "1,000 requests/s from 100 processes, load .85, 10 s at 20 % of the capacity, time-out 3 s",
        x: Axis::linear("seconds after the capacity is back", -20.0, 80.0),
        y: Axis::linear("answered at the first try, %", 0.0, 100.0),
        shaded: Some((-10.0, 0.0, "outage")),
        mark: None,
        series,
    }
    .svg()
}
