//! What a policy may carry beyond its schedule, paid for only where it is named.

use core::{fmt, time::Duration};

use crate::{
    account::{Account, Payer},
    attempt_timeout::{Cutter, CutterFor},
    decision::Decision,
    entropy::Entropy,
    event::Event,
    hooks::{Observer, Predicate},
    real::nanos,
    seal::{Seal, Sealed},
    sequence::Limits,
    timer::Clock,
    unset::Unset,
};

/// The extras of a policy with a limit in time or on hints, a seed, observers `O`, a
/// budget `B` or a limit `C` of each attempt; [`Unset`] in their place stands for none.
///
/// `O` is a pair: the observers named before (at first [`Unset`]) and the one named last.
#[derive(Clone, Copy)]
pub struct Extras<O = Unset, B = Unset, C = Unset> {
    limits: Limits,
    entropy: Entropy,
    observer: O,
    budget: B,
    cutter: C,
}

impl<O, B, C> Extras<O, B, C> {
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

    pub(crate) fn observe<N>(self, observer: N) -> Extras<(O, N), B, C> {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer: (self.observer, observer),
            budget: self.budget,
            cutter: self.cutter,
        }
    }

    #[cfg(target_has_atomic = "ptr")]
    pub(crate) fn budget<N>(self, budget: N) -> Extras<O, N, C> {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer: self.observer,
            budget,
            cutter: self.cutter,
        }
    }

    pub(crate) fn attempt_timeout<N>(self, cutter: N) -> Extras<O, B, N> {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer: self.observer,
            budget: self.budget,
            cutter,
        }
    }
}

impl<O, B, C> Extras<O, B, C> {
    #[cfg(feature = "std")]
    pub(crate) fn take_apart(self) -> (Limits, Entropy, O, B, C) {
        (
            self.limits,
            self.entropy,
            self.observer,
            self.budget,
            self.cutter,
        )
    }
}

impl<O, B, C> fmt::Debug for Extras<O, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras").finish_non_exhaustive()
    }
}

/// What a policy carries beyond its schedule.
pub trait Carried: Sealed {
    /// What a sequence holds of it.
    #[doc(hidden)]
    type Running: Running;

    #[doc(hidden)]
    fn limits(&self) -> Limits;
    #[doc(hidden)]
    fn run(self) -> Self::Running;
}

/// What a policy carries whose attempts fail with `E`.
pub trait ExtrasFor<E>: Carried<Running: RunningFor<E>> {}

impl<E, X: Carried<Running: RunningFor<E>>> ExtrasFor<E> for X {}

/// What a policy carries that takes further settings: [`Unset`] or [`Extras`].
pub trait MaybeExtras: Carried {
    #[doc(hidden)]
    type Observer;
    #[doc(hidden)]
    type Budget: Payer;
    #[doc(hidden)]
    type Cutter: Cutter;

    #[doc(hidden)]
    fn into_extras(self) -> Extras<Self::Observer, Self::Budget, Self::Cutter>;
}

/// The extras of a sequence.
pub trait Running: Sealed {
    #[doc(hidden)]
    type Account: Account;
    #[doc(hidden)]
    type Cutter: Cutter;
    /// Where a sequence keeps the instant it began, if it keeps one.
    #[doc(hidden)]
    type Begun<I: Copy>: Copy + Default;
    /// What makes a sequence draw its first numbers again.
    #[doc(hidden)]
    type Seed: Copy;

    #[doc(hidden)]
    fn account(&mut self) -> &mut Self::Account;
    #[doc(hidden)]
    fn cutter(&mut self) -> &mut Self::Cutter;
    #[doc(hidden)]
    fn limits(&self) -> Limits;
    #[doc(hidden)]
    fn elapsed<T: Clock>(clock: &T, begun: Self::Begun<T::Instant>) -> Duration;
    #[doc(hidden)]
    fn draw<T: Clock>(&mut self, clock: &T) -> u64;
    #[doc(hidden)]
    fn seed(&self) -> Self::Seed;
    #[doc(hidden)]
    fn reseed(&mut self, seed: Self::Seed);
}

