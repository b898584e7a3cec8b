//! `tests/golden/retry-corpus.json`: sequences of the seed's `retry()`.
//!
//! A case has the options, the predicate, a script of what each attempt does and
//! how long it takes, and the numbers that `Math.random` returned. It is replayed
//! through [`RetryBuilder::retry`]: an option that was left out is left out here
//! too, so the defaults are compared as well.
//!
//! Attempts, the iterations that the predicate saw, the outcome and whose error
//! came out are equal. A recorded wait is the point of `bounds(n)` that the
//! recorded random number names, within 2 ns, above a minute within one part in
//! 10⁹; our own wait, drawn from another number, lies within `bounds(n)` too.
//! Without jitter `bounds(n)` is one point. Recorded waits are floats, and so is
//! the initial delay, which may have a fraction of a nanosecond: the comparison
//! takes that fraction out.

use std::{cell::RefCell, iter::zip, ops::RangeInclusive, time::Duration};

use afterbeat::{Backoff, Clock, Event, InvalidFactor, Jitter, ManualTimer, RetryBuilder, Timer};
use serde_json::{Value, json};

use super::{Tally, count};

const CORPUS: &str = include_str!("../../golden/retry-corpus.json");

/// "Without a cap": the longest wait there is, 584 years.
const FOREVER: Duration = Duration::from_nanos(u64::MAX);

/// Where this crate leaves the seed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// In the options: no cap is given, or one of 0, which the seed takes for
    /// none. Here zero means zero, there is a cap by default, and no cap is asked
    /// for by name.
    UncappedByName,
    /// In the options: a predicate is given, which replaces the seed's limit of 4
    /// retries. Here both hold, and no limit is asked for by name.
    UnlimitedByName,
    /// In a wait: the seed jitters, then caps, so that waits pile up at the cap.
    /// Here the interval is clipped: it keeps its spread and still contains the
    /// recorded wait.
    IntervalClipped,
    /// In a wait: the 100 ms of the seed's immediate retry ignore the cap. Here
    /// the cap is a promise.
    ImmediateRetryCapped,
    /// In a wait: the delay outgrows the clock, which makes the seed's timer fire
    /// after 1 ms. Here it saturates.
    Saturated,
    /// In a wait: zero times an overflowed factor is NaN, which also fires after
    /// 1 ms and passes through the cap. Here zero stays zero.
    ZeroStaysZero,
}

#[test]
fn attempts_iterations_and_outcomes_are_the_recorded_ones() {
    let mut replayed = 0;
    for case in cases() {
        let Ok(curve) = Curve::new(&case["opts"]) else {
            continue;
        };
        let ours = replay(&case, &curve);
        let outcome = match &ours.result {
            Ok(value) => json!({ "result": "ok", "value": value }),
            Err(Failure { attempt, kind }) => {
                json!({ "result": "err", "err": { "from_attempt": attempt, "kind": kind } })
            }
        };
        let (id, recorded) = (&case["id"], &case["out"]);
        assert_eq!(json!(ours.starts.len()), recorded["attempts"], "{id}");
        assert_eq!(outcome["result"], recorded["result"], "{id}");
        assert_eq!(outcome["value"], recorded["value"], "{id}");
        assert_eq!(outcome["err"], recorded["err"], "{id}");
        // Recorded where a predicate was given.
        if let Some(iterations) = recorded.get("iters") {
            assert_eq!(&json!(ours.iterations), iterations, "{id}");
        }
        replayed += 1;
    }
    assert_eq!(replayed, 362 - 31);
}

