//! The retry budget: what it bounds, what it pays back, whom it lets wait.

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use afterbeat::{Backoff, Clock, Decision, Event, GiveUp, ManualTimer, RetryBudget, RetryBuilder};
use proptest::prelude::*;

use crate::any::{DOORS, Door};

const SECOND: Duration = Duration::from_secs(1);

/// Polls a future once, for a waker that leads nowhere.
fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs one sequence without waits; returns how many calls it made.
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

/// A budget of `retries` that has nothing left.
fn spent(retries: u32) -> RetryBudget {
    let budget = RetryBudget::new(retries);
    sequence(&budget, retries, u32::MAX);
    assert_eq!(budget.available(), 0);
    budget
}

/// What happens to one of several sequences.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    Succeed(usize),
    Fail(usize),
    /// Its wait ends.
    Wake(usize),
    Drop(usize),
    /// So many successes are reported.
    Credit(u64),
}

const SEQUENCES: usize = 6;

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..SEQUENCES;
    prop_oneof![
        3 => one().prop_map(Step::Begin),
        2 => one().prop_map(Step::Succeed),
        6 => one().prop_map(Step::Fail),
        6 => one().prop_map(Step::Wake),
        1 => one().prop_map(Step::Drop),
        1 => prop_oneof![4 => 1..20u64, 1 => 1..300u64].prop_map(Step::Credit),
    ]
}

/// Where a sequence stands.
#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Over,
    Running,
    Waiting,
}

/// A sequence by the words of the contract.
#[derive(Clone, Copy, Default)]
struct Member {
    state: State,
    failures: u32,
    calls: u32,
    left: u32,
    paid: u64,
    refused: bool,
    place: bool,
}

/// The budget by the words of its contract, in tenths of a retry.
struct Model {
    tenths: u64,
    full: u64,
    places: u64,
    /// Tenths earned since the last setback.
    earned: u64,
    fail_fast: bool,
    waits: bool,
    members: [Member; SEQUENCES],
}

impl Model {
    fn step(&mut self, step: Step, max_retries: u32) {
        let taken = self.members.iter().filter(|member| member.place).count() as u64;
        let open = match self.earned {
            0..10 => 0,
            earned => (1 + (earned - 10) / 100).min(self.places),
        };
        let mut earned = 0;
        match step {
            Step::Credit(times) => earned = times,
            Step::Begin(i) if self.members[i].state == State::Over => {
                self.members[i] = Member {
                    state: State::Running,
                    calls: 1,
                    left: max_retries,
                    ..Member::default()
                };
            }
            Step::Succeed(i) if self.members[i].state == State::Running => {
                let member = self.members[i];
                earned = if member.failures == 0 {
                    1
                } else {
                    10 * member.paid
                };
                self.members[i] = Member::default();
            }
            Step::Fail(i) if self.members[i].state == State::Running => {
                let member = &mut self.members[i];
                if member.place {
                    self.earned = 0;
                }
                (member.state, member.place) = (State::Waiting, false);
                member.failures += 1;
                let hopeless = self.fail_fast && self.tenths < 10;
                if member.failures > member.left || hopeless {
                    *member = Member::default();
                }
            }
            Step::Wake(i) if self.members[i].state == State::Waiting => {
                let member = &mut self.members[i];
                if self.tenths >= 10 && !(member.refused && taken >= open) {
                    self.tenths -= 10;
                    member.paid += 1;
                    member.place = member.refused;
                    member.state = State::Running;
                    member.calls += 1;
                    return;
                }
                if !member.refused {
                    self.earned = 0;
                }
                member.refused = true;
                member.left -= 1;
                if self.fail_fast || member.failures > member.left || !self.waits {
                    *member = Member::default();
                }
            }
            Step::Drop(i) => {
                if self.members[i].place {
                    self.earned = 0;
                }
                self.members[i] = Member::default();
            }
            _ => {}
        }
        self.tenths = (self.tenths + earned).min(self.full);
        self.earned += earned;
    }
}

type Sequence<'a> = Pin<Box<dyn Future<Output = Result<(), ()>> + 'a>>;

