//! Laws W and X: like V, but the places are open or closed. All close when a fresh
//! retry is refused or a retry in a place fails; the first opens again when the price of a
//! retry has been earned, each further one when ten times that has.

use std::cell::Cell;

use super::{COST, Postponing};

pub struct Growing {
    full: u32,
    /// How many places there are at most.
    places: u32,
    /// Whether what a sequence gets back opens places too.
    refunds_count: bool,
    tokens: Cell<u32>,
    /// The retries in a place.
    taken: Cell<u32>,
    /// What has been earned since the places were closed.
    earned: Cell<u32>,
}

impl Growing {
    /// Law W: n/3 places, open at first.
    pub fn w(retries: u32) -> Self {
        Self::new(retries, (retries / 3).max(1), true)
    }

    /// Law X: n places, opened by first tries alone.
    pub fn x(retries: u32) -> Self {
        Self::new(retries, retries, false)
    }

    fn new(retries: u32, places: u32, refunds_count: bool) -> Self {
        Self {
            full: COST * retries,
            places,
            refunds_count,
            tokens: Cell::new(COST * retries),
            taken: Cell::new(0),
            earned: Cell::new(u32::MAX),
        }
    }

    fn open(&self) -> u32 {
        match self.earned.get().checked_sub(COST) {
            None => 0,
            Some(more) => (1 + more / (10 * COST)).min(self.places),
        }
    }

    fn earn(&self, tokens: u32, opens: bool) {
        self.tokens.set((self.tokens.get() + tokens).min(self.full));
        if opens {
            self.earned.set(self.earned.get().saturating_add(tokens));
        }
    }
}

impl Postponing for Growing {
    fn send(&self, once_refused: bool) -> bool {
        let place = !once_refused || self.taken.get() < self.open();
        let sent = self.tokens.get() >= COST && place;
        if sent {
            self.tokens.set(self.tokens.get() - COST);
            self.taken.set(self.taken.get() + u32::from(once_refused));
        } else if !once_refused {
            self.earned.set(0);
        }
        sent
    }

    fn ended(&self, once_refused: bool, succeeded: bool) {
        self.taken.set(self.taken.get() - u32::from(once_refused));
        if once_refused && !succeeded {
            self.earned.set(0);
        }
    }

    fn credit(&self) {
        self.earn(1, true);
    }

    fn refund(&self, retries: u32) {
        self.earn(COST * retries, self.refunds_count);
    }
}
