//! A policy that a function accepts, that a task uses, and that a field holds.

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

#[cfg(feature = "tokio")]
use afterbeat::SendPolicy;
use afterbeat::{
    AnyPolicy, Backoff, Clock, Decision, Event, ManualTimer, Policy, RetryBudget, RetryBuilder,
};
use proptest::prelude::*;

use crate::any::{self, DOORS, Door};

const SECOND: Duration = Duration::from_secs(1);

/// Every way to run a policy, for any policy: attempt n fails with n, the last succeeds.
fn run(policy: impl Policy<u32>, door: Door, timer: &ManualTimer, fails: u32) -> Result<u32, u32> {
    let mut calls = 0;
    let mut attempt = || {
        calls += 1;
        if calls > fails { Ok(calls) } else { Err(calls) }
    };
    match door {
        Door::Retry => timer.run(policy.retry(|| ready(attempt()))),
        Door::RetryWith => timer.run(policy.retry_with(&mut (), async |()| attempt())),
        Door::Attempts => timer.run(async {
            let mut attempts = policy.attempts();
            loop {
                match attempt() {
                    Ok(value) => {
                        attempts.succeeded();
                        return Ok(value);
                    }
                    Err(error) => attempts.failed(error).await?,
                }
            }
        }),
        Door::Blocking => policy.retry_blocking(attempt),
    }
}

/// What is asked and told, with the state of the closure that says it.
type Log = Arc<Mutex<Vec<String>>>;

/// A case of a policy with everything.
#[derive(Clone, Debug)]
struct Case {
    curve: any::Curve,
    max_retries: u32,
    max_elapsed: Duration,
    seed: u64,
    fails: u32,
    decisions: Vec<Decision>,
    stored: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let decision = prop_oneof![
        4 => Just(Decision::Retry),
        1 => any::duration().prop_map(Decision::RetryAfter),
        1 => any::duration().prop_map(Decision::RetryIn),
        1 => Just(Decision::GiveUp),
    ];
    (
        any::curve(),
        0..8u32,
        prop_oneof![Just(Duration::MAX), any::duration()],
        1..u64::MAX,
        0..8u32,
        prop::collection::vec(decision, 1..8),
        0..4u32,
    )
        .prop_map(
            |(curve, max_retries, max_elapsed, seed, fails, decisions, stored)| Case {
                curve,
                max_retries,
                max_elapsed,
                seed,
                fails,
                decisions,
                stored,
            },
        )
}

proptest! {
    /// Erased or not, a policy makes the same calls, waits and events; each sequence
    /// works on its own copy of the closures.
    #[test]
    fn an_erased_policy_is_the_policy(case in case()) {
        for door in DOORS {
            let log = Log::default();
            let runs = |erased: bool| {
                let timer = ManualTimer::new();
                let budget = Arc::new(RetryBudget::new(case.stored));
                let (asked, told, decisions) = (log.clone(), log.clone(), case.decisions.clone());
                let (mut asks, mut tells) = (0, 0);
                let policy = RetryBuilder::with_timer(timer.clone())
                    .backoff(case.curve.backoff())
                    .max_retries(case.max_retries)
                    .max_elapsed(case.max_elapsed)
                    .seed(case.seed)
                    .budget(budget)
                    .should_retry(move |error: &u32, iteration| {
                        asks += 1;
                        asked.lock().unwrap().push(format!("{asks} {error} {iteration}"));
                        decisions[(iteration as usize - 1) % decisions.len()]
                    })
                    .observe(move |event: Event<'_, u32>| {
                        tells += 1;
                        told.lock().unwrap().push(format!("{tells} {event:?}"));
                    });
                for _ in 0..2 {
                    let result = if erased {
                        run(AnyPolicy::from(policy.clone()), door, &timer, case.fails)
                    } else {
                        run(policy.clone(), door, &timer, case.fails)
                    };
                    log.lock().unwrap().push(format!("{result:?} at {:?}", timer.now()));
                }
                std::mem::take(&mut *log.lock().unwrap())
            };
            prop_assert_eq!(runs(true), runs(false), "{:?}", door);
        }
    }
}

/// A generic function that spawns, by the two ways that are known to be `Send`.
#[cfg(feature = "tokio")]
async fn spawned<P>(policy: P) -> [Result<u32, u32>; 2]
where
    P: SendPolicy<u32> + Clone + 'static,
{
    let cursor = policy.clone();
    let retry = tokio::spawn(async move { policy.retry(|| ready(Err(7))).await });
    let attempts = tokio::spawn(async move {
        let mut attempts = cursor.attempts();
        loop {
            attempts.failed(8).await?;
        }
    });
    [retry.await.unwrap(), attempts.await.unwrap()]
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_generic_function_can_spawn() {
    static BUDGET: RetryBudget = RetryBudget::new(10);
    let policy = RetryBuilder::new().max_retries(2);
    let failed = [Err(7), Err(8)];
    assert_eq!(spawned(policy).await, failed);
    let all = policy
        .should_retry(|_: &u32, iteration| iteration < 2)
        .observe(|_: Event<'_, u32>| {})
        .max_elapsed(60 * SECOND)
        .budget(&BUDGET)
        .attempt_timeout(SECOND, || 9);
    assert_eq!(spawned(all).await, failed);
    assert_eq!(spawned(AnyPolicy::from(all)).await, failed);
}

/// A list of policies of one type, shared between threads.
#[test]
fn policies_of_one_type_fit_into_a_list() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let timer = ManualTimer::new();
    let plain = RetryBuilder::with_timer(timer.clone()).backoff(Backoff::constant(SECOND));
    let list: Vec<AnyPolicy<u32, ManualTimer>> = vec![
        plain.clone().max_retries(1).into(),
        plain.clone().should_retry(|_: &u32, n| n < 3).into(),
        plain.attempt_timeout(SECOND, || 0).into(),
    ];
    shared(&list);
    let waits: Vec<_> = list
        .iter()
        .map(|policy| {
            let begun = timer.now();
            run(policy, Door::Retry, &timer, u32::MAX).unwrap_err();
            timer.elapsed(begun)
        })
        .collect();
    assert_eq!(waits, [SECOND, 2 * SECOND, 4 * SECOND]);
}

/// The time-out of an attempt outlives the erasure.
#[test]
fn an_erased_policy_cuts_attempts() {
    let timer = ManualTimer::new();
    let policy = RetryBuilder::with_timer(timer.clone())
        .max_retries(0)
        .attempt_timeout(SECOND, || "late");
    let policy = AnyPolicy::from(policy);
    let hang = || std::future::pending::<Result<(), _>>();
    assert_eq!(timer.run(policy.clone().retry(hang)), Err("late"));
    let mut nothing = ();
    let lent = policy.retry_with(&mut nothing, async |()| hang().await);
    assert_eq!(timer.run(lent), Err("late"));
    assert_eq!(timer.now(), 2 * SECOND);
}
