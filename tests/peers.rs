//! What other retry crates were seen to do, row by row, and what holds here for
//! the same input. Each version is the one that was run; all time is virtual.

#![cfg(feature = "tokio")]
#![expect(
    clippy::unchecked_time_subtraction,
    reason = "a test that underflows fails"
)]

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::{Ready, poll_fn, ready},
    ops::RangeInclusive,
    panic::catch_unwind,
    pin::pin,
    time::Duration,
};

use afterbeat::{
    Backoff, Clock, Decision, Event, Extras, GiveUp, Jitter, ManualTimer, RetryBuilder, Timer,
    TokioTimer,
};
use futures_core::FusedFuture;
use tokio::{
    task::unconstrained,
    time::{self, Instant},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Durations are counted in 64 bits of nanoseconds.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// A failure, with the wait that the server asked for.
type Refused = Option<Duration>;
type Answer = fn(&Refused, u32) -> Decision;
type Policy<T = ManualTimer> = RetryBuilder<T, Answer, Extras>;

/// The policy under test, which also follows hints of any length.
fn policy<T: Timer>(timer: T, backoff: Backoff) -> Policy<T> {
    RetryBuilder::with_timer(timer)
        .backoff(backoff)
        .max_retry_after(Duration::MAX)
        .should_retry(|hint: &Refused, _| hint.map_or(Decision::Retry, Decision::RetryAfter))
}

#[derive(Clone, Copy, Debug)]
enum Door {
    Retry,
    RetryWith,
    Attempts,
    Blocking,
}

const ASYNC_DOORS: [Door; 3] = [Door::Retry, Door::RetryWith, Door::Attempts];
const DOORS: [Door; 4] = [Door::Retry, Door::RetryWith, Door::Attempts, Door::Blocking];

impl Door {
    /// Drives `op` by this door, if it is one for a future.
    async fn drive<T: Timer, V, Fut>(
        self,
        policy: Policy<T>,
        mut op: impl FnMut() -> Fut,
    ) -> Result<V, Refused>
    where
        Fut: Future<Output = Result<V, Refused>>,
    {
        match self {
            Self::Retry => policy.retry(op).await,
            Self::RetryWith => policy.retry_with(&mut op, async |op| op().await).await,
            Self::Attempts => {
                let mut attempts = policy.attempts();
                loop {
                    match op().await {
                        Ok(value) => {
                            attempts.succeeded();
                            return Ok(value);
                        }
                        Err(error) => attempts.failed(error).await?,
                    }
                }
            }
            Self::Blocking => unreachable!("drives no future"),
        }
    }

    /// When the attempts begin, if each lasts so long and is refused.
    fn begins(
        self,
        backoff: Backoff,
        limit: impl Fn(Policy) -> Policy,
        lasts: Duration,
        refused: Refused,
    ) -> Vec<Duration> {
        let (timer, begins) = (ManualTimer::new(), RefCell::new(Vec::new()));
        let policy = limit(policy(timer.clone(), backoff));
        let begin = || begins.borrow_mut().push(timer.now());
        let result = match self {
            Self::Blocking => policy.retry_blocking(|| {
                begin();
                timer.advance(lasts);
                Err::<(), _>(refused)
            }),
            door => timer.run(door.drive(policy, || {
                begin();
                async {
                    timer.sleep(lasts).await;
                    Err(refused)
                }
            })),
        };
        assert_eq!((result, timer.sleeping()), (Err(refused), 0), "{self:?}");
        begins.into_inner()
    }

    /// The waits of a sequence whose attempts take no time.
    fn waits(self, backoff: Backoff, limit: impl Fn(Policy) -> Policy) -> Vec<Duration> {
        gaps(&self.begins(backoff, limit, Duration::ZERO, None))
    }
}

fn gaps(begins: &[Duration]) -> Vec<Duration> {
    begins.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Every wait of every door lies in its interval and under the cap; those at the
/// cap are spread over the upper interval.
#[track_caller]
fn holds_its_cap(backoff: Backoff, cap: Duration) {
    const RETRIES: u32 = 12;
    let level = backoff.bounds(RETRIES);
    assert_eq!(*level.end(), cap, "the curve reaches its cap");
    for door in DOORS {
        let mut last = Vec::new();
        for seed in 0..50 {
            let waits = door.waits(backoff, |policy| policy.max_retries(RETRIES).seed(seed));
            for (n, wait) in (1..).zip(&waits) {
                assert!(backoff.bounds(n).contains(wait), "{door:?} {n}: {wait:?}");
                assert!(*wait <= cap, "{door:?} {n}: {wait:?}");
            }
            last.extend(waits.last().copied());
        }
        assert!(covers(&last, &level), "{door:?}: not spread at the cap");
    }
}

/// Whether each fifth of the interval holds one of the waits.
fn covers(waits: &[Duration], interval: &RangeInclusive<Duration>) -> bool {
    let fifth = (*interval.end() - *interval.start()) / 5;
    (0..5).all(|n| {
        let low = *interval.start() + n * fifth;
        waits.iter().any(|wait| (low..=low + fifth).contains(wait))
    })
}

/// backon 1.6.0: 19.995 s under a cap of 10 s.
#[test]
fn row_01_jitter_stays_inside_the_cap() {
    let cap = 10 * SECOND;
    holds_its_cap(Backoff::new().initial_delay(SECOND).max_delay(cap), cap);
}

/// backon 1.6.0: a first delay of 30 s under a cap of 10 s.
#[test]
fn row_02_the_first_delay_is_capped_too() {
    let backoff = Backoff::new()
        .initial_delay(30 * SECOND)
        .max_delay(10 * SECOND)
        .jitter(Jitter::NONE);
    for door in DOORS {
        let waits = door.waits(backoff, |policy| policy.max_retries(3));
        assert_eq!(waits, [10 * SECOND; 3], "{door:?}");
        let immediate = backoff.max_delay(MILLI).immediate_retry(true);
        let waits = door.waits(immediate, |policy| policy.max_retries(3));
        assert_eq!(waits, [MILLI; 3], "{door:?}: the immediate retry");
    }
}

/// backon 1.6.0: a factor of NaN or -1 gives a second delay of 584,942,417,355
/// years.
#[test]
fn row_03_no_factor_but_a_finite_one_of_at_least_1_can_be_built() {
    for (factor, written) in [(f64::NAN, "NaN"), (-1.0, "-1")] {
        let error = Backoff::new().try_factor(factor).unwrap_err();
        let rule = "factor must be finite and at least 1";
        assert_eq!(error.to_string(), format!("{rule}, not {written}"));
        let panic = catch_unwind(|| Backoff::new().factor(factor)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&rule));
        assert!(catch_unwind(|| RetryBuilder::new().factor(factor)).is_err());
    }
}

/// backon 1.6.0: 100 ms doubled is 200.000003 ms, and 10799.123456789 s times 1
/// loses 411 µs.
#[test]
fn row_04_whole_nanoseconds_stay_exact() {
    let doubled = Backoff::new()
        .initial_delay(100 * MILLI)
        .without_max_delay()
        .jitter(Jitter::NONE);
    let odd = Duration::new(10_799, 123_456_789);
    let level = doubled.initial_delay(odd).factor(1.0);
    for door in DOORS {
        let waits = door.waits(doubled, |policy| policy.max_retries(20));
        let exact: Vec<_> = (0..20).map(|n| 100 * MILLI * (1 << n)).collect();
        assert_eq!(waits, exact, "{door:?}");
        let waits = door.waits(level, |policy| policy.max_retries(20));
        assert_eq!(waits, [odd; 20], "{door:?}");
    }
}

/// backon 1.6.0: a total of `Duration::MAX` panics, "overflow when adding
/// durations".
#[test]
fn row_05_the_longest_limit_in_time_is_no_limit_and_no_overflow() {
    let backoff = Backoff::new().without_max_delay();
    for door in DOORS {
        let waits = door.waits(backoff, |policy| {
            policy.max_retries(100).max_elapsed(Duration::MAX)
        });
        assert_eq!(waits.len(), 100, "{door:?}");
        let bounds = backoff.bounds(100);
        assert!(bounds.contains(waits.last().unwrap()), "{door:?}");
        // A nanosecond less is a limit again.
        let limit = LONGEST - Duration::from_nanos(1);
        let waits = door.waits(backoff, |policy| policy.max_retries(100).max_elapsed(limit));
        assert!(waits.len() < 70, "{door:?}");
    }
    assert_eq!(backoff.total(u32::MAX), LONGEST..=LONGEST);
}

/// backon 1.6.0: Fibonacci waits of 42 s under a cap of 30 s; without one, a panic
/// on overflow.
#[test]
fn row_06_every_growth_keeps_its_cap_and_none_overflows() {
    let cap = 30 * SECOND;
    let golden = f64::midpoint(1.0, 5f64.sqrt());
    for factor in [golden, 1.5, 10.0, 1e300] {
        let backoff = Backoff::new().initial_delay(SECOND).factor(factor);
        holds_its_cap(backoff.max_delay(cap), cap);
        let endless = backoff.without_max_delay();
        for door in DOORS {
            let waits = door.waits(endless, |policy| policy.max_retries(300));
            assert_eq!(waits.len(), 300, "{door:?}");
        }
        assert_eq!(*endless.bounds(300).end(), LONGEST);
    }
}

/// backon 1.6.0: a constant `Duration::MAX` with jitter panics.
#[test]
fn row_07_the_longest_constant_delay_can_be_jittered() {
    let backoff = Backoff::constant(Duration::MAX).jitter(Jitter::SPREAD);
    for door in DOORS {
        let waits = door.waits(backoff, |policy| policy.max_retries(2));
        assert_eq!(waits.len(), 2);
        for wait in waits {
            assert!(backoff.bounds(1).contains(&wait), "{door:?}: {wait:?}");
        }
    }
}

/// backon 1.6.0: a limit of 10 s in all, attempts of 60 s: four of them, 247 s.
#[test]
fn row_08_attempts_count_towards_the_limit_in_time() {
    let backoff = Backoff::new().initial_delay(SECOND).jitter(Jitter::NONE);
    for door in DOORS {
        for (limit, attempts) in [(10, 1), (60, 1), (61, 2), (200, 4)] {
            let limit = Duration::from_secs(limit);
            let limited = |policy: Policy| policy.max_retries(999).max_elapsed(limit);
            let begins = door.begins(backoff, limited, 60 * SECOND, None);
            assert_eq!(begins.len(), attempts, "{door:?} {limit:?}: {begins:?}");
        }
    }
}

/// backon 1.6.0: a forgotten `.context(..)`, or one before `.sleep(..)`, panics at
/// run time.
///
/// Here both are compile errors: the context is an argument of the door, and the
/// timer of the constructor. What is left is that setters have no order.
#[test]
fn row_09_nothing_can_be_forgotten_and_setters_have_no_order() {
    let timer = ManualTimer::new();
    let retry = |_: &u32, _: u32| true;
    let policies = [
        RetryBuilder::with_timer(&timer)
            .backoff(Backoff::new())
            .max_delay(SECOND)
            .max_retries(9)
            .should_retry(retry)
            .seed(1)
            .max_elapsed(DAY),
        RetryBuilder::with_timer(&timer)
            .max_elapsed(DAY)
            .seed(1)
            .should_retry(retry)
            .max_retries(9)
            .backoff(Backoff::new())
            .max_delay(SECOND),
    ];
    let [first, second] = policies.map(|policy| {
        let (mut sent, mut begins) = (0, Vec::new());
        let mut context = (&mut sent, &mut begins);
        let result = timer.run(policy.retry_with(&mut context, async |(sent, begins)| {
            **sent += 1;
            begins.push(timer.now());
            Err::<(), _>(**sent)
        }));
        assert_eq!((result, sent), (Err(10), 10));
        begins.iter().map(|at| *at - begins[0]).collect::<Vec<_>>()
    });
    assert_eq!(first, second);
}

/// backoff 0.4.0: the closure is called at construction and then before each wait,
/// at 0, 0 and 10 s for waits of 10 s.
#[test]
fn row_10_an_attempt_is_made_after_the_wait_and_none_at_construction() {
    let constant = Backoff::constant(10 * SECOND);
    for door in DOORS {
        let twice = |policy: Policy| policy.max_retries(2);
        let begins = door.begins(constant, twice, Duration::ZERO, None);
        assert_eq!(begins, [0, 10, 20].map(Duration::from_secs), "{door:?}");
    }
    let calls = Cell::new(0);
    let call = || calls.set(calls.get() + 1);
    let timer = ManualTimer::new();
    drop(policy(&timer, constant).retry(|| {
        call();
        ready(Ok(()))
    }));
    drop(policy(&timer, constant).retry_with(&mut (), async |()| {
        call();
        Ok(())
    }));
    assert_eq!(calls.get(), 0);
}

/// backoff 0.4.0: a server's hint bypasses a limit of 1 ms: 1000 attempts.
#[test]
fn row_11_a_hint_bypasses_no_limit() {
    let at_once = Backoff::constant(Duration::ZERO);
    for door in DOORS {
        let begins = |backoff, hint| {
            let limited = |policy: Policy| policy.max_retries(999).max_elapsed(MILLI);
            door.begins(backoff, limited, Duration::ZERO, Some(hint))
        };
        for hint in [Duration::ZERO, MILLI, SECOND] {
            assert_eq!(begins(Backoff::new(), hint), [Duration::ZERO], "{door:?}");
        }
        assert_eq!(begins(at_once, MILLI), [Duration::ZERO, MILLI], "{door:?}");
        assert_eq!(begins(at_once, 2 * MILLI), [Duration::ZERO], "{door:?}");

        let few = |policy: Policy| policy.max_retries(2);
        let begins = door.begins(at_once, few, Duration::ZERO, Some(SECOND));
        assert_eq!(begins, [0, 1, 2].map(Duration::from_secs), "{door:?}");
    }
}

/// backoff 0.4.0: 1.49996 s under a maximum interval of 1 s.
#[test]
fn row_12_randomization_stays_inside_the_maximum_interval() {
    let backoff = Backoff::new()
        .initial_delay(SECOND / 2)
        .factor(1.5)
        .jitter(Jitter::between(0.5, 1.5));
    holds_its_cap(backoff.max_delay(SECOND), SECOND);
}

/// tokio-retry 0.3.2, tokio-retry2 0.9.1: a wait of `Duration::MAX` panics,
/// "overflow when adding duration to instant".
#[tokio::test(start_paused = true)]
async fn row_13_the_longest_wait_is_a_wait() {
    let longest = policy(TokioTimer, Backoff::constant(Duration::MAX));
    let hinted = policy(TokioTimer, Backoff::new());
    for door in ASYNC_DOORS {
        for (policy, hint) in [(longest, None), (hinted, Some(Duration::MAX))] {
            let calls = Cell::new(0);
            let sequence = door.drive(policy, || {
                calls.set(calls.get() + 1);
                ready(Err::<(), _>(hint))
            });
            assert!(time::timeout(DAY, sequence).await.is_err(), "{door:?}");
            assert_eq!(calls.get(), 1, "{door:?}");
        }
    }
    let longest = Backoff::constant(Duration::MAX);
    let waits = Door::Blocking.waits(longest, |policy| policy.max_retries(2));
    assert_eq!(waits, [LONGEST; 2]);
}

/// An operation that succeeds the `left`th time, always at once.
fn countdown(mut left: u32) -> impl FnMut() -> Ready<Result<(), Refused>> {
    move || {
        left -= 1;
        ready(if left == 0 { Ok(()) } else { Err(None) })
    }
}

/// tokio-retry 0.3.2, tokio-retry2 0.9.1: 200,000 immediate failures overflow the
/// stack.
///
/// Ten times as many for the door whose `poll` is written by hand; more would be
/// slow without optimization.
#[tokio::test(start_paused = true)]
async fn row_14_immediate_failures_do_not_grow_the_stack() {
    let immediate = Backoff::constant(Duration::ZERO);
    for door in ASYNC_DOORS {
        let failures = match door {
            Door::Retry => 2_000_000,
            _ => 200_000,
        };
        let policy = policy(TokioTimer, immediate).without_max_retries();
        let sequence = door.drive(policy, countdown(failures));
        assert_eq!(unconstrained(sequence).await, Ok(()), "{door:?}");
    }
    let mut next = countdown(2_000_000);
    let policy = policy(ManualTimer::new(), immediate).without_max_retries();
    let result = policy.retry_blocking(|| next().into_inner());
    assert_eq!(result, Ok(()));
}

/// The same where nothing ever returns to the executor: a sleep that is over as
/// soon as it has begun, because its clock jumps.
#[test]
fn row_14_waits_that_are_over_at_once_do_not_grow_the_stack() {
    struct Jumping(ManualTimer);
    impl Clock for Jumping {
        type Instant = Duration;

        fn now(&self) -> Duration {
            self.0.now()
        }

        fn elapsed(&self, since: Duration) -> Duration {
            self.0.elapsed(since)
        }
    }

    impl Timer for Jumping {
        type Sleep = Ready<()>;

        fn sleep(&self, duration: Duration) -> Ready<()> {
            self.0.advance(duration);
            ready(())
        }
    }

    const FAILURES: u32 = 200_000;
    for door in ASYNC_DOORS {
        let timer = Jumping(ManualTimer::new());
        let policy = policy(&timer, Backoff::constant(MILLI)).without_max_retries();
        let mut sequence = pin!(door.drive(policy, countdown(FAILURES)));
        let mut polls = 0;
        let result = ManualTimer::new().run(poll_fn(|context| {
            polls += 1;
            sequence.as_mut().poll(context)
        }));
        assert_eq!((result, polls), (Ok(()), 1), "{door:?}");
        assert_eq!(timer.now(), MILLI * (FAILURES - 1), "{door:?}");
    }
}

/// tokio-retry2 0.9.1: three hints of 30 s slept 3 s in all, and were told of four
/// times.
#[tokio::test(start_paused = true)]
async fn row_15_a_hint_is_waited_for_and_told_once() {
    let mut told = Vec::new();
    let hint = 30 * SECOND;
    let hinted = RetryBuilder::new()
        .backoff(Backoff::constant(SECOND))
        .max_retries(3)
        .should_retry(|hint: &Duration, _| Decision::RetryAfter(*hint))
        .observe(|event: Event<'_, Duration>| {
            told.push(match event {
                Event::Retrying { wait, .. } => Ok(wait),
                Event::GaveUp { reason, .. } => Err(reason),
                event => panic!("{event:?}"),
            });
        });
    let begun = Instant::now();
    assert_eq!(hinted.retry(|| ready(Err::<(), _>(hint))).await, Err(hint));
    assert_eq!(begun.elapsed(), 3 * hint);
    assert_eq!(
        told,
        [Ok(hint), Ok(hint), Ok(hint), Err(GiveUp::MaxRetries)]
    );

    let constant = policy(TokioTimer, Backoff::constant(SECOND)).max_retries(3);
    for door in ASYNC_DOORS {
        let begun = Instant::now();
        let result = door.drive(constant, || ready(Err::<(), _>(Some(hint))));
        assert_eq!(result.await, Err(Some(hint)), "{door:?}");
        assert_eq!(begun.elapsed(), 3 * hint, "{door:?}");
    }
}

