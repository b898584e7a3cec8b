//! The figures as a page of Markdown.

use std::fmt::Write;

use crate::{
    figures::Measured,
    plot::{Plot, thousands},
    subjects::{HAND, OURS},
    targets, tools,
};

struct Column {
    head: &'static str,
    figure: String,
    digits: usize,
}

fn column(head: &'static str, figure: &str, digits: usize) -> Column {
    Column {
        head,
        figure: figure.to_owned(),
        digits,
    }
}

struct Section {
    title: &'static str,
    notes: &'static str,
    columns: Vec<Column>,
    /// The row that others are compared with.
    ours: &'static str,
    /// Whether its rows block a thread.
    blocks: bool,
}

fn crowd_columns(crowds: &[u32]) -> Vec<Column> {
    let columns = crowds.iter().flat_map(|tasks| {
        let heads = if *tasks == 1_000_000 {
            [
                "1,000,000: bytes each",
                "1,000,000: CPU ms until asleep",
                "1,000,000: CPU ms to wait 50 ms and end",
            ]
        } else {
            [
                "100,000: bytes each",
                "100,000: CPU ms until asleep",
                "100,000: CPU ms to wait 50 ms and end",
            ]
        };
        let figures = ["live-each", "asleep-cpu-ms", "woken-cpu-ms"];
        let columns = heads.into_iter().zip(figures);
        columns.map(move |(head, figure)| column(head, &format!("{figure}-{tasks}"), 0))
    });
    columns.collect()
}

fn size_columns(build_time: bool) -> Vec<Column> {
    let mut columns = vec![
        column(".text of a small program", "text", 0),
        column("beyond by hand", "text-beyond", 0),
        column("crates", "crates", 0),
    ];
    if build_time {
        columns.push(column("CPU s of a clean build", "build", 1));
    }
    columns
}

fn sections(crowds: &[u32], build_time: bool) -> Vec<Section> {
    let section = |title, notes, columns| Section {
        title,
        notes,
        columns,
        ours: OURS,
        blocks: false,
    };
    vec![
        section(
            "Instructions of a sequence",
            "A first-try success is awaited in a loop by an executor that does nothing else; the \
             operation's future has no bytes, or 1 KiB. A ready retry is a third of what three \
             failures add where the sleeper is ready at once: only crates whose sleeper can be \
             replaced have it. A zero wait is a third of what three retries of zero length add in \
             a spawned task of a current-thread tokio runtime. Ten retries are a whole sequence \
             of 1, 2, 4 ... 512 ms by tokio's paused clock: the timer is nearly all of it.",
            vec![
                column("first try", "first", 0),
                column("first try, 1 KiB", "first-kib", 0),
                column("a ready retry", "retry", 0),
                column("a zero wait", "zero", 0),
                column("ten retries", "ten", 0),
                column("% beyond by hand", "ten-beyond", 1),
            ],
        ),
        Section {
            title: "Instructions of a sequence that blocks",
            notes: "The operation is a plain function. A ready retry has a sleep that does nothing.",
            columns: vec![
                column("first try", "first", 0),
                column("a ready retry", "retry", 0),
            ],
            ours: "afterbeat-blocking",
            blocks: true,
        },
        section(
            "Instructions of the next wait",
            "1 ms, doubled, at most an hour: a tenth of what the eleventh to the twentieth wait \
             add, all of them below the cap. Each crate's own kind of jitter.",
            vec![
                column("plain", "plain", 0),
                column("jittered", "jittered", 0),
            ],
        ),
        section(
            "Bytes of the future beyond the operation's",
            "For an operation whose future has 0, 16 or 1,024 bytes, with tokio's `Sleep`; and \
             with a sleeper of no bytes.",
            vec![
                column("0 B", "size-0", 0),
                column("16 B", "size-16", 0),
                column("1,024 B", "size-1024", 0),
                column("0 B, no `Sleep`", "size-ready", 0),
            ],
        ),
        section(
            "Allocations",
            "By a counting global allocator, through tokio's timer.",
            vec![
                column("first try", "first-allocations", 0),
                column("each retry", "retry-allocations", 1),
            ],
        ),
        section(
            "Sequences asleep at once",
            "Each in a task of its own on a current-thread tokio runtime, each subject in a \
             process of its own. Bytes are what the allocator was asked for, tokio's task and its \
             place in the run queue included; tokio rounds a task up to 128 bytes, so that a few \
             bytes of a future are seen here or not at all. CPU time is the least of five and \
             follows the machine: read it as a ratio to by hand, +-15 %.",
            crowd_columns(crowds),
        ),
        section(
            "What it adds to a program",
            "A `main` with a current-thread runtime and one sequence; codegen-units = 1, no LTO. \
             Crates are those of `cargo tree -e normal`, tokio and its pin-project-lite included.",
            size_columns(build_time),
        ),
    ]
}

