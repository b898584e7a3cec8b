//! A policy as plain data, for configuration.

mod duration;
mod read;
mod write;

use core::time::Duration;

use crate::{
    backoff::Backoff,
    builder::{MAX_RETRIES, RetryBuilder},
    extras::{Extras, MaybeExtras},
    jitter::Jitter,
    sequence::Limits,
};
#[cfg(feature = "tokio")]
use crate::{hooks::Always, timer::TokioTimer};

/// The keys of a policy: those of its curve, then its limits.
const POLICY: &[&str] = &[
    "initial_delay",
    "factor",
    "max_delay",
    "jitter",
    "immediate_retry",
    "max_retries",
    "max_elapsed",
    "max_retry_after",
];

/// The keys of a curve.
const CURVE: &[&str] = POLICY.split_at(5).0;

/// The jitters that have a name.
const NAMED: [(&str, Jitter); 4] = [
    ("none", Jitter::NONE),
    ("spread", Jitter::SPREAD),
    ("equal", Jitter::EQUAL),
    ("full", Jitter::FULL),
];

/// The numbers of a retry policy as plain data: the curve and three limits.
///
/// It is made for configuration, where it is one table of up to eight keys, named as
/// the settings of [`RetryBuilder`] are. A missing key means the default, and an
/// unknown one is an error.
///
/// | key | value | default |
/// |---|---|---|
/// | `initial_delay` | duration | `"125ms"` |
/// | `factor` | number, finite and at least 1 | `2.0` |
/// | `max_delay` | duration or `"none"` | `"1m"` |
/// | `jitter` | `"none"`, `"spread"`, `"equal"`, `"full"` or two numbers `[low, high]` | `"spread"` |
/// | `immediate_retry` | boolean | `false` |
/// | `max_retries` | whole number or `"none"` | `4` |
/// | `max_elapsed` | duration or `"none"` | `"none"` |
/// | `max_retry_after` | duration or `"none"` | `"1h"` |
///
/// A duration is a text such as `"125ms"`, `"1m 30s"` or `"1.5h"`: numbers with units,
/// as the crate `humantime` reads them. One that is longer than a [`Duration`] counts
/// as [`Duration::MAX`].
///
/// A [`Backoff`] alone is a table of the first five keys, a [`Jitter`](crate::Jitter)
/// the value of `jitter`.
///
/// What is written reads back equal, to the nanosecond, in every format that can
/// describe itself, such as TOML, JSON or YAML, and that keeps floats: `serde_json`
/// needs its feature `float_roundtrip` for a factor or a jitter with many digits.
///
/// # Errors
///
/// Each error of reading names the key, the value and the rule that it breaks, beside
/// the place that the format reports.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::{PolicyConfig, RetryBuilder};
///
/// #[derive(serde::Deserialize)]
/// struct Config {
///     url: String,
///     #[serde(default)]
///     retry: PolicyConfig,
/// }
///
/// let config: Config = toml::from_str(r#"
///     url = "https://orders.example"
///
///     [retry]
///     initial_delay = "200ms"
///     max_delay = "10s"
///     max_retries = 8
///     max_elapsed = "1m 30s"
/// "#)?;
/// assert_eq!(config.retry.max_elapsed, Duration::from_secs(90));
///
/// # #[cfg(feature = "tokio")] {
/// let policy = RetryBuilder::from_config(&config.retry)
///     .should_retry(|err: &std::io::Error, _| err.kind() == std::io::ErrorKind::TimedOut);
/// assert_eq!(*policy.total().end(), Duration::from_millis(42_400));
/// # }
///
/// let error = toml::from_str::<PolicyConfig>(r#"max_delay = "12 parsecs""#).unwrap_err();
/// assert!(error.message().starts_with(r#"max_delay: invalid duration "12 parsecs": "#));
/// # let _ = config.url;
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The curve of waits; see [`RetryBuilder::backoff`].
    pub backoff: Backoff,
    /// The limit on retries, `u32::MAX` for none; see [`RetryBuilder::max_retries`].
    pub max_retries: u32,
    /// The limit in time, [`Duration::MAX`] for none; see
    /// [`RetryBuilder::max_elapsed`].
    pub max_elapsed: Duration,
    /// The limit on waits that a server asks for, [`Duration::MAX`] for none; see
    /// [`RetryBuilder::max_retry_after`].
    pub max_retry_after: Duration,
}

impl PolicyConfig {
    const DEFAULT: Self = Self {
        backoff: Backoff::new(),
        max_retries: MAX_RETRIES,
        max_elapsed: Duration::MAX,
        max_retry_after: Duration::from_nanos(Limits::DEFAULT.max_retry_after),
    };
}

impl Default for PolicyConfig {
    /// Returns the numbers of [`RetryBuilder::with_timer`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(feature = "tokio")]
impl RetryBuilder {
    /// Returns the policy of a configuration by tokio's clock, every error retried.
    ///
    /// For another timer use [`config`](Self::config).
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{PolicyConfig, RetryBuilder};
    ///
    /// let config: PolicyConfig = serde_json::from_str(r#"{ "max_retries": 2 }"#)?;
    /// let policy = RetryBuilder::from_config(&config);
    /// assert_eq!(policy.to_string(), RetryBuilder::new().max_retries(2).to_string());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn from_config(config: &PolicyConfig) -> RetryBuilder<TokioTimer, Always, Extras> {
        Self::new().config(config)
    }
}

impl<T, P, X: MaybeExtras> RetryBuilder<T, P, X> {
    /// Sets the curve and the three limits of a configuration, and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, ManualTimer, PolicyConfig, RetryBuilder};
    ///
    /// let mut config = PolicyConfig::default();
    /// config.max_elapsed = Duration::ZERO;
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer).config(&config);
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>("refused") })), Err("refused"));
    /// assert_eq!(timer.now(), Duration::ZERO);
    /// ```
    pub fn config(
        self,
        config: &PolicyConfig,
    ) -> RetryBuilder<T, P, Extras<X::Observer, X::Budget, X::Cutter>> {
        self.backoff(config.backoff)
            .max_retries(config.max_retries)
            .max_elapsed(config.max_elapsed)
            .max_retry_after(config.max_retry_after)
    }
}
