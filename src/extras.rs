//! What a policy may carry beyond its schedule, paid for only where it is named.

#[cfg(target_has_atomic = "ptr")]
use core::ops::Deref;
use core::{fmt, ops::ControlFlow, time::Duration};

#[cfg(target_has_atomic = "ptr")]
use crate::budget::RetryBudget;
use crate::{
    decision::{Decision, GiveUp},
    entropy::{Entropy, fresh},
    event::Event,
    real::nanos,
    sequence::{Limits, Sequence},
    timer::Timer,
};

/// The predicate of a policy without one: every error is retried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

/// The extras of a policy that has none; in a poller's type, no function for the interval
/// and no backoff.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// The extras of a policy with a limit in time or on hints, a seed, an observer
/// `O` or a budget `B`; [`Plain`] in their place stands for none.
#[derive(Clone, Copy)]
pub struct Extras<O = Plain, B = Plain> {
    limits: Limits,
    entropy: Entropy,
    observer: O,
    budget: B,
}

impl<O, B> Extras<O, B> {
    pub(crate) fn max_elapsed(mut self, limit: Duration) -> Self {
        self.limits.max_elapsed = nanos(limit);
        self
    }

    pub(crate) fn max_retry_after(mut self, limit: Duration) -> Self {
        self.limits.max_retry_after = nanos(limit);
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.entropy = Entropy::seeded(seed);
        self
    }

    pub(crate) fn observe<N>(self, observer: N) -> Extras<N, B> {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer,
            budget: self.budget,
        }
    }

    #[cfg(target_has_atomic = "ptr")]
    pub(crate) fn budget<N>(self, budget: N) -> Extras<O, N> {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer: self.observer,
            budget,
        }
    }
}

impl<O, B> fmt::Debug for Extras<O, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras").finish_non_exhaustive()
    }
}

/// Answers after a failure: [`Always`], or a closure.
pub trait Predicate<E> {
    fn decide(&mut self, error: &E, iteration: u32) -> Decision;
}

impl<E> Predicate<E> for Always {
    fn decide(&mut self, _: &E, _: u32) -> Decision {
        Decision::Retry
    }
}

impl<E, D, F> Predicate<E> for F
where
    F: FnMut(&E, u32) -> D,
    D: Into<Decision>,
{
    fn decide(&mut self, error: &E, iteration: u32) -> Decision {
        self(error, iteration).into()
    }
}

/// Is told of events: a closure, or [`Plain`] for nobody.
pub trait Observer<E> {
    const LISTENS: bool = true;
    fn tell(&mut self, event: Event<'_, E>);
}

impl<E> Observer<E> for Plain {
    const LISTENS: bool = false;
    fn tell(&mut self, _: Event<'_, E>) {}
}

impl<E, F: FnMut(Event<'_, E>)> Observer<E> for F {
    fn tell(&mut self, event: Event<'_, E>) {
        self(event);
    }
}

/// Pays for retries: a reference to a retry budget, or [`Plain`] for nobody.
pub trait Payer {
    /// Whether a retry may be made.
    fn pay(&self) -> bool;
    /// A sequence succeeded after so many retries.
    fn earn(&self, retries: u32);
}

impl Payer for Plain {
    fn pay(&self) -> bool {
        true
    }

    fn earn(&self, _: u32) {}
}

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Payer for B {
    fn pay(&self) -> bool {
        self.withdraw()
    }

    fn earn(&self, retries: u32) {
        self.deposit(retries > 0);
    }
}

/// [`Plain`] or [`Extras`].
pub trait Optional: Sized {
    type Observer;
    type Budget;
    /// Where a sequence keeps the instant it began, if it keeps one.
    type Begun<I: Copy>: Copy + Default;

    fn into_extras(self) -> Extras<Self::Observer, Self::Budget>;
    fn limits(&self) -> Limits;
}

impl Optional for Plain {
    type Observer = Self;
    type Budget = Self;
    type Begun<I: Copy> = ();

    fn into_extras(self) -> Extras {
        Extras {
            limits: Limits::DEFAULT,
            entropy: Entropy::FRESH,
            observer: self,
            budget: self,
        }
    }

    fn limits(&self) -> Limits {
        Limits::DEFAULT
    }
}

impl<O, B> Optional for Extras<O, B> {
    type Observer = O;
    type Budget = B;
    type Begun<I: Copy> = Option<I>;

