//! What the observer for `tracing` writes.

use std::{
    fmt::{Debug, Write},
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use afterbeat::{Backoff, ManualTimer, RetryBuilder};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Events as lines: level, then fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The lines of a sequence that succeeds at a call, if it gets there.
fn traced(succeeds_at: u32) -> Vec<String> {
    let lines = Lines::default();
    let timer = ManualTimer::new();
    let policy = RetryBuilder::with_timer(&timer)
        .backoff(Backoff::constant(Duration::from_secs(2)))
        .max_retries(1)
        .observe(afterbeat::trace);
    let mut calls = 0;
    tracing::subscriber::with_default(lines.clone(), || {
        let _ = timer.run(policy.retry(|| {
            calls += 1;
            ready(if calls == succeeds_at {
                Ok(())
            } else {
                Err("refused")
            })
        }));
    });
    let lines = lines.0.lock().unwrap();
    lines.clone()
}

#[test]
fn a_first_try_success_is_quiet() {
    assert!(traced(1).is_empty());
}

#[test]
fn retries_and_ends_are_events_with_fields() {
    let retry = "INFO message=retrying error=refused iteration=1 wait=2s elapsed=0ns";
    assert_eq!(
        traced(2),
        [
            retry,
            "INFO message=succeeded after retries retries=1 elapsed=2s"
        ]
    );
    let reason = "the limit on retries was reached";
    let gave_up =
        format!("WARN message=gave up error=refused reason={reason} retries=1 elapsed=2s");
    assert_eq!(traced(9), [retry, &gave_up]);
}
