//! Law B: the tokens stored and the retries in flight are never more than n.

use std::cell::Cell;

use super::{COST, Postponing};

pub struct Held {
    retries: u32,
    tokens: Cell<u32>,
    in_flight: Cell<u32>,
}

impl Held {
    pub fn new(retries: u32) -> Self {
        Self {
            retries,
            tokens: Cell::new(COST * retries),
            in_flight: Cell::new(0),
        }
    }

    fn earn(&self, tokens: u32) {
        let full = COST * (self.retries - self.in_flight.get());
        self.tokens.set((self.tokens.get() + tokens).min(full));
    }
}

impl Postponing for Held {
    fn send(&self, _: bool) -> bool {
        let paid = self.tokens.get() >= COST;
        if paid {
            self.tokens.set(self.tokens.get() - COST);
            self.in_flight.set(self.in_flight.get() + 1);
        }
        paid
    }

    fn ended(&self, _: bool, _: bool) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    fn credit(&self) {
        self.earn(1);
    }

    fn refund(&self, retries: u32) {
        self.earn(COST * retries);
    }
}
