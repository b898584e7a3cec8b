//! How much retrying may be going on at once.

use core::{fmt, sync::atomic::Ordering::Relaxed};

use crate::sync::AtomicUsize;

/// What a retry costs, in tokens. A first-try success earns one.
const COST: usize = 10;

/// What is to be earned after a setback before the first place opens, and before each
/// further one.
const FIRST_PLACE: usize = COST;
const NEXT_PLACE: usize = 10 * COST;

/// The retries of the largest budget, and how many bits of the word its tokens and its
/// places take. The other bits count what has been earned since the last setback.
const LAYOUT: (u32, u32, u32) = match usize::BITS {
    64.. => (1 << 20, 24, 19),
    32 => (1 << 10, 14, 9),
    _ => (25, 8, 4),
};
const LARGEST: u32 = LAYOUT.0;
const TOKEN_BITS: u32 = LAYOUT.1;
const PLACE_BITS: u32 = LAYOUT.2;
/// All that has been earned counts as this much at most.
const MOST_EARNED: usize = usize::MAX >> (TOKEN_BITS + PLACE_BITS);

/// A budget of retries, shared by all sequences that call one server.
///
/// Backoff spreads retries out; it does not make them fewer. A budget does: it starts
/// with `retries` stored retries, every retry takes one when it is sent, and only
/// successes bring any back. A first attempt is never delayed or refused.
///
/// For every interleaving of sequences:
///
/// - in a total outage at most `retries` retries are sent, so the load on the server
///   tends to the load without retries;
/// - a sequence that succeeds gets back what all its retries cost, so retries that work
///   are never rationed for long;
/// - ten first-try successes earn one retry; the budget never holds more than
///   `retries`.
///
/// If the budget refuses a retry, its sequence waits again by the curve, and the refusal
/// uses up one of the policy's retries. A sequence ends with
/// [`GiveUp::Budget`](crate::GiveUp::Budget) if it is refused and its limits allow no
/// further wait, or if that wait would be zero.
///
/// A sequence that has been refused also needs a *place* for each of its later retries,
/// which it holds while the retry runs. There are `max(1, retries / 3)` of them. A setback
/// closes them all: the refusal of a retry to a sequence that was not refused before, or a
/// retry in a place that does not succeed. The first opens again when the price of one
/// retry has been earned since, each further one when ten times that has. So a short
/// outage is ridden out, and those who wait do not push a server that recovers back into
/// the overload.
///
/// # Cost
///
/// While the server is down an error takes as long as the waits of the policy;
/// [`fail_fast`](Self::fail_fast) gives up at the first refusal instead. A waiting
/// sequence keeps its last error. Give each attempt a time-out
/// ([`RetryBuilder::attempt_timeout`](crate::RetryBuilder::attempt_timeout)): an attempt
/// that hangs holds its place. Dropping a wait costs nothing; a retry that is dropped
/// while it runs frees its place and is not paid back.
///
/// # Choosing the number
///
/// Stored retries are all spent when an outage begins. Use 10 for one process and
/// server, 30 if the process sends more than 300 requests a second, 3 for many replicas
/// or for less than 10 requests a second, and give the policy 5 retries. Use one budget
/// for each server: one for several spends on the dead one what the healthy ones earn.
///
/// The budget is one atomic word: no clock, no floating point, no lock. A number above
/// 2²⁰ counts as 2²⁰; where pointers have 32 bits, a number above 2¹⁰ counts as 2¹⁰. The
/// type exists on targets with atomic compare-and-swap.
///
/// # Examples
///
/// ```
/// use afterbeat::{RetryBudget, RetryBuilder};
///
/// static ORDERS: RetryBudget = RetryBudget::new(10);
///
/// let policy = RetryBuilder::new().max_retries(5).budget(&ORDERS);
/// # let _ = policy;
/// assert_eq!(ORDERS.available(), 10);
/// ```
pub struct RetryBudget {
    state: AtomicUsize,
    retries: u32,
    fail_fast: bool,
}