#[test]
fn waits_follow_the_recorded_ones() {
    let mut deviations = Tally::new();
    let mut compared = 0;
    for case in cases() {
        let Ok(curve) = Curve::new(&case["opts"]) else {
            continue;
        };
        if curve.cap == FOREVER {
            count(&mut deviations, Deviation::UncappedByName);
        }
        if case["retry_if"].is_object() {
            count(&mut deviations, Deviation::UnlimitedByName);
        }
        let ours = replay(&case, &curve);
        let recorded = case["out"]["sleeps"].as_array().unwrap();
        assert_eq!(ours.waits.len(), recorded.len(), "{}", case["id"]);
        for (index, (wait, recorded)) in zip(ours.waits, recorded).enumerate() {
            let retry = index as u32 + 1;
            let what = format!("{}, retry {retry}", case["id"]);
            // It begins when the failure is known, and takes what was announced.
            assert_eq!(ours.starts[index + 1], ours.ends[index] + wait, "{what}");
            let bounds = curve.backoff.bounds(retry);
            assert!(bounds.contains(&wait), "{what}: {wait:?} not in {bounds:?}");
            let random = cyclic(&case["rand"], index).map_or(0.0, number);
            if let Some(deviation) = curve.compare(retry, number(recorded), random, &what) {
                count(&mut deviations, deviation);
            }
            compared += 1;
        }
    }
    assert_eq!(
        deviations,
        Tally::from([
            (Deviation::UncappedByName, 161),
            (Deviation::UnlimitedByName, 233),
            (Deviation::IntervalClipped, 608),
            (Deviation::ImmediateRetryCapped, 4),
            (Deviation::Saturated, 2404),
            (Deviation::ZeroStaysZero, 182),
        ]),
    );
    assert_eq!(compared, 7374);
}

#[test]
fn a_factor_below_one_cannot_be_built() {
    let refused = cases().into_iter().filter(|case| {
        let refused = Curve::new(&case["opts"]).is_err();
        let below_one = case["opts"]["factor"].as_f64().is_some_and(|f| f < 1.0);
        assert_eq!(refused, below_one, "{}", case["id"]);
        refused
    });
    assert_eq!((refused.count(), cases().len()), (31, 362));
}

fn cases() -> Vec<Value> {
    let mut corpus: Value = serde_json::from_str(CORPUS).unwrap();
    match corpus["cases"].take() {
        Value::Array(cases) => cases,
        other => panic!("cases are a list, not {other}"),
    }
}

/// The recorded options as a curve of ours, and what the comparison needs of them.
struct Curve {
    backoff: Backoff,
    cap: Duration,
    jitter: bool,
    immediate: bool,
    /// The initial delay as recorded, by the one in whole nanoseconds.
    fraction: f64,
}

impl Curve {
    fn new(opts: &Value) -> Result<Self, InvalidFactor> {
        let cap = opts["maxDelayBetweenRetries"].as_f64().map(millis);
        let cap = cap.filter(|cap| !cap.is_zero());
        let mut backoff = match cap {
            Some(cap) => Backoff::new().max_delay(cap),
            None => Backoff::new().without_max_delay(),
        };
        let mut fraction = 1.0;
        if let Some(given) = opts["initialDelay"].as_f64() {
            let delay = millis(given);
            backoff = backoff.initial_delay(delay);
            if !delay.is_zero() {
                fraction = given * 1e6 / delay.as_nanos() as f64;
            }
        }
        if let Some(factor) = opts["factor"].as_f64() {
            backoff = backoff.try_factor(factor)?;
        }
        if let Some(immediate) = opts["retryImmediately"].as_bool() {
            backoff = backoff.immediate_retry(immediate);
        }
        if let Some(jitter) = opts["jitter"].as_bool() {
            backoff = backoff.jitter(if jitter { Jitter::SPREAD } else { Jitter::NONE });
        }
        Ok(Self {
            backoff,
            cap: cap.unwrap_or(FOREVER),
            jitter: opts["jitter"] != false,
            immediate: opts["retryImmediately"] == true,
            fraction,
        })
    }

    /// Compares the bounds of one wait with the wait that was recorded, in
    /// milliseconds, for a random number. Returns why they differ, if they do.
    fn compare(&self, retry: u32, recorded: f64, random: f64, what: &str) -> Option<Deviation> {
        let bounds = self.backoff.bounds(retry);
        if recorded.is_nan() {
            assert_eq!(bounds, Duration::ZERO..=Duration::ZERO, "{what}");
            return Some(Deviation::ZeroStaysZero);
        }
        if recorded * 1e6 > u64::MAX as f64 {
            assert_eq!(bounds, self.at_the_cap(), "{what}");
            return Some(Deviation::Saturated);
        }

        // The seed's law: the point that the random number names, then the cap.
        let recorded = millis(recorded);
        let uncapped = self.backoff.without_max_delay().bounds(retry);
        let (low, high) = (*uncapped.start(), *uncapped.end());
        let named = low + high.saturating_sub(low).mul_f64(random);
        let immediate = self.immediate && retry == 1;
        let law = if immediate {
            named
        } else {
            named.mul_f64(self.fraction).min(self.cap)
        };
        let apart = recorded.abs_diff(law);
        assert!(
            apart <= tolerance(law),
            "{what}: {law:?}, recorded {recorded:?}"
        );

        // Ours: the same interval, clipped.
        if high <= self.cap {
            assert_eq!(bounds, uncapped, "{what}");
            return None;
        }
        assert_eq!(bounds, self.at_the_cap(), "{what}");
        if immediate && recorded > self.cap {
            return Some(Deviation::ImmediateRetryCapped);
        }
        assert!(
            bounds.contains(&recorded),
            "{what}: {recorded:?} not in {bounds:?}"
        );
        self.jitter.then_some(Deviation::IntervalClipped)
    }

