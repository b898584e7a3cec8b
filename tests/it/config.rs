//! A policy from configuration: what is written reads back, and what is wrong is named.

use std::{fmt::Write, time::Duration};

use afterbeat::{Backoff, Jitter, ManualTimer, PolicyConfig, RetryBuilder};
use proptest::prelude::*;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, value::MapDeserializer},
};

use crate::any;

const KEYS: [&str; 8] = [
    "initial_delay",
    "factor",
    "max_delay",
    "jitter",
    "immediate_retry",
    "max_retries",
    "max_elapsed",
    "max_retry_after",
];

/// Any duration that there is, not only those of nanoseconds that fit into 64 bits.
fn limit() -> impl Strategy<Value = Duration> {
    let seconds = (0..64u32, any::<u64>(), 0..1_000_000_000u32);
    prop_oneof![
        any::duration(),
        seconds.prop_map(|(bits, n, nanos)| Duration::new(n >> bits, nanos)),
        Just(Duration::MAX - Duration::from_nanos(1)),
    ]
}

fn config() -> impl Strategy<Value = PolicyConfig> {
    let retries = prop_oneof![0..20u32, any::<u32>(), Just(u32::MAX)];
    let config = (any::curve(), retries, limit(), limit());
    config.prop_map(|(curve, max_retries, max_elapsed, max_retry_after)| {
        let mut config = PolicyConfig::default();
        config.backoff = curve.backoff();
        config.max_retries = max_retries;
        config.max_elapsed = max_elapsed;
        config.max_retry_after = max_retry_after;
        config
    })
}

fn toml<V: DeserializeOwned>(text: &str) -> Result<V, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

fn json<V: DeserializeOwned>(text: &str) -> Result<V, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The limit in time that a text says.
fn read(text: &str) -> Result<Duration, String> {
    let config =
        PolicyConfig::deserialize(MapDeserializer::new([("max_elapsed", text)].into_iter()));
    config
        .map(|config| config.max_elapsed)
        .map_err(|error: serde::de::value::Error| error.to_string())
}

proptest! {
    #[test]
    fn what_is_written_reads_back_equal(config in config()) {
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(toml(&text), Ok(config), "{}", text);
        let text = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(json(&text), Ok(config), "{}", text);

        let backoff = toml::to_string(&config.backoff).unwrap();
        prop_assert_eq!(toml(&backoff), Ok(config.backoff));
        let jitter = config.backoff.get_jitter();
        let text = serde_json::to_string(&jitter).unwrap();
        prop_assert_eq!(json(&text), Ok(jitter));
    }

    #[test]
    fn a_missing_key_means_the_default(config in config(), kept in any::<[bool; 8]>()) {
        let mut table = toml::Table::try_from(config).unwrap();
        let defaults = toml::Table::try_from(PolicyConfig::default()).unwrap();
        prop_assert_eq!(table.keys().len(), KEYS.len());
        let mut expected = defaults.clone();
        for (key, kept) in KEYS.into_iter().zip(kept) {
            if kept {
                expected.insert(key.to_owned(), table[key].clone());
            } else {
                table.remove(key);
            }
        }
        let read: PolicyConfig = table.try_into().unwrap();
        prop_assert_eq!(toml::Table::try_from(read).unwrap(), expected);
    }

    /// `humantime` reads fewer fractions, and refuses what is too long.
    #[test]
    fn durations_are_those_of_humantime(
        pieces in prop::collection::vec(
            (0..100_000u64, prop::option::of("[0-9]{1,6}"), " ?", 0..UNITS.len(), " ?"),
            1..5,
        ),
    ) {
        let mut text = String::new();
        for (number, part, gap, unit, end) in pieces {
            let part = part.map(|digits| format!(".{digits}")).unwrap_or_default();
            write!(text, "{number}{part}{gap}{}{end}", UNITS[unit]).unwrap();
        }
        match humantime::parse_duration(&text) {
            Ok(duration) => prop_assert_eq!(read(&text), Ok(duration)),
            Err(error) => prop_assert_eq!(error, humantime::DurationError::NumberOverflow),
        }
    }

    #[test]
    fn a_text_that_is_no_duration_is_named(text in prop_oneof!["\\PC*", "[0-9hms. -]{0,12}"]) {
        match read(&text) {
            Err(error) => {
                let start = format!("max_elapsed: invalid duration {text:?}: ");
                prop_assert!(error.starts_with(&start), "{}", error);
            }
            // It takes no space for a part of a number, which `humantime` does.
            Ok(duration) => prop_assert_eq!(humantime::parse_duration(text.trim()), Ok(duration)),
        }
    }

    #[test]
    fn a_fraction_is_exact_or_refused(
        whole in 0..1000u64,
        digits in "[0-9]{1,12}0{0,20}",
        (unit, nanos) in prop_oneof![
            Just(("us", 1_000u128)),
            Just(("s", 1_000_000_000)),
            Just(("m", 60_000_000_000)),
            Just(("y", 31_557_600_000_000_000)),
        ],
    ) {
        let text = format!("{whole}.{digits}{unit}");
        let digits = digits.trim_end_matches('0');
        let one = 10u128.pow(digits.len() as u32);
        let part = digits.parse().unwrap_or(0u128) * nanos;
        let total = u128::from(whole) * nanos + part / one;
        match read(&text) {
            Ok(duration) => {
                prop_assert_eq!(part % one, 0);
                prop_assert_eq!(duration.as_nanos(), total);
            }
            Err(error) => {
                prop_assert!(error.ends_with("it is not a whole number of nanoseconds"));
                prop_assert_ne!(part % one, 0);
            }
        }
    }

    #[test]
    fn a_config_sets_what_its_settings_set(config in config()) {
        let timer = ManualTimer::new();
        let policy = RetryBuilder::with_timer(&timer);
        let set = policy
            .backoff(config.backoff)
            .max_retries(config.max_retries)
            .max_elapsed(config.max_elapsed)
            .max_retry_after(config.max_retry_after);
        let configured = policy.config(&config);
        prop_assert_eq!(format!("{configured:?}"), format!("{set:?}"));
        // Few rows, since a slow curve of 2^32 retries takes as many additions.
        let (configured, set) = (configured.max_retries(3), set.max_retries(3));
        prop_assert_eq!(configured.to_string(), set.to_string());
    }
}