/// What the word says.
#[derive(Clone, Copy, PartialEq)]
struct State {
    tokens: usize,
    /// The places that are taken.
    taken: usize,
    /// What has been earned since the last setback.
    earned: usize,
}

impl State {
    const fn pack(self) -> usize {
        (self.earned << PLACE_BITS | self.taken) << TOKEN_BITS | self.tokens
    }

    const fn unpack(word: usize) -> Self {
        Self {
            tokens: word & !(usize::MAX << TOKEN_BITS),
            taken: word >> TOKEN_BITS & !(usize::MAX << PLACE_BITS),
            earned: word >> (TOKEN_BITS + PLACE_BITS),
        }
    }
}

impl RetryBudget {
    /// Returns a full budget that stores `retries` retries.
    ///
    /// # Examples
    ///
    /// One budget for each server, made when the server is first called:
    ///
    /// ```
    /// use std::{collections::HashMap, sync::{Arc, Mutex}};
    /// use afterbeat::RetryBudget;
    ///
    /// #[derive(Default)]
    /// struct Budgets(Mutex<HashMap<String, Arc<RetryBudget>>>);
    ///
    /// impl Budgets {
    ///     fn of(&self, host: &str) -> Arc<RetryBudget> {
    ///         let mut budgets = self.0.lock().unwrap();
    ///         let new = || Arc::new(RetryBudget::new(10));
    ///         Arc::clone(budgets.entry(host.to_owned()).or_insert_with(new))
    ///     }
    /// }
    ///
    /// let budgets = Budgets::default();
    /// assert!(Arc::ptr_eq(&budgets.of("a.example"), &budgets.of("a.example")));
    /// ```
    #[must_use]
    #[cfg(not(afterbeat_loom))]
    pub const fn new(retries: u32) -> Self {
        let retries = if retries > LARGEST { LARGEST } else { retries };
        let full = State {
            tokens: retries as usize * COST,
            taken: 0,
            earned: enough(places(retries)),
        };
        Self {
            state: AtomicUsize::new(full.pack()),
            retries,
            fail_fast: false,
        }
    }

    /// Returns a full budget; loom's atomics are not const.
    #[must_use]
    #[cfg(afterbeat_loom)]
    pub fn new(retries: u32) -> Self {
        let retries = if retries > LARGEST { LARGEST } else { retries };
        let full = State {
            tokens: retries as usize * COST,
            taken: 0,
            earned: enough(places(retries)),
        };
        Self {
            state: AtomicUsize::new(full.pack()),
            retries,
            fail_fast: false,
        }
    }

    /// Ends a sequence at its first refusal instead of letting it wait again.
    ///
    /// A failure that the budget cannot pay a retry for is returned immediately, without
    /// a wait. Use it if the caller would rather have the error now: because a person
    /// waits for it, or because it holds something scarce while it waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use afterbeat::{Clock, ManualTimer, RetryBudget, RetryBuilder};
    ///
    /// let timer = ManualTimer::new();
    /// let budget = RetryBudget::new(0).fail_fast();
    /// let policy = RetryBuilder::with_timer(&timer).budget(&budget);
    /// assert_eq!(timer.run(policy.retry(|| async { Err::<(), _>("down") })), Err("down"));
    /// assert_eq!(timer.now(), Duration::ZERO);
    /// ```
    #[must_use]
    pub const fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    /// Returns how many retries the budget could pay for now.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{ManualTimer, RetryBudget, RetryBuilder};
    ///
    /// let (timer, budget) = (ManualTimer::new(), RetryBudget::new(10));
    /// let policy = RetryBuilder::with_timer(&timer).max_retries(3).budget(&budget);
    /// let _ = timer.run(policy.retry(|| async { Err::<(), _>("down") }));
    /// assert_eq!(budget.available(), 7);
    /// ```
    #[must_use]
    pub fn available(&self) -> u32 {
        let state = State::unpack(self.state.load(Relaxed));
        // At most `LARGEST`.
        (state.tokens / COST) as u32
    }

