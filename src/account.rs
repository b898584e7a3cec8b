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
    /// How often a retry was refused since the sequence began.
    #[doc(hidden)]
    fn refusals(&self) -> u32;
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

    fn refusals(&self) -> u32 {
        0
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
    /// Retries paid for since the sequence began, and [`PLACE`] if the one in flight holds
    /// a place.
    paid: u32,
    /// Refusals since the sequence began.
    refusals: u32,
}

/// Above every count of retries that is worth a refund: no budget has as many.
#[cfg(target_has_atomic = "ptr")]
const PLACE: u32 = 1 << 31;

#[cfg(target_has_atomic = "ptr")]
impl<B: Deref<Target = RetryBudget>> Payer for B {
    type Account = Tab<B>;

    fn open(self, _: Seal) -> Tab<B> {
        Tab {
            budget: self,
            paid: 0,
            refusals: 0,
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
        let needs_place = self.refusals > 0;
        if !self.budget.withdraw(needs_place) {
            self.refusals = self.refusals.saturating_add(1);
            return false;
        }
        self.paid = (self.paid + 1).min(PLACE - 1);
        if needs_place {
            self.paid |= PLACE;
        }
        true
    }

    fn refusals(&self) -> u32 {
        self.refusals
    }

    fn may_ask_again(&self) -> bool {
        !self.budget.is_fail_fast()
    }

    fn failed(&mut self) {
        if self.paid & PLACE != 0 {
            self.paid &= !PLACE;
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
        let paid = core::mem::take(&mut self.paid);
        self.budget.refund(paid & !PLACE, paid & PLACE != 0);
        self.refusals = 0;
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
