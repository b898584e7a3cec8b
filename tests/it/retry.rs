//! `Retry` against a reference loop, and the promises of its contract one by
//! one.

use std::{
    cell::{Cell, RefCell},
    future::{poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, Clock, Decision, Event, GiveUp, Jitter, ManualTimer, RetryBudget, RetryBuilder, Timer,
};
use futures_core::FusedFuture;
use proptest::prelude::*;

use crate::any::{self, Curve, DOORS, Door, nanos};

/// What one attempt does, and what the predicate says to its failure.
#[derive(Clone, Copy, Debug)]
struct Step {
    lasts: Duration,
    ok: bool,
    decision: Decision,
}

#[derive(Clone, Debug)]
struct Case {
    curve: Curve,
    max_retries: u32,
    max_elapsed: Duration,
    max_retry_after: Duration,
    seed: u64,
    script: Vec<Step>,
}

/// What can be seen of a sequence.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    calls: Vec<Duration>,
    iterations: Vec<u32>,
    waits: Vec<(u32, Duration, Duration)>,
    end: Option<(Result<usize, usize>, Option<GiveUp>, u32, Duration)>,
}

/// The contract, as a loop.
fn reference(case: &Case) -> Seen {
    let mut random = fastrand::Rng::with_seed(case.seed);
    let (mut seen, mut now) = (Seen::default(), Duration::ZERO);
    for (n, step) in (0..).zip(case.script.iter().cycle()) {
        seen.calls.push(now);
        now = now.saturating_add(step.lasts);
        let (retries, iteration) = (n as u32, n as u32 + 1);
        if step.ok {
            seen.end = Some((Ok(n), None, retries, now));
            return seen;
        }
        seen.iterations.push(iteration);
        let asked = match step.decision {
            Decision::RetryAfter(wait) | Decision::RetryIn(wait) => nanos(wait),
            _ => 0,
        };
        let mut wait = 0;
        let reason = if step.decision == Decision::GiveUp {
            Some(GiveUp::Decision)
        } else if retries == case.max_retries {
            Some(GiveUp::MaxRetries)
        } else if asked > nanos(case.max_retry_after) {
            Some(GiveUp::MaxRetryAfter)
        } else {
            wait = match step.decision {
                Decision::RetryIn(_) => asked,
                _ => drawn(&case.curve, iteration, asked, &mut random),
            };
            let ends = nanos(now).saturating_add(wait);
            (ends > nanos(case.max_elapsed)).then_some(GiveUp::MaxElapsed)
        };
        if reason.is_some() {
            seen.end = Some((Err(n), reason, retries, now));
            return seen;
        }
        let wait = Duration::from_nanos(wait);
        seen.waits.push((iteration, wait, now));
        now = now.saturating_add(wait);
    }
    unreachable!()
}

/// A wait from an interval that a hint slides up and widens.
fn drawn(curve: &Curve, iteration: u32, hint: u64, random: &mut fastrand::Rng) -> u64 {
    let (mut lo, mut hi) = curve.backoff().bounds(iteration).into_inner();
    if nanos(lo) < hint {
        let width = if curve.low < curve.high {
            (hi - lo).max(Duration::from_nanos(hint / 2))
        } else {
            Duration::ZERO
        };
        lo = Duration::from_nanos(hint);
        hi = lo + width;
    }
    let (lo, hi) = (nanos(lo), nanos(hi));
    if lo == hi {
        return lo;
    }
    let u = u128::from(random.u64(..));
    hi - (u * (u128::from(hi - lo) + 1) >> 64) as u64
}

