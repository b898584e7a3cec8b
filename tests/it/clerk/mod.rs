//! The refresher against a stand-in for the API, in virtual time: one file a subject, a
//! test for each requirement, named by it, and the recordings of clerk-js.

mod age;
mod cache;
mod callers;
mod conformance;
mod crowd;
mod ends;
mod gate;
#[cfg(feature = "clerk-http")]
mod http;
mod input;
mod kept;
mod load_laws;
mod organization;
mod poller;
mod processes;
mod recorded;
mod replies;
mod report;
mod requests;
mod rig;
mod schedule;
mod secrets;
mod sign_out;
mod start;
#[cfg(any(unix, windows))]
mod store;
mod told;
mod traces;
mod verification;
