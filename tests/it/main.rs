//! The public behaviour, in virtual time. One file a subject; `any` holds the
//! inputs that properties range over.

#![allow(unreachable_pub, reason = "nothing outside a test binary could reach it")]

mod any;
mod schedule;
