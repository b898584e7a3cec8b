//! Every program in the README, pasted into a new project, built and run.
//!
//! The project has what `cargo add afterbeat` and `cargo add tokio --features full` give:
//! no virtual clock, and no other crate unless the program names it. That it is free of
//! warnings is a part of what is tested.

use std::{
    collections::BTreeMap,
    env::consts::EXE_SUFFIX,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const README: &str = include_str!("../README.md");
const MANIFEST: &str = include_str!("../Cargo.toml");

/// A program, and the line of the README at which it begins.
struct Program {
    line: usize,
    code: String,
}

fn programs() -> Vec<Program> {
    let mut programs = Vec::new();
    let mut lines = (1..).zip(README.lines());
    while let Some((line, fence)) = lines.next() {
        if fence.starts_with("```rust") {
            assert_eq!(
                fence, "```rust",
                "README.md:{line}: a program that does not run"
            );
            let body = lines.by_ref().map(|(_, text)| text);
            let code: Vec<_> = body.take_while(|text| *text != "```").collect();
            programs.push(Program {
                line: line + 1,
                code: code.join("\n"),
            });
        }
    }
    programs
}

impl Program {
    /// What is pasted: a program without `main` stands in one.
    fn pasted(&self) -> String {
        if self.code.contains("fn main()") {
            format!("{}\n", self.code)
        } else {
            format!("fn main() {{\n{}\n}}\n", self.code)
        }
    }

    /// The crates of its `use` lines, and of comments such as `// cargo add serde`.
    fn crates(&self) -> impl Iterator<Item = &str> {
        let named = ["use ", "// cargo add "];
        let lines = self.code.lines();
        let rests = lines.filter_map(move |line| named.iter().find_map(|n| line.strip_prefix(n)));
        rests.map(|rest| rest.split([':', ';', ' ']).next().unwrap())
    }

    /// The features in a comment `// cargo add afterbeat --features one,two`.
    fn features(&self) -> impl Iterator<Item = &str> {
        let lines = self.code.lines();
        let added =
            lines.filter_map(|line| line.strip_prefix("// cargo add afterbeat --features "));
        added.flat_map(|features| features.split(','))
    }
}

/// The line of a crate among the dev-dependencies, which says its version.
fn dependency(name: &str) -> String {
    let name = name.replace('_', "-");
    let lines = MANIFEST.split("\n[dev-dependencies]\n").nth(1).unwrap();
    let is_it = |line: &&str| line.split(" = ").next() == Some(name.as_str());
    let found = lines.split("\n[").next().unwrap().lines().find(is_it);
    found
        .unwrap_or_else(|| panic!("no dev-dependency for `use {name}`"))
        .to_owned()
}

fn manifest(programs: &[Program]) -> String {
    let features: Vec<_> = programs.iter().flat_map(Program::features).collect();
    let afterbeat = format!(
        "afterbeat = {{ path = {:?}, features = {features:?} }}",
        env!("CARGO_MANIFEST_DIR")
    );
    let tokio = "tokio = { version = \"1\", features = [\"full\"] }".to_owned();
    let mut crates = BTreeMap::from([("afterbeat", afterbeat), ("tokio", tokio)]);
    for name in programs.iter().flat_map(Program::crates) {
        if !["std", "core", "alloc"].contains(&name) {
            crates.entry(name).or_insert_with(|| dependency(name));
        }
    }
    let crates: Vec<_> = crates.into_values().collect();
    format!(
        "[package]\nname = \"readme\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[lints.rust]\nwarnings = \"deny\"\n\n[dependencies]\n{}\n",
        crates.join("\n")
    )
}

/// Leaves alone what is there already, so that it need not be built again.
fn write(file: &Path, text: &str) {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Builds all programs at once. What this crate's own tests need is at hand; if the rest
/// is not, it is fetched.
fn build(project: &Path) {
    let cargo_build = |offline: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--target-dir", "target"])
            .args(offline);
        cargo.current_dir(project).output().unwrap()
    };
    if cargo_build(&["--offline"]).status.success() {
        return;
    }
    let output = cargo_build(&[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{errors}", project.display());
}

#[test]
fn every_program_in_the_readme_runs_as_pasted() {
    let programs = programs();
    assert!(!programs.is_empty());
    let project = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let name = |program: &Program| format!("line_{}", program.line);

    let sources = project.join("src/bin");
    let files: Vec<_> = programs
        .iter()
        .map(|program| sources.join(format!("{}.rs", name(program))))
        .collect();
    for (program, file) in programs.iter().zip(&files) {
        write(file, &program.pasted());
    }
    for there in fs::read_dir(sources).unwrap() {
        let there = there.unwrap().path();
        if !files.contains(&there) {
            fs::remove_file(there).unwrap();
        }
    }
    write(&project.join("Cargo.toml"), &manifest(&programs));
    // The versions that this crate is tested with.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    fs::copy(lock, project.join("Cargo.lock")).unwrap();
    build(&project);

    for program in &programs {
        let begun = Instant::now();
        let file = format!("target/debug/{}{EXE_SUFFIX}", name(program));
        let run = Command::new(project.join(file)).output().unwrap();
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "README.md:{}: {errors}", program.line);
        // About a second on a machine that has nothing else to do.
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(9),
            "README.md:{}: {took:?}",
            program.line
        );
    }
}