/// A sequence that does as it is told.
struct Puppet<'a> {
    sequence: Option<Sequence<'a>>,
    timer: ManualTimer,
    answer: Rc<Cell<Option<Result<(), ()>>>>,
    calls: Rc<Cell<u32>>,
}

impl<'a> Puppet<'a> {
    fn new() -> Self {
        Self {
            sequence: None,
            timer: ManualTimer::new(),
            answer: Rc::default(),
            calls: Rc::default(),
        }
    }

    fn begin(&mut self, budget: &'a RetryBudget, wait: Duration, max_retries: u32) {
        let (answer, calls) = (Rc::clone(&self.answer), Rc::clone(&self.calls));
        calls.set(0);
        let policy = RetryBuilder::with_timer(self.timer.clone())
            .backoff(Backoff::constant(wait))
            .max_retries(max_retries)
            .budget(budget);
        self.sequence = Some(Box::pin(policy.retry(move || {
            calls.set(calls.get() + 1);
            let answer = Rc::clone(&answer);
            poll_fn(move |_| answer.take().map_or(Poll::Pending, Poll::Ready))
        })));
        self.poll();
    }

    fn poll(&mut self) {
        if let Some(sequence) = &mut self.sequence {
            if poll(sequence).is_ready() {
                self.sequence = None;
            }
        }
    }
}

proptest! {
    /// B1, B2, B7 and the law of places: several sequences at once, in any order.
    #[test]
    fn every_budget_does_as_its_model(
        retries in 0..12u32,
        max_retries in 1..8u32,
        fail_fast in prop::bool::weighted(0.2),
        waits in prop::bool::weighted(0.9),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut budget = RetryBudget::new(retries);
        if fail_fast {
            budget = budget.fail_fast();
        }
        let wait = if waits { SECOND } else { Duration::ZERO };
        let full = u64::from(retries) * 10;
        let mut model = Model {
            tenths: full,
            full,
            places: u64::from(retries / 3).max(1),
            earned: 0,
            fail_fast,
            waits,
            members: Default::default(),
        };
        let mut puppets: Vec<_> = (0..SEQUENCES).map(|_| Puppet::new()).collect();
        for step in steps {
            let before = model.members.map(|member| member.state);
            model.step(step, max_retries);
            match step {
                Step::Credit(times) => (0..times).for_each(|_| budget.credit()),
                Step::Begin(i) if before[i] == State::Over => {
                    puppets[i].begin(&budget, wait, max_retries);
                }
                Step::Succeed(i) | Step::Fail(i) if before[i] == State::Running => {
                    let answer = if matches!(step, Step::Fail(_)) { Err(()) } else { Ok(()) };
                    puppets[i].answer.set(Some(answer));
                    puppets[i].poll();
                }
                Step::Wake(i) if before[i] == State::Waiting => {
                    puppets[i].timer.advance(wait);
                    puppets[i].poll();
                }
                Step::Drop(i) => puppets[i].sequence = None,
                _ => {}
            }
            prop_assert_eq!(u64::from(budget.available()), model.tenths / 10);
            for (puppet, member) in puppets.iter().zip(&model.members) {
                let alive = member.state != State::Over;
                prop_assert_eq!(puppet.sequence.is_some(), alive, "{:?}", step);
                if alive {
                    prop_assert_eq!(puppet.calls.get(), member.calls, "{:?}", step);
                    let sleeps = waits && member.state == State::Waiting;
                    prop_assert_eq!(puppet.timer.sleeping() == 1, sleeps, "{:?}", step);
                }
            }
        }
    }
}

