//! Who is told how runs end.

use core::time::Duration;

use super::pace::FOREVER;
use crate::{
    event::{Elapsed, Event},
    hooks::Observer,
    seal::Seal,
    timer::Timer,
    unset::Unset,
};

/// The observers of a poller: [`Unset`], or a pair as in
/// [`Extras`](crate::Extras).
pub trait Observers {
    /// Where the instant is kept at which a run began after a success, if it is kept.
    type Begun<I: Copy>: Copy + Default;
}

/// The observers of a poller whose runs fail with `E`.
pub trait ObserversOf<E>: Observers {
    fn begin<T: Timer>(begun: &mut Self::Begun<T::Instant>, timer: &T);

    fn ended<T: Timer>(
        &mut self,
        begun: &mut Self::Begun<T::Instant>,
        timer: &T,
        end: Result<(), &E>,
        failures: u32,
        wait: u64,
    );
}

impl Observers for Unset {
    type Begun<I: Copy> = ();
}

impl<E> ObserversOf<E> for Unset {
    fn begin<T: Timer>((): &mut (), _: &T) {}

    fn ended<T: Timer>(&mut self, (): &mut (), _: &T, _: Result<(), &E>, _: u32, _: u64) {}
}

impl<A, B> Observers for (A, B) {
    type Begun<I: Copy> = Option<I>;
}

impl<E, A: Observer<E>, B: Observer<E>> ObserversOf<E> for (A, B) {
    fn begin<T: Timer>(begun: &mut Option<T::Instant>, timer: &T) {
        begun.get_or_insert_with(|| timer.now());
    }

    fn ended<T: Timer>(
        &mut self,
        begun: &mut Option<T::Instant>,
        timer: &T,
        end: Result<(), &E>,
        failures: u32,
        wait: u64,
    ) {
        let since = *begun;
        let elapsed = || since.map_or(Duration::ZERO, |since| timer.elapsed(since));
        let elapsed = Elapsed(&elapsed);
        if end.is_ok() {
            *begun = None;
        }
        self.tell(
            match end {
                Err(error) => Event::Retrying {
                    error,
                    iteration: failures.saturating_add(1),
                    limit: None,
                    wait: match wait {
                        FOREVER => Duration::MAX,
                        wait => Duration::from_nanos(wait),
                    },
                    elapsed,
                },
                Ok(()) => Event::Succeeded {
                    retries: failures,
                    elapsed,
                },
            },
            Seal,
        );
    }
}

/// A poller's observers, and what they may ask for.
pub(super) struct Teller<T: Timer, O: Observers> {
    observers: O,
    begun: O::Begun<T::Instant>,
}

impl<T: Timer, O: Observers> Teller<T, O> {
    pub(super) fn new(observers: O) -> Self {
        Self {
            observers,
            begun: Default::default(),
        }
    }

    /// To be called as a run begins; only the first one after a success counts.
    pub(super) fn begin<E>(&mut self, timer: &T)
    where
        O: ObserversOf<E>,
    {
        O::begin(&mut self.begun, timer);
    }

    /// A run has ended after so many failures in a row; the next comes after `wait`.
    pub(super) fn ended<V, E>(
        &mut self,
        timer: &T,
        outcome: &Result<V, E>,
        failures: u32,
        wait: u64,
    ) where
        O: ObserversOf<E>,
    {
        let end = outcome.as_ref().map(drop);
        self.observers
            .ended(&mut self.begun, timer, end, failures, wait);
    }
}
