//! Dropped, or struck by a panic, at every point of every door.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::poll_fn,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use afterbeat::{
    Backoff, Clock, Decision, Event, Extras, ManualSleep, ManualTimer, RetryBudget, RetryBuilder,
    Timer, Unset,
};

use crate::any::{DOORS, Door};

const SECOND: Duration = Duration::from_secs(1);

/// One attempt, which fails, and the wait after it, which is zero or a second.
#[derive(Clone, Copy, Debug)]
struct Step {
    pends: bool,
    waits: bool,
}

type Script = [Step; 3];

fn scripts() -> impl Iterator<Item = Script> {
    (0..64).map(|bits| {
        [0, 2, 4].map(|at| Step {
            pends: bits >> at & 1 == 1,
            waits: bits >> at & 2 == 2,
        })
    })
}

/// What a whole sequence says, through any door.
fn expected(script: Script) -> Vec<&'static str> {
    let mut said = Vec::new();
    for (n, step) in (1..).zip(script) {
        said.extend([
            "call",
            "attempt",
            "attempt dropped",
            "predicate",
            "observer",
        ]);
        if step.waits && n < script.len() {
            said.extend(["sleep", "sleep dropped"]);
        }
    }
    said
}

/// A script, and what is said while it is played.
struct Stage {
    script: Script,
    timer: ManualTimer,
    said: RefCell<Vec<&'static str>>,
    /// What is said when the panic strikes, and which time.
    strikes: Option<(&'static str, usize)>,
    /// Every error holds one.
    errors: Rc<()>,
}

/// Says that it is dropped.
struct Loud<'a>(&'a Stage, &'static str);

impl Drop for Loud<'_> {
    fn drop(&mut self) {
        self.0.said.borrow_mut().push(self.1);
    }
}

/// An attempt, dropped when its owner drops it and not when it has returned.
struct Attempt<'a> {
    future: Pin<Box<dyn Future<Output = Result<(), Rc<()>>> + 'a>>,
    _loud: Loud<'a>,
}

impl Future for Attempt<'_> {
    type Output = Result<(), Rc<()>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(context)
    }
}

/// A timer that says when a sleep begins and ends.
struct LoudTimer<'a>(&'a Stage);

struct LoudSleep<'a> {
    sleep: ManualSleep,
    _loud: Loud<'a>,
}

impl Clock for LoudTimer<'_> {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.timer.now()
    }

    fn elapsed(&self, since: Duration) -> Duration {
        self.0.timer.elapsed(since)
    }

    fn block(&self, duration: Duration) -> std::ops::ControlFlow<()> {
        self.0.timer.run(self.sleep(duration));
        std::ops::ControlFlow::Continue(())
    }
}

impl<'a> Timer for LoudTimer<'a> {
    type Sleep = LoudSleep<'a>;

    fn sleep(&self, duration: Duration) -> LoudSleep<'a> {
        self.0.say("sleep");
        LoudSleep {
            sleep: self.0.timer.sleep(duration),
            _loud: Loud(self.0, "sleep dropped"),
        }
    }
}

impl Future for LoudSleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(context)
    }
}

impl Stage {
    fn new(script: Script, strikes: Option<(&'static str, usize)>) -> Self {
        Self {
            script,
            timer: ManualTimer::new(),
            said: RefCell::default(),
            strikes,
            errors: Rc::default(),
        }
    }

    fn said(&self) -> Vec<&'static str> {
        self.said.borrow().clone()
    }

    fn times(&self, what: &str) -> usize {
        self.said
            .borrow()
            .iter()
            .filter(|said| **said == what)
            .count()
    }

    fn say(&self, what: &'static str) {
        self.said.borrow_mut().push(what);
        assert_ne!(self.strikes, Some((what, self.times(what))), "planted");
    }

