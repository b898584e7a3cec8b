//! What afterbeat sets itself.

use std::fmt::Write;

use crate::{
    figures::Measured,
    subjects::{HAND, OURS},
};

const WITH: &str = "afterbeat-retry-with";

struct Target {
    what: &'static str,
    subject: &'static str,
    figure: &'static str,
    at_most: f64,
}

const fn target(
    what: &'static str,
    subject: &'static str,
    figure: &'static str,
    at_most: f64,
) -> Target {
    Target {
        what,
        subject,
        figure,
        at_most,
    }
}

const TARGETS: [Target; 17] = [
    target("first try, `retry`, instructions", OURS, "first", 100.0),
    target("first try, `retry_with`, instructions", WITH, "first", 86.0),
    target(
        "first try of 1 KiB, `retry`, instructions",
        OURS,
        "first-kib",
        300.0,
    ),
    target(
        "first try of 1 KiB, `retry_with`, instructions",
        WITH,
        "first-kib",
        141.0,
    ),
    target("a ready retry, instructions", OURS, "retry", 60.0),
    target(
        "a zero wait in a spawned task, instructions",
        OURS,
        "zero",
        400.0,
    ),
    target("ten retries, % beyond by hand", OURS, "ten-beyond", 2.0),
    target("the next wait, plain, instructions", OURS, "plain", 28.0),
    target(
        "the next wait, jittered, instructions",
        OURS,
        "jittered",
        38.0,
    ),
    target("bytes beyond an operation of 0 B", OURS, "size-0", 144.0),
    target("bytes beyond an operation of 16 B", OURS, "size-16", 128.0),
    target(
        "bytes beyond an operation of 1,024 B",
        OURS,
        "size-1024",
        56.0,
    ),
    target("allocations of a first try", OURS, "first-allocations", 0.0),
    target("allocations of a retry", OURS, "retry-allocations", 0.0),
    // The task's 256 bytes and its place in the run queue.
    target(
        "bytes of one of 100,000 asleep",
        OURS,
        "live-each-100000",
        267.0,
    ),
    target("bytes of .text beyond by hand", OURS, "text-beyond", 1024.0),
    target(
        "bytes of .text beyond by hand, `retry_with`",
        WITH,
        "text-beyond",
        1024.0,
    ),
];

pub fn write(all: &[Measured]) -> String {
    let mut text = String::from(
        "## afterbeat's targets\n\n| figure | at most | measured | by hand | |\n|---|---:|---:|---:|---|\n",
    );
    let figure = |subject: &str, figure: &str| {
        let one = all.iter().find(|one| one.subject.name == subject)?;
        one.figures.get(figure)
    };
    for target in TARGETS {
        let Some(measured) = figure(target.subject, target.figure) else {
            continue;
        };
        let hand = figure(HAND, target.figure).map(|hand| format!("{hand:.1}"));
        let verdict = if measured <= target.at_most {
            "met"
        } else {
            "**missed**"
        };
        let _ = writeln!(
            text,
            "| {} | {} | {measured:.1} | {} | {verdict} |",
            target.what,
            target.at_most,
            hand.unwrap_or_default()
        );
    }
    text
}
