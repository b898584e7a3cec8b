//! The refresher against a stand-in for the API, in virtual time: one test for
//! each requirement, named by it, and the recordings of clerk-js.

mod conformance;
mod fapi;
#[cfg(feature = "clerk-http")]
mod http;
mod identity_wire;
mod load_laws;
mod races;
mod report;
mod requirements;
mod schedule_cache;
#[cfg(any(unix, windows))]
mod store;
mod traces;