/// Adds the figures that follow from others.
pub fn derive(all: &mut [Measured]) {
    let of_hand = |all: &[Measured], figure: &str| {
        let hand = all.iter().find(|one| one.subject.name == HAND);
        hand.and_then(|hand| hand.figures.get(figure))
    };
    let (ten, text) = (of_hand(all, "ten"), of_hand(all, "text"));
    for Measured { figures, .. } in all {
        if let (Some(ours), Some(hand)) = (figures.get("ten"), ten) {
            figures.set("ten-beyond", (ours / hand - 1.0) * 100.0);
        }
        if let (Some(ours), Some(hand)) = (figures.get("text"), text) {
            figures.set("text-beyond", ours - hand);
        }
    }
}

/// What the operation itself takes.
pub struct Bare {
    pub success: f64,
    pub failure: f64,
}

pub fn page(
    all: &[Measured],
    crowds: &[u32],
    build_time: bool,
    bare: &Bare,
    plots: &[(&'static str, Plot)],
) -> Result<String, String> {
    let mut page = String::from("# afterbeat beside its peers\n\n");
    let _ = writeln!(
        page,
        "Written by `cargo run --release -- table`; the folder's README says how, and what is not \
         compared.\n\n\
         {}. Release, codegen-units = 1, no LTO. Instructions are those of N and of 2N calls under \
         callgrind, the difference divided by N; repeats agree but for the timer's (0.1 %). Less \
         is better everywhere. **Bold** is the best crate of a column; what is written by hand is \
         the yardstick and has no place in the ranking. An empty cell: the crate does not do it.\n\n\
         The work: first wait 1 ms, factor 2, at most 1 s, 10 retries, no jitter, only while \
         `error.retryable()`; the operation's result comes out of a black box, the policy is made \
         once and cloned for each call. In the same loop the bare operation takes {:.0} instructions \
         where it succeeds and {:.0} where it fails: so much of each first try, and of each \
         retry, is not the subject's.\n\n\
         Features are those in the builds that sizes, heap, CPU time and .text are of; \
         instructions and allocations are of builds that have tokio's `test-util` too, for the \
         paused clock.\n",
        tools::machine()?,
        bare.success,
        bare.failure,
    );
    page += &checked(all);
    for section in sections(crowds, build_time) {
        page += &write_section(all, &section);
    }
    page += "## Growth\n\n\
             Each figure is that of one more: the n-th retry is what n retries take less n - 1, \
             by a curve that reaches its cap at the eleventh. Bytes are divided by how many there \
             are; the runtime's first task brings about 1 KB that all share.\n\n";
    for (name, plot) in plots {
        let _ = writeln!(page, "![{}](plots/{name})\n", plot.title);
        page += &write_plot(plot);
    }
    page += &targets::write(all);
    Ok(page)
}

/// What every subject was seen to do before it was measured.
fn checked(all: &[Measured]) -> String {
    let mut text = String::from(
        "## What was checked, and what is not the same\n\n\
         Nothing is measured unless each subject makes 1 call on a success, 11 on ten failures and \
         a success, and, where it can, 11 in an outage and 1 on a permanent error.\n\n\
         | subject | version | its features | tokio's features | outage | permanent error | ten retries take, ms | caveats |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for one in all {
        let fact = |name| one.figures.get(name) == Some(1.0);
        let calls = |can: bool, calls: &'static str, otherwise: &'static str| {
            if !fact("present") {
                ""
            } else if can {
                calls
            } else {
                otherwise
            }
        };
        let version = one.subject.package.and_then(tools::version);
        let waited = one.figures.get("waited-us").filter(|_| !fact("blocks"));
        let waited = waited.map(|waited| format!("{}", waited / 1000.0));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            one.subject.name,
            version.unwrap_or_default(),
            one.tree.features,
            one.tree.tokio,
            calls(fact("limits"), "11 calls", "no limit"),
            calls(fact("permanent"), "1 call", "retried"),
            waited.unwrap_or_default(),
            one.subject.caveat,
        );
    }
    let sleep = all.iter().find_map(|one| one.figures.get("size-sleep"));
    let _ = writeln!(
        text,
        "\ntokio's `Sleep` has {} bytes with `rt` and `time`. Valgrind counts no instructions \
         inside the kernel, and under it a clock read is a call into the kernel: a subject that \
         reads the clock (backoff, relentless, retry-policies, throttle-net, tower) costs more \
         than its instructions say.\n",
        sleep.unwrap_or_default()
    );
    text
}

fn write_section(all: &[Measured], section: &Section) -> String {
    let mut text = format!("## {}\n\n{}\n\n| subject |", section.title, section.notes);
    for column in &section.columns {
        let _ = write!(text, " {} |", column.head);
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(section.columns.len()));
    let belongs = |one: &&Measured| {
        let blocks = one.figures.get("blocks") == Some(1.0);
        let mut values = section.columns.iter();
        blocks == section.blocks && values.any(|column| one.figures.get(&column.figure).is_some())
    };
    let rows: Vec<_> = all.iter().filter(belongs).collect();
    let best = |column: &Column| {
        let ranked = rows.iter().filter(|row| row.subject.package.is_some());
        let values = ranked.filter_map(|row| rounded(row, column));
        values.fold(f64::INFINITY, f64::min)
    };
    for row in &rows {
        let _ = write!(text, "| {} |", row.subject.name);
        for column in &section.columns {
            let Some(value) = rounded(row, column) else {
                text += " |";
                continue;
            };
            let shown = show(value, column.digits);
            if row.subject.package.is_some() && value <= best(column) {
                let _ = write!(text, " **{shown}** |");
            } else {
                let _ = write!(text, " {shown} |");
            }
        }
        text.push('\n');
    }
    text.push('\n');
    text + &better(&rows, section) + "\n"
}

/// A value as it is shown, so that what looks equal is equal.
fn rounded(row: &Measured, column: &Column) -> Option<f64> {
    let scale = 10_f64.powi(i32::try_from(column.digits).unwrap_or(0));
    let value = row.figures.get(&column.figure)?;
    Some((value * scale).round() / scale)
}

fn show(value: f64, digits: usize) -> String {
    // Negative zero has no place in a table.
    let value = value + 0.0;
    if digits == 0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", thousands(value.abs() as u64));
    }
    format!("{value:.digits$}")
}

