//! What a policy may carry beyond its schedule, paid for only where it is named.

use core::{fmt, time::Duration};

use crate::{
    entropy::{Entropy, fresh},
    event::Event,
    hooks::{Observer, Payer},
    real::nanos,
    sequence::Limits,
    timer::Timer,
    unset::Unset,
};

pub(crate) use crate::unset::Unset as Plain;

/// The extras of a policy with a limit in time or on hints, a seed, an observer
/// `O` or a budget `B`; [`Unset`] in their place stands for none.
#[derive(Clone, Copy)]
pub struct Extras<O = Unset, B = Unset> {
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

/// [`Unset`] or [`Extras`].
pub trait MaybeExtras: Sized {
    type Observer;
    type Budget;
    /// Where a sequence keeps the instant it began, if it keeps one.
    type Begun<I: Copy>: Copy + Default;

    fn into_extras(self) -> Extras<Self::Observer, Self::Budget>;
    fn limits(&self) -> Limits;
}

impl MaybeExtras for Unset {
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

impl<O, B> MaybeExtras for Extras<O, B> {
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
pub trait ExtrasFor<E>: MaybeExtras {
    const LISTENS: bool;
    fn begin<T: Timer>(&self, timer: &T) -> Self::Begun<T::Instant>;
    fn elapsed<T: Timer>(&self, timer: &T, begun: Self::Begun<T::Instant>) -> Duration;
    fn draw(&mut self) -> u64;
    fn tell(&mut self, event: Event<'_, E>);
    fn pay(&self) -> bool;
    fn earn(&self, retries: u32);
}

impl<E> ExtrasFor<E> for Unset {
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

impl<E, O: Observer<E>, B: Payer> ExtrasFor<E> for Extras<O, B> {
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