/// The extras of a sequence whose attempts fail with `E`.
pub trait RunningFor<E>: Running<Cutter: CutterFor<E>> {
    #[doc(hidden)]
    const LISTENS: bool;
    #[doc(hidden)]
    fn decide<P: Predicate<E>>(
        &mut self,
        predicate: &mut P,
        error: &E,
        iteration: u32,
    ) -> Decision {
        predicate.decide(error, iteration, Seal)
    }
    #[doc(hidden)]
    fn begin<T: Clock>(&self, clock: &T) -> Self::Begun<T::Instant>;
    #[doc(hidden)]
    fn tell(&mut self, event: Event<'_, E>);
}

impl<O, B, C> Sealed for Extras<O, B, C> {}

impl Carried for Unset {
    type Running = Self;

    fn limits(&self) -> Limits {
        Limits::DEFAULT
    }

    fn run(self) -> Self {
        self
    }
}

impl MaybeExtras for Unset {
    type Observer = Self;
    type Budget = Self;
    type Cutter = Self;

    fn into_extras(self) -> Extras {
        Extras {
            limits: Limits::DEFAULT,
            entropy: Entropy::FRESH,
            observer: self,
            budget: self,
            cutter: self,
        }
    }
}

impl Running for Unset {
    type Account = Self;
    type Cutter = Self;
    type Begun<I: Copy> = ();
    type Seed = ();

    fn account(&mut self) -> &mut Self {
        self
    }

    fn cutter(&mut self) -> &mut Self {
        self
    }

    fn limits(&self) -> Limits {
        Limits::DEFAULT
    }

    fn elapsed<T: Clock>(_: &T, (): ()) -> Duration {
        Duration::ZERO
    }

    fn draw<T: Clock>(&mut self, clock: &T) -> u64 {
        clock.entropy()
    }

    fn seed(&self) {}

    fn reseed(&mut self, (): ()) {}
}

impl<E> RunningFor<E> for Unset {
    const LISTENS: bool = false;

    fn begin<T: Clock>(&self, _: &T) {}

    fn tell(&mut self, _: Event<'_, E>) {}
}

impl<O, B: Payer, C: Cutter> Carried for Extras<O, B, C> {
    type Running = Extras<O, B::Account, C>;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(self) -> Self::Running {
        Extras {
            limits: self.limits,
            entropy: self.entropy,
            observer: self.observer,
            budget: self.budget.open(Seal),
            cutter: self.cutter,
        }
    }
}

impl<O, B: Payer, C: Cutter> MaybeExtras for Extras<O, B, C> {
    type Observer = O;
    type Budget = B;
    type Cutter = C;

    fn into_extras(self) -> Self {
        self
    }
}

impl<O, A: Account, C: Cutter> Running for Extras<O, A, C> {
    type Account = A;
    type Cutter = C;
    type Begun<I: Copy> = Option<I>;
    type Seed = Entropy;

    fn account(&mut self) -> &mut A {
        &mut self.budget
    }

    fn cutter(&mut self) -> &mut C {
        &mut self.cutter
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn elapsed<T: Clock>(clock: &T, begun: Option<T::Instant>) -> Duration {
        begun.map_or(Duration::ZERO, |begun| clock.elapsed(begun))
    }

    fn draw<T: Clock>(&mut self, clock: &T) -> u64 {
        self.entropy.draw(|| clock.entropy())
    }

    fn seed(&self) -> Entropy {
        self.entropy
    }

    fn reseed(&mut self, seed: Entropy) {
        self.entropy = seed;
    }
}

impl<E, O: Observer<E>, A: Account, C: CutterFor<E>> RunningFor<E> for Extras<O, A, C> {
    const LISTENS: bool = O::LISTENS;

    fn begin<T: Clock>(&self, clock: &T) -> Option<T::Instant> {
        let needed = O::LISTENS || self.limits.max_elapsed < u64::MAX;
        needed.then(|| clock.now())
    }

    fn tell(&mut self, event: Event<'_, E>) {
        self.observer.tell(event, Seal);
    }
}