/// Drives a sequence through a door; every attempt is made by `attempt`.
macro_rules! through {
    ($door:expr, $timer:expr, $policy:expr, $attempt:expr) => {{
        let attempt = $attempt;
        match $door {
            Door::Retry => $timer.run($policy.retry(|| ready(attempt()))),
            Door::RetryWith => $timer.run($policy.retry_with(&mut (), async |()| attempt())),
            Door::Attempts => $timer.run(async {
                let mut attempts = $policy.attempts();
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
            Door::Blocking => $policy.retry_blocking(|| attempt()),
        }
    }};
}

/// B4: for ever, whatever the waits.
#[test]
fn a_total_outage_costs_no_more_than_the_budget_holds() {
    let budget = RetryBudget::new(7);
    let calls: u32 = (0..10_000).map(|_| sequence(&budget, 4, u32::MAX)).sum();
    assert_eq!(calls, 10_000 + 7);

    for door in DOORS {
        let (timer, budget, calls) = (ManualTimer::new(), RetryBudget::new(7), Cell::new(0));
        for _ in 0..100 {
            let policy = RetryBuilder::with_timer(&timer).budget(&budget);
            let failed = through!(door, timer, policy, || {
                calls.set(calls.get() + 1);
                Err::<(), _>(503)
            });
            assert_eq!(failed, Err(503));
        }
        assert_eq!(calls.get(), 100 + 7, "{door:?}");
    }
}

/// B3: what works is never rationed for long.
#[test]
fn a_sequence_that_succeeds_gets_back_what_its_retries_cost() {
    for door in DOORS {
        let (timer, budget) = (ManualTimer::new(), RetryBudget::new(3));
        for _ in 0..1000 {
            let (policy, calls) = (
                RetryBuilder::with_timer(&timer).budget(&budget),
                Cell::new(0),
            );
            let result = through!(door, timer, policy, || {
                calls.set(calls.get() + 1);
                if calls.get() < 4 {
                    Err(503)
                } else {
                    Ok(calls.get())
                }
            });
            assert_eq!((result, budget.available()), (Ok(4), 3), "{door:?}");
        }
    }
}

/// Ten first-try successes earn a retry, and nothing fills a budget above its size.
#[test]
fn only_first_try_successes_and_credits_earn() {
    let budget = spent(2);
    for _ in 0..9 {
        sequence(&budget, 4, 1);
    }
    assert_eq!(budget.available(), 0);
    budget.credit();
    assert_eq!(budget.available(), 1);
    (0..100).for_each(|_| budget.credit());
    assert_eq!(budget.available(), 2);
}

/// What an observer saw of one sequence: iteration or retries, and wait.
type Log = RefCell<Vec<(&'static str, u32, Duration)>>;

fn log<E>(log: &Log) -> impl FnMut(Event<'_, E>) {
    |event| {
        log.borrow_mut().push(match event {
            Event::Retrying {
                iteration, wait, ..
            } => ("retrying", iteration, wait),
            Event::Postponed {
                iteration, wait, ..
            } => ("postponed", iteration, wait),
            Event::GaveUp {
                reason: GiveUp::Budget,
                retries,
                ..
            } => ("refused", retries, event.elapsed()),
            Event::GaveUp { retries, .. } => ("gave up", retries, event.elapsed()),
            Event::Succeeded { retries, .. } => ("succeeded", retries, event.elapsed()),
            event => panic!("{:?}", event.elapsed()),
        });
    }
}

/// A refusal uses up a retry and waits on along the curve; nobody is asked or told
/// twice, and the error comes back unchanged.
#[test]
fn a_refused_retry_waits_again_by_the_curve() {
    for door in DOORS {
        let (timer, budget, seen) = (ManualTimer::new(), spent(1), Log::default());
        let asked = Cell::new(0);
        let policy = RetryBuilder::with_timer(&timer)
            .initial_delay(SECOND)
            .jitter(afterbeat::Jitter::NONE)
            .max_retries(3)
            .budget(&budget)
            .should_retry(|_: &&str, _| {
                asked.set(asked.get() + 1);
                Decision::RetryIn(5 * SECOND)
            })
            .observe(log(&seen));
        let result = through!(door, timer, policy, || Err::<(), _>("its own"));
        assert_eq!(result, Err("its own"));
        assert_eq!(asked.get(), 1, "{door:?}");
        assert_eq!(
            *seen.borrow(),
            [
                ("retrying", 1, 5 * SECOND),
                ("postponed", 1, 2 * SECOND),
                ("postponed", 1, 4 * SECOND),
                ("refused", 0, 11 * SECOND),
            ],
            "{door:?}"
        );
        assert_eq!(timer.sleeping(), 0);
    }
}

/// A refusal uses up a retry; the limit that observers see stays the policy's own.
#[test]
fn refusals_do_not_lower_the_limit_that_is_told() {
    let max_retries = [(1, Some(1)), (3, Some(3)), (u32::MAX, None)];
    for (door, (max, told)) in DOORS.into_iter().flat_map(|d| max_retries.map(|m| (d, m))) {
        let (timer, budget, seen) = (ManualTimer::new(), spent(1), Cell::new(0));
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(SECOND))
            .max_retries(max)
            .max_elapsed(9 * SECOND)
            .budget(&budget)
            .observe(|event: Event<'_, ()>| {
                if let Event::Retrying { limit, .. } | Event::Postponed { limit, .. } = event {
                    assert_eq!(limit, told, "{door:?}");
                    seen.set(seen.get() + 1);
                }
            });
        assert_eq!(through!(door, timer, policy, || Err::<(), _>(())), Err(()));
        assert_eq!(seen.get(), max.min(9), "{door:?}");
    }
}

/// The blip that retries exist for: refused at first, served in the end.
#[test]
fn a_refused_retry_is_sent_when_the_budget_has_recovered() {
    for door in DOORS {
        let (timer, budget, seen) = (ManualTimer::new(), spent(1), Log::default());
        let calls = Cell::new(0);
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(SECOND))
            .budget(&budget)
            .observe(log(&seen))
            .observe(|event: Event<'_, ()>| {
                if let Event::Postponed { .. } = event {
                    (0..10).for_each(|_| budget.credit());
                }
            });
        let result = through!(door, timer, policy, || {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err(()) } else { Ok(()) }
        });
        assert_eq!(result, Ok(()));
        assert_eq!(
            *seen.borrow(),
            [
                ("retrying", 1, SECOND),
                ("postponed", 1, SECOND),
                ("succeeded", 1, 2 * SECOND),
            ],
            "{door:?}"
        );
        assert_eq!(budget.available(), 1, "{door:?}: paid back");
    }
}