/// The same, through a public door.
#[expect(clippy::too_many_lines, reason = "four doors, each spelt out")]
fn observed(case: &Case, door: Door, budget: Option<&RetryBudget>) -> Seen {
    let timer = ManualTimer::new();
    let seen = RefCell::new(Seen::default());
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(case.curve.backoff())
        .max_retries(case.max_retries)
        .max_elapsed(case.max_elapsed)
        .max_retry_after(case.max_retry_after)
        .seed(case.seed)
        .should_retry(|&n: &usize, iteration| {
            seen.borrow_mut().iterations.push(iteration);
            case.script[n % case.script.len()].decision
        })
        .observe(|event: Event<'_, usize>| {
            let mut seen = seen.borrow_mut();
            match event {
                Event::Retrying {
                    error,
                    iteration,
                    limit,
                    wait,
                    ..
                } => {
                    assert_eq!(*error + 1, iteration as usize);
                    let max = case.max_retries;
                    assert_eq!(limit, (max < u32::MAX).then_some(max));
                    seen.waits.push((iteration, wait, event.elapsed()));
                }
                Event::GaveUp {
                    error,
                    reason,
                    retries,
                    ..
                } => seen.end = Some((Err(*error), Some(reason), retries, event.elapsed())),
                Event::Succeeded { retries, .. } => {
                    seen.end = Some((Ok(retries as usize), None, retries, event.elapsed()));
                }
                event => panic!("{event:?}"),
            }
        });
    let alive = Rc::new(());
    let call = || {
        assert_eq!(Rc::strong_count(&alive), 1, "two attempts are alive");
        let n = seen.borrow().calls.len();
        seen.borrow_mut().calls.push(timer.now());
        (n, case.script[n % case.script.len()], Rc::clone(&alive))
    };
    let attempt = || {
        let (n, step, guard) = call();
        let timer = &timer;
        async move {
            let _guard = guard;
            timer.sleep(step.lasts).await;
            if step.ok { Ok(n) } else { Err(n) }
        }
    };
    macro_rules! drive {
        ($policy:expr) => {{
            let policy = $policy;
            match door {
                Door::Retry => timer.run(policy.retry(attempt)),
                Door::RetryWith => {
                    let mut lent = 0;
                    let attempt = async |lent: &mut usize| {
                        *lent += 1;
                        attempt().await
                    };
                    let result = timer.run(policy.retry_with(&mut lent, attempt));
                    assert_eq!(lent, seen.borrow().calls.len());
                    result
                }
                Door::Attempts => timer.run(async {
                    let mut attempts = policy.attempts();
                    loop {
                        match attempt().await {
                            Ok(value) => {
                                attempts.succeeded();
                                break Ok(value);
                            }
                            Err(error) => {
                                if let Err(error) = attempts.failed(error).await {
                                    break Err(error);
                                }
                            }
                        }
                    }
                }),
                Door::Blocking => policy.retry_blocking(|| {
                    let (n, step, _guard) = call();
                    timer.advance(step.lasts);
                    if step.ok { Ok(n) } else { Err(n) }
                }),
            }
        }};
    }
    let result = if let Some(budget) = budget {
        drive!(policy.budget(budget))
    } else {
        drive!(policy)
    };
    assert_eq!(timer.sleeping(), 0);
    let seen = seen.into_inner();
    let (end, _, _, elapsed) = seen.end.expect("no end was told");
    assert_eq!((end, elapsed), (result, timer.now()));
    seen
}

fn case() -> impl Strategy<Value = Case> {
    let decision = prop_oneof![
        6 => Just(Decision::Retry),
        2 => any::duration().prop_map(Decision::RetryAfter),
        2 => any::duration().prop_map(Decision::RetryIn),
        1 => Just(Decision::GiveUp),
    ];
    let step =
        (any::duration(), prop::bool::weighted(0.1), decision).prop_map(|(lasts, ok, decision)| {
            Step {
                lasts,
                ok,
                decision,
            }
        });
    (
        any::curve(),
        prop_oneof![Just(0), 1..20u32],
        prop_oneof![2 => Just(Duration::MAX), 1 => any::duration()],
        prop_oneof![1 => Just(Duration::from_secs(3600)), 1 => any::duration()],
        1..u64::MAX,
        prop::collection::vec(step, 1..12),
    )
        .prop_map(
            |(curve, max_retries, max_elapsed, max_retry_after, seed, script)| Case {
                curve,
                max_retries,
                max_elapsed,
                max_retry_after,
                seed,
                script,
            },
        )
}

