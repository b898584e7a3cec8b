//! Where a random draw comes from.

use core::num::NonZeroU64;

use crate::jitter::share_of_one_more;

/// The source of a sequence's draws: fresh entropy, or a seed's own sequence.
///
/// Takes eight bytes, and nothing is touched before the first draw.
#[derive(Clone, Copy, Debug)]
pub struct Entropy(Option<NonZeroU64>);

impl Entropy {
    pub(crate) const FRESH: Self = Self(None);

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(Some(state(seed)))
    }

    pub(crate) fn draw(&mut self, fresh: impl FnOnce() -> u64) -> u64 {
        let Some(seed) = &mut self.0 else {
            return fresh();
        };
        let mut generator = fastrand::Rng::with_seed(seed.get());
        let drawn = generator.u64(..);
        *seed = state(generator.get_seed());
        drawn
    }
}

/// A generator's state is its seed; zero is skipped to keep a niche.
const fn state(seed: u64) -> NonZeroU64 {
    match NonZeroU64::new(seed) {
        Some(state) => state,
        None => NonZeroU64::MAX,
    }
}

/// A draw of fresh entropy, from the thread's generator.
#[cfg(feature = "std")]
pub(crate) fn fresh() -> u64 {
    fastrand::u64(..)
}

/// A draw that is distinct within a process; the same after each start, for want
/// of a better source.
#[cfg(not(feature = "std"))]
pub(crate) fn fresh() -> u64 {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    static DRAWS: AtomicUsize = AtomicUsize::new(1);
    #[cfg(target_has_atomic = "ptr")]
    let draw = DRAWS.fetch_add(1, Relaxed);
    // Without compare-and-swap two cores may draw the same; nothing depends on it.
    #[cfg(not(target_has_atomic = "ptr"))]
    let draw = {
        let draw = DRAWS.load(Relaxed);
        DRAWS.store(draw.wrapping_add(1), Relaxed);
        draw
    };
    fastrand::Rng::with_seed((draw as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..)
}

/// A uniform integer of `0..=width`, drawn only where there is a choice.
#[inline]
pub(crate) fn below(width: u64, draw: impl FnOnce() -> u64) -> u64 {
    if width == 0 {
        return 0;
    }
    share_of_one_more(width, draw())
}
