//! The traits that stand in the bounds of public items, so that a signature can name
//! them.
//!
//! All are sealed: they are implemented by the crate's own types, and by the closures
//! that the setters take. A function that accepts a policy needs none of them, only
//! [`Policy`](crate::Policy) or [`SendPolicy`](crate::SendPolicy).

pub use crate::{
    account::{Account, Payer},
    attempt_timeout::{Cutter, CutterFor},
    decision::IntoDecision,
    extras::{Carried, ExtrasFor, MaybeExtras, Running, RunningFor},
    hooks::{Observer, Predicate},
};