/// tokio-retry2 0.9.1: a jitter of 0 to 1 makes all delays 0 ns; one of 1 to 10
/// draws once, for all.
#[test]
fn row_16_each_retry_draws_anew_from_the_whole_range() {
    for jitter in [Jitter::between(0.0, 1.0), Jitter::between(1.0, 10.0)] {
        let backoff = Backoff::constant(40 * MILLI).jitter(jitter);
        for door in DOORS {
            let waits = door.waits(backoff, |policy| policy.max_retries(200).seed(16));
            let distinct = waits.iter().collect::<HashSet<_>>();
            assert!(distinct.len() > 190, "{door:?}: {}", distinct.len());
            assert!(covers(&waits, &backoff.bounds(1)), "{door:?}: {jitter:?}");
        }
    }
}

/// tokio-retry2 0.9.1: a limit in time counts from construction, by the real clock:
/// 51 attempts in 2.5 s of a paused one.
#[tokio::test(start_paused = true)]
async fn row_17_a_limit_in_time_counts_from_the_first_poll_by_the_timers_clock() {
    for limit in [20 * MILLI, 2500 * MILLI] {
        let wait = limit * 2 / 5;
        let limited = policy(TokioTimer, Backoff::constant(wait))
            .max_retries(999)
            .max_elapsed(limit);
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            Err::<(), _>(None)
        };
        let retry = limited.retry(|| ready(call()));
        time::sleep(limit * 3 / 2).await;
        let begun = Instant::now();
        assert_eq!(retry.await, Err(None));
        assert_eq!((calls.take(), begun.elapsed()), (3, 2 * wait));

        let mut context = ();
        let retry = limited.retry_with(&mut context, async |()| call());
        time::sleep(limit * 3 / 2).await;
        let begun = Instant::now();
        assert_eq!(retry.await, Err(None));
        assert_eq!((calls.take(), begun.elapsed()), (3, 2 * wait));

        // A cursor has no first poll: it counts from its own call.
        let mut attempts = limited.attempts();
        time::sleep(limit * 3 / 2).await;
        assert_eq!(attempts.failed(None).await, Err(None));
        attempts.reset();
        assert_eq!(attempts.failed(None).await, Ok(()));
    }
}

