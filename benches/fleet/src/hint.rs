//! What a `Retry-After` does to a wait: the rule of the design, written out.

use std::time::Duration;

use afterbeat::Backoff;

/// The wait before a retry of this curve, not before `hint`.
///
/// A hint beyond the curve's interval moves it up, and makes it at least half as
/// wide as the hint, so that clients told the same do not return together.
pub fn wait(backoff: &Backoff, retry: u32, hint: Duration) -> Duration {
    let (lo, hi) = backoff.bounds(retry).into_inner();
    let (from, to) = if hint <= lo {
        (lo, hi)
    } else {
        (hint, hint + (hi - lo).max(hint / 2))
    };
    from + (to - from).mul_f64(fastrand::f64())
}