    /// Reports a success that the sequences cannot see, and earns what a first-try
    /// success earns.
    ///
    /// An error that is final ends its sequence and earns nothing, even if the server is
    /// well: a lookup service that answers 404 most of the time would never fill its
    /// budget again. Call this if such an answer shows that the server is healthy.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::{RetryBudget, RetryBuilder};
    ///
    /// static BUDGET: RetryBudget = RetryBudget::new(10);
    ///
    /// let policy = RetryBuilder::new().budget(&BUDGET).should_retry(|status: &u16, _| {
    ///     if *status == 404 {
    ///         BUDGET.credit();
    ///     }
    ///     *status >= 500
    /// });
    /// # let _ = policy;
    /// ```
    pub fn credit(&self) {
        self.earn(1, false);
    }

    /// Takes the price of a retry, and a place if the sequence has been refused before:
    /// all or nothing.
    pub(crate) fn withdraw(&self, needs_place: bool) -> bool {
        let mut paid = false;
        self.change(|state| {
            let open = open(state.earned, places(self.retries));
            paid = state.tokens >= COST && !(needs_place && state.taken >= open);
            if paid {
                state.tokens -= COST;
                state.taken += usize::from(needs_place);
            } else if !needs_place {
                state.earned = 0;
            }
        });
        paid
    }

    /// Pays back what retries cost that have succeeded in the end, and frees the place.
    pub(crate) fn refund(&self, retries: u32, place: bool) {
        self.earn((retries as usize).saturating_mul(COST), place);
    }

    /// Frees the place of a retry that has not succeeded.
    pub(crate) fn leave(&self) {
        self.change(|state| {
            state.taken -= 1;
            state.earned = 0;
        });
    }

    /// Whether a retry would be refused now, and its sequence would end by that.
    pub(crate) fn turns_away(&self) -> bool {
        self.fail_fast && self.available() == 0
    }

    /// Whether a refusal ends a sequence.
    pub(crate) const fn is_fail_fast(&self) -> bool {
        self.fail_fast
    }

    fn earn(&self, tokens: usize, place: bool) {
        let (full, enough) = (self.retries as usize * COST, enough(places(self.retries)));
        self.change(|state| {
            state.tokens = state.tokens.saturating_add(tokens).min(full);
            state.earned = state.earned.saturating_add(tokens).min(enough);
            state.taken -= usize::from(place);
        });
    }

    fn change(&self, mut change: impl FnMut(&mut State)) {
        let update = |word: usize| {
            let before = State::unpack(word);
            let mut after = before;
            change(&mut after);
            // What stays is not written, so that health costs no contention.
            (after != before).then(|| after.pack())
        };
        // Relaxed: the word guards no other memory. An error is a word that stays.
        let _ = self.state.fetch_update(Relaxed, Relaxed, update);
    }
}

/// The places of a budget, for retries of sequences that have been refused.
const fn places(retries: u32) -> usize {
    let places = retries as usize / 3;
    if places == 0 { 1 } else { places }
}

/// How many of the places are open after so much has been earned since a setback, which
/// is [`enough`] at most.
const fn open(earned: usize, places: usize) -> usize {
    if earned < FIRST_PLACE {
        return 0;
    }
    if earned == MOST_EARNED {
        return places;
    }
    1 + (earned - FIRST_PLACE) / NEXT_PLACE
}

/// How much opens all places.
const fn enough(places: usize) -> usize {
    let enough = FIRST_PLACE + (places - 1) * NEXT_PLACE;
    if enough > MOST_EARNED {
        MOST_EARNED
    } else {
        enough
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("available", &self.available())
            .field("retries", &self.retries)
            .field("fail_fast", &self.fail_fast)
            .finish_non_exhaustive()
    }
}
