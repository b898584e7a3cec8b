//! What a policy asks and tells while a sequence runs.

use crate::{
    decision::{Decision, IntoDecision},
    event::Event,
    seal::Seal,
    unset::Unset,
};

/// The predicate of a policy without one: every error is retried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

/// Answers after a failure: [`Always`], or a closure.
pub trait Predicate<E> {
    #[doc(hidden)]
    fn decide(&mut self, error: &E, iteration: u32, _: Seal) -> Decision;
}

impl<E> Predicate<E> for Always {
    fn decide(&mut self, _: &E, _: u32, _: Seal) -> Decision {
        Decision::Retry
    }
}

impl<E, D, F> Predicate<E> for F
where
    F: FnMut(&E, u32) -> D,
    D: IntoDecision,
{
    fn decide(&mut self, error: &E, iteration: u32, _: Seal) -> Decision {
        self(error, iteration).into_decision()
    }
}

/// Is told of events: a closure, a pair of observers, or [`Unset`] for nobody.
pub trait Observer<E> {
    #[doc(hidden)]
    const LISTENS: bool = true;
    #[doc(hidden)]
    fn tell(&mut self, event: Event<'_, E>, _: Seal);
}

impl<E> Observer<E> for Unset {
    const LISTENS: bool = false;
    fn tell(&mut self, _: Event<'_, E>, _: Seal) {}
}

impl<E, F: FnMut(Event<'_, E>)> Observer<E> for F {
    fn tell(&mut self, event: Event<'_, E>, _: Seal) {
        self(event);
    }
}

/// The observers named first and second.
impl<E, A: Observer<E>, B: Observer<E>> Observer<E> for (A, B) {
    const LISTENS: bool = A::LISTENS || B::LISTENS;

    fn tell(&mut self, event: Event<'_, E>, _: Seal) {
        self.0.tell(event, Seal);
        self.1.tell(event, Seal);
    }
}
