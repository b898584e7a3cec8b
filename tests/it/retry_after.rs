//! What a `Retry-After` header asks for, against a reading of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afterbeat::retry_after;
use num_bigint::BigUint;
use proptest::prelude::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The three forms of HTTP; the second has two digits for the year.
#[derive(Clone, Copy, Debug)]
enum Form {
    Fixed,
    Rfc850,
    Asctime,
}

/// A second since 1970 as a date, by counting the years and months off.
fn written(second: u64, form: Form) -> String {
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    // 1970 began with a Thursday.
    const DAYS: [&str; 7] = [
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
    ];
    let leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let (mut left, clock) = (second / 86_400, second % 86_400);
    let day = DAYS[(left % 7) as usize];
    let short = &day[..3];
    let mut year = 1970;
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut months = MONTHS
        .iter()
        .map(|(name, days)| (*name, days + u64::from(*name == "Feb" && leap(year))));
    let month = months
        .find(|(_, days)| {
            let here = left < *days;
            if !here {
                left -= days;
            }
            here
        })
        .unwrap()
        .0;
    let date = left + 1;
    let time = format!(
        "{:02}:{:02}:{:02}",
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    );
    match form {
        Form::Fixed => format!("{short}, {date:02} {month} {year} {time} GMT"),
        Form::Rfc850 => format!("{day}, {date:02}-{month}-{:02} {time} GMT", year % 100),
        Form::Asctime => format!("{short} {month} {date:2} {time} {year}"),
    }
}

/// Seconds since 1970, with a form that can say them.
fn moment() -> impl Strategy<Value = (u64, String)> {
    // Up to the ends of 2069 and of 9999.
    let form = prop_oneof![
        Just((Form::Fixed, 253_402_300_800_u64)),
        Just((Form::Rfc850, 3_155_760_000)),
        Just((Form::Asctime, 253_402_300_800)),
    ];
    form.prop_flat_map(|(form, end)| {
        let second = prop_oneof![0..end, 1_700_000_000..1_700_001_000u64];
        second.prop_map(move |second| (second, written(second, form)))
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just(" "), Just("\t"), Just(" \t ")]
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

proptest! {
    #[test]
    fn seconds_of_any_length_are_read_and_shortened_by_the_age(
        digits in "[0-9]{1,40}",
        age in proptest::option::of("[0-9]{1,25}"),
        (before, after) in (space(), space()),
    ) {
        let number = |digits: &str| digits.parse::<BigUint>().unwrap();
        let (asked, aged) = (number(&digits), age.as_deref().map(number).unwrap_or_default());
        let expected = match u64::try_from(&asked) {
            Err(_) => Duration::MAX,
            Ok(_) if aged > asked => Duration::ZERO,
            Ok(_) => Duration::from_secs((asked - aged).try_into().unwrap()),
        };
        let header = format!("{before}{digits}{after}");
        let age = age.map(|age| format!("{after}{age}{before}"));
        let wait = retry_after(&header, Some(DATE), age.as_deref(), at(0));
        prop_assert_eq!(wait, Some(expected));
    }

    #[test]
    fn a_date_counts_from_the_responses_own_and_its_age(
        (until, header) in moment(),
        (second, date) in moment(),
        age in proptest::option::of(0..2000u64),
        now in 0..253_402_300_800u64,
        space in space(),
    ) {
        let text = age.map(|age| age.to_string());
        let (header, date) = (format!("{space}{header}"), format!("{date}{space}"));
        let wait = retry_after(&header, Some(&date), text.as_deref(), at(now));
        let expected = until.saturating_sub(second + age.unwrap_or(0));
        prop_assert_eq!(wait, Some(Duration::from_secs(expected)), "{} {}", header, date);
    }

    #[test]
    fn a_date_without_another_counts_from_now(
        (until, header) in moment(),
        unreadable in prop_oneof![Just(None), Just(Some("yesterday")), Just(Some(""))],
        age in proptest::option::of("[0-9]{1,25}"),
        (seconds, nanos) in (0..253_402_300_800u64, 0..1_000_000_000u32),
    ) {
        let now = Duration::new(seconds, nanos);
        let wait = retry_after(&header, unreadable, age.as_deref(), UNIX_EPOCH + now);
        prop_assert_eq!(wait, Some(Duration::from_secs(until).saturating_sub(now)));
    }

    #[test]
    fn anything_else_asks_for_nothing(text in "\\PC*", at in any::<prop::sample::Index>()) {
        let digits = text.trim_matches([' ', '\t']);
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            prop_assert_eq!(retry_after(&text, Some(DATE), None, UNIX_EPOCH), None);
        }
        // A character more than a number, or than a date.
        for valid in ["120", DATE] {
            for more in ["-", "+", ".", ",", "e", "x", "\u{661}", "\0"] {
                let mut odd = valid.to_owned();
                odd.insert_str(at.index(valid.len() + 1), more);
                prop_assert_eq!(retry_after(&odd, Some(DATE), None, UNIX_EPOCH), None, "{}", odd);
            }
        }
    }
}

#[test]
fn what_cannot_be_read_of_the_age_counts_as_none() {
    let wait = |age| retry_after("120", None, Some(age), UNIX_EPOCH);
    for garbage in ["", "-90", "+90", "90.5", "90, 90", "a while"] {
        assert_eq!(wait(garbage), Some(Duration::from_secs(120)), "{garbage}");
    }
    assert_eq!(wait("90"), Some(Duration::from_secs(30)));
}

#[test]
fn a_wrong_local_clock_does_not_matter_where_the_response_has_a_date() {
    let header = "Sun, 06 Nov 1994 08:51:37 GMT";
    for now in [0, 784_111_777, 4_000_000_000] {
        let wait = |age| retry_after(header, Some(DATE), age, at(now));
        assert_eq!(wait(None), Some(Duration::from_secs(120)));
        assert_eq!(wait(Some("300")), Some(Duration::ZERO), "kept by a cache");
    }
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(
        retry_after(header, None, None, before_1970),
        Some(Duration::from_secs(784_111_777 + 120 + 1))
    );
}
