//! What a `Trace` writes to `tracing`.

use std::{cell::Cell, future::ready, io, time::Duration};

use afterbeat::{
    Always, Backoff, Clock, Event, Extras, ManualTimer, RetryBudget, RetryBuilder, Timer, Trace,
    Unset,
};
use tracing::Level;

use self::lines::lines;

mod lines;

const SECOND: Duration = Duration::from_secs(1);

/// An error with a cause, and that with another.
#[derive(Debug, thiserror::Error)]
#[error("could not send the order")]
struct OrderError(#[source] Lost);

#[derive(Debug, thiserror::Error)]
#[error("connection lost")]
struct Lost(#[source] io::Error);

fn lost() -> OrderError {
    OrderError(Lost(io::ErrorKind::ConnectionRefused.into()))
}

const LOST: &str = r#"error="could not send the order: connection lost: connection refused""#;

type Policy<'a, X = Unset> = RetryBuilder<&'a ManualTimer, Always, X>;

/// Half a microsecond more than two seconds between any two attempts.
fn policy(timer: &ManualTimer) -> Policy<'_> {
    RetryBuilder::with_timer(timer)
        .backoff(Backoff::constant(2 * SECOND + Duration::from_nanos(500)))
        .max_retries(2)
}

/// What is written of a call that succeeds the n-th time, if it gets there.
macro_rules! traced {
    ($policy:expr, $timer:expr, $succeeds_at:expr, $error:expr) => {{
        let mut calls = 0;
        lines(Level::TRACE, || {
            let _ = $timer.run($policy.retry(|| {
                calls += 1;
                ready(if calls == $succeeds_at {
                    Ok(())
                } else {
                    Err($error)
                })
            }));
        })
    }};
}

#[test]
fn a_first_try_success_writes_nothing() {
    let timer = ManualTimer::new();
    let policy = policy(&timer).trace(Trace::new("orders"));
    assert!(traced!(policy, timer, 1, lost()).is_empty());
}

#[test]
fn a_sequence_is_written_with_name_causes_counts_and_milliseconds() {
    let timer = ManualTimer::new();
    // A type that can be written down.
    let policy: Policy<'_, Extras<(Unset, Trace)>> = policy(&timer).trace(Trace::new("orders"));
    let retrying = |n, elapsed| {
        format!(
            r#"INFO message="retrying" policy="orders" {LOST} retry={n} limit=2 wait_ms=2000.0005 elapsed_ms={elapsed}"#
        )
    };
    let succeeded =
        r#"INFO message="succeeded after retries" policy="orders" retries=1 elapsed_ms=2000.0005"#;
    assert_eq!(
        traced!(policy, timer, 2, lost()),
        [retrying(1, "0"), succeeded.to_owned()]
    );
    let gave_up = format!(
        r#"WARN message="gave up" policy="orders" {LOST} reason="the limit on retries was reached" retries=2 elapsed_ms=4000.001"#
    );
    assert_eq!(
        traced!(policy, timer, 9, lost()),
        [retrying(1, "0"), retrying(2, "2000.0005"), gave_up]
    );
}

#[test]
fn a_policy_without_a_limit_writes_none() {
    let timer = ManualTimer::new();
    let policy = policy(&timer)
        .without_max_retries()
        .trace(Trace::new("orders"));
    let log = traced!(policy, timer, 2, lost());
    assert!(log[0].contains("retry=1 wait_ms="), "{}", log[0]);
}

/// A refusal uses up a retry, but the limit that is written stays the policy's.
#[test]
fn a_refusal_of_the_budget_is_written_as_such() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(0));
    let policy = policy(&timer)
        .max_retries(3)
        .budget(&budget)
        .trace(Trace::new("orders"));
    let line = |message, elapsed| {
        format!(
            r#"INFO message="{message}" policy="orders" {LOST} retry=1 limit=3 wait_ms=2000.0005 elapsed_ms={elapsed}"#
        )
    };
    let gave_up = format!(
        r#"WARN message="gave up" policy="orders" {LOST} reason="the retry budget had nothing left" retries=0 elapsed_ms=6000.0015"#
    );
    assert_eq!(
        traced!(policy, timer, 9, lost()),
        [
            line("retrying", "0"),
            line("postponed by the retry budget", "2000.0005"),
            line("postponed by the retry budget", "4000.001"),
            gave_up,
        ]
    );
}