/// tokio-retry 0.3.2, tokio-retry2 0.9.1: 500 ms becomes 250 s and then 125,000 s;
/// 1 ms never grows.
#[test]
fn row_18_a_delay_is_the_initial_one_times_a_power_of_the_factor() {
    for (initial, millis) in [(500, [500, 1000, 2000, 4000]), (1, [1, 2, 4, 8])] {
        let backoff = Backoff::new()
            .initial_delay(initial * MILLI)
            .jitter(Jitter::NONE);
        for door in DOORS {
            let waits = door.waits(backoff, |policy| policy.max_retries(4));
            assert_eq!(waits, millis.map(Duration::from_millis), "{door:?}");
        }
    }
}

/// tokio-retry2 0.9.1: 449.9 ms under a maximum delay of 300 ms.
#[test]
fn row_19_jitter_stays_inside_the_maximum_delay() {
    let backoff = Backoff::new()
        .initial_delay(10 * MILLI)
        .jitter(Jitter::between(0.5, 1.5));
    holds_its_cap(backoff.max_delay(300 * MILLI), 300 * MILLI);
}

/// tower 0.5.3: two sessions of one policy drew six of six delays alike.
#[test]
fn row_20_two_sequences_of_one_policy_share_no_wait() {
    let timer = ManualTimer::new();
    let shared = RetryBuilder::with_timer(&timer).max_retries(6);
    let waits = |door: Door| -> Vec<_> {
        let begins = RefCell::new(Vec::new());
        let call = || {
            begins.borrow_mut().push(timer.now());
            Err::<(), ()>(())
        };
        let result = match door {
            Door::Retry => timer.run(shared.retry(|| ready(call()))),
            Door::RetryWith => timer.run(shared.retry_with(&mut (), async |()| call())),
            Door::Attempts => timer.run(async {
                let mut attempts = shared.attempts();
                while call().is_err() {
                    attempts.failed(()).await?;
                }
                Ok(())
            }),
            Door::Blocking => shared.retry_blocking(call),
        };
        assert_eq!(result, Err(()));
        gaps(&begins.into_inner())
    };
    let sequences: Vec<_> = [DOORS, DOORS].concat().into_iter().map(waits).collect();
    for retry in 0..6 {
        let distinct: HashSet<_> = sequences.iter().map(|waits| waits[retry]).collect();
        assert_eq!(distinct.len(), 8, "retry {retry}");
    }
}

