//! What a policy asks and tells while a sequence runs.

#[cfg(target_has_atomic = "ptr")]
use core::ops::Deref;

#[cfg(target_has_atomic = "ptr")]
use crate::budget::RetryBudget;
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

/// Is told of events: a closure, or [`Unset`] for nobody.
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

/// Pays for retries: a reference to a retry budget, or [`Unset`] for nobody.
pub trait Payer {
    /// Whether a retry may be made.
    fn pay(&self) -> bool;
    /// A sequence succeeded after so many retries.
    fn earn(&self, retries: u32);
}

impl Payer for Unset {
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
