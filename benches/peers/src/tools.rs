//! The programs that the measurements are made with.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of this workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end and returns what it wrote: to the standard output,
/// and to the standard error.
fn run(command: &mut Command) -> Result<(String, String), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok((stdout, stderr))
    } else {
        Err(format!("{command:?} failed:\n{stdout}{stderr}"))
    }
}

fn cargo(verb: &str, features: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(root())
        .args([verb, "--package", "subject"])
        .args(["--no-default-features", "--features", features]);
    command
}

/// The programs built for one subject.
pub struct Programs {
    /// With tokio's `rt` and `time`, and nothing else of it that the subject does
    /// not force on it.
    plain: PathBuf,
    /// The same with the paused clock.
    paused: PathBuf,
    small: PathBuf,
}

impl Programs {
    pub fn build(subject: &str) -> Result<Self, String> {
        let target = root().join("target");
        let kept = target.join("subjects");
        fs::create_dir_all(&kept).map_err(|error| error.to_string())?;
        // Each build of the package overwrites the last.
        let build = |features: &str, program: &str, name: String| {
            run(cargo("build", features)
                .args(["--release", "--bin", program, "--target-dir"])
                .arg(&target))?;
            let path = kept.join(name);
            fs::copy(target.join("release").join(program), &path)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(path)
        };
        Ok(Self {
            plain: build(subject, "measure", format!("{subject}-plain"))?,
            small: build(subject, "small", format!("{subject}-small"))?,
            paused: build(
                &format!("{subject},paused"),
                "measure",
                format!("{subject}-paused"),
            )?,
        })
    }

    /// The `name value` lines of a case, by the real clock.
    pub fn plain(&self, case: &str) -> Result<Vec<(String, f64)>, String> {
        lines(&self.plain, case)
    }

    /// The `name value` lines of a case, by the paused clock.
    pub fn paused(&self, case: &str) -> Result<Vec<(String, f64)>, String> {
        lines(&self.paused, case)
    }

    /// The instructions of a case for each time that it is done: the difference
    /// between doing it 2N times and N times.
    ///
    /// Where the stack begins depends on the environment, and to clear a KiB takes 7
    /// instructions more unless it lies on 32 bytes. So it is done at two places that
    /// are 16 bytes apart, and the lower count taken.
    pub fn instructions(&self, case: &str, times: u32) -> Result<f64, String> {
        let here = self.instructions_at("", case, times)?;
        if !case.starts_with("first-kib") {
            return Ok(here);
        }
        let there = self.instructions_at("sixteen bytes on", case, times)?;
        Ok(here.min(there))
    }

    fn instructions_at(&self, shift: &str, case: &str, times: u32) -> Result<f64, String> {
        let count = |times: u32| {
            let (_, stderr) = run(Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .env("MEASURE_STACK", shift)
                .arg(&self.paused)
                .args(case.split(' '))
                .arg(times.to_string()))?;
            let collected = stderr.lines().find_map(|line| {
                let (_, count) = line.split_once("Collected :")?;
                count.trim().parse::<f64>().ok()
            });
            collected.ok_or_else(|| format!("valgrind did not count `{case}`:\n{stderr}"))
        };
        Ok((count(2 * times)? - count(times)?) / f64::from(times))
    }

    /// The bytes of machine code in the small program.
    pub fn text(&self) -> Result<f64, String> {
        let (sections, _) = run(Command::new("size").arg("-A").arg(&self.small))?;
        let text = sections.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(".text")).then(|| words.next()?.parse().ok())?
        });
        text.ok_or_else(|| format!("no .text in:\n{sections}"))
    }
}

fn lines(program: &Path, case: &str) -> Result<Vec<(String, f64)>, String> {
    let (stdout, _) = run(Command::new(program).args(case.split(' ')))?;
    let pairs = stdout.lines().map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| format!("`{case}` printed:\n{stdout}"))
}

/// What a subject depends on.
pub struct Tree {
    /// How many crates, tokio's included, the subject's adapter left out.
    pub crates: usize,
    /// The features of the subject's own crate.
    pub features: String,
    /// The features of tokio.
    pub tokio: String,
}

pub fn tree(subject: &str, package: Option<&str>) -> Result<Tree, String> {
    let mut command = cargo("tree", subject);
    command.args([
        "--edges", "normal", "--prefix", "none", "--format", "{p}|{f}",
    ]);
    let (stdout, _) = run(&mut command)?;
    let crates: BTreeSet<_> = stdout
        .lines()
        .map(|line| line.trim_end_matches(" (*)").split('|').next())
        .collect();
    let features = |package: &str| {
        let begins = format!("{package} v");
        let line = stdout.lines().find(|line| line.starts_with(&begins))?;
        let features = line.trim_end_matches(" (*)").split('|').nth(1)?;
        Some(features.replace(',', ", "))
    };
    Ok(Tree {
        crates: crates.len() - 1,
        features: package.and_then(features).unwrap_or_default(),
        tokio: features("tokio").unwrap_or_default(),
    })
}

/// The CPU seconds of a clean build of the small program.
pub fn build_seconds(subject: &str) -> Result<f64, String> {
    let target = root().join("target/clean");
    let _ = fs::remove_dir_all(&target);
    let before = children()?;
    run(cargo("build", subject)
        .args(["--release", "--bin", "small", "--target-dir"])
        .arg(&target))?;
    Ok(children()? - before)
}

/// The CPU seconds of all processes that this one has waited for.
fn children() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    // The name, in parentheses, can hold blanks; user and system time of the
    // children are the 14th and 15th field after it, in hundredths.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / 100.0)
}

/// The version of a package that the lock file holds.
pub fn version(package: &str) -> Option<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).ok()?;
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next().map(str::to_owned)
}

/// What the measurements ran on.
pub fn machine() -> Result<String, String> {
    let (rustc, _) = run(Command::new("rustc").arg("--version"))?;
    let (valgrind, _) = run(Command::new("valgrind").arg("--version"))?;
    let (kernel, _) = run(Command::new("uname").args(["-s", "-r", "-m"]))?;
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = cpus.lines().filter(|line| line.starts_with("model name"));
    let cores = models.clone().count();
    let model = models.next().and_then(|line| line.split(": ").nth(1));
    Ok(format!(
        "{}; {}; {}; {cores} cores of {}",
        rustc.trim(),
        valgrind.trim(),
        kernel.trim(),
        model.unwrap_or("an unnamed CPU").trim(),
    ))
}

/// The compiler, for the baseline.
pub fn rustc() -> Result<String, String> {
    let (rustc, _) = run(Command::new("rustc").arg("--version"))?;
    Ok(rustc.trim().to_owned())
}