/// tower 0.5.3: over 500 generators, 1 s with a jitter of 0.99 is always 1 s, and
/// 4 s are 4, 5, 6 or 7 s.
#[test]
fn row_21_jitter_is_drawn_to_the_nanosecond() {
    for base in [SECOND, 4 * SECOND] {
        let backoff = Backoff::constant(base).jitter(Jitter::between(1.0, 1.99));
        let wait = |seed| backoff.delays_seeded(seed).next().unwrap();
        let waits: Vec<_> = (0..500).map(wait).collect();
        assert!(covers(&waits, &backoff.bounds(1)));
        let nanos: HashSet<_> = waits.iter().map(Duration::subsec_nanos).collect();
        assert!(nanos.len() > 490, "{}", nanos.len());
        for door in DOORS {
            let waits = door.waits(backoff, |policy| policy.max_retries(1).seed(21));
            assert_eq!(waits, [wait(21)], "{door:?}");
        }
    }
}

/// tower-resilience 0.14: 2.998 s under a maximum interval of 2 s.
#[test]
fn row_22_randomization_stays_inside_the_cap() {
    let backoff = Backoff::new()
        .initial_delay(100 * MILLI)
        .jitter(Jitter::between(0.5, 1.5));
    holds_its_cap(backoff.max_delay(2 * SECOND), 2 * SECOND);
}

