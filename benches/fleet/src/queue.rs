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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Queue;
    use crate::sim;

    /// Enters calls at these seconds; when each is done.
    fn done(queue: Queue, calls: &'static [u64]) -> Vec<f64> {
        let (sender, done) = std::sync::mpsc::channel();
        sim::run(1, Duration::MAX, move || {
            sim::spawn(async move {
                for at in calls {
                    sim::sleep(Duration::from_secs(*at).saturating_sub(sim::now())).await;
                    let after = queue.enter().as_secs_f64();
                    sender.send(sim::seconds() + after).expect("it is received");
                }
            });
        });
        done.iter().collect()
    }

    #[test]
    fn calls_are_worked_off_one_after_the_other() {
        assert_eq!(done(Queue::new(1.0), &[0, 0, 1, 9]), [1.0, 2.0, 3.0, 10.0]);
    }

    #[test]
    fn a_call_takes_longer_while_the_capacity_is_reduced() {
        // Half a second of work before, 10 s at a tenth, and the rest after.
        let queue = Queue::new(0.5).reduced(1.5, 6.5, 0.1);
        assert_eq!(done(queue, &[1, 20]), [7.5, 22.0]);
        // A server that stands still.
        let queue = Queue::new(1.0).reduced(2.0, 12.0, 0.0);
        assert_eq!(done(queue, &[0, 1, 2]), [1.0, 2.0, 13.0]);
    }
}
