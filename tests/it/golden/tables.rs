//! The seed's schedules in seconds, as people quote them.
//!
//! Each is kept on the clock, where every attempt fails at once: the instants of
//! the calls are exact to the nanosecond. A jittered schedule has a row for each
//! end of its jitter, and its own calls lie between them.

use std::{iter::zip, time::Duration};

use afterbeat::{Backoff, Clock, Jitter, ManualTimer, RetryBuilder};

/// How clerk retries the refresh of a session token.
const SESSION: Backoff = Backoff::new()
    .initial_delay(Duration::from_secs(3))
    .factor(1.55)
    .max_delay(Duration::from_secs(50))
    .jitter(Jitter::NONE);

/// How it retries a request that did not reach the server.
const NETWORK: Backoff = Backoff::new()
    .immediate_retry(true)
    .initial_delay(Duration::from_millis(700))
    .max_delay(Duration::from_secs(5));

/// How it did so before.
const FORMER_NETWORK: Backoff = Backoff::new()
    .immediate_retry(true)
    .initial_delay(Duration::from_millis(500))
    .max_delay(Duration::from_secs(3));

/// How it retried a refresh before: by the defaults of the time.
const FORMER_SESSION: Backoff = Backoff::new().immediate_retry(true);

#[test]
fn the_session_schedule_is_kept_to_the_nanosecond() {
    let table = [
        // retry, wait, instant of the call
        (1, 3.0, 3.0),
        (2, 4.65, 7.65),
        (3, 7.2075, 14.8575),
        (4, 11.171_625, 26.029_125),
        (5, 17.316_018_750, 43.345_143_750),
        (6, 26.839_829_063, 70.184_972_813),
        (7, 41.601_735_047, 111.786_707_860),
        (8, 50.0, 161.786_707_860),
    ];
    let calls = calls(SESSION, 8, 0);
    assert_eq!((calls.len(), calls[0]), (9, Duration::ZERO));
    for (retry, wait, call) in table {
        let (wait, call) = (seconds(wait), seconds(call));
        assert_eq!(SESSION.bounds(retry), wait..=wait, "retry {retry}");
        assert_eq!(SESSION.total(retry), call..=call, "retry {retry}");
        assert_eq!(calls[retry as usize], call, "retry {retry}");
    }
    let eighth = SESSION.without_max_delay().bounds(8);
    assert_eq!(format!("{:.6?}", eighth.end()), "64.482689s");
}

#[test]
fn the_session_schedule_takes_161_786708_s_at_worst() {
    let policy = RetryBuilder::with_timer(ManualTimer::new())
        .backoff(SESSION)
        .max_retries(8);
    assert_eq!(format!("{:.6?}", policy.total().end()), "161.786708s");
}

/// A jittered schedule: when its calls come.
struct Schedule {
    name: &'static str,
    backoff: Backoff,
    /// The first row: the seed's jitter always draws 1.
    lower: &'static [f64],
    /// The second row: it always draws 2.
    upper: &'static [f64],
    /// The earliest that ours come. The seed jitters and then caps, so at the cap
    /// its first row has the cap itself; ours clips the interval, whose lower end
    /// is then half the cap.
    earliest: &'static [f64],
}

