//! Whether a server that mostly says no, and is well, funds its retries.
//!
//! Setup: 100 lookups a second for 10 minutes from one process with 5 retries and a
//! budget of 10; calls take 20 ms; 5 % fail, and of the rest 90 % are answered with a 404,
//! which is final, and which the predicate reports by `credit()`.
//!
//! Source: the objection to budgets that only successes fund.
//!
//! Line: at least 99 % of the lookups that fail at first get an answer.

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::{
    answer::Answer,
    arrivals,
    client::{Client, Policy},
    cores,
    failure::Failure,
    law::{self, JUDGED, Law},
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim, stats,
};

fn answered(policy: Policy, share: f64, seed: u64) -> f64 {
    let sums = Rc::new(RefCell::new((0_u32, 0_u32)));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs(660), move || {
        let client = Rc::new(Client::new(policy));
        arrivals::poisson(seed, 100.0, 600.0, move || {
            let client = Rc::clone(&client);
            let counted = Rc::clone(&counted);
            async move {
                let mut failed = false;
                let call = || {
                    let latency = Duration::from_millis(20);
                    let answer = if fastrand::f64() < share {
                        failed = true;
                        Answer::failed(latency, Failure::Refused)
                    } else if fastrand::f64() < 0.9 {
                        Answer::failed(latency, Failure::Final)
                    } else {
                        Answer::ok(latency)
                    };
                    answer.arrival()
                };
                let result = client.call(call).await;
                if failed {
                    let mut sums = counted.borrow_mut();
                    sums.0 += 1;
                    sums.1 += u32::from(result != Err(Failure::Refused));
                }
            }
        });
    });
    let (failed, answered) = *sums.borrow();
    f64::from(answered) / f64::from(failed)
}

pub fn section(scale: Scale) -> Section {
    let laws = law::compared(scale);
    let mut section = Section {
        title: "A healthy server that answers 404",
        about: "Share of the failed lookups that get an answer, by the share that fails: worst of \
                8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=8).collect();
    let shares: &[f64] = scale.pick(&[0.02, 0.05, 0.08, 0.1], &[0.05]);
    let mut rows = Vec::new();
    for law in laws {
        for credits in [false, true] {
            let policy = Policy::new(*law).credits(credits);
            let with = if credits { ", with `credit()`" } else { "" };
            let mut row = vec![format!("{}{with}", law.name())];
            for share in shares {
                let worst = cores::spread(&seeds, |seed| answered(policy, *share, *seed));
                let worst = stats::min(&worst);
                row.push(format!("{worst:.4}"));
                if *law == JUDGED && credits && *share == 0.05 {
                    let what = "5 % fail, with `credit()`";
                    section
                        .lines
                        .push(Line::new(what, worst, Bound::AtLeast(0.99), 4));
                }
            }
            // Laws whose refusal is final do not know the call.
            if !credits
                || matches!(
                    law,
                    Law::Held | Law::Fixed | Law::Growing | Law::Wider | Law::Crate
                )
            {
                rows.push(row);
            }
        }
    }
    let percent = |share: &f64| format!("{:.0} %", 100.0 * share);
    let head = [String::new()]
        .into_iter()
        .chain(shares.iter().map(percent));
    section.tables.push(Table {
        head: head.collect(),
        rows,
    });
    section
}
