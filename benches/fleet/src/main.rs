//! What a fleet of afterbeat's clients does to a server: one command, one table. The
//! README says what is simulated and how.

mod answer;
mod arrivals;
mod chart;
mod client;
mod cores;
mod experiments;
mod failure;
mod hint;
mod law;
mod limiter;
mod peers;
mod queue;
mod rain;
mod report;
mod scale;
mod sim;
mod stats;
mod svg;

use std::{fs, path::Path, process::ExitCode, time::Instant};

use report::Section;
use scale::Scale;

const USAGE: &str = "\
usage: cargo run --release -- [--check]
             run every experiment, print the page, write RESULTS.md and plots/
  --check    run what the lines need, and write nothing
Either way it fails if a line is missed.";

/// What stands before the first experiment.
const HEAD: &str = include_str!("head.md");

fn run(scale: Scale) -> Vec<Section> {
    let all = experiments::ALL.iter().map(|experiment| {
        let begun = Instant::now();
        let section = experiment(scale);
        eprintln!(
            "{:>6.1} s  {}",
            begun.elapsed().as_secs_f64(),
            section.title
        );
        section
    });
    all.collect()
}

fn write(sections: &[Section]) -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages: Vec<_> = sections.iter().map(Section::page).collect();
    let page = format!("{HEAD}\n{}", pages.join("\n"));
    print!("{page}");
    fs::write(root.join("RESULTS.md"), page)?;
    fs::create_dir_all(root.join("plots"))?;
    for (name, svg) in sections.iter().flat_map(|section| &section.plots) {
        fs::write(root.join("plots").join(format!("{name}.svg")), svg)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Scale::Table,
        ["--check"] => Scale::Check,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let sections = run(scale);
    if scale == Scale::Table {
        if let Err(error) = write(&sections) {
            eprintln!("the page could not be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    let lines: usize = sections.iter().map(|section| section.lines.len()).sum();
    let mut missed = 0;
    for section in &sections {
        for line in section.missed() {
            missed += 1;
            eprintln!("missed: {}: {line}", section.title);
        }
    }
    eprintln!("{} of {lines} lines are met", lines - missed);
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