/// Who does better than afterbeat, column by column.
fn better(rows: &[&Measured], section: &Section) -> String {
    let Some(ours) = rows.iter().find(|row| row.subject.name == section.ours) else {
        return String::new();
    };
    let mut text = String::new();
    for column in &section.columns {
        let Some(mine) = rounded(ours, column) else {
            continue;
        };
        let mut below: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((rounded(row, column)?, row.subject.name)))
            .filter(|(value, _)| *value < mine)
            .collect();
        below.sort_by(|one, other| one.0.total_cmp(&other.0));
        let below: Vec<_> = below
            .into_iter()
            .map(|(value, name)| format!("{name} {}", show(value, column.digits)))
            .collect();
        if !below.is_empty() {
            let _ = writeln!(
                text,
                "- {}: better than {} ({}): {}.",
                column.head,
                section.ours,
                show(mine, column.digits),
                below.join(", ")
            );
        }
    }
    if text.is_empty() {
        return format!("Nothing here is better than {}.\n", section.ours);
    }
    text
}

fn write_plot(plot: &Plot) -> String {
    let Some(first) = plot.series.first() else {
        return String::new();
    };
    let mut text = format!("| {}, by {} |", plot.cost, plot.counted);
    for (count, _) in &first.points {
        let _ = write!(text, " {} |", thousands(u64::from(*count)));
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(first.points.len()));
    for series in &plot.series {
        let _ = write!(text, "| {} |", series.name);
        for (_, cost) in &series.points {
            let _ = write!(text, " {} |", show(cost.round(), 0));
        }
        text.push('\n');
    }
    text + "\n"
}