/// exponential-backoff 2.1.1: a jitter of 0.005 and a minimum above the maximum
/// panic; half of all first delays are the minimum itself.
#[test]
fn row_23_a_narrow_jitter_and_a_cap_below_the_delay_are_fine() {
    let narrow = Backoff::constant(SECOND).jitter(Jitter::between(0.995, 1.005));
    let crossed = Backoff::new().initial_delay(10 * SECOND).max_delay(SECOND);
    let plain = Backoff::new();
    for backoff in [narrow, crossed, plain] {
        let bounds = backoff.bounds(1);
        let first = |seed| backoff.delays_seeded(seed).next().unwrap();
        let firsts: Vec<_> = (0..500).map(first).collect();
        assert!(firsts.iter().all(|wait| bounds.contains(wait)));
        assert!(covers(&firsts, &bounds), "{backoff:?}");
        let least = firsts.iter().filter(|wait| *wait == bounds.start());
        assert!(least.count() < 5, "{backoff:?}");
    }
}

/// stubborn-io 0.3.6: a cap of 30 minutes, and a panic at reconnect 64, after 27.6
/// hours of outage.
#[test]
fn row_24_a_reconnect_loop_outlives_any_outage() {
    let cap = 30 * 60 * SECOND;
    let backoff = Backoff::new().initial_delay(SECOND).max_delay(cap);
    for door in DOORS {
        let waits = door.waits(backoff, |policy| policy.max_retries(10_000));
        assert_eq!(waits.len(), 10_000, "{door:?}");
        let mut capped = waits.iter().skip(11);
        assert!(capped.all(|wait| (cap / 2..=cap).contains(wait)));
    }
    assert_eq!(backoff.bounds(u32::MAX), cap / 2..=cap);
}