proptest! {
    /// R1 to R4, R7: calls, predicate calls, waits, events, limits, result.
    #[test]
    fn every_sequence_is_that_of_the_reference_loop(case in case()) {
        for door in DOORS {
            prop_assert_eq!(observed(&case, door, None), reference(&case), "{:?}", door);
        }
    }

    /// B9: nor with a budget, as long as that does not refuse.
    #[test]
    fn a_budget_that_never_refuses_changes_nothing(case in case()) {
        for door in DOORS {
            let budget = RetryBudget::new(u32::MAX);
            let seen = observed(&case, door, Some(&budget));
            prop_assert_eq!(seen, reference(&case), "{:?}", door);
        }
    }

    /// R9: spurious polls change nothing.
    #[test]
    fn spurious_polls_do_nothing(case in case(), polls in prop::collection::vec(0..4u32, 1..20)) {
        let honest = observed(&case, Door::Retry, None);
        let timer = ManualTimer::new();
        let calls = Cell::new(0);
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(case.curve.backoff())
            .max_retries(case.max_retries)
            .max_elapsed(case.max_elapsed)
            .max_retry_after(case.max_retry_after)
            .seed(case.seed)
            .should_retry(|&n: &usize, _| case.script[n % case.script.len()].decision);
        let mut retry = pin!(policy.retry(|| {
            let n = calls.replace(calls.get() + 1);
            let step = case.script[n % case.script.len()];
            let timer = &timer;
            async move {
                timer.sleep(step.lasts).await;
                if step.ok { Ok(n) } else { Err(n) }
            }
        }));
        let mut polls = polls.into_iter().cycle();
        let result = timer.run(poll_fn(|context| {
            for _ in 0..polls.next().unwrap() {
                // A poll too many, with a waker that leads nowhere.
                let mut nowhere = Context::from_waker(Waker::noop());
                if let Poll::Ready(result) = retry.as_mut().poll(&mut nowhere) {
                    return Poll::Ready(result);
                }
            }
            retry.as_mut().poll(context)
        }));
        prop_assert_eq!(calls.get(), honest.calls.len());
        prop_assert_eq!(Some(result), honest.end.map(|end| end.0));
        // Zero waits end a poll sooner, all others at their own instant.
        prop_assert_eq!(Some(timer.now()), honest.end.map(|end| end.3));
    }
}

/// A timer that counts how often it is asked.
struct Counting<'a> {
    timer: &'a ManualTimer,
    reads: Cell<u32>,
    sleeps: Cell<u32>,
}

impl<'a> Counting<'a> {
    fn new(timer: &'a ManualTimer) -> Self {
        Self {
            timer,
            reads: Cell::new(0),
            sleeps: Cell::new(0),
        }
    }

    fn counts(&self) -> (u32, u32) {
        (self.reads.get(), self.sleeps.get())
    }
}

impl Clock for Counting<'_> {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.reads.set(self.reads.get() + 1);
        self.timer.now()
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.reads.set(self.reads.get() + 1);
        self.timer.elapsed(since)
    }
}

impl Timer for Counting<'_> {
    type Sleep = <ManualTimer as Timer>::Sleep;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.sleeps.set(self.sleeps.get() + 1);
        self.timer.sleep(duration)
    }
}

/// How many numbers `f` draws from this thread's generator.
fn draws(f: impl FnOnce()) -> usize {
    fastrand::seed(0xd1ce);
    f();
    let next = fastrand::u64(..);
    let mut twin = fastrand::Rng::with_seed(0xd1ce);
    (0..100).take_while(|_| twin.u64(..) != next).count()
}

#[test]
fn a_first_try_success_reads_no_clock_and_draws_no_number() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let policy = RetryBuilder::with_timer(&timer).should_retry(|(): &(), _| true);
    assert_eq!(
        draws(|| manual.run(policy.retry(|| ready(Ok(())))).unwrap()),
        0
    );
    assert_eq!(timer.counts(), (0, 0));

    let limited = policy.max_elapsed(Duration::from_secs(9));
    assert_eq!(
        draws(|| manual.run(limited.retry(|| ready(Ok(())))).unwrap()),
        0
    );
    assert_eq!(
        timer.counts(),
        (1, 0),
        "the start of a limit in time is read"
    );
}

#[test]
fn a_final_error_draws_no_number_and_makes_no_timer() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let policy = RetryBuilder::with_timer(&timer).should_retry(|_: &u8, _| false);
    assert_eq!(
        draws(|| assert_eq!(manual.run(policy.retry(|| ready(Err::<(), _>(7)))), Err(7))),
        0
    );
    assert_eq!(timer.counts(), (0, 0));
}

