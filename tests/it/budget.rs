//! The retry budget: what it bounds, what it pays back, what it leaves alone.

use std::{future::ready, sync::Arc, thread, time::Duration};

use afterbeat::{Backoff, Event, GiveUp, ManualTimer, RetryBudget, RetryBuilder};
use proptest::prelude::*;

/// Runs one sequence; returns how many calls it made.
fn sequence(budget: &RetryBudget, max_retries: u32, succeeds_at: u32) -> u32 {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(Duration::ZERO))
        .max_retries(max_retries)
        .budget(budget);
    let _ = timer.run(policy.retry(|| {
        calls += 1;
        ready(if calls == succeeds_at {
            Ok(())
        } else {
            Err(())
        })
    }));
    calls
}

/// By the words of its contract, in tenths of a retry.
struct Model {
    tenths: u64,
    full: u64,
}

impl Model {
    fn sequence(&mut self, max_retries: u32, succeeds_at: u32) -> u32 {
        let mut calls = 1;
        while calls != succeeds_at && calls <= max_retries && self.tenths >= 10 {
            self.tenths -= 10;
            calls += 1;
        }
        if calls == succeeds_at {
            let earned = if calls == 1 { 1 } else { 10 };
            self.tenths = (self.tenths + earned).min(self.full);
        }
        calls
    }
}

proptest! {
    /// B1 to B7: never below zero, never above full, all or nothing.
    #[test]
    fn every_budget_is_that_of_the_model(
        retries in 0..20u32,
        sequences in prop::collection::vec((0..6u32, 1..8u32), 1..200),
    ) {
        let budget = RetryBudget::new(retries);
        let full = u64::from(retries) * 10;
        let mut model = Model { tenths: full, full };
        for (max_retries, succeeds_at) in sequences {
            let calls = sequence(&budget, max_retries, succeeds_at);
            prop_assert_eq!(calls, model.sequence(max_retries, succeeds_at));
        }
    }
}

/// B4: for ever.
#[test]
fn a_total_outage_costs_no_more_than_the_budget_holds() {
    let budget = RetryBudget::new(7);
    let calls: u32 = (0..10_000).map(|_| sequence(&budget, 4, u32::MAX)).sum();
    assert_eq!(calls, 10_000 + 7);
}

/// B3: while retries succeed, all are made.
#[test]
fn retries_that_succeed_pay_for_themselves() {
    let budget = RetryBudget::new(1);
    assert!((0..10_000).all(|_| sequence(&budget, 4, 2) == 2));
}

/// B6: its own error, at once, and the reason beside it.
#[test]
fn a_refused_retry_ends_the_sequence_with_its_own_error() {
    let timer = ManualTimer::new();
    let mut told = None;
    let policy = RetryBuilder::with_timer(&timer)
        .budget(Arc::new(RetryBudget::new(0)))
        .observe(|event: Event<'_, &str>| {
            if let Event::GaveUp {
                reason, retries, ..
            } = event
            {
                told = Some((reason, retries));
            }
        });
    let result = timer.run(policy.retry(|| ready(Err::<(), _>("refused"))));
    assert_eq!(result, Err("refused"));
    assert_eq!(told, Some((GiveUp::Budget, 0)));
    assert_eq!(timer.sleeping(), 0);
}

/// B8: a sequence that is dropped in mid-retry gets nothing back.
#[test]
fn a_dropped_sequence_gets_nothing_back() {
    let budget = RetryBudget::new(1);
    {
        let timer = ManualTimer::new();
        let policy = RetryBuilder::with_timer(&timer).budget(&budget);
        let mut retry = Box::pin(policy.retry(|| ready(Err::<(), _>(()))));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(retry.as_mut().poll(&mut context).is_pending());
        assert_eq!(timer.sleeping(), 1, "the retry was paid for");
    }
    assert_eq!(sequence(&budget, 4, u32::MAX), 1);
}

/// B7: limits are asked before the budget, so that what they refuse costs nothing.
#[test]
fn a_retry_that_a_limit_refuses_costs_nothing() {
    let budget = RetryBudget::new(1);
    assert_eq!(sequence(&budget, 0, u32::MAX), 1);
    assert_eq!(sequence(&budget, 4, 2), 2);
}

/// B1, B4 with real threads: no retry is lost or made twice.
#[test]
fn threads_share_a_budget_exactly() {
    let budget = RetryBudget::new(1000);
    let calls: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..1000)
                        .map(|_| sequence(&budget, 3, u32::MAX))
                        .sum::<u32>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(calls, 4 * 1000 + 1000);
}

#[test]
fn the_largest_budget_is_one() {
    assert_eq!(sequence(&RetryBudget::new(u32::MAX), 4, u32::MAX), 5);
}