/// failsafe 1.3: a start of 100 ms panics, "start must be > 1s"; 1.5 s gives 1 s,
/// 2 s and 4 s.
#[test]
fn row_25_a_delay_may_be_any_number_of_nanoseconds() {
    let nano = Duration::from_nanos(1);
    for initial in [nano, 100 * MILLI, SECOND * 3 / 2] {
        let backoff = Backoff::new().initial_delay(initial).jitter(Jitter::NONE);
        for door in DOORS {
            let waits = door.waits(backoff, |policy| policy.max_retries(3));
            assert_eq!(waits, [1, 2, 4].map(|n| n * initial), "{door:?}");
        }
    }
}

/// retry-policies 0.5.2: a minimum of 5,000,000,000 s panics; a minimum of zero
/// with a limit in time makes its builder loop for ever.
#[test]
fn row_26_the_longest_and_the_shortest_delays_are_total() {
    let centuries = Duration::from_secs(5_000_000_000);
    let long = Backoff::new()
        .initial_delay(centuries)
        .without_max_delay()
        .jitter(Jitter::NONE);
    let zero = Backoff::new().initial_delay(Duration::ZERO);
    for door in DOORS {
        let waits = door.waits(long, |policy| policy.max_retries(4));
        assert_eq!(
            waits,
            [centuries, 2 * centuries, LONGEST, LONGEST],
            "{door:?}"
        );
        let waits = door.waits(zero, |policy| policy.max_retries(4).max_elapsed(SECOND));
        assert_eq!(waits, [Duration::ZERO; 4], "{door:?}");
    }
    assert_eq!(zero.total(u32::MAX), Duration::ZERO..=Duration::ZERO);
}

