//! An observer that writes to `tracing`.

use core::{
    error::Error,
    fmt::{self, Display},
    time::Duration,
};

use tracing::{Level, field};

use crate::{
    builder::RetryBuilder,
    decision::GiveUp,
    event::Event,
    extras::{Extras, MaybeExtras},
    hooks::Observer,
    real::nanos,
    seal::Seal,
};

/// An observer that writes to [`tracing`] under the name of a policy; see
/// [`RetryBuilder::trace`].
///
/// | message | level | fields |
/// |---|---|---|
/// | `retrying` | `INFO` | `policy`, `error`, `retry`, `limit`, `wait_ms`, `elapsed_ms` |
/// | `postponed by the retry budget` | `INFO` | the same |
/// | `gave up` | `WARN` | `policy`, `error`, `reason`, `retries`, `elapsed_ms` |
/// | `succeeded after retries` | `INFO` | `policy`, `retries`, `elapsed_ms` |
///
/// A success at the first attempt writes nothing. The target is `afterbeat`.
///
/// A line says "retry `retry` of `limit`"; without a limit on retries that field is absent.
/// Milliseconds are numbers with a fraction. The clock is read for `elapsed_ms` only if the
/// level is enabled.
///
/// # Secrets
///
/// The error's text is written, and the text of each of its sources. If one of them can
/// hold a secret, such as a URL with a key in it, redact it in the error.
///
/// # Examples
///
/// ```
/// # mod lines { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/trace/lines.rs")); }
/// # use lines::lines;
/// use std::{io, time::Duration};
/// use afterbeat::{Backoff, ManualTimer, RetryBuilder, Trace};
/// use tracing::Level;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("could not send the order")]
/// struct OrderError(#[from] io::Error);
///
/// let timer = ManualTimer::new();
/// let policy = RetryBuilder::with_timer(&timer)
///     .backoff(Backoff::constant(Duration::from_millis(200)))
///     .max_retries(1)
///     .trace(Trace::new("orders"));
///
/// // What a subscriber for `INFO` and above sees:
/// let log = lines(Level::INFO, || {
///     let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
///     let _ = timer.run(policy.retry(|| async { Err::<(), OrderError>(refused().into()) }));
/// });
/// assert_eq!(log, [
///     "INFO message=\"retrying\" policy=\"orders\" \
///      error=\"could not send the order: connection refused\" \
///      retry=1 limit=1 wait_ms=200 elapsed_ms=0",
///     "WARN message=\"gave up\" policy=\"orders\" \
///      error=\"could not send the order: connection refused\" \
///      reason=\"the limit on retries was reached\" retries=1 elapsed_ms=200",
/// ]);
/// ```
///
/// `SOURCES` says whether an error's sources are written. As a field of a struct, a policy
/// with a trace has this type:
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use afterbeat::{Always, Extras, RetryBuilder, TokioTimer, Trace, Unset};
///
/// struct Orders {
///     policy: RetryBuilder<TokioTimer, Always, Extras<(Unset, Trace)>>,
/// }
///
/// let orders = Orders { policy: RetryBuilder::new().trace(Trace::new("orders")) };
/// # let _ = orders.policy;
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a trace writes nothing until a policy has it"]
pub struct Trace<const SOURCES: bool = true> {
    name: &'static str,
    level: Level,
}

impl Trace {
    /// Returns a trace that writes `name` as the policy's name, for errors that implement
    /// [`Error`].
    ///
    /// An error is written with all its sources, as in `lost: connection refused`. For other
    /// errors use [`text`](Self::text).
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            level: Level::INFO,
        }
    }

    /// Writes errors by their [`Display`] alone, without their sources.
    ///
    /// Use it for errors that do not implement [`Error`], such as a `&str`, a
    /// `Box<dyn Error>` or an `anyhow::Error`. They are formatted with `{:#}`, for which
    /// `anyhow::Error` writes its sources itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod lines { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/trace/lines.rs")); }
    /// # use lines::lines;
    /// use afterbeat::{ManualTimer, RetryBuilder, Trace};
    /// use tracing::Level;
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .max_retries(0)
    ///     .trace(Trace::new("orders").text());
    /// let log = lines(Level::INFO, || {
    ///     let _ = timer.run(policy.retry(|| async { Err::<(), _>("refused") }));
    /// });
    /// assert_eq!(log, [
    ///     "WARN message=\"gave up\" policy=\"orders\" error=\"refused\" \
    ///      reason=\"the limit on retries was reached\" retries=0 elapsed_ms=0",
    /// ]);
    /// ```
    pub const fn text(self) -> Trace<false> {
        Trace {
            name: self.name,
            level: self.level,
        }
    }
}

