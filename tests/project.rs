//! What the project says of itself: its floors, and the tests that the README
//! names.

use std::{collections::BTreeSet, fs, path::Path};

/// A module uses the modules before it in this list, nothing else. A new module
/// takes its place here first.
const FLOORS: [&[&str]; 5] = [
    // Pure: no clock, no I/O, no async.
    &[
        "sync", "real", "jitter", "entropy", "walk", "backoff", "decision", "budget", "sequence",
    ],
    // The one seam for time.
    &["timer"],
    // One policy and its doors.
    &[
        "unwind",
        "unset",
        "event",
        "trace",
        "hooks",
        "extras",
        "tracker",
        "builder",
        "table",
        "retry",
        "retry_with",
        "attempts",
        "retry_blocking",
    ],
    // Polling.
    &["watch", "poller"],
    // The roof.
    &["clerk"],
];

/// The sources of a module, without comments.
fn source(module: &str) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join(format!("{module}.rs"))];
    if let Ok(folder) = fs::read_dir(src.join(module)) {
        files.extend(folder.map(|entry| entry.unwrap().path()));
    }
    let code = files
        .into_iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    code.flat_map(|text| {
        let lines = text
            .lines()
            .map(|line| line.split("//").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    })
    .collect::<Vec<_>>()
    .join("\n")
}

/// The modules named after `crate::`, also in a group of braces.
fn uses(source: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        let ends = |c: char| !(c.is_alphanumeric() || c == '_');
        text.trim_start().split(ends).next().unwrap().to_owned()
    };
    let mut found = BTreeSet::new();
    for rest in source.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.insert(name(&group[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
            if c == '}' && depth == 0 && start == at + 1 {
                break;
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn no_import_runs_uphill() {
    let mut below = BTreeSet::new();
    for module in FLOORS.concat() {
        let source = source(module);
        assert!(!source.is_empty(), "no module `{module}`");
        let uphill: Vec<_> = uses(&source)
            .into_iter()
            .filter(|used| used != module && !below.contains(used))
            .collect();
        assert!(
            uphill.is_empty(),
            "`{module}` uses {uphill:?}, above it or unlisted"
        );
        below.insert(module.to_owned());
    }
    let root = source("lib");
    let modules = root.lines().filter_map(|line| line.strip_prefix("mod "));
    for module in modules.map(|line| line.trim_end_matches(';')) {
        assert!(below.contains(module), "`{module}` has no floor");
    }
}

#[test]
fn the_ground_floor_is_pure() {
    // `sync` only chooses names, for the poller's lock too.
    for module in FLOORS[0].iter().filter(|module| **module != "sync") {
        let source = source(module);
        for impure in [
            "std::",
            "async",
            "Future",
            "Instant",
            "SystemTime",
            "unsafe",
        ] {
            assert!(!source.contains(impure), "`{module}` names `{impure}`");
        }
    }
}

#[test]
fn an_uphill_import_would_be_seen() {
    let source = "use crate::{\n    backoff::{Backoff, Walk},\n    poller,\n};\ncrate::retry::x();";
    assert_eq!(
        uses(source),
        ["backoff", "poller", "retry"].map(String::from).into()
    );
}

#[test]
fn the_readme_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let readme = read("README.md");
    let guarantees = readme.split("## Guarantees").nth(1).unwrap();
    let guarantees = guarantees.split("\n## ").next().unwrap();
    let mut names = 0;
    for name in guarantees.split('`').skip(1).step_by(2) {
        let Some((file, test)) = name.rsplit_once("::") else {
            continue;
        };
        let file = file.replace("::", "/");
        let source = read(&format!("tests/it/{file}.rs")) + &read(&format!("tests/{file}.rs"));
        assert!(source.contains(&format!("fn {test}(")), "no test `{name}`");
        names += 1;
    }
    assert!(names > 15, "only {names} tests are named");
}
