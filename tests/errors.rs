//! What the compiler says to programs that are nearly right: it names what is missing.

use std::{env, fs, path::Path, process::Command};

/// Compiles a program that must not compile; returns what the compiler says.
fn said(name: &str, code: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("errors");
    let source = folder.join("src/bin").join(format!("{name}.rs"));
    fs::create_dir_all(source.parent().unwrap()).unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"errors\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         afterbeat = {{ path = {root:?}, default-features = false, features = [\"std\"] }}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(
        Path::new(root).join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .unwrap();
    let main = format!("#![allow(unused)]\nuse afterbeat::*;\nfn main() {{}}\n{code}\n");
    fs::write(&source, main).unwrap();
    let check = |more: &[&str]| {
        Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--bin", name, "--target-dir"])
            .arg(folder.join("target"))
            .args(more)
            .current_dir(&folder)
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap()
    };
    let mut output = check(&["--offline"]);
    if String::from_utf8_lossy(&output.stderr).contains("--offline") {
        output = check(&[]);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it compiles:\n{code}");
    text
}

fn says(name: &str, code: &str, phrases: [&str; 2]) {
    let text = said(name, code);
    for phrase in phrases {
        assert!(text.contains(phrase), "no `{phrase}` in:\n{text}");
    }
}

const FETCH: &str = "fn fetch(policy: impl Policy<String>) {}";

/// Both signatures stand in the error.
#[test]
fn a_closure_for_another_error_type_is_shown_beside_what_is_expected() {
    let code = format!(
        "{FETCH}\nfn user<T: Timer>(timer: T) {{\n    \
         fetch(RetryBuilder::with_timer(timer).should_retry(|err: &u8, _| *err > 0));\n}}"
    );
    says(
        "another",
        &code,
        [
            "expected closure signature `for<'a> fn(&'a String, _)",
            "found closure signature `fn(&u8, _)",
        ],
    );
}

/// What is no policy is told so, by the public name.
#[test]
fn what_is_no_policy_is_told_by_the_public_name() {
    let code = format!("{FETCH}\nfn user() {{\n    fetch(5);\n}}");
    says(
        "none",
        &code,
        [
            "is not a retry policy for errors of type `String`",
            "`RetryBuilder` and `AnyPolicy` are policies",
        ],
    );
}

/// A predicate cannot wait.
#[test]
fn an_async_predicate_is_told_that_it_cannot_be() {
    let code = "fn user<T: Timer>(timer: T) {\n    \
                RetryBuilder::with_timer(timer).should_retry(|err: &u8, _| async { true });\n}";
    says(
        "asynchronous",
        code,
        [
            "a predicate answers with a `bool` or a `Decision`",
            "a predicate is not async",
        ],
    );
}