/// S9.
#[test]
fn a_jittered_wait_draws_one_number_and_a_plain_one_none() {
    let manual = ManualTimer::new();
    let policy = RetryBuilder::with_timer(&manual).max_retries(9);
    let drawn = |policy: RetryBuilder<&ManualTimer>| {
        draws(|| assert!(manual.run(policy.retry(|| ready(Err::<(), _>(7)))).is_err()))
    };
    assert_eq!(drawn(policy), 9);
    assert_eq!(drawn(policy.jitter(Jitter::NONE)), 0);
}

/// R8.
#[test]
fn a_zero_wait_makes_no_timer_and_yields_once() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let mut calls = 0;
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(Duration::ZERO))
        .max_retries(999);
    let mut retry = pin!(policy.retry(|| {
        calls += 1;
        ready(Err::<(), _>(calls))
    }));
    let mut polls = 0;
    let result = manual.run(poll_fn(|context| {
        polls += 1;
        retry.as_mut().poll(context)
    }));
    assert_eq!((result, polls), (Err(1000), 1000));
    assert_eq!(timer.counts(), (0, 0));
}

#[test]
fn ten_million_immediate_failures_do_not_grow_the_stack() {
    let timer = ManualTimer::new();
    let mut left = 10_000_000;
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(Duration::ZERO))
        .without_max_retries();
    let result = timer.run(policy.retry(|| {
        left -= 1;
        ready(if left == 0 { Ok(()) } else { Err(()) })
    }));
    assert_eq!(result, Ok(()));
}

#[test]
fn a_poll_after_the_end_panics_with_our_message_and_fused_future_says_so() {
    let timer = ManualTimer::new();
    let mut retry = pin!(RetryBuilder::with_timer(&timer).retry(|| ready(Ok::<_, ()>(1))));
    assert!(!retry.is_terminated());
    assert_eq!(timer.run(retry.as_mut()), Ok(1));
    assert!(retry.is_terminated());
    let again = catch_unwind(AssertUnwindSafe(|| timer.run(retry)));
    assert_eq!(
        again.unwrap_err().downcast_ref(),
        Some(&"`Retry` was polled after its end")
    );
}

/// R14, S8: a copy of a policy is a sequence of its own.
#[test]
fn copies_of_a_policy_are_independent() {
    let timer = ManualTimer::new();
    let policy = RetryBuilder::with_timer(&timer);
    let elapsed = |policy: RetryBuilder<&ManualTimer>| {
        let begun = timer.now();
        let mut calls = 0;
        let _ = timer.run(policy.retry(|| {
            calls += 1;
            ready(Err::<(), ()>(()))
        }));
        assert_eq!(calls, 5);
        timer.elapsed(begun)
    };
    assert_ne!(elapsed(policy), elapsed(policy));
}

#[test]
fn zero_retries_are_one_call() {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let result = timer.run(RetryBuilder::with_timer(&timer).max_retries(0).retry(|| {
        calls += 1;
        ready(Err::<(), _>("its own"))
    }));
    assert_eq!(
        (result, calls, timer.now()),
        (Err("its own"), 1, Duration::ZERO)
    );
}

#[test]
fn a_wait_that_ends_exactly_at_the_limit_is_begun() {
    let second = Duration::from_secs(1);
    for (limit, expected) in [(3 * second, 4), (3 * second - Duration::from_nanos(1), 3)] {
        let timer = ManualTimer::new();
        let mut calls = 0;
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(second))
            .max_elapsed(limit);
        let _ = timer.run(policy.retry(|| {
            calls += 1;
            ready(Err::<(), ()>(()))
        }));
        assert_eq!(calls, expected);
    }
}

/// When a fleet comes back that is told the same by a server, in order.
fn returns(backoff: Backoff, decision: Decision) -> Vec<Duration> {
    let mut returns: Vec<_> = (0..1000)
        .map(|seed| {
            let timer = ManualTimer::new();
            let policy = RetryBuilder::with_timer(&timer)
                .backoff(backoff)
                .max_retries(1)
                .seed(seed)
                .should_retry(|(): &(), _| decision);
            let _ = timer.run(policy.retry(|| ready(Err::<(), ()>(()))));
            timer.now()
        })
        .collect();
    returns.sort_unstable();
    returns
}