const SCHEDULES: [Schedule; 5] = [
    Schedule {
        name: "the defaults, 4 retries",
        backoff: Backoff::new(),
        lower: &[0.0, 0.125, 0.375, 0.875, 1.875],
        upper: &[0.0, 0.25, 0.75, 1.75, 3.75],
        earliest: &[0.0, 0.125, 0.375, 0.875, 1.875],
    },
    Schedule {
        name: "network, 3 retries",
        backoff: NETWORK,
        lower: &[0.0, 0.1, 0.8, 2.2],
        upper: &[0.0, 0.2, 1.6, 4.4],
        earliest: &[0.0, 0.1, 0.8, 2.2],
    },
    Schedule {
        name: "network, 10 retries where the machine is offline",
        backoff: NETWORK,
        lower: &[0.0, 0.1, 0.8, 2.2, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0],
        upper: &[0.0, 0.2, 1.6, 4.4, 9.4, 14.4, 19.4, 24.4, 29.4, 34.4, 39.4],
        earliest: &[0.0, 0.1, 0.8, 2.2, 4.7, 7.2, 9.7, 12.2, 14.7, 17.2, 19.7],
    },
    Schedule {
        name: "network as it was, 3 retries",
        backoff: FORMER_NETWORK,
        lower: &[0.0, 0.1, 0.6, 1.6],
        upper: &[0.0, 0.2, 1.2, 3.2],
        earliest: &[0.0, 0.1, 0.6, 1.6],
    },
    Schedule {
        name: "session as it was, 3 retries",
        backoff: FORMER_SESSION,
        lower: &[0.0, 0.1, 0.225, 0.475],
        upper: &[0.0, 0.2, 0.45, 0.95],
        earliest: &[0.0, 0.1, 0.225, 0.475],
    },
];

#[test]
fn both_ends_of_a_jittered_schedule_are_kept_to_the_nanosecond() {
    for Schedule {
        name,
        backoff,
        lower,
        upper,
        ..
    } in SCHEDULES
    {
        let retries = lower.len() as u32 - 1;
        let all = |row: &[f64]| row.iter().copied().map(seconds).collect::<Vec<_>>();
        let twice = Jitter::between(2.0, 2.0);
        assert_eq!(
            calls(backoff.jitter(Jitter::NONE), retries, 0),
            all(lower),
            "{name}"
        );
        assert_eq!(
            calls(backoff.jitter(twice), retries, 0),
            all(upper),
            "{name}"
        );
    }
}

#[test]
fn a_jittered_schedule_lies_between_its_ends() {
    for Schedule {
        name,
        backoff,
        earliest,
        upper,
        ..
    } in SCHEDULES
    {
        for (retries, (earliest, latest)) in (0..).zip(zip(earliest, upper)) {
            let ends = seconds(*earliest)..=seconds(*latest);
            assert_eq!(backoff.total(retries), ends, "{name}, {retries} retries");
        }
        for seed in 0..100 {
            let calls = calls(backoff, upper.len() as u32 - 1, seed);
            for (retry, call) in (0..).zip(&calls) {
                let ends = backoff.total(retry);
                assert!(
                    ends.contains(call),
                    "{name}, retry {retry}, seed {seed}: {call:?}"
                );
            }
            for (retry, pair) in (1..).zip(calls.windows(2)) {
                let (wait, bounds) = (pair[1].abs_diff(pair[0]), backoff.bounds(retry));
                assert!(
                    bounds.contains(&wait),
                    "{name}, retry {retry}, seed {seed}: {wait:?}"
                );
            }
        }
    }
}

/// The seed's last six waits are 5 s, for everyone and every time.
#[test]
fn a_jittered_schedule_is_spread_at_the_cap_too() {
    let runs: Vec<_> = (0..100).map(|seed| calls(NETWORK, 10, seed)).collect();
    for retry in 1..=10 {
        let bounds = NETWORK.bounds(retry);
        let fifth = bounds.end().abs_diff(*bounds.start()) / 5;
        let after = retry as usize;
        let wait = |calls: &Vec<Duration>| calls[after].abs_diff(calls[after - 1]);
        let least = runs.iter().map(wait).min().unwrap();
        let greatest = runs.iter().map(wait).max().unwrap();
        assert!(least < *bounds.start() + fifth, "retry {retry}: {least:?}");
        assert!(
            greatest + fifth > *bounds.end(),
            "retry {retry}: {greatest:?}"
        );
    }
}

/// When the calls of a policy come if each fails at once.
fn calls(backoff: Backoff, retries: u32, seed: u64) -> Vec<Duration> {
    let timer = ManualTimer::new();
    let mut calls = Vec::new();
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(backoff)
        .max_retries(retries)
        .seed(seed);
    let result = timer.run(policy.retry(|| {
        calls.push(timer.now());
        async { Err::<(), _>("refused") }
    }));
    assert_eq!(result, Err("refused"));
    calls
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
