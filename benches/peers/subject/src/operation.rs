//! The operation that every subject retries: fails as often as told, then
//! succeeds.

use std::{
    cell::Cell,
    future::Future,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
};

/// An error, by the status that a server might have answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub u64);

impl Fault {
    pub const UNAVAILABLE: Self = Self(503);
    pub const FORBIDDEN: Self = Self(403);

    pub fn retryable(self) -> bool {
        self.0 >= 500
    }
}

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
    static FAULT: Cell<Fault> = const { Cell::new(Fault::UNAVAILABLE) };
}

/// Lets the next attempts fail so many times.
pub fn fail(times: u32) {
    LEFT.set(times);
}

/// Sets the error that attempts fail with.
pub fn fail_with(fault: Fault) {
    FAULT.set(fault);
}

/// How many failures are left.
pub fn left() -> u32 {
    LEFT.get()
}

/// Makes one attempt. The result comes out of a black box, so neither path can be
/// optimised away.
pub fn attempt() -> Result<u64, Fault> {
    let left = LEFT.get();
    if left == 0 {
        return black_box(Ok(7));
    }
    LEFT.set(left - 1);
    black_box(Err(FAULT.get()))
}

/// One attempt as a future of `N` bytes, ready at its first poll. `E` is what the
/// subject wants errors to be wrapped in.
pub struct Attempt<const N: usize, E> {
    state: [u8; N],
    wrap: std::marker::PhantomData<fn() -> E>,
}

/// A subject's own kind of error, made from ours.
pub trait Wrap {
    fn wrap(fault: Fault) -> Self;
}

impl Wrap for Fault {
    fn wrap(fault: Fault) -> Self {
        fault
    }
}

impl<const N: usize, E: Wrap> Future for Attempt<N, E> {
    type Output = Result<u64, E>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        black_box(&self.state);
        Poll::Ready(attempt().map_err(E::wrap))
    }
}

/// The operation itself.
pub fn operate<const N: usize>() -> Attempt<N, Fault> {
    operate_wrapped()
}

pub fn operate_wrapped<const N: usize, E>() -> Attempt<N, E> {
    Attempt {
        state: [0; N],
        wrap: std::marker::PhantomData,
    }
}