#[test]
fn giving_up_is_one_level_more_severe() {
    let levels = [
        (Level::TRACE, Level::DEBUG),
        (Level::DEBUG, Level::INFO),
        (Level::INFO, Level::WARN),
        (Level::WARN, Level::ERROR),
        (Level::ERROR, Level::ERROR),
    ];
    for (level, above) in levels {
        let timer = ManualTimer::new();
        let policy = policy(&timer).trace(Trace::new("orders").level(level));
        let first = |line: &String| line.split(' ').next().unwrap().to_owned();
        let written: Vec<_> = traced!(policy, timer, 9, lost())
            .iter()
            .map(first)
            .collect();
        assert_eq!(
            written,
            [level, level, above].map(|level| level.to_string())
        );
        let written: Vec<_> = traced!(policy, timer, 2, lost())
            .iter()
            .map(first)
            .collect();
        assert_eq!(written, [level, level].map(|level| level.to_string()));
    }
}

/// Neither a text nor a boxed error is an `Error`.
#[test]
fn errors_that_are_only_displayed_are_written_as_texts() {
    let timer = ManualTimer::new();
    let policy = policy(&timer).trace(Trace::new("orders").text());
    for line in traced!(policy, timer, 9, "refused") {
        assert!(line.contains(r#" error="refused" "#), "{line}");
    }
    for line in traced!(
        policy,
        timer,
        9,
        Box::<dyn std::error::Error>::from("refused")
    ) {
        assert!(line.contains(r#" error="refused" "#), "{line}");
    }
}

#[test]
fn a_trace_and_observers_are_all_told() {
    let timer = ManualTimer::new();
    let (before, after) = (Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let policy = policy(&timer)
        .observe(|_: Event<'_, OrderError>| count(&before))
        .trace(Trace::new("orders"))
        .trace(Trace::new("all calls").level(Level::DEBUG))
        .observe(|_: Event<'_, OrderError>| count(&after));
    let log = traced!(policy, timer, 9, lost());
    assert_eq!((before.get(), after.get(), log.len()), (3, 3, 2 * 3));
    assert!(log[0].starts_with(r#"INFO message="retrying" policy="orders""#));
    assert!(log[1].starts_with(r#"DEBUG message="retrying" policy="all calls""#));
}

/// A timer that counts how often its clock is read.
struct Counting<'a>(&'a ManualTimer, Cell<u32>);

impl Clock for Counting<'_> {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.1.set(self.1.get() + 1);
        self.0.now()
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.1.set(self.1.get() + 1);
        self.0.elapsed(since)
    }
}

impl Timer for Counting<'_> {
    type Sleep = <ManualTimer as Timer>::Sleep;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }
}

/// The beginning is read once; from then on the clock is read for what is written.
#[test]
fn the_clock_is_read_only_if_the_level_is_enabled() {
    let manual = ManualTimer::new();
    let timer = Counting(&manual, Cell::new(0));
    let policy = RetryBuilder::with_timer(&timer)
        .max_retries(3)
        .trace(Trace::new("orders").text());
    for (enabled, written) in [(Level::ERROR, 0), (Level::WARN, 1), (Level::INFO, 4)] {
        let log = lines(enabled, || {
            let _ = manual.run(policy.retry(|| ready(Err::<(), _>("refused"))));
        });
        assert_eq!((log.len(), timer.1.take()), (written, 1 + written as u32));
    }
}
