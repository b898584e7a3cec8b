//! What an experiment has to say: tables, and lines that must hold.

use std::fmt::{self, Write};

use crate::law::Law;

/// One experiment's part of the page.
#[derive(Default)]
pub struct Section {
    pub title: &'static str,
    /// The setup, and where its figures come from.
    pub about: String,
    pub tables: Vec<Table>,
    pub lines: Vec<Line>,
    /// The names of pictures, and the pictures as SVG.
    pub plots: Vec<(&'static str, String)>,
}

pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self {
            head: head.iter().map(|name| (*name).to_owned()).collect(),
            rows,
        }
    }

    /// A column for each law.
    pub fn of_laws(laws: &[Law], rows: Vec<Vec<String>>) -> Self {
        let names = laws.iter().map(|law| law.name());
        Self::new(&[""].into_iter().chain(names).collect::<Vec<_>>(), rows)
    }
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
            // A row's emphasis is not a line's.
            what: what.into().replace("**", ""),
            measured,
            bound,
            digits,
        }
    }

    /// A published figure, met within a share of it.
    pub fn published(what: impl Into<String>, measured: f64, figure: f64, share: f64) -> Self {
        let bound = Bound::Between(figure * (1.0 - share), figure * (1.0 + share));
        let digits = if figure < 10.0 { 3 } else { 0 };
        Self::new(
            format!("published: {}", what.into()),
            measured,
            bound,
            digits,
        )
    }

    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
            Bound::Between(least, most) => (least..=most).contains(&self.measured),
        }
    }

    /// What is asked, as text.
    fn bound(&self) -> String {
        let digits = self.digits;
        match self.bound {
            Bound::AtMost(most) => format!("at most {most:.digits$}"),
            Bound::AtLeast(least) => format!("at least {least:.digits$}"),
            Bound::Between(least, most) => format!("{least:.digits$} to {most:.digits$}"),
        }
    }

    fn figure(&self) -> String {
        if self.measured.is_finite() {
            format!("{:.*}", self.digits, self.measured)
        } else {
            "never".to_owned()
        }
    }

    fn row(&self) -> String {
        let verdict = if self.holds() { "met" } else { "**missed**" };
        format!(
            "| {} | {} | {} | {verdict} |\n",
            self.what,
            self.bound(),
            self.figure()
        )
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, not {}", self.what, self.figure(), self.bound())
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
        for (name, _) in &self.plots {
            let _ = writeln!(page, "\n![{}](plots/{name}.svg)", self.title);
        }
        if !self.lines.is_empty() {
            page += "\n| line | bound | measured | |\n|---|---:|---:|---|\n";
            page.extend(self.lines.iter().map(Line::row));
        }
        page
    }
}