/// A limit in time ends a sequence that waits for the budget, by that reason.
#[test]
fn no_wait_for_the_budget_ends_after_the_limit_in_time() {
    for door in DOORS {
        let (timer, budget, seen) = (ManualTimer::new(), spent(1), Log::default());
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(2 * SECOND))
            .without_max_retries()
            .max_elapsed(5 * SECOND)
            .budget(&budget)
            .observe(log(&seen));
        let result = through!(door, timer, policy, || Err::<(), _>(()));
        assert_eq!(result, Err(()));
        assert_eq!(timer.now(), 4 * SECOND, "{door:?}");
        assert_eq!(seen.borrow().last(), Some(&("refused", 0, 4 * SECOND)));
    }
}

/// Without a wait between them refusals would spin.
#[test]
fn a_refused_zero_wait_ends() {
    for door in DOORS {
        let (timer, budget, seen) = (ManualTimer::new(), spent(1), Log::default());
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(Duration::ZERO))
            .without_max_retries()
            .budget(&budget)
            .observe(log(&seen));
        let result = through!(door, timer, policy, || Err::<(), _>(()));
        assert_eq!(result, Err(()));
        assert_eq!(
            *seen.borrow(),
            [
                ("retrying", 1, Duration::ZERO),
                ("refused", 0, Duration::ZERO)
            ],
            "{door:?}"
        );
    }
}