    /// The interval that ends at the cap: from half of it, or the cap alone.
    fn at_the_cap(&self) -> RangeInclusive<Duration> {
        let width = if self.jitter {
            self.cap / 2
        } else {
            Duration::ZERO
        };
        self.cap.saturating_sub(width)..=self.cap
    }
}

/// An attempt's error: whose it is, and what the script says.
#[derive(Debug)]
struct Failure {
    attempt: usize,
    kind: String,
}

/// What a replayed sequence did.
struct Replay {
    starts: Vec<Duration>,
    ends: Vec<Duration>,
    waits: Vec<Duration>,
    iterations: Vec<u32>,
    result: Result<String, Failure>,
}

fn replay(case: &Value, curve: &Curve) -> Replay {
    let timer = ManualTimer::new();
    let (mut starts, mut waits, mut iterations) = (Vec::new(), Vec::new(), Vec::new());
    let ends = RefCell::new(Vec::new());
    // One more is a failure, where without a limit it might be the first of many.
    let most = case["out"]["attempts"].as_u64().unwrap() as usize;
    let mut policy = RetryBuilder::with_timer(&timer).backoff(curve.backoff);
    if case["retry_if"].is_object() {
        policy = policy.without_max_retries();
    }
    let policy = policy
        .seed(5397)
        .should_retry(|failure: &Failure, iteration| {
            iterations.push(iteration);
            is_retried(&case["retry_if"], failure, iteration)
        })
        .observe(|event: Event<'_, Failure>| {
            if let Event::Retrying { wait, .. } = event {
                waits.push(wait);
            }
        });
    let result = timer.run(policy.retry(|| {
        starts.push(timer.now());
        let attempt = starts.len();
        assert!(attempt <= most, "{}: attempt {attempt}", case["id"]);
        let kind = last_repeats(&case["script"], attempt - 1).as_str().unwrap();
        let length = cyclic(&case["durs"], attempt - 1).map_or(0.0, number);
        let run = timer.sleep(millis(length));
        let (timer, ends) = (&timer, &ends);
        async move {
            run.await;
            ends.borrow_mut().push(timer.now());
            match kind {
                "ok" => Ok(format!("v{attempt}")),
                kind => Err(Failure {
                    attempt,
                    kind: kind.to_owned(),
                }),
            }
        }
    }));
    Replay {
        starts,
        ends: ends.into_inner(),
        waits,
        iterations,
        result,
    }
}

/// The recorded predicate; without one, the policy's own limit decides.
fn is_retried(rule: &Value, failure: &Failure, iteration: u32) -> bool {
    let iteration = u64::from(iteration);
    let status = failure.kind.parse().unwrap_or(0);
    rule["never"] != true
        && rule["lt"].as_u64().is_none_or(|limit| iteration < limit)
        && rule["le"].as_u64().is_none_or(|limit| iteration <= limit)
        && !(rule["not4xx"] == true && (400..500).contains(&status))
}

fn last_repeats(list: &Value, index: usize) -> &Value {
    let list = list.as_array().unwrap();
    list.get(index).or(list.last()).unwrap()
}

fn cyclic(list: &Value, index: usize) -> Option<&Value> {
    list.as_array()?.iter().cycle().nth(index)
}

/// A number, or the name of one that JSON lacks.
fn number(value: &Value) -> f64 {
    let named = || value.as_str()?.parse().ok();
    value.as_f64().or_else(named).unwrap()
}

/// To the nearest nanosecond.
fn millis(millis: f64) -> Duration {
    Duration::from_nanos((millis * 1e6).round() as u64)
}

fn tolerance(wait: Duration) -> Duration {
    if wait > Duration::from_secs(60) {
        wait / 1_000_000_000
    } else {
        Duration::from_nanos(2)
    }
}
