//! A server that takes so many calls a second.

use std::cell::Cell;

use crate::sim;

/// A bucket of rights to call, full at first.
pub struct Limiter {
    rate: f64,
    burst: f64,
    rights: Cell<f64>,
    filled: Cell<f64>,
}

impl Limiter {
    pub fn new(rate: f64, burst: f64) -> Self {
        Self {
            rate,
            burst,
            rights: Cell::new(burst),
            filled: Cell::new(0.0),
        }
    }

    /// Whether a call is taken now.
    pub fn take(&self) -> bool {
        let passed = sim::seconds() - self.filled.replace(sim::seconds());
        let rights = (self.rights.get() + passed * self.rate).min(self.burst);
        let taken = rights >= 1.0;
        self.rights.set(rights - f64::from(u8::from(taken)));
        taken
    }
}
