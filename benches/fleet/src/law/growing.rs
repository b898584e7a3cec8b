//! Law W: like V, but the places are earned. The first opens after 10 first tries
//! that succeed, each further one after 100 more, up to n; all close when a fresh
//! retry is refused or a retry in a place fails.

use std::cell::Cell;

use super::{COST, Postponing};

const FIRST: u32 = 10;
const FURTHER: u32 = 100;

pub struct Growing {
    retries: u32,
    tokens: Cell<u32>,
    /// The retries in a place.
    placed: Cell<u32>,
    /// The first tries that have succeeded since the places were closed.
    streak: Cell<u32>,
}

impl Growing {
    pub fn new(retries: u32) -> Self {
        Self {
            retries,
            tokens: Cell::new(COST * retries),
            placed: Cell::new(0),
            streak: Cell::new(0),
        }
    }

    fn places(&self) -> u32 {
        match self.streak.get().checked_sub(FIRST) {
            None => 0,
            Some(more) => (1 + more / FURTHER).min(self.retries),
        }
    }

    fn earn(&self, tokens: u32) {
        let full = COST * self.retries;
        self.tokens.set((self.tokens.get() + tokens).min(full));
    }
}

impl Postponing for Growing {
    fn send(&self, once_refused: bool) -> bool {
        let paid = self.tokens.get() >= COST;
        let place = !once_refused || self.placed.get() < self.places();
        if paid && place {
            self.tokens.set(self.tokens.get() - COST);
            self.placed.set(self.placed.get() + u32::from(once_refused));
        } else if !once_refused {
            self.streak.set(0);
        }
        paid && place
    }

    fn ended(&self, once_refused: bool, succeeded: bool) {
        self.placed.set(self.placed.get() - u32::from(once_refused));
        if once_refused && !succeeded {
            self.streak.set(0);
        }
    }

    fn credit(&self) {
        self.earn(1);
        self.streak.set(self.streak.get() + 1);
    }

    fn refund(&self, retries: u32) {
        self.earn(COST * retries);
    }
}