impl<const SOURCES: bool> Trace<SOURCES> {
    /// Sets the level of retries and of successes after retries, `INFO` by default. Giving
    /// up is one level more severe.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod lines { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/trace/lines.rs")); }
    /// # use lines::lines;
    /// use std::fmt::Error;
    /// use afterbeat::{ManualTimer, RetryBuilder, Trace};
    /// use tracing::Level;
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .trace(Trace::new("orders").level(Level::DEBUG));
    /// let log = lines(Level::INFO, || {
    ///     let _ = timer.run(policy.retry(|| async { Err::<(), _>(Error) }));
    /// });
    /// // Four retries were made, at `DEBUG`.
    /// assert_eq!(log.len(), 1);
    /// assert!(log[0].starts_with("INFO message=\"gave up\""));
    /// ```
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    fn tell<E>(self, event: Event<'_, E>, form: Form<E>) {
        let silent = Line {
            policy: self.name,
            message: "",
            error: None,
            reason: None,
            retry: None,
            limit: None,
            retries: None,
            wait: None,
            elapsed: &|| event.elapsed(),
        };
        match event {
            Event::Retrying {
                error,
                iteration,
                limit,
                wait,
                ..
            }
            | Event::Postponed {
                error,
                iteration,
                limit,
                wait,
                ..
            } => Line {
                message: match event {
                    Event::Postponed { .. } => "postponed by the retry budget",
                    _ => "retrying",
                },
                error: Some(&Formed(error, form)),
                retry: Some(iteration),
                limit,
                wait: Some(wait),
                ..silent
            }
            .write(self.level),
            Event::GaveUp {
                error,
                reason,
                retries,
                ..
            } => Line {
                message: "gave up",
                error: Some(&Formed(error, form)),
                reason: Some(reason),
                retries: Some(retries),
                ..silent
            }
            .write(more_severe(self.level)),
            Event::Succeeded { retries: 0, .. } => {}
            Event::Succeeded { retries, .. } => Line {
                message: "succeeded after retries",
                retries: Some(retries),
                ..silent
            }
            .write(self.level),
        }
    }
}

const fn more_severe(level: Level) -> Level {
    match level {
        Level::TRACE => Level::DEBUG,
        Level::DEBUG => Level::INFO,
        Level::INFO => Level::WARN,
        _ => Level::ERROR,
    }
}

impl<E: Error> Observer<E> for Trace {
    fn tell(&mut self, event: Event<'_, E>, _: Seal) {
        (*self).tell(event, |error, f| {
            write!(f, "{error}")?;
            let mut cause = error.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
            Ok(())
        });
    }
}

impl<E: Display> Observer<E> for Trace<false> {
    fn tell(&mut self, event: Event<'_, E>, _: Seal) {
        (*self).tell(event, |error, f| write!(f, "{error:#}"));
    }
}

/// How an error is written.
type Form<E> = fn(&E, &mut fmt::Formatter<'_>) -> fmt::Result;

/// An error, to be written if its line is.
struct Formed<'a, E>(&'a E, Form<E>);

impl<E> Display for Formed<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

/// What is written, of all that may be.
struct Line<'a> {
    policy: &'a str,
    message: &'a str,
    error: Option<&'a dyn Display>,
    reason: Option<GiveUp>,
    retry: Option<u32>,
    limit: Option<u32>,
    retries: Option<u32>,
    wait: Option<Duration>,
    elapsed: &'a dyn Fn() -> Duration,
}

impl Line<'_> {
    fn write(self, level: Level) {
        // `tracing` knows the level of each place in a program when it is compiled, and
        // computes the fields only if somebody listens to it.
        macro_rules! at {
            ($($level:ident)*) => {
                match level {
                    $(Level::$level => tracing::event!(
                        target: "afterbeat",
                        Level::$level,
                        policy = self.policy,
                        error = self.error.map(field::display),
                        reason = self.reason.map(field::display),
                        retry = self.retry,
                        limit = self.limit,
                        retries = self.retries,
                        wait_ms = self.wait.map(millis),
                        elapsed_ms = millis((self.elapsed)()),
                        "{}",
                        self.message,
                    ),)*
                }
            };
        }
        at!(TRACE DEBUG INFO WARN ERROR);
    }
}

/// Exact to the nanosecond for 104 days, then to 53 bits.
fn millis(duration: Duration) -> f64 {
    nanos(duration) as f64 / 1e6
}

impl<T, P, X: MaybeExtras> RetryBuilder<T, P, X> {
    /// Adds an observer that writes every retry, and the end, to [`tracing`].
    ///
    /// Other observers, of [`observe`](Self::observe) or this method, stay. The error's text
    /// is written, so it must hold no secret; see [`Trace`] for all fields.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod lines { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/trace/lines.rs")); }
    /// # use lines::lines;
    /// use std::{future::ready, io};
    /// use afterbeat::{ManualTimer, RetryBuilder, Trace};
    /// use tracing::Level;
    ///
    /// let timer = ManualTimer::new();
    /// let policy = RetryBuilder::with_timer(&timer)
    ///     .seed(7)
    ///     .trace(Trace::new("orders"));
    ///
    /// let mut answers = [Err(io::Error::other("refused")), Ok("sent")].into_iter();
    /// let log = lines(Level::INFO, || {
    ///     let sent = timer.run(policy.retry(|| ready(answers.next().unwrap())));
    ///     assert_eq!(sent.unwrap(), "sent");
    /// });
    /// assert_eq!(log, [
    ///     "INFO message=\"retrying\" policy=\"orders\" error=\"refused\" \
    ///      retry=1 limit=4 wait_ms=153.327274 elapsed_ms=0",
    ///     "INFO message=\"succeeded after retries\" policy=\"orders\" \
    ///      retries=1 elapsed_ms=153.327274",
    /// ]);
    /// ```
    pub fn trace<const SOURCES: bool>(
        self,
        trace: Trace<SOURCES>,
    ) -> RetryBuilder<T, P, Extras<(X::Observer, Trace<SOURCES>), X::Budget, X::Cutter>> {
        self.with_extras(|extras| extras.observe(trace))
    }
}
