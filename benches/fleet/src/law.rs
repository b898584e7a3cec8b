//! The laws by which retries are rationed.

mod bucket;
mod fixed;
mod growing;
mod held;

pub use self::{
    bucket::{Bucket, Terms},
    fixed::Fixed,
    growing::Growing,
    held::Held,
};

use crate::scale::Scale;

/// Who decides whether a retry is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Nobody retries.
    NoRetries,
    /// Every failure is retried while the policy's limit allows.
    Unlimited,
    /// A bucket of tokens that is asked when a retry is decided, and whose refusal is
    /// final: the laws of AWS, gRPC, Finagle and tower, by their numbers.
    Bucket(Terms),
    /// Law B: no more than n retries stored and in flight.
    Held,
    /// Law V: n/3 places for sequences that were once refused.
    Fixed,
    /// Law W: as V, but a setback closes the places, and what is earned opens them.
    Growing,
    /// Law X: as W, with n places that first tries alone open.
    Wider,
    /// The crate's own `RetryBudget`.
    Crate,
}

/// The law that the lines are about.
pub const JUDGED: Law = Law::Crate;

/// The prototype that the crate's budget must agree with.
pub const ORACLE: Law = Law::Growing;

/// The laws of a table, the first of which is that without retries.
pub fn compared(scale: Scale) -> &'static [Law] {
    const ALL: [Law; 7] = [
        Law::NoRetries,
        Law::A,
        Law::Held,
        Law::Fixed,
        Law::Growing,
        Law::Wider,
        Law::Crate,
    ];
    scale.pick(&ALL, &[Law::NoRetries, ORACLE, JUDGED])
}

impl Law {
    /// Law A: ten tokens for a retry, which come back if it succeeds; one for a
    /// first try that succeeds.
    pub const A: Self = Self::Bucket(Terms::A);

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRetries => "no retries",
            Self::Unlimited => "no budget",
            Self::Bucket(_) => "A",
            Self::Held => "B",
            Self::Fixed => "V",
            Self::Growing => "W",
            Self::Wider => "X",
            Self::Crate => "afterbeat",
        }
    }
}

/// What a retry costs under the laws A, B, V, W and X.
pub const COST: u32 = 10;

/// A law under which a retry is paid for when it is sent, after its wait, and a
/// refused one waits again. A prototype that shares nothing with the crate's.
pub trait Postponing {
    /// Whether the retry is sent, of a sequence that was refused before or not.
    fn send(&self, once_refused: bool) -> bool;

    /// A retry that was sent has ended.
    fn ended(&self, once_refused: bool, succeeded: bool);

    /// A first try succeeded, or the caller says that the server is well.
    fn credit(&self);

    /// A sequence succeeded after so many retries.
    fn refund(&self, retries: u32);
}
