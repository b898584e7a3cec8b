//! What an experiment has to say: tables, and lines that must hold.

use std::fmt::Write;

/// One experiment's part of the page.
#[derive(Default)]
pub struct Section {
    pub title: &'static str,
    /// The setup, and where its figures come from.
    pub about: String,
    pub tables: Vec<Table>,
    pub lines: Vec<Line>,
}

pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A figure and its bound.
pub struct Line {
    pub what: String,
    pub measured: f64,
    pub bound: Bound,
    pub digits: usize,
}

#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Between(f64, f64),
}

impl Line {
    pub fn new(what: impl Into<String>, measured: f64, bound: Bound, digits: usize) -> Self {
        Self {
            what: what.into(),
            measured,
            bound,
            digits,
        }
    }

    /// A published figure, met within a share of it.
    pub fn published(what: impl Into<String>, measured: f64, figure: f64, share: f64) -> Self {
        let bound = Bound::Between(figure * (1.0 - share), figure * (1.0 + share));
        let digits = if figure < 10.0 { 3 } else { 0 };
        Self::new(format!("published: {}", what.into()), measured, bound, digits)
    }

    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
            Bound::Between(least, most) => (least..=most).contains(&self.measured),
        }
    }

    pub fn row(&self) -> String {
        let digits = self.digits;
        let bound = match self.bound {
            Bound::AtMost(most) => format!("at most {most:.digits$}"),
            Bound::AtLeast(least) => format!("at least {least:.digits$}"),
            Bound::Between(least, most) => format!("{least:.digits$} to {most:.digits$}"),
        };
        let verdict = if self.holds() { "met" } else { "**missed**" };
        let measured = if self.measured.is_infinite() {
            "never".to_owned()
        } else {
            format!("{:.digits$}", self.measured)
        };
        format!("| {} | {bound} | {measured} | {verdict} |\n", self.what)
    }
}

impl Section {
    pub fn missed(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.holds())
    }

    pub fn page(&self) -> String {
        let mut page = format!("## {}\n\n{}\n", self.title, self.about);
        for Table { head, rows } in &self.tables {
            let _ = writeln!(page, "\n| {} |", head.join(" | "));
            let _ = writeln!(page, "|---|{}", "---:|".repeat(head.len() - 1));
            for row in rows {
                let _ = writeln!(page, "| {} |", row.join(" | "));
            }
        }
        if !self.lines.is_empty() {
            page += "\n| line | bound | measured | |\n|---|---:|---:|---|\n";
            page.extend(self.lines.iter().map(Line::row));
        }
        page
    }
}