    fn into_extras(self) -> Self {
        self
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}

/// Extras in use by a sequence whose attempts fail with `E`.
pub trait InUse<E>: Optional {
    const LISTENS: bool;
    fn begin<T: Timer>(&self, timer: &T) -> Self::Begun<T::Instant>;
    fn elapsed<T: Timer>(&self, timer: &T, begun: Self::Begun<T::Instant>) -> Duration;
    fn draw(&mut self) -> u64;
    fn tell(&mut self, event: Event<'_, E>);
    fn pay(&self) -> bool;
    fn earn(&self, retries: u32);
}

impl<E> InUse<E> for Plain {
    const LISTENS: bool = false;

    fn begin<T: Timer>(&self, _: &T) {}

    fn elapsed<T: Timer>(&self, _: &T, (): ()) -> Duration {
        Duration::ZERO
    }

    fn draw(&mut self) -> u64 {
        fresh()
    }

    fn tell(&mut self, _: Event<'_, E>) {}

    fn pay(&self) -> bool {
        true
    }

    fn earn(&self, _: u32) {}
}

impl<E, O: Observer<E>, B: Payer> InUse<E> for Extras<O, B> {
    const LISTENS: bool = O::LISTENS;

    fn begin<T: Timer>(&self, timer: &T) -> Option<T::Instant> {
        let needed = O::LISTENS || self.limits.max_elapsed < u64::MAX;
        needed.then(|| timer.now())
    }

    fn elapsed<T: Timer>(&self, timer: &T, begun: Option<T::Instant>) -> Duration {
        begun.map_or(Duration::ZERO, |begun| timer.elapsed(begun))
    }

    fn draw(&mut self) -> u64 {
        self.entropy.draw()
    }

    fn tell(&mut self, event: Event<'_, E>) {
        self.observer.tell(event);
    }

    fn pay(&self) -> bool {
        self.budget.pay()
    }

    fn earn(&self, retries: u32) {
        self.budget.earn(retries);
    }
}

/// A sequence with its extras: what every door drives.
pub(crate) struct Session<T: Timer, X: Optional> {
    sequence: Sequence,
    begun: X::Begun<T::Instant>,
    extras: X,
}

impl<T: Timer, X: Optional> Session<T, X> {
    pub(crate) fn new(sequence: Sequence, extras: X) -> Self {
        Self {
            sequence,
            begun: X::Begun::default(),
            extras,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.sequence.failures()
    }

    /// Starts anew, with a sequence that has not failed yet.
    pub(crate) fn restart(&mut self, fresh: Sequence) {
        self.sequence = fresh;
    }

    /// To be called as an attempt begins; only the first one counts.
    pub(crate) fn begin<E>(&mut self, timer: &T)
    where
        X: InUse<E>,
    {
        if self.sequence.failures() == 0 {
            self.begun = self.extras.begin(timer);
        }
    }

    /// Takes in how an attempt ended. Breaks with the sequence's result, or
    /// continues with the wait before the next attempt.
    pub(crate) fn ended<P, V, E>(
        &mut self,
        timer: &T,
        predicate: &mut P,
        result: Result<V, E>,
    ) -> ControlFlow<Result<V, E>, Duration>
    where
        P: Predicate<E>,
        X: InUse<E>,
    {
        match result {
            Ok(value) => {
                self.succeeded(timer);
                ControlFlow::Break(Ok(value))
            }
            Err(error) => match self.failed(timer, predicate, &error) {
                Some(wait) => ControlFlow::Continue(wait),
                None => ControlFlow::Break(Err(error)),
            },
        }
    }

    /// Takes in an attempt's failure. Returns the wait before the next attempt,
    /// or nothing where the error is final.
    // Out of line: a first-try success is not to save registers for it.
    #[inline(never)]
    pub(crate) fn failed<P, E>(
        &mut self,
        timer: &T,
        predicate: &mut P,
        error: &E,
    ) -> Option<Duration>
    where
        P: Predicate<E>,
        X: InUse<E>,
    {
        let iteration = self.sequence.fail();
        let decision = predicate.decide(error, iteration);
        let limits = self.extras.limits();
        let elapsed = self.extras.elapsed(timer, self.begun);
        let verdict = self
            .sequence
            .decide(decision, limits, elapsed, || self.extras.draw())
            .and_then(|wait| {
                if self.extras.pay() {
                    Ok(wait)
                } else {
                    Err(GiveUp::Budget)
                }
            });
        self.extras.tell(match verdict {
            Ok(wait) => Event::Retrying {
                error,
                iteration,
                wait,
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

    pub(crate) fn succeeded<E>(&mut self, timer: &T)
    where
        X: InUse<E>,
    {
        let retries = self.sequence.failures();
        self.extras.earn(retries);
        if X::LISTENS {
            let elapsed = self.extras.elapsed(timer, self.begun);
            self.extras.tell(Event::Succeeded { retries, elapsed });
        }
    }
}
