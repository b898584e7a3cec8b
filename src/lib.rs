#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! Retry, backoff and sequential polling.

mod backoff;
mod decision;
mod entropy;
mod jitter;
mod real;
mod timer;

#[cfg(feature = "tokio")]
pub use crate::timer::TokioTimer;
#[cfg(feature = "test-util")]
pub use crate::timer::{ManualSleep, ManualTimer};
pub use crate::{
    backoff::{Backoff, Delays, InvalidFactor},
    decision::{Decision, GiveUp},
    jitter::{InvalidJitter, Jitter},
    timer::Timer,
};
