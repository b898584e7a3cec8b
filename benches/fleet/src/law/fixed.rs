//! Law V: a sequence that was once refused also needs one of n/3 places, which it
//! holds while its retry runs.

use std::cell::Cell;

use super::{COST, Postponing};

pub struct Fixed {
    full: u32,
    tokens: Cell<u32>,
    free: Cell<u32>,
}

impl Fixed {
    pub fn new(retries: u32) -> Self {
        let full = COST * retries;
        Self {
            full,
            tokens: Cell::new(full),
            free: Cell::new((retries / 3).max(1)),
        }
    }

    fn earn(&self, tokens: u32) {
        self.tokens.set((self.tokens.get() + tokens).min(self.full));
    }
}

impl Postponing for Fixed {
    fn send(&self, once_refused: bool) -> bool {
        let place = !once_refused || self.free.get() > 0;
        let sent = self.tokens.get() >= COST && place;
        if sent {
            self.tokens.set(self.tokens.get() - COST);
            self.free.set(self.free.get() - u32::from(once_refused));
        }
        sent
    }

    fn ended(&self, once_refused: bool, _: bool) {
        self.free.set(self.free.get() + u32::from(once_refused));
    }

    fn credit(&self) {
        self.earn(1);
    }

    fn refund(&self, retries: u32) {
        self.earn(COST * retries);
    }
}
