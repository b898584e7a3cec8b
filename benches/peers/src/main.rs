//! afterbeat beside a loop by hand and beside other retry crates: one command, one
//! table. The README says what is compared and how.

mod baseline;
mod figures;
mod growth;
mod plot;
mod subjects;
mod table;
mod targets;
mod tools;

use std::{fs, process::ExitCode};

use figures::Measured;
use subjects::SUBJECTS;
use table::Bare;

const USAGE: &str = "\
usage: cargo run --release -- COMMAND
  check               prove that every subject makes the calls that it should
  table               check, measure, print the table and write RESULTS.md and plots/
    --million         also 1,000,000 sequences asleep at once, for every subject
    --build-time      also the CPU time of a clean build of each subject
  baseline            record afterbeat's own instruction counts in baseline.txt
    --check           measure them anew and fail if any grew by more than 2 %";

fn checked() -> Result<Vec<Measured>, String> {
    SUBJECTS.iter().map(Measured::checked).collect()
}

fn table(million: bool, build_time: bool) -> Result<(), String> {
    let crowds: &[u32] = if million {
        &[100_000, 1_000_000]
    } else {
        &[100_000]
    };
    // All are checked before any is measured.
    let mut all = checked()?;
    for one in &mut all {
        one.measure(build_time)?;
    }
    for tasks in crowds {
        // Round after round, so that what else the machine does meets all alike.
        for _ in 0..5 {
            eprintln!("{tasks} at once");
            for one in &mut all {
                one.crowd(*tasks)?;
            }
        }
    }
    table::derive(&mut all);
    let hand = &all[0].programs;
    let bare = Bare {
        success: hand.instructions("bare 0", 1000)?,
        failure: hand.instructions("bare 1", 1000)?,
    };
    let plots = growth::plots(&all)?;
    growth::write(&plots)?;
    let page = table::page(&all, crowds, build_time, &bare, &plots)?;
    print!("{page}");
    fs::write(tools::root().join("RESULTS.md"), page).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.split_first() {
        Some((&"check", [])) => checked().map(|all| {
            for one in all {
                println!("{}: makes the calls that it should", one.subject.name);
            }
        }),
        Some((&"table", options)) if known(options, &["--million", "--build-time"]) => table(
            options.contains(&"--million"),
            options.contains(&"--build-time"),
        ),
        Some((&"baseline", [])) => baseline::record(),
        Some((&"baseline", ["--check"])) => baseline::check(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn known(options: &[&str], all: &[&str]) -> bool {
    options.iter().all(|option| all.contains(option))
}
