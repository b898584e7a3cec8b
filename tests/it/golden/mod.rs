//! Golden recordings: what this crate's seed was seen to do, replayed.
//!
//! The seed is the retry and polling code of clerk's JavaScript. It was run on a
//! virtual clock, and every call, wait and outcome written down, in milliseconds:
//!
//! - [`retry`]: 362 sequences of `retry()`, `@clerk/shared` 3.3.0;
//! - [`poller`]: 166 traces, 46 of that package's `Poller` and 120 of the
//!   `SessionCookiePoller` in clerk-js, which refreshes session tokens;
//! - [`tables`]: the seed's schedules in seconds, as people quote them.
//!
//! The recordings lie in `tests/golden/`; they are data, and never edited to fit.
//! They are replayed on a [`ManualTimer`](afterbeat::ManualTimer). Where this crate
//! differs on purpose, the difference has a name and a reason, what this crate does
//! is asserted instead, and so is how often: one more or one less is a failure.

use std::collections::BTreeMap;

mod poller;
mod retry;
mod tables;

/// How often each reason for a difference has come up.
type Tally<R> = BTreeMap<R, usize>;

fn count<R: Ord>(tally: &mut Tally<R>, reason: R) {
    *tally.entry(reason).or_default() += 1;
}