/// backon 1.6.0, tryhard 0.5.2, tokio-retry 0.3.2: no backoff still costs a timer's
/// millisecond for each retry.
#[test]
fn row_27_a_zero_wait_makes_no_timer() {
    struct Sleepless;
    impl Clock for Sleepless {
        type Instant = ();

        fn now(&self) {}

        fn elapsed(&self, (): ()) -> Duration {
            Duration::ZERO
        }

        fn block(&self, duration: Duration) -> std::ops::ControlFlow<()> {
            panic!("a block of {duration:?}")
        }
    }

    impl Timer for Sleepless {
        type Sleep = Ready<()>;

        fn sleep(&self, duration: Duration) -> Ready<()> {
            panic!("a timer of {duration:?}")
        }
    }

    for door in DOORS {
        let immediate = policy(Sleepless, Backoff::constant(Duration::ZERO)).max_retries(1000);
        let mut next = countdown(1001);
        let result = match door {
            Door::Blocking => immediate.retry_blocking(|| next().into_inner()),
            door => ManualTimer::new().run(door.drive(immediate, next)),
        };
        assert_eq!(result, Ok(()), "{door:?}");
    }
}

/// backon 1.6.0 with `.sleep(|_| ready(()))` never yields: a timeout of 50 ms around
/// it had not fired after 420 ms.
///
/// The clock is moved by a task beside it, which gets its turns only if the
/// sequence gives up its own. One that did not would end in the panic.
#[tokio::test(start_paused = true)]
async fn row_27_a_zero_wait_starves_nobody() {
    let immediate = policy(TokioTimer, Backoff::constant(Duration::ZERO)).without_max_retries();
    for door in ASYNC_DOORS {
        let clock = tokio::spawn(async {
            loop {
                time::advance(MILLI).await;
            }
        });
        let (calls, polls) = (Cell::new(0), Cell::new(0));
        let mut sequence = pin!(door.drive(immediate, || {
            calls.set(calls.get() + 1);
            assert!(calls.get() < 100_000, "{door:?}: nobody else has run");
            ready(Err::<(), _>(None))
        }));
        let sequence = poll_fn(|context| {
            polls.set(polls.get() + 1);
            sequence.as_mut().poll(context)
        });
        let ended = time::timeout(50 * MILLI, unconstrained(sequence)).await;
        assert!(ended.is_err(), "{door:?}");
        assert_eq!(calls.get(), polls.get(), "{door:?}: one call for each poll");
        clock.abort();
    }
}

/// relentless 0.18.4, by its documentation: a timeout of 5 s around an attempt that
/// hangs for 600 s returns after 600 s, and a poll after the end panics.
#[tokio::test(start_paused = true)]
async fn row_28_a_hard_deadline_is_a_timeout_around_it_and_the_end_can_be_asked_for() {
    let hangs = || async {
        time::sleep(600 * SECOND).await;
        Err::<(), _>(None)
    };
    let limited = policy(TokioTimer, Backoff::new()).max_elapsed(5 * SECOND);
    for door in ASYNC_DOORS {
        let begun = Instant::now();
        let cut = time::timeout(5 * SECOND, door.drive(limited, hangs)).await;
        assert!(cut.is_err(), "{door:?}");
        assert_eq!(begun.elapsed(), 5 * SECOND, "{door:?}: cut");

        let begun = Instant::now();
        assert_eq!(door.drive(limited, hangs).await, Err(None), "{door:?}");
        assert_eq!(begun.elapsed(), 600 * SECOND, "{door:?}: not cut");
    }
    let mut retry = pin!(limited.retry(hangs));
    assert!(!retry.is_terminated());
    assert_eq!(retry.as_mut().await, Err(None));
    assert!(retry.is_terminated());
}
