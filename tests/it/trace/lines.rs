// A subscriber for tests and for the examples of the documentation, which include this file.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::{Interest, with_default},
};

/// The events of `run` that are at least as severe as `level`, as lines: their level, then
/// their fields. All but numbers is quoted.
pub fn lines(level: Level, run: impl FnOnce()) -> Vec<String> {
    let lines = Arc::default();
    with_default(Lines(level, Arc::clone(&lines)), run);
    let lines = lines.lock().unwrap();
    lines.clone()
}

struct Lines(Level, Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    // Asked each time, since others in the same process listen to other levels.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }
    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "afterbeat");
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.1.lock().unwrap().push(line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        write!(self.0, " {field}={value}").unwrap();
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        write!(self.0, " {field}={value}").unwrap();
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
