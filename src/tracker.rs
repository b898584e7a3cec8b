//! A sequence with its extras: what every door drives.

use core::{ops::ControlFlow, time::Duration};

use crate::{
    decision::GiveUp,
    event::Event,
    extras::{ExtrasFor, MaybeExtras},
    hooks::Predicate,
    sequence::Sequence,
    timer::Timer,
};

/// A sequence with its extras: what every door drives.
pub(crate) struct Tracker<T: Timer, X: MaybeExtras> {
    sequence: Sequence,
    begun: X::Begun<T::Instant>,
    extras: X,
}

impl<T: Timer, X: MaybeExtras> Tracker<T, X> {
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
        X: ExtrasFor<E>,
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
        X: ExtrasFor<E>,
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
        X: ExtrasFor<E>,
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
        X: ExtrasFor<E>,
    {
        let retries = self.sequence.failures();
        self.extras.earn(retries);
        if X::LISTENS {
            let elapsed = self.extras.elapsed(timer, self.begun);
            self.extras.tell(Event::Succeeded { retries, elapsed });
        }
    }
}