/// The error comes immediately if nothing is left, and after one wait if it has gone
/// meanwhile.
#[test]
fn fail_fast_ends_at_the_first_refusal() {
    for door in DOORS {
        for left in [0, 1] {
            let (timer, seen) = (ManualTimer::new(), Log::default());
            let budget = RetryBudget::new(left).fail_fast();
            let policy = RetryBuilder::with_timer(&timer)
                .backoff(Backoff::constant(SECOND))
                .budget(&budget)
                .observe(log(&seen))
                .observe(|_: Event<'_, ()>| {
                    // Somebody else is quicker.
                    sequence(&budget, 1, u32::MAX);
                });
            let result = through!(door, timer, policy, || Err::<(), _>(()));
            assert_eq!(result, Err(()));
            let waited = left * SECOND;
            assert_eq!(timer.now(), waited, "{door:?}");
            assert_eq!(seen.borrow().last(), Some(&("refused", 0, waited)));
        }
    }
}

/// Who gives up before its turn takes nothing from others.
#[test]
fn a_dropped_wait_costs_nothing() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(1));
    let policy = RetryBuilder::with_timer(&timer).budget(&budget);
    let mut retry = Box::pin(policy.retry(|| ready(Err::<(), _>(()))));
    assert!(poll(&mut retry).is_pending());
    assert_eq!(timer.sleeping(), 1);
    drop(retry);
    assert_eq!(budget.available(), 1);
}

/// B8, and the places: a retry that is dropped while it runs is not paid back, and
/// nothing leaks.
#[test]
fn a_retry_dropped_in_flight_frees_its_place_and_loses_its_price() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(2));
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(SECOND))
        .without_max_retries()
        .budget(&budget);
    // Refused once, so that its retry needs the only place there is.
    let hangs_when_retried = || {
        let mut calls = 0;
        Box::pin(policy.retry(move || {
            calls += 1;
            async move {
                if calls == 1 {
                    Err::<(), _>(())
                } else {
                    pending().await
                }
            }
        }))
    };
    for _ in 0..5 {
        sequence(&budget, 2, u32::MAX);
        let mut retry = hangs_when_retried();
        assert!(poll(&mut retry).is_pending());
        timer.advance(SECOND);
        assert!(poll(&mut retry).is_pending());
        assert_eq!(budget.available(), 0, "refused");
        (0..20).for_each(|_| budget.credit());
        timer.advance(SECOND);
        assert!(poll(&mut retry).is_pending());
        assert_eq!(budget.available(), 1, "sent");
        drop(retry);
        assert_eq!(budget.available(), 1, "not paid back");
    }
}

/// The same, if it ends in a panic, while the future that panicked is still there.
#[test]
fn a_retry_that_panics_frees_its_place_and_loses_its_price() {
    let (timer, budget) = (ManualTimer::new(), spent(2));
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut calls = 0;
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(SECOND))
            .without_max_retries()
            .budget(&budget);
        let mut retry = Box::pin(policy.retry(move || {
            calls += 1;
            async move {
                assert_eq!(calls, 1, "planted");
                Err::<(), _>(())
            }
        }));
        assert!(poll(&mut retry).is_pending());
        timer.advance(SECOND);
        assert!(poll(&mut retry).is_pending());
        (0..10).for_each(|_| budget.credit());
        timer.advance(SECOND);
        let struck = catch_unwind(AssertUnwindSafe(|| poll(&mut retry)));
        assert!(struck.is_err(), "it was sent, so there was a place");
        assert_eq!(budget.available(), 0);
        kept.push(retry);
    }
}

/// Attempts that hang without any time-out cost at most the places: retries of
/// sequences that were never refused go on.
#[test]
fn attempts_that_hang_pin_at_most_the_places() {
    let (timer, budget) = (ManualTimer::new(), spent(9));
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(SECOND))
        .without_max_retries()
        .budget(&budget);
    let hung = Cell::new(0);
    let mut sequences: Vec<_> = (0..20)
        .map(|_| {
            let (mut calls, hung) = (0, &hung);
            Box::pin(policy.retry(move || {
                calls += 1;
                async move {
                    if calls == 1 {
                        return Err::<(), _>(());
                    }
                    hung.set(hung.get() + 1);
                    pending().await
                }
            }))
        })
        .collect();
    for round in 0..10 {
        for retry in &mut sequences {
            assert!(poll(retry).is_pending());
        }
        timer.advance(SECOND);
        // All have been refused once.
        if round > 0 {
            (0..90).for_each(|_| budget.credit());
        }
    }
    assert_eq!(hung.get(), 3);
    assert_eq!(sequence(&budget, 4, 3), 3, "a fresh retry needs no place");
}

