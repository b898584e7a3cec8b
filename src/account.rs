//! What one sequence owes to its budget.

#[cfg(target_has_atomic = "ptr")]
use core::ops::Deref;

#[cfg(target_has_atomic = "ptr")]
use crate::budget::RetryBudget;
use crate::{
    seal::{Seal, Sealed},
    unset::Unset,
};

/// Pays for retries: a reference to a retry budget, or [`Unset`] for nobody.
pub trait Payer {
    #[doc(hidden)]
    type Account: Account;
    #[doc(hidden)]
    fn open(self, _: Seal) -> Self::Account;
    #[cfg(target_has_atomic = "ptr")]
    #[doc(hidden)]
    fn budget(&self) -> Option<&RetryBudget>;
}

/// The account of one sequence.
pub trait Account: Sealed {
    /// Whether anything is paid; code behind it costs nothing if not.
    #[doc(hidden)]
    const PAYS: bool;
    /// Where a sequence keeps its last error while the retry after it is to be paid for.
    #[doc(hidden)]
    type Kept<E>: Default;
    #[doc(hidden)]
    fn keep<E>(kept: &mut Self::Kept<E>, error: E);
    /// Whether no retry is worth a wait.
    #[doc(hidden)]
    fn is_closed(&self) -> bool;
    /// Pays for the attempt that is due, if it is a retry. Returns the error if the budget
    /// refuses.
    #[doc(hidden)]
    fn pay<E>(&mut self, kept: &mut Self::Kept<E>) -> Option<E>;
    /// Pays for a retry. Returns false if the budget refuses.
    #[doc(hidden)]
    fn withdraw(&mut self) -> bool;
    /// Whether a refused retry may ask again.
    #[doc(hidden)]
    fn may_ask_again(&self) -> bool;
    /// An attempt has failed.
    #[doc(hidden)]
    fn failed(&mut self);
    /// The sequence has succeeded after so many failures.
    #[doc(hidden)]
    fn succeeded(&mut self, failures: u32);
    /// The sequence starts anew after progress.
    #[doc(hidden)]
    fn reset(&mut self);
    /// The retry in flight is lost.
    #[doc(hidden)]
    fn abandon(&mut self);
}

impl Payer for Unset {
    type Account = Self;

    fn open(self, _: Seal) -> Self {
        self
    }

    #[cfg(target_has_atomic = "ptr")]
    fn budget(&self) -> Option<&RetryBudget> {
        None
    }
}

impl Account for Unset {
    const PAYS: bool = false;
    type Kept<E> = ();

    fn keep<E>((): &mut (), _: E) {}

    fn is_closed(&self) -> bool {
        false
    }

    fn pay<E>(&mut self, (): &mut ()) -> Option<E> {
        None
    }

    fn withdraw(&mut self) -> bool {
        true
    }

    fn may_ask_again(&self) -> bool {
        true
    }

    fn failed(&mut self) {}

    fn succeeded(&mut self, _: u32) {}

    fn reset(&mut self) {}

    fn abandon(&mut self) {}
}

impl Sealed for Unset {}

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Sealed for Tab<B> {}

/// The account of a sequence with a budget.
#[derive(Debug)]
#[cfg(target_has_atomic = "ptr")]
pub struct Tab<B: Deref<Target = RetryBudget>> {
    budget: B,
    /// Retries paid for since the sequence began.
    paid: u32,
    was_refused: bool,
    /// Whether the retry in flight holds a place.
    has_place: bool,
}

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Payer for B {
    type Account = Tab<B>;

    fn open(self, _: Seal) -> Tab<B> {
        Tab {
            budget: self,
            paid: 0,
            was_refused: false,
            has_place: false,
        }
    }

    fn budget(&self) -> Option<&RetryBudget> {
        Some(self)
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Account for Tab<B> {
    const PAYS: bool = true;
    type Kept<E> = Option<E>;

    fn keep<E>(kept: &mut Option<E>, error: E) {
        *kept = Some(error);
    }

    fn is_closed(&self) -> bool {
        self.budget.turns_away()
    }

    fn pay<E>(&mut self, kept: &mut Option<E>) -> Option<E> {
        let error = kept.take()?;
        if self.withdraw() { None } else { Some(error) }
    }

    fn withdraw(&mut self) -> bool {
        if !self.budget.withdraw(self.was_refused) {
            self.was_refused = true;
            return false;
        }
        self.paid = self.paid.saturating_add(1);
        self.has_place = self.was_refused;
        true
    }

    fn may_ask_again(&self) -> bool {
        !self.budget.is_fail_fast()
    }

    fn failed(&mut self) {
        if core::mem::take(&mut self.has_place) {
            self.budget.leave();
        }
    }

    fn succeeded(&mut self, failures: u32) {
        match failures {
            0 => self.budget.credit(),
            _ => self.reset(),
        }
    }

    fn reset(&mut self) {
        let place = core::mem::take(&mut self.has_place);
        self.budget.refund(core::mem::take(&mut self.paid), place);
        self.was_refused = false;
    }

    fn abandon(&mut self) {
        self.failed();
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Drop for Tab<B> {
    fn drop(&mut self) {
        self.abandon();
    }
}
