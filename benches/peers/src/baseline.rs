//! afterbeat's own instruction counts, kept in a file, so that a change that costs
//! is seen.

use std::{fmt::Write, fs};

use crate::{
    figures::Figures,
    subjects::SUBJECTS,
    tools::{self, Programs, root},
};

/// How much a figure may grow: the timer's own cost is not the same in each run.
const TOLERANCE: f64 = 1.02;

const FIGURES: [&str; 7] = [
    "first",
    "first-kib",
    "retry",
    "zero",
    "ten",
    "plain",
    "jittered",
];

/// A subject, a figure, and its value.
type Line = (String, String, f64);

fn measure() -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| subject.is_ours()) {
        eprintln!("{}: measure", subject.name);
        let programs = Programs::build(subject.name)?;
        programs.paused("check")?;
        let mut figures = Figures::default();
        figures.instructions(&programs)?;
        for name in FIGURES {
            if let Some(value) = figures.get(name) {
                lines.push((subject.name.to_owned(), name.to_owned(), value));
            }
        }
    }
    Ok(lines)
}

/// Records what is measured now.
pub fn record() -> Result<(), String> {
    let mut text = format!("# {}\n", tools::rustc()?);
    for (subject, figure, value) in measure()? {
        let _ = writeln!(text, "{subject} {figure} {value:.1}");
    }
    print!("{text}");
    fs::write(root().join("baseline.txt"), text).map_err(|error| error.to_string())
}

/// Fails where a figure has grown beyond the tolerance.
pub fn check() -> Result<(), String> {
    let text = fs::read_to_string(root().join("baseline.txt"))
        .map_err(|error| format!("baseline.txt: {error}"))?;
    let rustc = tools::rustc()?;
    if !text.starts_with(&format!("# {rustc}\n")) {
        eprintln!("the baseline is of another compiler than {rustc}: record it anew to compare");
    }
    let recorded = |subject: &str, figure: &str| {
        text.lines().find_map(|line| {
            let value = line.strip_prefix(&format!("{subject} {figure} "))?;
            value.parse::<f64>().ok()
        })
    };
    let mut grown = String::new();
    for (subject, figure, now) in measure()? {
        let Some(then) = recorded(&subject, &figure) else {
            return Err(format!(
                "the baseline has no `{subject} {figure}`: record it anew"
            ));
        };
        let percent = (now / then - 1.0) * 100.0;
        println!("{subject} {figure}: {then:.1} -> {now:.1} ({percent:+.1} %)");
        // Figures are recorded to a tenth.
        if now > then * TOLERANCE + 0.05 {
            let _ = writeln!(
                grown,
                "{subject} {figure} grew from {then:.1} to {now:.1} instructions ({percent:+.1} %)"
            );
        }
    }
    if grown.is_empty() {
        Ok(())
    } else {
        Err(format!("{grown}more than 2 % is a regression"))
    }
}