/// A fleet that is given one hint comes back over half of it.
#[test]
fn a_hint_slides_the_interval_and_widens_it() {
    let hint = Duration::from_secs(30);
    let fleet = returns(Backoff::new(), Decision::RetryAfter(hint));
    assert!(hint <= fleet[0] && fleet[999] <= hint * 3 / 2);
    let worst = fleet.iter().map(|first| {
        let end = *first + Duration::from_millis(100);
        fleet.partition_point(|at| *at < end) - fleet.partition_point(|at| at < first)
    });
    assert!(worst.max().unwrap() <= 30, "3 % in the worst 100 ms");

    // The interval of the curve is kept where it is wider, or lies later.
    let minute = Duration::from_secs(60);
    let wide = Backoff::new().initial_delay(minute).without_max_delay();
    let soon = returns(wide, Decision::RetryAfter(minute + Duration::from_secs(1)));
    assert!(soon[999] - soon[0] > Duration::from_secs(50));
    let curve = returns(wide, Decision::Retry);
    assert_eq!(returns(wide, Decision::RetryAfter(minute)), curve);
}

/// Without jitter it is exact, and exceeds the cap as it was asked to.
#[test]
fn a_hint_is_exact_without_jitter() {
    let hint = Duration::from_secs(300);
    let fleet = returns(
        Backoff::new().jitter(Jitter::NONE),
        Decision::RetryAfter(hint),
    );
    assert_eq!((fleet[0], fleet[999]), (hint, hint));
}

/// Shorter than the curve, longer than its cap, and without a draw.
#[test]
fn an_exact_wait_is_exact() {
    for wait in [1, 3_000_000] {
        let wait = Duration::from_millis(wait);
        let fleet = returns(Backoff::new(), Decision::RetryIn(wait));
        assert_eq!((fleet[0], fleet[999]), (wait, wait));
    }
    let timer = ManualTimer::new();
    let policy = RetryBuilder::with_timer(&timer)
        .should_retry(|(): &(), _| Decision::RetryIn(Duration::from_secs(1)));
    assert_eq!(
        draws(|| assert!(
            timer
                .run(policy.retry(|| ready(Err::<(), ()>(()))))
                .is_err()
        )),
        0
    );
}

/// Both are told, the one named first before the other.
#[test]
fn a_second_observer_adds_to_the_first() {
    let timer = ManualTimer::new();
    let told = RefCell::new(Vec::new());
    let observer = |name| {
        let told = &told;
        move |event: Event<'_, u8>| told.borrow_mut().push((name, format!("{event:?}")))
    };
    let policy = RetryBuilder::with_timer(&timer)
        .max_retries(1)
        .observe(observer("first"))
        .observe(observer("second"))
        .observe(observer("third"));
    let _ = timer.run(policy.retry(|| ready(Err::<(), _>(7))));
    let told = told.into_inner();
    let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["first", "second", "third"].repeat(2));
    assert!(
        told.chunks(3)
            .all(|same| same[0].1 == same[1].1 && same[1].1 == same[2].1)
    );
}

/// The beginning is read once; from then on the clock is read if somebody asks.
#[test]
fn an_observer_that_ignores_the_time_costs_one_reading() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let policy = RetryBuilder::with_timer(&timer).max_retries(3);
    let ignores = policy.observe(|event: Event<'_, u8>| {
        let (Event::Retrying { .. } | Event::GaveUp { .. } | Event::Succeeded { .. }) = event
        else {
            panic!("postponed");
        };
    });
    let _ = manual.run(ignores.retry(|| ready(Err::<(), _>(7))));
    assert_eq!(timer.reads.take(), 1);
    let asks = policy.observe(|event: Event<'_, u8>| assert!(event.elapsed() <= manual.now()));
    let _ = manual.run(asks.retry(|| ready(Err::<(), _>(7))));
    assert_eq!(timer.reads.take(), 1 + 4);
    let _ = manual.run(
        policy
            .max_elapsed(Duration::MAX)
            .retry(|| ready(Err::<(), u8>(7))),
    );
    assert_eq!(timer.reads.take(), 0, "no limit");
}

