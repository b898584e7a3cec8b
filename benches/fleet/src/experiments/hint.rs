//! A fleet that is told when to come back.
//!
//! Setup: 1,000 clients with the default policy are all told `Retry-After: 30`.
//!
//! Source: the notes on kindness, where an interval as wide as the curve's brought 734
//! of them back within 100 ms.
//!
//! Second setup: 1,000 clients with the default policy call at once a server that
//! takes 20 calls a second, 20 at a time, and tells the others `Retry-After: 30`.
//!
//! Lines: at most 3 % come back in the worst 100 ms; nobody behind the limiter gives up.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use afterbeat::{Backoff, RetryBuilder};

use crate::{
    client::{Client, Policy},
    cores,
    failure::Failure,
    hint,
    law::Law,
    limiter::Limiter,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim::{self, Virtual},
    stats,
};

const CLIENTS: usize = 1000;
const HINT: Duration = Duration::from_secs(30);

/// The peak of the first retries by the crate.
fn by_the_crate(seed: u64) -> f64 {
    let returns = Rc::new(RefCell::new(Vec::with_capacity(CLIENTS)));
    let counted = Rc::clone(&returns);
    sim::run(seed, Duration::from_secs(120), move || {
        for _ in 0..CLIENTS {
            let counted = Rc::clone(&counted);
            let policy = RetryBuilder::with_timer(Virtual)
                .should_retry(|failure: &Failure, _| failure.decision())
                .seed(fastrand::u64(..));
            sim::spawn(async move {
                let mut told = false;
                let call = || {
                    let first = !std::mem::replace(&mut told, true);
                    if !first {
                        counted.borrow_mut().push(sim::seconds());
                    }
                    let told = if first { Err(Failure::RetryAfter(HINT)) } else { Ok(()) };
                    std::future::ready(told)
                };
                let _ = policy.retry(call).await;
            });
        }
    });
    stats::peak(&mut returns.borrow_mut(), 0.1) as f64
}

/// The same by the rule as it is written in the design.
fn by_the_rule(seed: u64) -> f64 {
    fastrand::seed(seed);
    let wait = |_| hint::wait(&Backoff::new(), 1, HINT).as_secs_f64();
    let mut waits: Vec<f64> = (0..CLIENTS).map(wait).collect();
    stats::peak(&mut waits, 0.1) as f64
}

/// Behind the limiter: how many gave up, how many calls were refused, and when the last
/// of the others was served.
#[derive(Clone, Copy, Default)]
struct Limited {
    gave_up: f64,
    refused: f64,
    last: f64,
}

fn limited(policy: Policy, seed: u64) -> Limited {
    let sums = Rc::new(Cell::new(Limited::default()));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs(3600), move || {
        let limiter = Rc::new(Limiter::new(20.0, 20.0));
        for _ in 0..CLIENTS {
            let client = Client::new(policy);
            let limiter = Rc::clone(&limiter);
            let counted = Rc::clone(&counted);
            sim::spawn(async move {
                let call = || {
                    let taken = limiter.take();
                    let mut sums = counted.get();
                    sums.refused += f64::from(u8::from(!taken));
                    counted.set(sums);
                    std::future::ready(taken.then_some(()).ok_or(Failure::RetryAfter(HINT)))
                };
                let result = client.call(call).await;
                let mut sums = counted.get();
                match result {
                    Ok(()) => sums.last = sim::seconds(),
                    Err(_) => sums.gave_up += 1.0,
                }
                counted.set(sums);
            });
        }
    });
    sums.get()
}

pub fn section(_: Scale, ours: bool) -> Section {
    let mut section = Section {
        title: "A fleet that is told when to come back",
        about: "Of 1,000 clients told `Retry-After: 30`, those that return in the worst 100 ms; \
                then behind a limiter of 20/s: how many give up after 4 retries, and for those \
                that do not, how many calls are refused and when all are served. Worst of 8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=8).collect();
    // A budget that never refuses, so that only the rule for hints is the prototype's.
    let prototype = Policy::new(Law::Fixed).stored(1_000_000);
    let mut rows = Vec::new();
    for (name, peak, policy) in [
        ("rule of the design", by_the_rule as fn(u64) -> f64, prototype),
        ("afterbeat", by_the_crate, Policy::new(Law::Unlimited)),
    ] {
        let peak = stats::max(&cores::spread(&seeds, |seed| peak(*seed)));
        let worst = |policy: Policy, of: fn(&Limited) -> f64| {
            let runs = cores::spread(&seeds, |seed| limited(policy, *seed));
            stats::max(&runs.iter().map(of).collect::<Vec<_>>())
        };
        let gave_up = worst(policy.retries(4), |run| run.gave_up);
        let refused = worst(policy.retries(u32::MAX), |run| run.refused);
        let last = worst(policy.retries(u32::MAX), |run| run.last);
        rows.push(vec![
            name.to_owned(),
            format!("{peak:.0}"),
            format!("{gave_up:.0}"),
            format!("{refused:.0}"),
            format!("{last:.0} s"),
        ]);
        if name == "afterbeat" && !ours {
            continue;
        }
        section.lines.extend([
            Line::new(format!("{name}: in the worst 100 ms"), peak, Bound::AtMost(30.0), 0),
            Line::new(format!("{name}: give up behind the limiter"), gave_up, Bound::AtMost(0.0), 0),
        ]);
    }
    let head = ["", "in 100 ms", "give up", "refused", "all served"];
    section.tables.push(Table {
        head: head.map(str::to_owned).to_vec(),
        rows,
    });
    section
}
