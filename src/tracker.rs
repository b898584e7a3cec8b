//! A sequence with its extras: what every entry point drives.

use core::{
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    account::Account,
    attempt_timeout::{Cutter, CutterFor},
    decision::GiveUp,
    event::{Elapsed, Event},
    extras::{Carried, ExtrasFor, Running, RunningFor},
    hooks::Predicate,
    sequence::{Limits, Sequence},
    timer::{Clock, Timer},
};

type RunningOf<X> = <X as Carried>::Running;
type AccountOf<X> = <RunningOf<X> as Running>::Account;
type CutterOf<X> = <RunningOf<X> as Running>::Cutter;

/// An attempt with its limit.
type LimitedOf<X, A, S> = <CutterOf<X> as Cutter>::Limited<A, S>;

/// The end of an attempt's time.
pub(crate) type DeadlineOf<X, S> = <CutterOf<X> as Cutter>::Deadline<S>;

/// How such an attempt ended.
type EndedOf<X, R> = <CutterOf<X> as Cutter>::Ended<R>;

/// What follows when a wait is over.
pub(crate) enum Due<E> {
    /// The next attempt.
    Attempt,
    /// Another wait.
    Wait(u64),
    /// The end.
    GaveUp(E),
}

/// How a sequence begins.
#[derive(Clone, Copy)]
pub(crate) struct Start<S> {
    sequence: Sequence,
    seed: S,
}

pub(crate) type StartOf<X> = Start<<RunningOf<X> as Running>::Seed>;

pub(crate) struct Tracker<T: Clock, X: Carried, E> {
    sequence: Sequence,
    begun: <RunningOf<X> as Running>::Begun<T::Instant>,
    kept: <AccountOf<X> as Account>::Kept<E>,
    running: X::Running,
}

impl<T: Clock, X: Carried, E> Tracker<T, X, E> {
    pub(crate) const PAYS: bool = AccountOf::<X>::PAYS;

    pub(crate) fn new(sequence: Sequence, extras: X) -> Self {
        Self {
            sequence,
            begun: Default::default(),
            kept: Default::default(),
            running: extras.run(),
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.sequence.failures()
    }

    /// To be asked before the first attempt.
    pub(crate) fn start(&self) -> StartOf<X> {
        Start {
            sequence: self.sequence,
            seed: self.running.seed(),
        }
    }

    /// Begins the sequence anew, with its clock as it is.
    pub(crate) fn restart(&mut self, start: &StartOf<X>) {
        self.sequence = start.sequence;
        self.running.reseed(start.seed);
    }

    /// The retry in flight is lost.
    pub(crate) fn abandon(&mut self) {
        self.running.account().abandon();
    }

    /// To be asked before the operation is called.
    pub(crate) fn deadline(&mut self, timer: &T) -> DeadlineOf<X, T::Sleep>
    where
        T: Timer,
    {
        self.running.cutter().deadline(timer)
    }

    /// Polls an attempt within its limit.
    pub(crate) fn poll<A: Future>(
        attempt: Pin<&mut A>,
        deadline: Pin<&mut DeadlineOf<X, T::Sleep>>,
        context: &mut Context<'_>,
    ) -> Poll<EndedOf<X, A::Output>>
    where
        T: Timer,
    {
        CutterOf::<X>::poll(attempt, deadline, context)
    }

    /// Calls the operation, within the limit of an attempt.
    pub(crate) fn limit<A: Future>(
        &mut self,
        timer: &T,
        call: impl FnOnce() -> A,
    ) -> LimitedOf<X, A, T::Sleep>
    where
        T: Timer,
    {
        let deadline = self.deadline(timer);
        CutterOf::<X>::limit(deadline, call())
    }

    /// The time since the sequence began, if a limit in time asks for it.
    fn elapsed_for(&self, timer: &T, limits: Limits) -> Duration {
        if limits.max_elapsed == u64::MAX {
            return Duration::ZERO;
        }
        RunningOf::<X>::elapsed(timer, self.begun)
    }
}

impl<T: Clock, X: ExtrasFor<E>, E> Tracker<T, X, E> {
    /// To be called as an attempt begins; only the first one counts.
    pub(crate) fn begin(&mut self, timer: &T) {
        if self.sequence.failures() == 0 {
            self.begun = self.running.begin(timer);
        }
    }

    /// To be called with an error after which a retry is due.
    pub(crate) fn keep(&mut self, error: E) {
        AccountOf::<X>::keep(&mut self.kept, error);
    }

    /// Whether the attempt after a wait, or the first one, may begin.
    #[inline]
    pub(crate) fn due(&mut self, timer: &T) -> Due<E> {
        match self.running.account().pay(&mut self.kept) {
            None => Due::Attempt,
            Some(error) => self.refused(timer, error),
        }
    }

    /// What an attempt returned, or the error of one that was cut.
    pub(crate) fn result<V>(&mut self, ended: EndedOf<X, Result<V, E>>) -> Result<V, E> {
        self.running.cutter().result(ended)
    }

