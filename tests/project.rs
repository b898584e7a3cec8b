//! What the project says of itself: its floors, its imports, and the tests that the
//! README names.

use std::{collections::BTreeSet, fs, path::Path};

use self::imports::{Edges, File, Files, circles, edges, read};

#[path = "project/imports.rs"]
mod imports;

/// A module uses the modules before it in this list, nothing else. A new module
/// takes its place here first. Inside a folder the order is what the imports say: they
/// form no circle.
const FLOORS: [&[&str]; 5] = [
    // Pure: no clock, no I/O, no async.
    &[
        "sync", "seal", "real", "jitter", "entropy", "walk", "backoff", "decision", "budget",
        "sequence",
    ],
    // The one seam for time.
    &["timer"],
    // One policy and its doors.
    &[
        "unwind",
        "unset",
        "event",
        "account",
        "attempt_timeout",
        "hooks",
        "extras",
        "tracker",
        "builder",
        "table",
        "trace",
        "retry",
        "retry_with",
        "attempts",
        "retry_blocking",
        "retry_after",
        "policy",
        "any_policy",
        "bounds",
        "config",
    ],
    // Polling.
    &["watch", "poller"],
    // The roof.
    &["clerk"],
];

/// What decides on a higher floor, and is as pure as the lowest.
const ALSO_PURE: [&str; 2] = ["poller::pace", "poller::machine"];

fn crate_files() -> Files {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "")
}

/// Who uses what of a module above, or of one that has no floor.
fn uphill(edges: &Edges) -> Vec<String> {
    let floors = FLOORS.concat();
    let rank = |file: &str| {
        let module = file.split("::").next();
        floors.iter().position(|of| Some(*of) == module)
    };
    let mut uphill = Vec::new();
    for (file, used) in edges {
        let wrong = |used: &&String| rank(used).is_none_or(|used| Some(used) > rank(file));
        uphill.extend(
            used.iter()
                .filter(wrong)
                .map(|used| format!("{file} uses {used}")),
        );
    }
    uphill
}

#[test]
fn no_import_runs_uphill() {
    let files = crate_files();
    let modules = files.keys().filter_map(|file| file.split("::").next());
    let modules: BTreeSet<_> = modules.filter(|module| !module.is_empty()).collect();
    assert_eq!(modules, FLOORS.concat().into_iter().collect());
    let uphill = uphill(&edges(&files));
    assert!(uphill.is_empty(), "{uphill:#?}");
}

#[test]
fn no_imports_form_a_circle() {
    let circles = circles(edges(&crate_files()));
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn what_decides_is_pure() {
    let files = crate_files();
    // `sync` only chooses names, for the poller's lock too.
    let ground = FLOORS[0].iter().filter(|module| **module != "sync");
    for module in ground.chain(&ALSO_PURE) {
        let within = |file: &str| file == *module || file.starts_with(&format!("{module}::"));
        let parts = files
            .iter()
            .filter(|(file, _)| within(file) && !file.contains("::tests"));
        for (file, names) in parts {
            let impure = [
                "std",
                "async",
                "Future",
                "Waker",
                "Mutex",
                "Clock",
                "Timer",
                "Instant",
                "SystemTime",
                "unsafe",
            ];
            let named: Vec<_> = names.names().filter(|name| impure.contains(name)).collect();
            assert!(named.is_empty(), "`{file}` names {named:?}");
        }
    }
}

fn planted(sources: &[(&str, &str)]) -> Edges {
    let parse = |(module, source): &(&str, &str)| ((*module).to_owned(), File::parse(source));
    edges(&sources.iter().map(parse).collect())
}

#[test]
fn an_uphill_import_inside_a_folder_would_be_seen() {
    let edges = planted(&[
        ("", "pub use crate::poller::Phase;"),
        ("sync", "pub(crate) use core::mem;"),
        ("backoff", "use crate::sync::mem; // crate::poller"),
        ("timer", "mod manual; pub use self::manual::Manual;"),
        (
            "timer::manual",
            "use super::super::{backoff::{self, Walk}, Phase};",
        ),
        ("poller", "mod status; pub use self::status::Phase;"),
        (
            "poller::status",
            "fn f() -> crate::timer::Manual { super::super::clerk::key() }",
        ),
        ("clerk", "fn key() {}"),
    ]);
    let expected = [
        "poller::status uses clerk",
        "timer::manual uses poller::status",
    ];
    assert_eq!(uphill(&edges), expected);
    assert!(edges["backoff"].contains("sync"));
    assert!(edges["timer::manual"].contains("backoff"));
    assert!(edges["poller::status"].contains("timer::manual"));
}

#[test]
fn a_circle_inside_a_folder_would_be_seen() {
    let poller = |parent, driver, pace| {
        let folder = [
            ("poller", parent),
            ("poller::driver", driver),
            ("poller::pace", pace),
        ];
        circles(planted(&folder))
    };
    let parent = "mod driver; mod pace; pub use self::{driver::Driver, pace::Pace};";
    let none: [&str; 0] = [];
    assert_eq!(
        poller(parent, "use super::{pace::{self, Pace}};", "struct Pace;"),
        none
    );
    let both = ["poller::driver", "poller::pace"];
    assert_eq!(
        poller(parent, "use super::Pace;", "use super::{Driver as D};"),
        both
    );
    assert_eq!(
        poller(
            parent,
            "use super::pace; fn f() { pace::x() }",
            "use super::Driver;"
        ),
        both
    );
    assert_eq!(
        poller(
            parent,
            "impl super::Pace {}",
            "fn x(_: crate::poller::Driver) {}"
        ),
        both
    );
    // A folder's own file that uses what it hands on to its parts.
    let builder = "mod driver; pub use self::driver::Driver; fn drive() -> Driver {}";
    let both = ["poller", "poller::driver"];
    assert_eq!(poller(builder, "impl super::Builder {}", ""), both);
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