const UNITS: [&str; 36] = [
    "ns", "nsec", "nanos", "us", "µs", "usec", "ms", "msec", "millis", "s", "sec", "secs",
    "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour",
    "hours", "d", "day", "days", "w", "wk", "wks", "week", "weeks", "M", "month", "y", "years",
];

#[test]
fn an_empty_configuration_is_the_default_policy() {
    let config: PolicyConfig = toml("").unwrap();
    assert_eq!(config, PolicyConfig::default());
    let timer = ManualTimer::new();
    let policy = RetryBuilder::with_timer(&timer);
    assert_eq!(policy.config(&config).to_string(), policy.to_string());
    assert_eq!(toml(""), Ok(Backoff::new()));
    #[cfg(feature = "tokio")]
    assert_eq!(
        RetryBuilder::from_config(&config).to_string(),
        RetryBuilder::new().to_string()
    );
}

#[test]
fn a_configuration_is_written_as_people_write_it() {
    let mut config = PolicyConfig::default();
    assert_eq!(
        toml::to_string(&config).unwrap(),
        r#"initial_delay = "125ms"
factor = 2.0
max_delay = "1m"
jitter = "spread"
immediate_retry = false
max_retries = 4
max_elapsed = "none"
max_retry_after = "1h"
"#
    );
    config.backoff = Backoff::constant(Duration::from_millis(90_500))
        .jitter(Jitter::between(0.8, 1.2))
        .immediate_retry(true);
    config.max_retries = u32::MAX;
    config.max_elapsed = Duration::from_nanos(93_784_005_006_007);
    config.max_retry_after = Duration::ZERO;
    assert_eq!(
        serde_json::to_string(&config).unwrap(),
        concat!(
            r#"{"initial_delay":"1m 30s 500ms","factor":1.0,"max_delay":"none","#,
            r#""jitter":[0.8,1.2],"immediate_retry":true,"max_retries":"none","#,
            r#""max_elapsed":"1d 2h 3m 4s 5ms 6us 7ns","max_retry_after":"0s"}"#,
        )
    );
}