    /// Takes in how an attempt ended, a failure by [`fail`](Self::fail) or by
    /// [`failed`](Self::failed). Breaks with the sequence's result, or continues with the
    /// wait before the next attempt.
    #[inline]
    pub(crate) fn ended<V>(
        &mut self,
        timer: &T,
        result: Result<V, E>,
        fail: impl FnOnce(&mut Self, &E) -> Option<u64>,
    ) -> ControlFlow<Result<V, E>, u64> {
        match result {
            Ok(value) => {
                self.succeeded(timer);
                ControlFlow::Break(Ok(value))
            }
            Err(error) => match fail(self, &error) {
                Some(wait) => {
                    if Self::PAYS {
                        self.keep(error);
                    }
                    ControlFlow::Continue(wait)
                }
                None => ControlFlow::Break(Err(error)),
            },
        }
    }

    /// [`fail`](Self::fail), out of line: where a first-try success would save registers
    /// for it.
    #[inline(never)]
    pub(crate) fn failed<P: Predicate<E>>(
        &mut self,
        timer: &T,
        predicate: &mut P,
        error: &E,
    ) -> Option<u64> {
        self.fail(timer, predicate, error)
    }

    /// Takes in an attempt's failure. Returns the wait before the next attempt, or
    /// nothing if the error is final.
    #[inline]
    pub(crate) fn fail<P: Predicate<E>>(
        &mut self,
        timer: &T,
        predicate: &mut P,
        error: &E,
    ) -> Option<u64> {
        self.running.account().failed();
        // A wait that was dropped unfinished may have left the error before.
        self.kept = Default::default();
        let iteration = self.sequence.fail();
        let decision = self.running.decide(predicate, error, iteration);
        let refusals = self.running.account().refusals();
        let limits = self.running.limits();
        let elapsed = self.elapsed_for(timer, limits);
        let draw = || self.running.draw(timer);
        let mut verdict = self
            .sequence
            .decide(decision, refusals, limits, elapsed, draw);
        if verdict.is_ok() && self.running.account().is_closed() {
            verdict = Err(GiveUp::Budget);
        }
        let limit = self.sequence.limit();
        let begun = self.begun;
        let elapsed = || RunningOf::<X>::elapsed(timer, begun);
        let elapsed = Elapsed(&elapsed);
        self.running.tell(match verdict {
            Ok(wait) => Event::Retrying {
                error,
                iteration,
                limit,
                wait: Duration::from_nanos(wait),
                elapsed,
            },
            Err(reason) => Event::GaveUp {
                error,
                reason,
                retries: iteration - 1,
                elapsed,
            },
        });
        verdict.ok()
    }

    /// [`due`](Self::due), for a caller that holds the error.
    #[cfg(feature = "std")]
    pub(crate) fn ask(&mut self, timer: &T, error: &E) -> Due<()> {
        if self.running.account().withdraw() {
            return Due::Attempt;
        }
        self.refuse(timer, error).map_or(Due::GaveUp(()), Due::Wait)
    }

    /// The budget has refused the retry that is due.
    #[cold]
    #[inline(never)]
    fn refused(&mut self, timer: &T, error: E) -> Due<E> {
        match self.refuse(timer, &error) {
            Some(wait) => {
                self.keep(error);
                Due::Wait(wait)
            }
            None => Due::GaveUp(error),
        }
    }

    /// Returns the wait before the budget is asked again, if it is.
    fn refuse(&mut self, timer: &T, error: &E) -> Option<u64> {
        let (iteration, limit) = (self.sequence.failures(), self.sequence.limit());
        let refusals = self.running.account().refusals();
        let limits = self.running.limits();
        let elapsed = self.elapsed_for(timer, limits);
        let draw = || self.running.draw(timer);
        let wait = self.sequence.postpone(refusals, limits, elapsed, draw);
        let wait = wait.filter(|_| self.running.account().may_ask_again());
        let begun = self.begun;
        let elapsed = || RunningOf::<X>::elapsed(timer, begun);
        let elapsed = Elapsed(&elapsed);
        self.running.tell(match wait {
            Some(wait) => Event::Postponed {
                error,
                iteration,
                limit,
                wait: Duration::from_nanos(wait),
                elapsed,
            },
            None => Event::GaveUp {
                error,
                reason: GiveUp::Budget,
                retries: iteration - 1,
                elapsed,
            },
        });
        wait
    }

    /// The wait before a retry was interrupted: no retry follows.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn interrupted(&mut self, timer: &T, error: &E) {
        let begun = self.begun;
        let elapsed = || RunningOf::<X>::elapsed(timer, begun);
        self.running.tell(Event::GaveUp {
            error,
            reason: GiveUp::Interrupted,
            retries: self.sequence.failures() - 1,
            elapsed: Elapsed(&elapsed),
        });
    }

    pub(crate) fn succeeded(&mut self, timer: &T) {
        let retries = self.sequence.failures();
        self.running.account().succeeded(retries);
        if RunningOf::<X>::LISTENS {
            let begun = self.begun;
            let elapsed = || RunningOf::<X>::elapsed(timer, begun);
            let elapsed = Elapsed(&elapsed);
            self.running.tell(Event::Succeeded { retries, elapsed });
        }
    }

    /// Forgets all failures. The sequence is to be begun anew before the next one.
    pub(crate) fn forgive(&mut self, timer: &T) {
        self.running.account().reset();
        self.kept = Default::default();
        self.sequence.forgive();
        self.begin(timer);
    }
}
