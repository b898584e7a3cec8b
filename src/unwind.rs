//! What a panic leaves behind.

use core::{mem, pin::Pin};

/// Calls `step` with a state; a panic that passes leaves `after()` in its place, so
/// that nothing of what panicked is polled again.
pub(crate) fn guarded<S, R>(
    state: Pin<&mut S>,
    after: fn() -> S,
    step: impl FnOnce(Pin<&mut S>) -> R,
) -> R {
    struct Unwinding<'a, S> {
        state: Pin<&'a mut S>,
        after: fn() -> S,
    }

    impl<S> Drop for Unwinding<'_, S> {
        fn drop(&mut self) {
            self.state.set((self.after)());
        }
    }

    let mut guard = Unwinding { state, after };
    let result = step(guard.state.as_mut());
    mem::forget(guard);
    result
}
