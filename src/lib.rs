#![doc = include_str!("../README.md")]
#![doc = include_str!("recipes.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod account;
#[cfg(feature = "std")]
mod any_policy;
mod attempt_timeout;
mod attempts;
mod backoff;
pub mod bounds;
#[cfg(target_has_atomic = "ptr")]
mod budget;
mod builder;
#[cfg(feature = "clerk")]
pub mod clerk;
#[cfg(feature = "serde")]
mod config;
mod decision;
mod entropy;
mod event;
mod extras;
mod hooks;
mod jitter;
mod policy;
mod poller;
mod real;
mod retry;
#[cfg(feature = "retry-after")]
mod retry_after;
#[cfg(feature = "std")]
mod retry_blocking;
mod retry_with;
mod seal;
mod sequence;
#[cfg(target_has_atomic = "ptr")]
mod sync;
mod table;
mod timer;
#[cfg(feature = "tracing")]
mod trace;
mod tracker;
mod unset;
mod unwind;
mod walk;
#[cfg(feature = "std")]
mod watch;

#[cfg(feature = "std")]
pub use crate::any_policy::AnyPolicy;
#[cfg(target_has_atomic = "ptr")]
pub use crate::budget::RetryBudget;
#[cfg(feature = "serde")]
pub use crate::config::PolicyConfig;
#[cfg(feature = "std")]
pub use crate::poller::{PollerDriver, PollerHandle, PollerPhase, PollerRemote, PollerStatus};
#[cfg(feature = "retry-after")]
pub use crate::retry_after::retry_after;
#[cfg(feature = "embassy-time")]
pub use crate::timer::EmbassyTimer;
#[cfg(feature = "futures-timer")]
pub use crate::timer::FuturesTimer;
#[cfg(feature = "std")]
pub use crate::timer::StdClock;
#[cfg(feature = "tokio")]
pub use crate::timer::TokioTimer;
#[cfg(feature = "test-util")]
pub use crate::timer::{ManualSleep, ManualTimer, check_timer};
#[cfg(feature = "tracing")]
pub use crate::trace::Trace;
pub use crate::{
    attempt_timeout::AttemptTimeout,
    attempts::{Attempts, Pause},
    backoff::{Backoff, Delays, InvalidFactor},
    builder::RetryBuilder,
    decision::{Decision, GiveUp},
    event::Event,
    extras::Extras,
    hooks::Always,
    jitter::{InvalidJitter, Jitter},
    policy::{Policy, SendPolicy},
    poller::{PollerBuilder, SequentialPoller},
    retry::Retry,
    timer::{Clock, Timer},
    unset::Unset,
};
