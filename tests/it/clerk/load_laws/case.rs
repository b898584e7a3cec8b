//! What the API, the callers and the program do in a case.

use proptest::prelude::*;

/// What the API does for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Fine,
    Fails(u16, &'static str),
    /// A status with `Retry-After`.
    Throttles(u16, u64),
    Reject,
    Offline,
    Hang,
    /// Fine, after as many seconds.
    Slow(u64),
}

impl Mood {
    /// Whether a mint that fails so is repeated by the whole schedule.
    pub fn is_passing(self) -> bool {
        match self {
            Self::Fails(status, _) | Self::Throttles(status, _) => status == 429 || status >= 500,
            Self::Reject | Self::Hang => true,
            Self::Fine | Self::Offline | Self::Slow(_) => false,
        }
    }
}

/// Spans of moods; the last one is for ever.
pub type Moods = Vec<(u64, Mood)>;

#[derive(Clone, Copy, Debug)]
pub enum Act {
    Call {
        template: bool,
        organization: bool,
        force: bool,
        /// Goes away after as many milliseconds.
        leaves: Option<u64>,
    },
    Start,
    Stop,
    Trigger,
    WallClock(i64),
    SignOut,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub tokens: Moods,
    pub client: Moods,
    /// From then on there is no session.
    pub gone: Option<u64>,
    pub lifetime: u64,
    /// In milliseconds, in turn.
    pub latencies: Vec<u64>,
    pub shared: bool,
    /// How many refreshers share the store.
    pub refreshers: usize,
    /// Milliseconds since the act before, who, and what.
    pub acts: Vec<(u64, usize, Act)>,
}

impl Case {
    /// How far the wall clock is off, from act to act.
    pub fn wall_clock(&self) -> Vec<i64> {
        let acts = self.acts.iter().filter_map(|(_, _, act)| match act {
            Act::WallClock(off) => Some(*off),
            _ => None,
        });
        std::iter::once(0).chain(acts).collect()
    }

    pub fn moves_the_wall_clock(&self) -> bool {
        self.wall_clock().len() > 1
    }

    pub fn sets_the_wall_clock_back(&self) -> bool {
        !self.wall_clock().is_sorted()
    }
}

pub fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        4 => Just(Mood::Fine),
        1 => Just(Mood::Fails(401, "signed_out")),
        1 => prop_oneof![Just("user_banned"), Just("forbidden")].prop_map(|code| Mood::Fails(403, code)),
        1 => Just(Mood::Fails(404, "resource_not_found")),
        1 => prop_oneof![Just("missing_expired_token"), Just("invalid")].prop_map(|code| Mood::Fails(422, code)),
        1 => Just(Mood::Fails(429, "too_many_requests")),
        1 => (1..60u64).prop_map(|hint| Mood::Throttles(429, hint)),
        2 => Just(Mood::Fails(500, "internal_clerk_error")),
        1 => Just(Mood::Fails(502, "")),
        1 => (1..60u64).prop_map(|hint| Mood::Throttles(503, hint)),
        1 => Just(Mood::Reject),
        1 => Just(Mood::Offline),
        1 => Just(Mood::Hang),
        1 => (1..14u64).prop_map(Mood::Slow),
    ]
}

pub fn moods() -> impl Strategy<Value = Moods> {
    prop::collection::vec((1..120u64, mood()), 1..5)
}

pub fn call() -> impl Strategy<Value = Act> {
    let [template, organization, force] = [0.2, 0.2, 0.3].map(prop::bool::weighted);
    let leaves = prop::option::weighted(0.2, 0..5000u64);
    // A template's request tells of no organization: it has one key on the wire.
    (template, organization, force, leaves).prop_map(|(template, organization, force, leaves)| {
        Act::Call {
            template,
            organization: organization && !template,
            force,
            leaves,
        }
    })
}

pub fn order() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Start),
        2 => Just(Act::Stop),
        2 => Just(Act::Trigger),
        2 => (-200..200i64).prop_map(Act::WallClock),
        1 => Just(Act::SignOut),
    ]
}

/// Callers that come thick or now and then, for five minutes at most; half of the time
/// nobody gives an order.
pub fn acts() -> impl Strategy<Value = Vec<(u64, usize, Act)>> {
    let wait = prop_oneof![Just(1000u64), Just(5000), Just(20_000)];
    let orders = prop_oneof![Just(0), Just(1u32)];
    (wait, orders).prop_flat_map(|(wait, orders)| {
        let act = prop_oneof![4 => call().boxed(), orders => order().boxed()];
        prop::collection::vec((0..wait, 0..2usize, act), 0..60)
    })
}

pub fn case() -> impl Strategy<Value = Case> {
    (
        prop_oneof![2 => moods(), 1 => mood().prop_map(|mood| vec![(1, mood)])],
        prop_oneof![
            1 => Just(vec![(1, Mood::Fine)]),
            2 => moods().prop_map(|moods| [vec![(20, Mood::Fine)], moods].concat()),
            1 => moods(),
        ],
        prop::option::weighted(0.2, 0..300u64),
        prop_oneof![Just(60u64), Just(30), Just(10)],
        prop::collection::vec(prop_oneof![Just(0u64), 0..3000u64], 1..4),
        0..3usize,
        acts(),
    )
        .prop_map(
            |(tokens, client, gone, lifetime, latencies, sharing, acts)| Case {
                tokens,
                client,
                gone,
                lifetime,
                latencies,
                shared: sharing > 0,
                refreshers: sharing.max(1),
                acts,
            },
        )
}
