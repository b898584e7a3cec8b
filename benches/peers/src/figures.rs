//! What is measured of a subject.

use std::collections::BTreeMap;

use crate::{
    subjects::Subject,
    tools::{self, Programs, Tree},
};

/// The figures of one subject, by name.
#[derive(Default)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    fn has(&self, fact: &str) -> bool {
        self.get(fact).is_some_and(|value| value > 0.0)
    }

    /// Adds what can be counted without valgrind.
    fn facts(&mut self, programs: &Programs) -> Result<(), String> {
        self.0.extend(programs.paused("facts")?);
        self.0.extend(programs.plain("sizes")?);
        Ok(())
    }

    /// Adds the instructions.
    pub fn instructions(&mut self, programs: &Programs) -> Result<(), String> {
        if self.0.is_empty() {
            self.facts(programs)?;
        }
        let awaited = self.has("present") && !self.has("blocks");
        if self.has("present") {
            self.set("first", programs.instructions("first", 2000)?);
        }
        if awaited {
            self.set("first-kib", programs.instructions("first-kib", 1000)?);
            let slope = |few: f64, many: f64| (many - few) / 3.0;
            let none = programs.instructions("zero 0", 500)?;
            self.set("zero", slope(none, programs.instructions("zero 3", 500)?));
            self.set("ten", programs.instructions("ten", 100)?);
        }
        if self.has("ready") {
            let none = programs.instructions("ready 0", 1000)?;
            let three = programs.instructions("ready 3", 1000)?;
            self.set("retry", (three - none) / 3.0);
        }
        if self.has("schedule") {
            let wait = |kind: &str| {
                let ten = programs.instructions(&format!("{kind} 10"), 500)?;
                let twenty = programs.instructions(&format!("{kind} 20"), 500)?;
                Ok::<_, String>((twenty - ten) / 10.0)
            };
            self.set("plain", wait("plain")?);
            if self.has("jitters") {
                self.set("jittered", wait("jittered")?);
            }
        }
        Ok(())
    }
}

/// A subject with all that was found out about it.
pub struct Measured {
    pub subject: &'static Subject,
    pub programs: Programs,
    pub figures: Figures,
    pub tree: Tree,
}

impl Measured {
    /// Builds a subject, and refuses it where it does other work than asked for.
    pub fn checked(subject: &'static Subject) -> Result<Self, String> {
        eprintln!("{}: build, check", subject.name);
        let programs = Programs::build(subject.name)?;
        programs.paused("check")?;
        let tree = tools::tree(subject.name, subject.package)?;
        let mut figures = Figures::default();
        figures.facts(&programs)?;
        figures.set("crates", tree.crates as f64);
        Ok(Self {
            subject,
            programs,
            figures,
            tree,
        })
    }

    pub fn measure(&mut self, build_time: bool) -> Result<(), String> {
        eprintln!("{}: measure", self.subject.name);
        self.figures.instructions(&self.programs)?;
        if self.figures.has("present") {
            self.figures.set("text", self.programs.text()?);
        }
        if build_time {
            let seconds = tools::build_seconds(self.subject.name)?;
            self.figures.set("build", seconds);
        }
        Ok(())
    }

    /// Adds what so many sequences at once take, or lowers it: the greater times
    /// were disturbed.
    pub fn crowd(&mut self, tasks: u32) -> Result<(), String> {
        let figures = &mut self.figures;
        if !figures.has("present") || figures.has("blocks") {
            return Ok(());
        }
        let mut measured = self.programs.plain(&format!("asleep {tasks}"))?;
        measured.extend(self.programs.plain(&format!("woken {tasks}"))?);
        for (name, value) in measured {
            if name == "live-bytes" {
                figures.set(&format!("live-each-{tasks}"), value / f64::from(tasks));
                continue;
            }
            let name = format!("{name}-{tasks}");
            let least = figures.get(&name).unwrap_or(f64::INFINITY);
            figures.set(&name, value.min(least));
        }
        Ok(())
    }
}