#[test]
fn values_are_read_as_people_write_them() {
    let config: PolicyConfig = toml(
        r#"
        initial_delay = "0"
        factor = 3
        max_delay = "none"
        jitter = [0, 1]
        immediate_retry = true
        max_retries = 4294967295
        max_elapsed = " 1.5 hours  30min "
        max_retry_after = "99999999999999999999999999999999999999999 years"
        "#,
    )
    .unwrap();
    let backoff = Backoff::new()
        .initial_delay(Duration::ZERO)
        .factor(3.0)
        .without_max_delay()
        .jitter(Jitter::FULL)
        .immediate_retry(true);
    assert_eq!(config.backoff, backoff);
    assert_eq!(config.max_retries, u32::MAX);
    assert_eq!(config.max_elapsed, Duration::from_secs(2 * 3600));
    assert_eq!(config.max_retry_after, Duration::MAX);
    assert_eq!(
        json(r#"{"jitter": "equal"}"#),
        Ok(Backoff::new().jitter(Jitter::EQUAL))
    );
    assert_eq!(read("18446744073709551615s 1000ms"), Ok(Duration::MAX));
    assert_eq!(read("584y"), Ok(Duration::from_secs(584 * 31_557_600)));
}

/// TOML, and its error.
const WRONG: [(&str, &str); 28] = [
    (
        r#"max_delay = "12 parsecs""#,
        r#"max_delay: invalid duration "12 parsecs": unknown unit "parsecs"; units are ns, us, ms, s, m, h, d, w, M (months) and y"#,
    ),
    (
        r#"max_elapsed = "1m -30s""#,
        r#"max_elapsed: invalid duration "1m -30s": a number is expected at "-30s""#,
    ),
    (
        r#"max_elapsed = "1 2s""#,
        r#"max_elapsed: invalid duration "1 2s": a unit is expected after a number, as in "1m 30s""#,
    ),
    (
        r#"max_elapsed = "1.s""#,
        r#"max_elapsed: invalid duration "1.s": a number is expected at "1.s""#,
    ),
    (
        r#"initial_delay = """#,
        r#"initial_delay: invalid duration "": it is empty"#,
    ),
    (
        r#"initial_delay = "none""#,
        r#"initial_delay: invalid duration "none": a number is expected at "none""#,
    ),
    (
        r#"max_retry_after = "0.5ns""#,
        r#"max_retry_after: invalid duration "0.5ns": it is not a whole number of nanoseconds"#,
    ),
    (
        "initial_delay = 5",
        r#"invalid value: integer `5`, expected initial_delay to be a duration such as "1m 30s""#,
    ),
    (
        "max_delay = 1.5",
        r#"invalid type: floating point `1.5`, expected max_delay to be a duration such as "1m 30s" or "none""#,
    ),
    (
        "factor = 0.5",
        "factor must be finite and at least 1, not 0.5",
    ),
    ("factor = 0", "factor must be finite and at least 1, not 0"),
    (
        "factor = nan",
        "factor must be finite and at least 1, not NaN",
    ),
    (
        "factor = -2",
        "invalid value: integer `-2`, expected factor to be a number, finite and at least 1",
    ),
    (
        r#"factor = "2""#,
        r#"invalid value: string "2", expected factor to be a number, finite and at least 1"#,
    ),
    (
        r#"jitter = "wide""#,
        r#"invalid value: string "wide", expected jitter to be "none", "spread", "equal", "full" or two numbers [low, high]"#,
    ),
    (
        "jitter = 0.5",
        r#"invalid type: floating point `0.5`, expected jitter to be "none", "spread", "equal", "full" or two numbers [low, high]"#,
    ),
    (
        "jitter = [0.5]",
        r#"invalid length 1, expected jitter to be "none", "spread", "equal", "full" or two numbers [low, high]"#,
    ),
    (
        "jitter = [0, 1, 2]",
        r#"invalid length 3, expected jitter to be "none", "spread", "equal", "full" or two numbers [low, high]"#,
    ),
    (
        r#"jitter = [0, "1"]"#,
        r#"invalid type: string "1", expected jitter to be "none", "spread", "equal", "full" or two numbers [low, high]"#,
    ),
    (
        "jitter = [2, 1]",
        "jitter needs 0 <= low <= high, both finite, and high > 0, not low 2 and high 1",
    ),
    (
        r#"immediate_retry = "yes""#,
        r#"invalid value: string "yes", expected immediate_retry to be true or false"#,
    ),
    (
        "max_retries = true",
        r#"invalid type: boolean `true`, expected max_retries to be a whole number or "none""#,
    ),
    (
        "max_retries = -1",
        r#"invalid value: integer `-1`, expected max_retries to be a whole number or "none""#,
    ),
    (
        "max_retries = 4294967296",
        r#"invalid value: integer `4294967296`, expected max_retries to be a whole number or "none""#,
    ),
    (
        r#"max_retries = "many""#,
        r#"invalid value: string "many", expected max_retries to be a whole number or "none""#,
    ),
    (
        "max_retries = []",
        r#"invalid type: sequence, expected max_retries to be a whole number or "none""#,
    ),
    (
        "max_retries = {}",
        r#"invalid type: map, expected max_retries to be a whole number or "none""#,
    ),
    (
        "max_attempts = 5",
        "unknown field `max_attempts`, expected one of `initial_delay`, `factor`, `max_delay`, `jitter`, `immediate_retry`, `max_retries`, `max_elapsed`, `max_retry_after`",
    ),
];

#[test]
fn an_error_names_key_value_and_rule() {
    for (text, expected) in WRONG {
        let error = toml::<PolicyConfig>(text);
        assert_eq!(error, Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn an_error_says_where() {
    let text = "[retry]\nmax_retries = 8\nmax_delay = \"12 parsecs\"\n";
    let error = toml::from_str::<Nested>(text).unwrap_err();
    assert_eq!(&text[error.span().unwrap()], "\"12 parsecs\"");
    let error = toml::from_str::<Nested>("[retry]\nmax_retires = 8\n").unwrap_err();
    assert_eq!(
        &"[retry]\nmax_retires = 8\n"[error.span().unwrap()],
        "max_retires"
    );

    let place = |text| {
        let error = serde_json::from_str::<Nested>(text).unwrap_err();
        (error.line(), error.column())
    };
    assert_eq!(
        place("{\"retry\": {\n\"factor\": 0.5,\n\"max_retries\": 8}}"),
        (2, 13)
    );
    assert_eq!(
        place("{\"retry\": {\n\"factor\": 2,\n\"factor\": 3}}"),
        (3, 8)
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested {
    retry: PolicyConfig,
    poll: Option<Backoff>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    url: String,
    #[serde(flatten)]
    retry: PolicyConfig,
}

#[test]
fn a_policy_may_stand_in_a_table_or_among_other_keys() {
    let nested: Nested = toml("[retry]\nmax_retries = 8\n[poll]\nmax_delay = \"1h\"\n").unwrap();
    assert_eq!(nested.retry.max_retries, 8);
    assert_eq!(
        nested.poll.unwrap().get_max_delay(),
        Some(Duration::from_secs(3600))
    );
    let error = toml::<Nested>("retry = {}\npoll = { max_retries = 8 }\n").unwrap_err();
    assert!(
        error.starts_with("unknown field `max_retries`, expected one of"),
        "{error}"
    );

    let flat: Flat = toml("url = \"u\"\nmax_retries = 8\njitter = [0, 3]\n").unwrap();
    assert_eq!(flat.retry.max_retries, 8);
    assert_eq!(flat.retry.backoff.get_jitter(), Jitter::between(0.0, 3.0));
    assert_eq!(flat.url, "u");
}

#[test]
fn a_key_stands_once() {
    let error = json::<PolicyConfig>(r#"{"factor": 2, "factor": 3}"#).unwrap_err();
    assert!(error.starts_with("duplicate field `factor`"), "{error}");
    let null = json::<PolicyConfig>(r#"{"max_delay": null}"#).unwrap_err();
    assert!(
        null.starts_with("invalid type: null, expected max_delay to be"),
        "{null}"
    );
    let table = json::<PolicyConfig>("[]").unwrap_err();
    assert!(
        table.contains(r#"a table with keys of ["initial_delay", "#),
        "{table}"
    );
}

/// As `serde_json` gives a number to whom takes any value, with `arbitrary_precision`.
#[test]
fn a_number_of_arbitrary_precision_is_one() {
    let read = |key, digits| {
        let number = MapDeserializer::new([(key, digits)].into_iter());
        let table = [("max_retries", number)].into_iter();
        let config = PolicyConfig::deserialize(MapDeserializer::new(table));
        config.map_err(|error: serde::de::value::Error| error.to_string())
    };
    let key = "$serde_json::private::Number";
    assert_eq!(read(key, "8").unwrap().max_retries, 8);
    for (key, digits) in [(key, "8.5"), ("retries", "8")] {
        let error = read(key, digits).unwrap_err();
        assert!(
            error.starts_with("invalid type: map, expected max_retries"),
            "{error}"
        );
    }
}
