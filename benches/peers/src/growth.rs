//! How costs grow: with the number of a retry, and with how many wait at once.

use std::fs;

use crate::{
    figures::Measured,
    plot::{Plot, Series},
    subjects::HAND,
    tools::root,
};

const RETRIES: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const CROWDS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Measures and draws. Returns the plots with their file names.
pub fn plots(all: &[Measured]) -> Result<Vec<(&'static str, Plot)>, String> {
    eprintln!("growth");
    let shown = |subject: &&Measured| {
        let ours = subject.subject.is_ours() || subject.subject.name == HAND;
        ours && subject.figures.get("blocks") == Some(0.0)
    };
    let mut retries = Vec::new();
    let mut sequences = Vec::new();
    let mut pollers = Vec::new();
    for measured in all.iter().filter(shown) {
        let name = measured.subject.name;
        retries.push(Series {
            name: name.to_owned(),
            points: of_a_retry(measured)?,
        });
        sequences.push(Series {
            name: name.to_owned(),
            points: each_of_many(measured, "asleep")?,
        });
        let kinds = measured.figures.get("pollers").unwrap_or_default();
        for kind in (0_u32..).take_while(|kind| f64::from(*kind) < kinds) {
            pollers.push(Series {
                name: ["by hand", "stream in a task", "spawned"]
                    [(kind + u32::from(name != HAND)) as usize]
                    .to_owned(),
                points: each_of_many(measured, &format!("pollers {kind}"))?,
            });
        }
    }
    Ok(vec![
        (
            "retry.svg",
            Plot {
                title: "The cost of a retry by its number, sleeper ready at once",
                counted: "the retry's number",
                cost: "instructions",
                series: retries,
            },
        ),
        (
            "sequences.svg",
            Plot {
                title: "Live heap of one sequence asleep in a task of its own",
                counted: "sequences at once",
                cost: "bytes",
                series: sequences,
            },
        ),
        (
            "pollers.svg",
            Plot {
                title: "Live heap of one poller between two runs",
                counted: "pollers at once",
                cost: "bytes",
                series: pollers,
            },
        ),
    ])
}

/// What the n-th retry costs: n retries less n - 1.
fn of_a_retry(measured: &Measured) -> Result<Vec<(u32, f64)>, String> {
    let cost = |retries: u32| {
        let times = (20_000 / retries.max(1)).clamp(4, 500);
        let case = format!("ready {retries}");
        measured.programs.instructions(&case, times)
    };
    let point = |retry: u32| Ok((retry, cost(retry)? - cost(retry - 1)?));
    RETRIES.into_iter().map(point).collect()
}

fn each_of_many(measured: &Measured, case: &str) -> Result<Vec<(u32, f64)>, String> {
    let point = |count: u32| {
        let figures = measured.programs.plain(&format!("{case} {count}"))?;
        let live = figures.iter().find(|(name, _)| name == "live-bytes");
        let (_, live) = live.ok_or("no live bytes")?;
        Ok((count, live / f64::from(count)))
    };
    CROWDS.into_iter().map(point).collect()
}

pub fn write(plots: &[(&'static str, Plot)]) -> Result<(), String> {
    let folder = root().join("plots");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for (name, plot) in plots {
        fs::write(folder.join(name), plot.svg()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