/// Each attempt has its own time, and its error is an error like any other.
#[test]
fn an_attempt_is_cut_at_its_limit() {
    let second = Duration::from_secs(1);
    for door in [Door::Retry, Door::RetryWith] {
        let (timer, calls) = (ManualTimer::new(), Cell::new(0));
        let log = RefCell::new(Vec::new());
        let policy = RetryBuilder::with_timer(&timer)
            .backoff(Backoff::constant(second))
            .attempt_timeout(5 * second, || {
                log.borrow_mut().push("made");
                "timed out"
            })
            .should_retry(|error: &&str, _| {
                log.borrow_mut().push("asked");
                *error != "final"
            });
        let attempt = || {
            calls.set(calls.get() + 1);
            let (timer, log, n) = (&timer, &log, calls.get());
            async move {
                let _guard = scopeguard(log);
                let lasts = match n {
                    1 => 5 * second + Duration::from_nanos(1),
                    2 => 3 * second,
                    3 => Duration::MAX,
                    _ => 5 * second,
                };
                timer.sleep(lasts).await;
                Err::<(), _>(if n == 4 { "final" } else { "refused" })
            }
        };
        let result = match door {
            Door::Retry => timer.run(policy.retry(attempt)),
            _ => timer.run(policy.retry_with(&mut (), async |()| attempt().await)),
        };
        assert_eq!((result, calls.get()), (Err("final"), 4), "{door:?}");
        assert_eq!(timer.now(), (5 + 1 + 3 + 1 + 5 + 1 + 5) * second);
        assert_eq!(timer.sleeping(), 0);
        assert_eq!(
            *log.borrow(),
            [
                "dropped", "made", "asked", "dropped", "asked", "dropped", "made", "asked",
                "dropped", "asked"
            ],
            "{door:?}"
        );
    }
}

/// Says that it is dropped.
fn scopeguard<'a>(log: &'a RefCell<Vec<&'static str>>) -> impl Drop + 'a {
    struct Guard<'a>(&'a RefCell<Vec<&'static str>>);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    Guard(log)
}

/// The time of an operation that blocks before it returns its future counts.
#[test]
fn the_time_of_an_attempt_counts_from_before_its_call() {
    let (timer, second) = (ManualTimer::new(), Duration::from_secs(1));
    let policy = RetryBuilder::with_timer(&timer)
        .max_retries(0)
        .attempt_timeout(5 * second, || "timed out");
    let result = timer.run(policy.retry(|| {
        timer.advance(4 * second);
        let sleep = timer.sleep(2 * second);
        async move {
            sleep.await;
            Ok::<(), _>(())
        }
    }));
    assert_eq!((result, timer.now()), (Err("timed out"), 5 * second));
}

/// Nothing is timed if nothing can be late.
#[test]
fn an_attempt_timeout_of_the_longest_duration_makes_no_timer() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let policy = RetryBuilder::with_timer(&timer).attempt_timeout(Duration::MAX, || 7);
    assert_eq!(manual.run(policy.retry(|| ready(Ok::<_, u8>(1)))), Ok(1));
    assert_eq!(timer.counts(), (0, 0));
}

/// A cursor that goes on after a give-up stands where it would stand on the curve.
#[test]
fn failure_n_is_followed_by_wait_n_whatever_was_decided_before() {
    let timer = ManualTimer::new();
    let backoff = Backoff::new().jitter(Jitter::NONE);
    let mut attempts = RetryBuilder::with_timer(&timer)
        .backoff(backoff)
        .max_retry_after(Duration::from_secs(1))
        .should_retry(|decision: &Decision, _| *decision)
        .attempts();
    let refused = [
        Decision::GiveUp,
        Decision::RetryAfter(Duration::from_secs(2)),
    ];
    for (n, decision) in (1..).zip(refused) {
        assert_eq!(timer.run(attempts.failed(decision)), Err(decision));
        assert_eq!((attempts.failures(), timer.now()), (n, Duration::ZERO));
    }
    assert_eq!(timer.run(attempts.failed(Decision::Retry)), Ok(()));
    assert_eq!(timer.now(), *backoff.bounds(3).end());
}

