//! A fleet that is told when to come back.
//!
//! Setup: 1,000 clients with the default policy are all told `Retry-After: 30`.
//!
//! Source: the notes on kindness, where an interval as wide as the curve's brought 734
//! of them back within 100 ms.
//!
//! Line: at most 3 % come back in the worst 100 ms.

use std::{cell::RefCell, rc::Rc, time::Duration};

use afterbeat::{Backoff, RetryBuilder};

use crate::{
    cores,
    failure::Failure,
    hint,
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

pub fn section(_: Scale, ours: bool) -> Section {
    let mut section = Section {
        title: "A fleet that is told when to come back",
        about: "Of 1,000 clients told `Retry-After: 30`, those that return in the worst 100 ms: \
                worst of 8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=8).collect();
    let rule = stats::max(&cores::spread(&seeds, |seed| by_the_rule(*seed)));
    let measured = stats::max(&cores::spread(&seeds, |seed| by_the_crate(*seed)));
    section.tables.push(Table {
        head: vec!["rule of the design".to_owned(), "afterbeat".to_owned()],
        rows: vec![vec![format!("{rule:.0}"), format!("{measured:.0}")]],
    });
    section.lines.push(Line::new("rule", rule, Bound::AtMost(30.0), 0));
    if ours {
        section.lines.push(Line::new("afterbeat", measured, Bound::AtMost(30.0), 0));
    }
    section
}
