//! A poller in an outage.
//!
//! Setup: one poller of 5 s; the server refuses all calls for 600 s. The job is one call,
//! or nine over 161.8 s as in the reference's session.
//!
//! Source: H7 of the results: an interval that does not wait for its job makes 996 attempts
//! with 33 jobs at once, one that does 34.
//!
//! Lines: those; and with a backoff, a poller of single calls makes at most 20 runs
//! (the median of 99 seeds).

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use afterbeat::{Backoff, Jitter, PollerBuilder, RetryBuilder};

use crate::{
    failure::Failure,
    report::{Bound, Line, Section, Table},
    scale::Scale,
    sim::{self, Virtual},
};

const INTERVAL: Duration = Duration::from_secs(5);
const OUTAGE: Duration = Duration::from_secs(600);

/// Nine attempts at getting a token, and the job's count among those under way.
async fn session(
    attempts: Rc<Cell<u32>>,
    jobs: Rc<Cell<u32>>,
    most: Rc<Cell<u32>>,
) -> Result<(), Failure> {
    jobs.set(jobs.get() + 1);
    most.set(most.get().max(jobs.get()));
    let policy = RetryBuilder::with_timer(Virtual)
        .initial_delay(Duration::from_secs(3))
        .factor(1.55)
        .max_delay(Duration::from_secs(50))
        .jitter(Jitter::NONE)
        .max_retries(8);
    let call = || {
        attempts.set(attempts.get() + 1);
        std::future::ready(Err(Failure::Refused))
    };
    let result = policy.retry(call).await;
    jobs.set(jobs.get() - 1);
    result
}

/// Attempts and jobs under way at most, of an interval that does not wait for its job.
fn interval() -> (u32, u32) {
    let [attempts, jobs, most] = [(); 3].map(|()| Rc::new(Cell::new(0)));
    let counts = (Rc::clone(&attempts), Rc::clone(&most));
    sim::run(1, OUTAGE, move || {
        sim::spawn(async move {
            loop {
                let job = session(Rc::clone(&attempts), Rc::clone(&jobs), Rc::clone(&most));
                sim::spawn(async move {
                    let _ = job.await;
                });
                sim::sleep(INTERVAL).await;
            }
        });
    });
    (counts.0.get(), counts.1.get())
}

/// The same for a poller.
fn poller() -> (u32, u32) {
    let [attempts, jobs, most] = [(); 3].map(|()| Rc::new(Cell::new(0)));
    let counts = (Rc::clone(&attempts), Rc::clone(&most));
    sim::run(1, OUTAGE, move || {
        sim::spawn(async move {
            let poller = PollerBuilder::with_timer(Virtual, INTERVAL).jitter(Jitter::NONE);
            let poll = || session(Rc::clone(&attempts), Rc::clone(&jobs), Rc::clone(&most));
            let mut stream = pin!(poller.stream(poll));
            while stream.as_mut().next().await.is_some() {}
        });
    });
    (counts.0.get(), counts.1.get())
}

/// The runs of a poller of single calls.
fn single(backoff: bool, seed: u64) -> u32 {
    let runs = Rc::new(Cell::new(0));
    let counted = Rc::clone(&runs);
    sim::run(seed, OUTAGE, move || {
        sim::spawn(async move {
            let poller = PollerBuilder::with_timer(Virtual, INTERVAL);
            let poll = || {
                counted.set(counted.get() + 1);
                std::future::ready(Err::<(), _>(Failure::Refused))
            };
            if backoff {
                let mut stream = pin!(poller.backoff(Backoff::new()).stream(poll));
                while stream.as_mut().next().await.is_some() {}
            } else {
                let mut stream = pin!(poller.stream(poll));
                while stream.as_mut().next().await.is_some() {}
            }
        });
    });
    runs.get()
}

pub fn section(_: Scale) -> Section {
    let (overlapping, jobs) = interval();
    let (attempts, one) = poller();
    let alone = single(false, 1);
    let mut runs: Vec<u32> = (1..=99).map(|seed| single(true, seed)).collect();
    runs.sort_unstable();
    let (runs, most) = (runs[runs.len() / 2], runs[runs.len() - 1]);
    let row = |name: &str, attempts: u32, jobs: u32| {
        vec![name.to_owned(), attempts.to_string(), jobs.to_string()]
    };
    Section {
        title: "A poller in an outage",
        about: "Calls in 600 s, and jobs under way at once; with a backoff the \
                median of 99 seeds and the most."
            .to_owned(),
        tables: vec![Table::new(
            &["", "calls", "jobs at once"],
            vec![
                row("an interval, nine calls a job", overlapping, jobs),
                row("**afterbeat**, nine calls a job", attempts, one),
                row("**afterbeat**, one call a job", alone, 1),
                vec![
                    "**afterbeat**, one call a job, with a backoff".to_owned(),
                    format!("{runs} ({most})"),
                    "1".to_owned(),
                ],
            ],
        )],
        lines: vec![
            Line::published("an interval, calls", overlapping.into(), 996.0, 0.05),
            Line::published("an interval, jobs at once", jobs.into(), 33.0, 0.05),
            Line::published("a poller, calls", attempts.into(), 34.0, 0.05),
            Line::new(
                "afterbeat, one call a job, with a backoff",
                runs.into(),
                Bound::AtMost(20.0),
                0,
            ),
        ],
        ..Section::default()
    }
}