#[test]
fn the_table_of_a_policy_can_be_read() {
    let policy = RetryBuilder::with_timer(ManualTimer::new())
        .initial_delay(Duration::from_secs(3))
        .factor(1.55)
        .max_delay(Duration::from_secs(50))
        .jitter(Jitter::NONE)
        .max_retries(8)
        .max_elapsed(Duration::from_secs(600))
        .max_retry_after(Duration::from_secs(60));
    assert_eq!(
        policy.to_string(),
        "\
retry   wait                           sum of the waits
    1   3s                             3s
    2   4.65s                          7.65s
    3   7.2075s                        14.8575s
    4   11.171625s                     26.029125s
    5   17.31601875s                   43.34514375s
    6   26.839829063s                  70.184972813s
    7   41.601735047s                  111.78670786s
    8   50s                            161.78670786s
at most 8 retries
no wait ends later than 600s after the start
no hint above 60s is followed
"
    );
    let endless = RetryBuilder::with_timer(ManualTimer::new()).without_max_retries();
    assert!(
        endless
            .to_string()
            .ends_with("  ...   30s to 60s\nno limit on retries\n")
    );
    let many = endless.clone().max_retries(1000).to_string();
    assert!(many.contains("\n  ...\n 1000   30s to 60s"), "{many}");
    assert_eq!(
        format!("{endless:?}"),
        format!(
            "RetryBuilder {{ backoff: {:?}, max_retries: None, .. }}",
            Backoff::new()
        )
    );
}

