//! What attempts cost that hang for ever.
//!
//! Setup: 100 requests a second for 30 minutes from one process with 5 retries and a
//! budget of 10, without a time-out; calls take 20 ms, one in 20 is refused, all are for
//! the last 2 s of each 120 s, and one retry in 50 never ends.
//!
//! Source: the objection to law B in the notes on kindness.
//!
//! Line: of the requests begun outside a blip in the last ten minutes whose first call
//! is refused and that do not themselves hang, at least 99 % succeed.

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

const END: f64 = 1800.0;

fn refuses(at: f64) -> bool {
    at % 120.0 >= 118.0
}

fn success(law: Law, seed: u64) -> f64 {
    // Failed at first; of these succeeded, and ended in an error.
    let sums = Rc::new(RefCell::new((0_u32, 0_u32)));
    let counted = Rc::clone(&sums);
    sim::run(seed, Duration::from_secs_f64(END + 60.0), move || {
        let client = Rc::new(Client::new(Policy::new(law)));
        arrivals::poisson(seed, 100.0, END + 60.0, move || {
            let client = Rc::clone(&client);
            let counted = Rc::clone(&counted);
            async move {
                let begun = sim::seconds();
                let mut calls = 0;
                let call = || {
                    calls += 1;
                    let latency = Duration::from_millis(20);
                    let answer = if calls > 1 && fastrand::f64() < 0.02 {
                        Answer::ok(Duration::MAX)
                    } else if refuses(sim::seconds()) || fastrand::f64() < 0.05 {
                        Answer::failed(latency, Failure::Refused)
                    } else {
                        Answer::ok(latency)
                    };
                    answer.arrival()
                };
                // What hangs does not return from this.
                let result = client.call(call).await;
                let late = (END - 600.0..END).contains(&begun);
                // The waits are at most 7.75 s: none of these meets a blip again.
                let quiet = begun % 120.0 < 110.0 && begun % 120.0 > 10.0;
                let failed = calls > 1 || result.is_err();
                if late && quiet && failed {
                    let mut sums = counted.borrow_mut();
                    sums.0 += 1;
                    sums.1 += u32::from(result.is_ok());
                }
            }
        });
    });
    let (failed, succeeded) = *sums.borrow();
    f64::from(succeeded) / f64::from(failed)
}

pub fn section(scale: Scale) -> Section {
    let laws = law::compared(scale);
    let mut section = Section {
        title: "Attempts that hang for ever",
        about: "Success of requests whose first call was refused, after 20 minutes in which one \
                retry in 50 never ended: worst of 8 seeds."
            .to_owned(),
        ..Section::default()
    };
    let seeds: Vec<u64> = (1..=8).collect();
    let mut rows = Vec::new();
    for law in laws {
        let worst = stats::min(&cores::spread(&seeds, |seed| success(*law, *seed)));
        rows.push(vec![law.name().to_owned(), format!("{worst:.4}")]);
        if *law == JUDGED {
            section.lines.push(Line::new(
                "success, worst seed",
                worst,
                Bound::AtLeast(0.99),
                4,
            ));
        }
    }
    section.tables.push(Table::new(&["", "success"], rows));
    section
}
