//! What a `Retry-After` does to a wait.

use std::time::Duration;

use afterbeat::Backoff;

/// The wait before a retry of a curve that is not to come before a hint.
pub type Rule = fn(&Backoff, u32, Duration) -> Duration;

/// The rule of the design, written out: a hint beyond the curve's interval moves it up,
/// and makes it at least half as wide as the hint, so that clients told the same do not
/// return together.
pub fn widened(backoff: &Backoff, retry: u32, hint: Duration) -> Duration {
    let (lo, hi) = backoff.bounds(retry).into_inner();
    let width = (hi.saturating_sub(lo)).max(hint / 2);
    if hint <= lo {
        between(lo, hi.saturating_sub(lo))
    } else {
        between(hint, width)
    }
}

/// The rule before: the interval is moved up, and keeps its width.
pub fn moved(backoff: &Backoff, retry: u32, hint: Duration) -> Duration {
    let (lo, hi) = backoff.bounds(retry).into_inner();
    between(lo.max(hint), hi.saturating_sub(lo))
}

fn between(from: Duration, width: Duration) -> Duration {
    from + width.mul_f64(fastrand::f64())
}