/// R7, R9: one poll for each wake, none of its own making; the next attempt begins
/// in the poll in which its wait has ended.
#[test]
fn a_wait_costs_two_polls() {
    let timer = ManualTimer::new();
    let (polls, calls) = (Cell::new(0), RefCell::new(Vec::new()));
    let policy = RetryBuilder::with_timer(&timer).max_retries(9);
    let mut retry = pin!(policy.retry(|| {
        calls.borrow_mut().push(polls.get());
        ready(Err::<(), ()>(()))
    }));
    let result = timer.run(poll_fn(|context| {
        polls.set(polls.get() + 1);
        retry.as_mut().poll(context)
    }));
    assert_eq!(result, Err(()));
    assert_eq!(calls.into_inner(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(polls.get(), 10);
}

/// The time of an operation that is not async counts like any other.
#[test]
fn the_clock_starts_before_the_first_call() {
    let timer = ManualTimer::new();
    let mut calls = 0;
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(Duration::from_secs(1)))
        .max_elapsed(Duration::from_secs(5));
    let result = timer.run(policy.retry(|| {
        calls += 1;
        timer.advance(Duration::from_secs(2));
        ready(Err::<(), ()>(()))
    }));
    assert_eq!((result, calls), (Err(()), 2));
}

#[test]
fn a_seed_alone_reads_no_clock() {
    let manual = ManualTimer::new();
    let timer = Counting::new(&manual);
    let policy = RetryBuilder::with_timer(&timer).seed(7);
    assert_eq!(
        draws(|| assert!(manual.run(policy.retry(|| ready(Err::<(), _>(7)))).is_err())),
        0
    );
    assert_eq!(timer.counts(), (0, 4));
}

#[test]
fn hints_of_up_to_an_hour_are_followed() {
    let hour = Duration::from_secs(3600);
    for (hint, waits) in [(hour, 1), (hour + Duration::from_nanos(1), 0)] {
        let timer = ManualTimer::new();
        let policy = RetryBuilder::with_timer(&timer)
            .max_retries(1)
            .should_retry(|(): &(), _| Decision::RetryAfter(hint));
        let _ = timer.run(policy.retry(|| ready(Err::<(), ()>(()))));
        assert_eq!(timer.now() >= hour, waits == 1);
    }
}

/// What an attempt may borrow from is dropped after it.
#[test]
fn the_attempt_is_dropped_before_the_operation() {
    struct Loud<'a>(&'a RefCell<Vec<&'static str>>, &'static str);
    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = RefCell::new(Vec::new());
    {
        let held = Loud(&log, "operation");
        let mut retry = pin!(RetryBuilder::with_timer(ManualTimer::new()).retry(move || {
            let attempt = Loud(held.0, "attempt");
            async move {
                let _attempt = attempt;
                std::future::pending::<Result<(), ()>>().await
            }
        }));
        assert!(
            retry
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    assert_eq!(log.into_inner(), ["attempt", "operation"]);
}

#[test]
fn the_table_leaves_out_only_what_there_is() {
    let rows = |retries| {
        let policy = RetryBuilder::with_timer(ManualTimer::new()).max_retries(retries);
        policy.to_string().lines().count()
    };
    // The heading, the rows, the limit.
    assert_eq!([0, 1, 12, 13, 14].map(rows), [1, 3, 14, 15, 15]);
    let one = RetryBuilder::with_timer(ManualTimer::new())
        .initial_delay(Duration::from_micros(5))
        .max_retries(1);
    assert_eq!(
        one.to_string(),
        "\
retry   wait                           sum of the waits
    1   5µs to 10µs                    5µs to 10µs
at most 1 retry
"
    );
}

#[test]
fn reasons_are_sentences() {
    for (reason, said) in [
        (GiveUp::Decision, "the error is not to be retried"),
        (GiveUp::MaxRetries, "the limit on retries was reached"),
        (
            GiveUp::MaxRetryAfter,
            "the server asked for a longer wait than is allowed",
        ),
        (
            GiveUp::MaxElapsed,
            "the next wait would have ended after the limit in time",
        ),
        (GiveUp::Budget, "the retry budget had nothing left"),
    ] {
        assert_eq!(reason.to_string(), said);
    }
}

/// S11: curve, count and clock begin anew.
#[test]
fn a_reset_cursor_is_a_new_one() {
    let timer = ManualTimer::new();
    let second = Duration::from_secs(1);
    let mut attempts = RetryBuilder::with_timer(&timer)
        .initial_delay(second)
        .jitter(Jitter::NONE)
        .max_retries(2)
        .max_elapsed(4 * second)
        .attempts();
    for round in 1..=3 {
        assert_eq!(timer.run(attempts.failed("lost")), Ok(()));
        assert_eq!(timer.run(attempts.failed("lost")), Ok(()));
        assert_eq!(timer.now(), round * 3 * second);
        assert_eq!(timer.run(attempts.failed("lost")), Err("lost"));
        assert_eq!(attempts.failures(), 3);
        match round {
            1 => attempts.reset(),
            _ => attempts.succeeded(),
        }
        assert_eq!(attempts.failures(), 0);
    }
}

/// With a seed every sequence of a cursor draws the same.
#[test]
fn a_reset_cursor_with_a_seed_draws_the_same_again() {
    let timer = ManualTimer::new();
    let mut attempts = RetryBuilder::with_timer(&timer).seed(7).attempts();
    let expected: Vec<_> = Backoff::new().delays_seeded(7).take(3).collect();
    for round in 0..4 {
        let drawn: Vec<_> = (0..3)
            .map(|_| {
                let begun = timer.now();
                timer.run(attempts.failed(())).unwrap();
                timer.elapsed(begun)
            })
            .collect();
        assert_eq!(drawn, expected, "round {round}");
        match round {
            0 => attempts.reset(),
            1 => attempts.succeeded(),
            _ => {
                attempts.succeeded();
                attempts.reset();
            }
        }
    }
}

/// What can be seen of a future says where it stands, and shows no value.
#[test]
fn debug_texts_say_where_things_stand() {
    let timer = ManualTimer::new();
    let waits = RetryBuilder::with_timer(&timer).backoff(Backoff::constant(Duration::from_secs(1)));
    let mut attempts = waits.max_retries(1).attempts();
    {
        let mut wait = pin!(attempts.failed("secret"));
        assert_eq!(format!("{wait:?}"), "Pause(\"wait\")");
        timer.run(wait.as_mut()).unwrap();
        assert_eq!(format!("{wait:?}"), "Pause(\"done\")");
    }
    assert_eq!(
        format!("{:?}", attempts.failed("secret")),
        "Pause(\"gave up\")"
    );
    assert_eq!(format!("{attempts:?}"), "Attempts { failures: 2, .. }");

    let mut retry = pin!(waits.max_retries(1).retry(|| {
        let slow = timer.sleep(Duration::from_secs(1));
        async move {
            slow.await;
            Err::<(), _>("secret")
        }
    }));
    let mut seen = vec![format!("{retry:?}")];
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..4 {
        let _ = retry.as_mut().poll(&mut context);
        seen.push(format!("{retry:?}"));
        timer.advance(Duration::from_secs(1));
    }
    let states = [
        ("ready", 0),
        ("attempt", 0),
        ("wait", 1),
        ("attempt", 1),
        ("done", 2),
    ];
    let expected = states.map(|(state, failures)| {
        format!("Retry {{ state: \"{state}\", failures: {failures}, .. }}")
    });
    assert_eq!(seen, expected);
}
