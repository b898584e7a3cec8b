//! Who is measured, and what a reader has to know of each.

/// One row: a feature of the package `subject`.
pub struct Subject {
    pub name: &'static str,
    /// The crate by its name in the registry, where there is one.
    pub package: Option<&'static str>,
    pub caveat: &'static str,
}

impl Subject {
    pub fn is_ours(&self) -> bool {
        self.package == Some("afterbeat")
    }
}

const fn subject(
    name: &'static str,
    package: Option<&'static str>,
    caveat: &'static str,
) -> Subject {
    Subject {
        name,
        package,
        caveat,
    }
}

/// The yardstick, by its name.
pub const HAND: &str = "hand";
/// The door that stands for afterbeat where one has to.
pub const OURS: &str = "afterbeat-retry";

pub const SUBJECTS: [Subject; 18] = [
    subject(
        HAND,
        None,
        "An async block with a loop, a counter and a doubling `Duration`: no jitter, no observer, \
         no limit in time. The yardstick, not a competitor.",
    ),
    subject(OURS, Some("afterbeat"), ""),
    subject(
        "afterbeat-retry-with",
        Some("afterbeat"),
        "The context lent to the operation is empty.",
    ),
    subject("afterbeat-attempts", Some("afterbeat"), ""),
    subject(
        "backon",
        Some("backon"),
        "Computes waits in `f32`: from the fifth on they are off by nanoseconds, which tokio \
         rounds up to the next millisecond.",
    ),
    subject(
        "tokio-retry",
        Some("tokio-retry"),
        "Its waits are powers of the base: 2, 4, 8 ... ms instead of 1, 2, 4 ..., so its ten \
         retries go further through the timer's wheel.",
    ),
    subject(
        "tokio-retry2",
        Some("tokio-retry2"),
        "Errors classify themselves. Measured on its `ExponentialFactorBackoff`, the curve that \
         can begin at 1 ms; its powers of the base are cheaper.",
    ),
    subject(
        "backoff",
        Some("backoff"),
        "Errors classify themselves. No limit on retries, only one in time, switched off here. \
         Reads the clock and draws from a generator for each wait, also without jitter.",
    ),
    subject(
        "tryhard",
        Some("tryhard"),
        "With its own exponential it cannot tell a permanent error; no jitter. Forces tokio's \
         `macros` and `test-util` on whoever depends on it.",
    ),
    subject(
        "relentless",
        Some("relentless"),
        "Measured on a policy that lives as long as the program and is borrowed. Reads the clock \
         before and after each attempt; with its ready clock that is free, with tokio's it is not.",
    ),
    subject(
        "throttle-net",
        Some("throttle-net"),
        "A toolbox of which this is one part. Measured on a policy that lives as long as the \
         program and is borrowed. Reads the clock around each attempt.",
    ),
    subject(
        "tower",
        Some("tower"),
        "The policy is the user's code: here over tower's `ExponentialBackoff` without jitter, \
         and where the sleep is ready over a doubling `Duration`. Its schedule cannot be asked \
         for a wait, only for a `Sleep` made of it.",
    ),
    subject(
        "futures-retry",
        Some("futures-retry"),
        "No schedule: the doubling delay is the user's code. Its ready retry is `Repeat`, which \
         computes no wait and makes no sleep.",
    ),
    subject(
        "exponential-backoff",
        Some("exponential-backoff"),
        "A schedule only.",
    ),
    subject(
        "retry-policies",
        Some("retry-policies"),
        "A schedule only, which answers with a `SystemTime`: a clock read for each wait.",
    ),
    subject(
        "hand-blocking",
        None,
        "The yardstick of what blocks a thread; its operation is a plain function.",
    ),
    subject("afterbeat-blocking", Some("afterbeat"), ""),
    subject("backon-blocking", Some("backon"), ""),
];