    fn policy(
        &self,
    ) -> RetryBuilder<
        LoudTimer<'_>,
        impl FnMut(&Rc<()>, u32) -> Decision,
        Extras<(Unset, impl FnMut(Event<'_, Rc<()>>))>,
    > {
        RetryBuilder::with_timer(LoudTimer(self))
            .backoff(Backoff::constant(Duration::ZERO))
            .max_retries(2)
            .should_retry(|_: &Rc<()>, iteration| {
                self.say("predicate");
                if self.script[iteration as usize - 1].waits {
                    Decision::RetryAfter(SECOND)
                } else {
                    Decision::Retry
                }
            })
            .observe(|_: Event<'_, Rc<()>>| self.say("observer"))
    }

    fn attempt(&self) -> Attempt<'_> {
        self.say("call");
        let step = self.script[self.times("call") - 1];
        let future = Box::pin(async move {
            self.say("attempt");
            if step.pends {
                self.timer.sleep(SECOND).await;
            }
            Err(Rc::clone(&self.errors))
        });
        Attempt {
            future,
            _loud: Loud(self, "attempt dropped"),
        }
    }

    /// The sequence through a door; `retry_with` lends `context`.
    fn sequence<'a>(
        &'a self,
        door: Door,
        context: &'a mut Vec<&'static str>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rc<()>>> + 'a>> {
        let policy = self.policy();
        match door {
            Door::Retry => Box::pin(policy.retry(|| self.attempt())),
            Door::RetryWith => {
                let attempt = async |context: &mut Vec<_>| {
                    context.push("begun");
                    let result = self.attempt().await;
                    context.push("ended");
                    result
                };
                Box::pin(policy.retry_with(context, attempt))
            }
            Door::Attempts => Box::pin(async move {
                let mut attempts = policy.attempts();
                loop {
                    match self.attempt().await {
                        Ok(()) => return Ok(()),
                        Err(error) => attempts.failed(error).await?,
                    }
                }
            }),
            Door::Blocking => {
                Box::pin(async move { policy.retry_blocking(|| self.timer.run(self.attempt())) })
            }
        }
    }
}

/// R5, and the order of everything around a failure.
#[test]
fn the_attempt_is_dropped_then_predicate_then_observer_then_sleep() {
    for (door, script) in DOORS
        .into_iter()
        .flat_map(|door| iter::repeat(door).zip(scripts()))
    {
        let (stage, mut context) = (Stage::new(script, None), Vec::new());
        let result = stage.timer.run(stage.sequence(door, &mut context));
        assert!(Rc::ptr_eq(&result.unwrap_err(), &stage.errors));
        assert_eq!(stage.said(), expected(script), "{door:?} {script:?}");
    }
}

/// R6: dropped wherever it stands, nothing is left and nothing more is called. What
/// was lent is as the dropped attempt left it.
#[test]
fn dropping_ends_everything_at_once() {
    let mut points = HashSet::new();
    for (door, script) in DOORS
        .into_iter()
        .flat_map(|door| iter::repeat(door).zip(scripts()))
    {
        for polls in 0.. {
            let (stage, mut context) = (Stage::new(script, None), Vec::new());
            let mut sequence = stage.sequence(door, &mut context);
            let mut nowhere = Context::from_waker(Waker::noop());
            let mut ended = false;
            for _ in 0..polls {
                stage.timer.advance(SECOND);
                ended = sequence.as_mut().poll(&mut nowhere).is_ready();
            }
            let mut said = stage.said();
            let point = said.last().copied();
            assert_eq!(Rc::strong_count(&stage.errors), 1, "an error is held");
            drop(sequence);

            let here = format!("{door:?} {script:?} after {polls} polls");
            assert_eq!(stage.timer.sleeping(), 0, "{here}");
            said.extend(match point {
                Some("attempt") => Some("attempt dropped"),
                Some("sleep") => Some("sleep dropped"),
                _ => None,
            });
            assert_eq!(stage.said(), said, "{here}");
            assert!(expected(script).starts_with(&said), "{here}: {said:?}");
            stage.timer.advance(Duration::MAX);
            assert_eq!(stage.said(), said, "{here}: something goes on");

            let attempts = (stage.times("call"), stage.times("predicate"));
            let count = |what| context.iter().filter(|said| **said == what).count();
            if door == Door::RetryWith {
                assert_eq!((count("begun"), count("ended")), attempts, "{here}");
            }
            points.insert((door, point.filter(|_| !ended)));
            if ended {
                break;
            }
        }
    }
    for door in [Door::Retry, Door::RetryWith, Door::Attempts] {
        for point in [None, Some("attempt"), Some("sleep"), Some("observer")] {
            assert!(points.contains(&(door, point)), "{door:?} {point:?}");
        }
    }
}

/// A wait that nobody polls is dropped like any other; what was decided stands.
#[test]
fn a_dropped_wait_of_a_cursor_still_counts() {
    let timer = ManualTimer::new();
    let mut attempts = RetryBuilder::with_timer(&timer).max_retries(2).attempts();
    drop(attempts.failed(1));
    assert_eq!(timer.sleeping(), 0);
    let mut wait = Box::pin(attempts.failed(2));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert_eq!(timer.sleeping(), 1);
    drop(wait);
    assert_eq!(timer.sleeping(), 0);
    assert_eq!(timer.run(attempts.failed(3)), Err(3));
}

/// With a budget a wait keeps the error, but only until the next report.
#[test]
fn a_dropped_wait_of_a_cursor_keeps_its_error_no_longer_than_the_next_report() {
    let (timer, budget) = (ManualTimer::new(), RetryBudget::new(9));
    let mut attempts = RetryBuilder::with_timer(&timer)
        .max_retries(1)
        .budget(&budget)
        .attempts();
    let error = Rc::new(());
    for succeeds in [true, false] {
        drop(attempts.failed(Rc::clone(&error)));
        if succeeds {
            attempts.succeeded();
        } else {
            let _ = timer.run(attempts.failed(Rc::default()));
        }
        assert_eq!(Rc::strong_count(&error), 1, "{succeeds}");
    }
}

/// R10.
#[test]
fn after_a_panic_nothing_is_called_again() {
    let places = ["call", "attempt", "predicate", "observer", "sleep"];
    for (door, script) in DOORS
        .into_iter()
        .flat_map(|door| iter::repeat(door).zip(scripts()))
    {
        for strikes in places
            .into_iter()
            .flat_map(|place| [(place, 1), (place, 2)])
        {
            let here = format!("{door:?} {script:?} {strikes:?}");
            let (stage, mut context) = (Stage::new(script, Some(strikes)), Vec::new());
            let mut sequence = stage.sequence(door, &mut context);
            let mut panics = || {
                let run = AssertUnwindSafe(|| stage.timer.run(sequence.as_mut()));
                catch_unwind(run).is_err()
            };
            let struck = panics();
            assert_eq!(struck, stage.times(strikes.0) >= strikes.1, "{here}");
            let done = || {
                let mut said = stage.said();
                // A door may keep an attempt that has panicked until it is dropped.
                said.retain(|said| *said != "attempt dropped");
                said
            };
            let before = done();
            assert!(panics(), "{here}: the next poll panics too");
            assert_eq!(stage.timer.sleeping(), 0, "{here}");
            drop(sequence);
            assert_eq!(done(), before, "{here}: something goes on");

            let made = stage.times("call") - usize::from(struck && strikes.0 == "call");
            assert_eq!(stage.times("attempt dropped"), made, "{here}");
            assert_eq!(
                Rc::strong_count(&stage.errors),
                1,
                "{here}: an error is held"
            );
        }
    }
}

/// R10, where the attempt by itself could be polled on.
#[test]
fn an_attempt_that_has_panicked_is_not_polled_again() {
    for door in [Door::Retry, Door::RetryWith, Door::Attempts] {
        let (timer, calls, polls) = (ManualTimer::new(), Cell::new(0), Cell::new(0));
        let policy = RetryBuilder::with_timer(&timer);
        let call = || {
            calls.set(calls.get() + 1);
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                assert_ne!(polls.get(), 1, "planted");
                Poll::Ready(Err::<(), _>(()))
            })
        };
        let mut context = ();
        let mut sequence: Pin<Box<dyn Future<Output = Result<(), ()>> + '_>> = match door {
            Door::Retry => Box::pin(policy.retry(call)),
            Door::RetryWith => Box::pin(policy.retry_with(&mut context, async |()| call().await)),
            _ => Box::pin(async {
                let mut attempts = policy.attempts();
                while let Err(error) = call().await {
                    attempts.failed(error).await?;
                }
                Ok(())
            }),
        };
        for _ in 0..2 {
            let run = AssertUnwindSafe(|| timer.run(sequence.as_mut()));
            assert!(catch_unwind(run).is_err(), "{door:?}");
            assert_eq!((calls.get(), polls.get()), (1, 1), "{door:?}");
        }
    }
}
