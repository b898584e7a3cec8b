//! The primitives that are model-checked: loom's where its tests ask for them.

#[cfg(not(afterbeat_loom))]
pub(crate) use core::sync::atomic::AtomicUsize;
#[cfg(all(feature = "std", not(afterbeat_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(afterbeat_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
