//! How long an overload outlives its cause.
//!
//! Setup: Poisson requests from a number of processes, each with a budget of 10 and 5
//! retries, at a server that works off one queue and also works on calls that have
//! timed out. After 30 s its capacity falls to 20 % for 10 s. It has recovered when,
//! for ten seconds on end, 95 % of the requests are answered at the first try.
//!
//! Source: H5 of the results and the table of laws in the notes on kindness.
//!
//! Line: at most 1.6 times the time without retries, seed by seed.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    client::{Client, Policy},
    cores,
    law::Law,
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

/// The seconds from the restoration of the capacity to that of the service.
pub fn recovery(setup: Setup, policy: Policy, end: f64, seed: u64) -> f64 {
    let Setup {
        rate,
        processes,
        load,
        time_out,
    } = setup;
    // For each second, the requests begun and those answered at the first try.
    let seconds = Rc::new(RefCell::new(vec![(0_u32, 0_u32); end as usize + 1]));
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
    let seconds = seconds.borrow();
    let mut windows = seconds[..end as usize].windows(WINDOW).skip(UP as usize);
    let good = windows.position(|window| {
        let requests: u32 = window.iter().map(|second| second.0).sum();
        let answered: u32 = window.iter().map(|second| second.1).sum();
        f64::from(answered) >= 0.95 * f64::from(requests)
    });
    good.map_or(f64::INFINITY, |after| after as f64)
}

pub fn recoveries(setup: Setup, law: Law, end: f64) -> Vec<f64> {
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    cores::spread(&seeds, |seed| recovery(setup, Policy::new(law), end, *seed))
}

pub fn section(scale: Scale, laws: &[Law], ours: &[Law]) -> Section {
    let setup = |rate, processes, load, time_out| Setup {
        rate,
        processes,
        load,
        time_out,
    };
    let mut setups = vec![
        (true, setup(1000.0, 1, 0.85, 3.0)),
        (true, setup(1000.0, 1, 0.93, 3.0)),
        (true, setup(1000.0, 100, 0.85, 3.0)),
        (true, setup(1000.0, 100, 0.93, 3.0)),
        (true, setup(100.0, 10, 0.93, 3.0)),
    ];
    if scale == Scale::Table {
        setups.extend([
            (false, setup(10.0, 1, 0.93, 3.0)),
            (false, setup(100.0, 10, 0.93, 1.0)),
            (false, setup(1000.0, 100, 0.85, 1.0)),
            (false, setup(1000.0, 100, 0.93, 1.0)),
        ]);
    }
    let end = scale.pick(400.0, 250.0);
    let mut section = Section {
        title: "Recovery from an overload",
        about: "Seconds until ten seconds in which 95 % of the requests are answered at the \
                first try: mean of 8 seeds, and the worst; then the worst ratio to the same seed \
                without retries."
            .to_owned(),
        ..Section::default()
    };
    let mut rows = Vec::new();
    for (gated, setup) in setups {
        let Setup {
            rate,
            processes,
            load,
            time_out,
        } = setup;
        let what = format!("{rate}/s, {processes} processes, load {load}, time-out {time_out} s");
        let without = recoveries(setup, Law::NoRetries, end);
        let mut row = vec![what.clone()];
        for law in laws {
            let times = match law {
                Law::NoRetries => without.clone(),
                _ => recoveries(setup, *law, end),
            };
            let ratios = times.iter().zip(&without).map(|(time, base)| time / base);
            let worst = stats::max(&ratios.collect::<Vec<_>>());
            row.push(format!(
                "{:.0} ({:.0}), {worst:.2}x",
                stats::mean(&times),
                stats::max(&times)
            ));
            if gated && ours.contains(law) {
                let what = format!("{}: {what}", law.name());
                section.lines.push(Line::new(what, worst, Bound::AtMost(1.6), 2));
            }
        }
        rows.push(row);
    }
    let head = ["".to_owned()].into_iter();
    let head = head.chain(laws.iter().map(|law| law.name().to_owned()));
    section.tables.push(Table {
        head: head.collect(),
        rows,
    });
    section
}
