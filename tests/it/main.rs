//! The public behaviour, in virtual time. One file a subject; `any` holds the
//! inputs that properties range over.

#![allow(
    unreachable_pub,
    clippy::unchecked_time_subtraction,
    clippy::type_complexity,
    clippy::no_effect_underscore_binding,
    reason = "nothing is outside a test binary; a test that underflows fails; types spelt out \
              show what is compared; guards live"
)]

mod any;
mod budget;
mod cancel;
#[cfg(feature = "clerk")]
mod clerk;
#[cfg(feature = "serde")]
mod config;
#[cfg(feature = "tokio")]
mod contract;
mod golden;
mod policy;
mod poller;
mod retry;
#[cfg(feature = "retry-after")]
mod retry_after;
mod schedule;
mod timer;
#[cfg(feature = "tracing")]
mod trace;