/// B7: limits are asked before the budget, so that what they refuse costs nothing.
#[test]
fn a_retry_that_a_limit_refuses_costs_nothing() {
    let budget = RetryBudget::new(1);
    assert_eq!(sequence(&budget, 0, u32::MAX), 1);
    assert_eq!(sequence(&budget, 4, 2), 2);
}

/// The documented way to keep a connection open: lost and made again each day, it never
/// runs out of retries.
#[test]
fn a_reset_returns_what_the_retries_took() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(2));
    let mut attempts = RetryBuilder::with_timer(&timer).budget(&budget).attempts();
    for _day in 0..100 {
        assert_eq!(timer.run(attempts.failed("lost")), Ok(()));
        assert_eq!(budget.available(), 1);
        attempts.reset();
        assert_eq!(budget.available(), 2);
    }
    attempts.reset();
    attempts.reset();
    assert_eq!(budget.available(), 2, "no reset earns");
}

/// A cursor that starts anew has not been refused: it needs no place.
#[test]
fn a_reset_forgives_the_refusal_too() {
    let (timer, budget) = (ManualTimer::new(), spent(2));
    let postponed = Cell::new(0);
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(SECOND))
        .budget(&budget)
        .observe(|event: Event<'_, ()>| {
            if let Event::Postponed { .. } = event {
                postponed.set(postponed.get() + 1);
                (0..10).for_each(|_| budget.credit());
            }
        });
    let mut first = policy.attempts();
    assert_eq!(timer.run(first.failed(())), Ok(()));
    first.reset();
    sequence(&budget, 2, u32::MAX);
    // The only place is taken.
    let mut second = policy.attempts();
    assert_eq!(timer.run(second.failed(())), Ok(()));
    assert_eq!(postponed.get(), 2);
    (0..10).for_each(|_| budget.credit());
    assert_eq!(timer.run(first.failed(())), Ok(()));
    assert_eq!(postponed.get(), 2, "sent after one wait");
}

/// What was not paid for is not paid back.
#[test]
fn an_unfinished_wait_of_a_cursor_is_not_paid_for() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(2));
    let mut attempts = RetryBuilder::with_timer(&timer).budget(&budget).attempts();
    assert_eq!(timer.run(attempts.failed("lost")), Ok(()));
    drop(attempts.failed("lost"));
    assert_eq!(budget.available(), 1);
    attempts.succeeded();
    assert_eq!(budget.available(), 2);
    drop(attempts.failed("lost"));
    let other = spent(2);
    attempts.succeeded();
    assert_eq!((budget.available(), other.available()), (2, 0));
}

/// The right to a retry ends with the cursor, and its place is free.
#[test]
fn a_dropped_cursor_frees_its_place() {
    let (timer, budget) = (ManualTimer::new(), spent(2));
    for _ in 0..5 {
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(SECOND))
            .budget(&budget)
            .observe(|event: Event<'_, ()>| {
                if let Event::Postponed { .. } = event {
                    (0..10).for_each(|_| budget.credit());
                }
            });
        let mut attempts = policy.attempts();
        assert_eq!(timer.run(attempts.failed(())), Ok(()));
    }
}

/// B1, B4 with real threads: no retry is lost or made twice.
#[test]
fn threads_share_a_budget_exactly() {
    let budget = Arc::new(RetryBudget::new(1000));
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
    let budget = RetryBudget::new(u32::MAX);
    let largest = if usize::BITS >= 64 { 1 << 20 } else { 1 << 10 };
    assert_eq!(budget.available(), largest);
    assert_eq!(sequence(&budget, 4, u32::MAX), 5);
    assert_eq!(
        format!("{budget:?}"),
        format!(
            "RetryBudget {{ available: {}, retries: {largest}, fail_fast: false, .. }}",
            largest - 4
        )
    );
}
