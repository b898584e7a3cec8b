//! Sequential polling: the wait is armed when a run has ended.

mod builder;
mod cycle;
#[cfg(feature = "std")]
mod driver;
#[cfg(feature = "std")]
mod handle;
#[cfg(feature = "std")]
mod machine;
mod pace;
#[cfg(feature = "std")]
mod remote;
#[cfg(feature = "std")]
mod shared;
#[cfg(feature = "std")]
mod status;
mod stream;
mod teller;

pub use self::{builder::PollerBuilder, stream::SequentialPoller};
#[cfg(feature = "std")]
pub use self::{
    driver::PollerDriver,
    handle::PollerHandle,
    remote::PollerRemote,
    status::{PollerPhase, PollerStatus},
};
