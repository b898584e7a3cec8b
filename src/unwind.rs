//! What a panic leaves behind.

use core::mem;

/// Calls `step` with a part of a future; a panic that passes is followed by `spoil`, so
/// that nothing of what panicked is polled again.
pub(crate) fn guarded<S, R>(part: S, spoil: impl Fn(&mut S), step: impl FnOnce(&mut S) -> R) -> R {
    struct Unwinding<S, F: Fn(&mut S)> {
        part: S,
        spoil: F,
    }

    impl<S, F: Fn(&mut S)> Drop for Unwinding<S, F> {
        fn drop(&mut self) {
            (self.spoil)(&mut self.part);
        }
    }

    let mut guard = Unwinding { part, spoil };
    let result = step(&mut guard.part);
    mem::forget(guard);
    result
}
