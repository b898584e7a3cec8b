//! `Retry` against a reference loop, and the promises of its contract one by
//! one.

use std::{
    cell::{Cell, RefCell},
    future::{poll_fn, ready},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{Backoff, Decision, Event, GiveUp, Jitter, ManualTimer, RetryBuilder, Timer};
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
        let hint = match step.decision {
            Decision::RetryAfter(hint) => nanos(hint),
            _ => 0,
        };
        let mut wait = 0;
        let reason = if step.decision == Decision::GiveUp {
            Some(GiveUp::Decision)
        } else if retries == case.max_retries {
            Some(GiveUp::MaxRetries)
        } else if hint > nanos(case.max_retry_after) {
            Some(GiveUp::MaxRetryAfter)
        } else {
            wait = drawn(case.curve.backoff().bounds(iteration), hint, &mut random);
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

/// A wait from an interval that a hint slides up.
fn drawn(bounds: RangeInclusive<Duration>, hint: u64, random: &mut fastrand::Rng) -> u64 {
    let (lo, hi) = (nanos(*bounds.start()), nanos(*bounds.end()));
    let (lo, hi) = (lo.max(hint), lo.max(hint).saturating_add(hi - lo));
    if lo == hi {
        return lo;
    }
    let u = u128::from(random.u64(..));
    hi - (u * (u128::from(hi - lo) + 1) >> 64) as u64
}

/// The same, through a public door.
fn observed(case: &Case, door: Door) -> Seen {
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
                    wait,
                    elapsed,
                } => {
                    assert_eq!(*error + 1, iteration as usize);
                    seen.waits.push((iteration, wait, elapsed));
                }
                Event::GaveUp {
                    error,
                    reason,
                    retries,
                    elapsed,
                } => seen.end = Some((Err(*error), Some(reason), retries, elapsed)),
                Event::Succeeded { retries, elapsed } => {
                    seen.end = Some((Ok(retries as usize), None, retries, elapsed));
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
    let result = match door {
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
            timer.block(step.lasts);
            if step.ok { Ok(n) } else { Err(n) }
        }),
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
            prop_assert_eq!(observed(&case, door), reference(&case), "{:?}", door);
        }
    }

    /// R9: spurious polls change nothing.
    #[test]
    fn spurious_polls_do_nothing(case in case(), polls in prop::collection::vec(0..4u32, 1..20)) {
        let honest = observed(&case, Door::Retry);
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

impl Timer for Counting<'_> {
    type Instant = Duration;
    type Sleep = <ManualTimer as Timer>::Sleep;

    fn now(&self) -> Duration {
        self.reads.set(self.reads.get() + 1);
        self.timer.now()
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.reads.set(self.reads.get() + 1);
        self.timer.elapsed(since)
    }

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

/// A fleet that is given one hint still spreads, over a whole interval after it.
#[test]
fn a_hint_slides_the_interval_and_keeps_its_width() {
    let hint = Duration::from_secs(20);
    let policy = RetryBuilder::with_timer(ManualTimer::new())
        .max_delay(Duration::from_secs(1))
        .max_retries(1);
    let waits: Vec<Duration> = (0..200)
        .map(|seed| {
            let timer = ManualTimer::new();
            let policy = RetryBuilder::with_timer(&timer)
                .max_delay(Duration::from_secs(1))
                .max_retries(1)
                .seed(seed)
                .should_retry(|(): &(), _| Decision::RetryAfter(hint));
            let _ = timer.run(policy.retry(|| ready(Err::<(), ()>(()))));
            timer.now()
        })
        .collect();
    let width = *policy.total().end() - *policy.total().start();
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(hint <= *least && *most <= hint + width);
    assert!(*most - *least > width / 2);
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
        timer.block(Duration::from_secs(2));
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
        attempts.reset();
    }
}

/// What can be seen of a future says where it stands, and shows no value.
#[test]
fn debug_texts_say_where_things_stand() {
    let timer = ManualTimer::new();
    let waits = RetryBuilder::with_timer(&timer).backoff(Backoff::constant(Duration::from_secs(1)));
    let mut attempts = waits.max_retries(1).attempts();
    let mut wait = pin!(attempts.failed("secret"));
    assert_eq!(format!("{wait:?}"), "Pause(\"wait\")");
    timer.run(wait.as_mut()).unwrap();
    assert_eq!(format!("{wait:?}"), "Pause(\"done\")");
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
