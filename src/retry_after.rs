//! What a `Retry-After` header asks for.

use core::time::Duration;
use std::time::SystemTime;

/// Returns how long a `Retry-After` header asks to wait from now, or `None` if it
/// can't be read.
///
/// `header` is the header's value; `date` and `age` are those of the same response's
/// `Date` and `Age`, if it has them; `now` is the time at which it arrived. White
/// space around a value is allowed, and a `Date` or an `Age` that can't be read counts
/// as missing.
///
/// - Seconds, of any number of digits, are shortened by the response's age: a cache
///   may have kept it for a while. More than `u64::MAX` of them count as
///   [`Duration::MAX`].
/// - A date, in any of the three forms of HTTP, counts from the response's `Date` and
///   age, so the local clock may be wrong. Without a `Date` it counts from `now`.
/// - What has passed is [`Duration::ZERO`].
/// - Everything else is `None`: a sign, a fraction, a list, another form of date, a
///   date before 1970.
///
/// A server can ask for any wait. As a [`Decision::RetryAfter`] it is bounded by
/// [`max_retry_after`].
///
/// [`Decision::RetryAfter`]: crate::Decision::RetryAfter
/// [`max_retry_after`]: crate::RetryBuilder::max_retry_after
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use afterbeat::retry_after;
///
/// let now = SystemTime::now();
/// assert_eq!(retry_after("120", None, None, now), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("120", None, Some("90"), now), Some(Duration::from_secs(30)));
/// assert_eq!(retry_after("soon", None, None, now), None);
///
/// let (date, until) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT");
/// assert_eq!(retry_after(until, Some(date), None, now), Some(Duration::from_secs(30)));
/// assert_eq!(retry_after(until, None, None, now), Some(Duration::ZERO));
/// ```
///
/// In a predicate, with the headers of a response that was kept in the error:
///
/// ```
/// use std::{collections::HashMap, time::SystemTime};
/// use afterbeat::{Decision, RetryBuilder, retry_after};
///
/// struct Refused { status: u16, headers: HashMap<&'static str, String> }
///
/// let policy = RetryBuilder::new().should_retry(|err: &Refused, _| {
///     let header = |name| err.headers.get(name).map(String::as_str);
///     let wait = header("retry-after").and_then(|value| {
///         retry_after(value, header("date"), header("age"), SystemTime::now())
///     });
///     match (err.status, wait) {
///         (429 | 503, Some(wait)) => Decision::RetryAfter(wait),
///         (status, _) => (status == 429 || status >= 500).into(),
///     }
/// });
/// # let _ = policy;
/// ```
#[must_use]
pub fn retry_after(
    header: &str,
    date: Option<&str>,
    age: Option<&str>,
    now: SystemTime,
) -> Option<Duration> {
    let age = age.and_then(seconds).unwrap_or_default();
    if let Some(wait) = seconds(header) {
        // What is longer than a duration can say is not made shorter.
        let age = if wait < Duration::MAX {
            age
        } else {
            Duration::ZERO
        };
        return Some(wait.saturating_sub(age));
    }
    let until = time(header)?;
    let wait = match date.and_then(time) {
        Some(date) => until
            .duration_since(date)
            .unwrap_or_default()
            .saturating_sub(age),
        None => until.duration_since(now).unwrap_or_default(),
    };
    Some(wait)
}

/// A whole number of seconds; [`Duration::MAX`] for what does not fit.
fn seconds(text: &str) -> Option<Duration> {
    let digits = text.trim_ascii();
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().map_or(Duration::MAX, Duration::from_secs))
}

fn time(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}
