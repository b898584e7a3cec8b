//! A server that works off one queue, first come, first served.

use std::{cell::Cell, time::Duration};

use crate::sim;

/// Every call takes the same work, and is worked on whether or not its caller still
/// waits: so the end of a call is known when it comes in.
pub struct Queue {
    /// Seconds of work for each call, at full capacity.
    work: f64,
    /// From when on which share of the capacity is there.
    capacity: Vec<(f64, f64)>,
    /// When the work taken in will be done.
    free: Cell<f64>,
}

impl Queue {
    pub fn new(calls_per_second: f64) -> Self {
        Self {
            work: 1.0 / calls_per_second,
            capacity: vec![(0.0, 1.0)],
            free: Cell::new(0.0),
        }
    }

    /// Has a share of the capacity from one second to another.
    pub fn reduced(mut self, from: f64, to: f64, share: f64) -> Self {
        self.capacity.extend([(from, share), (to, 1.0)]);
        self
    }

    /// Takes in a call and returns how long its answer takes.
    pub fn enter(&self) -> Duration {
        let now = sim::seconds();
        let done = self.done(self.free.get().max(now));
        self.free.set(done);
        Duration::from_secs_f64(done - now)
    }

    /// When a call is done that is begun at `begun`.
    fn done(&self, begun: f64) -> f64 {
        let (mut at, mut left) = (begun, self.work);
        let first = self.capacity.partition_point(|(from, _)| *from <= begun) - 1;
        let ends = self.capacity[first + 1..].iter().map(|(from, _)| *from);
        let shares = self.capacity[first..].iter().map(|(_, share)| *share);
        for (share, end) in shares.zip(ends.chain([f64::INFINITY])) {
            let within = left / share;
            if at + within <= end {
                return at + within;
            }
            left -= (end - at) * share;
            at = end;
        }
        unreachable!("the last share never ends")
    }
}
