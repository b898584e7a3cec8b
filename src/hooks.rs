//! What a policy asks and tells while a sequence runs.

use crate::{decision::Decision, event::Event, unset::Unset};

/// The predicate of a policy without one: every error is retried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Always;

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

/// Is told of events: a closure, a pair of observers, or [`Unset`] for nobody.
pub trait Observer<E> {
    const LISTENS: bool = true;
    fn tell(&mut self, event: Event<'_, E>);
}

impl<E> Observer<E> for Unset {
    const LISTENS: bool = false;
    fn tell(&mut self, _: Event<'_, E>) {}
}

impl<E, F: FnMut(Event<'_, E>)> Observer<E> for F {
    fn tell(&mut self, event: Event<'_, E>) {
        self(event);
    }
}

/// The observers named first and second.
impl<E, A: Observer<E>, B: Observer<E>> Observer<E> for (A, B) {
    const LISTENS: bool = A::LISTENS || B::LISTENS;

    fn tell(&mut self, event: Event<'_, E>) {
        self.0.tell(event);
        self.1.tell(event);
    }
}
