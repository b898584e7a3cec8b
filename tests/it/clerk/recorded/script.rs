//! What happens in a run, generated from its family and its number alone.

use super::super::crowd::Dice;

/// What the API does for a while.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    Fine,
    Fails(u16, &'static str),
    /// A status with `Retry-After`.
    Throttles(u16, u64),
    Reject,
    Hang,
}

/// Moods, each until an instant in milliseconds; then it is fine.
pub type Moods = Vec<(u64, Mood)>;

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    Own,
    Forced,
    Template,
    Organization,
    Personal,
}

#[derive(Clone, Copy, Debug)]
pub enum Act {
    Ask {
        wanted: Wanted,
        /// Goes away after as many milliseconds.
        leaves: Option<u64>,
    },
    /// Tells the poller to look.
    Look,
    Pause,
    Resume,
    Organization(Option<&'static str>),
    SignOut,
    /// The machine sleeps for as many seconds.
    Sleep(u64),
}

/// One process: its acts by their instants in milliseconds, how long it lives, and whether
/// it is shut down then or just dropped.
#[derive(Clone, Debug)]
pub struct Life {
    pub acts: Vec<(u64, Act)>,
    pub lasts: u64,
    pub shut_down: bool,
    /// Before the next.
    pub pause: u64,
}

#[expect(clippy::struct_excessive_bools, reason = "a script is plain")]
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub tokens: Moods,
    pub client: Moods,
    /// In milliseconds, in turn.
    pub latencies: Vec<u64>,
    /// How long tokens live, in seconds.
    pub lifetime: u64,
    /// From this millisecond on there is no session.
    pub gone: Option<u64>,
    /// Whether each good answer rotates the client token.
    pub rotates: bool,
    /// Whether a client tells of its session's token.
    pub client_tells: bool,
    /// Whether the refresher has the ways of clerk-js 5.59.0.
    pub seed_ways: bool,
    /// Whether the program gives the last token of an earlier run.
    pub last_token: bool,
    pub store: bool,
    pub lives: Vec<Life>,
}

/// How many runs each family has.
pub const RUNS: u64 = 25;

/// A family leaves out what the others are about.
pub const FAMILIES: [(&str, fn(&mut Dice) -> Script); 9] = [
    ("plain", plain),
    ("seed", seed),
    ("starts", starts),
    ("orders", orders),
    ("pauses", pauses),
    ("gates", gates),
    ("sleeps", sleeps),
    ("outages", outages),
    ("lives", lives),
];

/// Passes before a sequence has made all its attempts, and leaves the session as it was.
const PASSING: [Mood; 7] = [
    Mood::Fails(500, "internal_clerk_error"),
    Mood::Fails(502, ""),
    Mood::Fails(429, "too_many_requests"),
    Mood::Fails(409, "resource_locked"),
    Mood::Fails(401, "signed_out"),
    Mood::Reject,
    Mood::Hang,
];

/// Lasts as long as a sequence and more, is final for a mint, or makes the session doubtful.
const LASTING: [Mood; 8] = [
    Mood::Fails(500, "internal_clerk_error"),
    Mood::Reject,
    Mood::Fails(401, "signed_out"),
    Mood::Fails(403, "authorization_invalid"),
    Mood::Fails(403, "user_banned"),
    Mood::Fails(404, "resource_not_found"),
    Mood::Fails(422, "missing_expired_token"),
    Mood::Fails(400, "client_not_found"),
];

fn one_of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[dice.below(all.len() as u64) as usize]
}

/// An instant or a span in milliseconds, between two in seconds.
fn between(dice: &mut Dice, from: u64, to: u64) -> u64 {
    from * 1000 + dice.below((to - from) * 1000)
}

/// Spans of good health with one of `troubles` between them, each as long as `lasts`.
fn moods(dice: &mut Dice, troubles: &[Mood], lasts: (u64, u64), until: u64) -> Moods {
    let (mut moods, mut at) = (Vec::new(), 0);
    while at < until * 1000 {
        at += between(dice, 10, 90);
        moods.push((at, Mood::Fine));
        at += between(dice, lasts.0, lasts.1);
        moods.push((at, one_of(dice, troubles)));
    }
    moods
}

/// Calls of all kinds, by their instants.
fn calls(dice: &mut Dice, number: u64, until: u64) -> Vec<(u64, Act)> {
    let call = |dice: &mut Dice| {
        let wanted = match dice.below(20) {
            0 | 1 => Wanted::Forced,
            2..5 => Wanted::Template,
            5 | 6 => Wanted::Organization,
            7 => Wanted::Personal,
            _ => Wanted::Own,
        };
        let leaves = (dice.below(7) == 0).then(|| dice.below(5000));
        Act::Ask { wanted, leaves }
    };
    (0..number)
        .map(|_| (between(dice, 0, until), call(dice)))
        .collect()
}

fn life(acts: Vec<(u64, Act)>, lasts: u64) -> Life {
    let (shut_down, pause) = (false, 0);
    Life {
        acts,
        lasts,
        shut_down,
        pause,
    }
}

/// An API that is ill now and then, and callers.
fn plain(dice: &mut Dice) -> Script {
    let latencies = (0..=dice.below(3)).map(|_| one_of(dice, &[0, 137, 1003]));
    let latencies = latencies.collect();
    let acts = calls(dice, 12, 250);
    Script {
        tokens: moods(dice, &PASSING, (5, 60), 250),
        latencies,
        lifetime: one_of(dice, &[60, 60, 60, 30]),
        client_tells: true,
        lives: vec![life(acts, 260)],
        ..Script::default()
    }
}

/// The same, without refresh ahead and without limits.
fn seed(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    // A request without a limit must end by itself.
    for (_, mood) in &mut script.tokens {
        if matches!(mood, Mood::Hang) {
            *mood = Mood::Reject;
        }
    }
    script.seed_ways = true;
    script
}

/// A start-up whose first question is not answered, or late.
fn starts(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    script.last_token = dice.below(3) > 0;
    script.client_tells = dice.below(2) == 0;
    let down = [
        Mood::Fails(500, "internal_clerk_error"),
        Mood::Fails(502, ""),
        Mood::Hang,
        Mood::Fails(400, "client_not_found"),
    ];
    script.client = vec![(between(dice, 3, 90), one_of(dice, &down))];
    if dice.below(2) == 0 {
        let mood = one_of(dice, &PASSING[..4]);
        script.tokens.insert(0, (between(dice, 3, 60), mood));
    } else if dice.below(4) == 0 {
        script.latencies = vec![8000];
    }
    script
}

/// Orders to look, another organization, and a sign-out.
fn orders(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    let acts = &mut script.lives[0].acts;
    for _ in 0..3 {
        acts.push((between(dice, 0, 240), Act::Look));
        let organization = one_of(dice, &[Some("org_1"), Some("org_2"), None]);
        acts.push((between(dice, 0, 240), Act::Organization(organization)));
    }
    if dice.below(2) == 0 {
        acts.push((between(dice, 100, 250), Act::SignOut));
    }
    script
}

/// A poller that is stopped and started.
fn pauses(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    for _ in 0..=dice.below(3) {
        let at = between(dice, 0, 200);
        let again = at + between(dice, 0, 80);
        let acts = &mut script.lives[0].acts;
        acts.extend([(at, Act::Pause), (again, Act::Resume)]);
    }
    script
}

/// A server that asks for no request for a while.
fn gates(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    let hints = [1, 5, 20, 60, 600, 4000];
    let throttles = [429, 503].map(|status| Mood::Throttles(status, one_of(dice, &hints)));
    script.tokens = moods(dice, &throttles, (10, 50), 250);
    script
}

/// A machine that sleeps.
fn sleeps(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    for _ in 0..=dice.below(3) {
        let lasts = one_of(dice, &[5, 40, 70, 600, 30_000]);
        let act = (between(dice, 1, 240), Act::Sleep(lasts));
        script.lives[0].acts.push(act);
    }
    script
}

/// An API that is ill for longer than a sequence, that refuses, or whose session ends.
fn outages(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    script.tokens = moods(dice, &LASTING, (60, 300), 500);
    script.client_tells = dice.below(2) == 0;
    let down = [
        Mood::Fine,
        Mood::Fine,
        Mood::Fails(500, "internal_clerk_error"),
        Mood::Fails(403, "authorization_invalid"),
        Mood::Hang,
    ];
    script.client = vec![(4000, Mood::Fine)];
    script.client.extend(moods(dice, &down, (30, 200), 500));
    script.client.sort_by_key(|(until, _)| *until);
    let ends = (between(dice, 50, 450), dice.below(8));
    match ends {
        (at, 0 | 1) => script.gone = Some(at),
        (at, 2) => {
            let refuses = (at + 50_000, Mood::Fails(400, "native_api_disabled"));
            script.tokens.retain(|(until, _)| *until < at);
            script.tokens.extend([(at, Mood::Fine), refuses]);
        }
        (at, 3) => {
            let denies = (600_000, Mood::Fails(401, "signed_out"));
            script.client.retain(|(until, _)| *until < at);
            script.client.extend([(at, Mood::Fine), denies]);
        }
        _ => {}
    }
    let acts = calls(dice, 14, 500);
    script.lives = vec![life(acts, 520)];
    script
}

/// Processes one after another, with one store, before an API that rotates.
fn lives(dice: &mut Dice) -> Script {
    let mut script = plain(dice);
    (script.store, script.rotates) = (true, true);
    script.client_tells = dice.below(2) == 0;
    let mut begins = 0;
    script.lives.clear();
    for n in 0..3 {
        let lasts = 20 + dice.below(80);
        let mut acts = calls(dice, 5, lasts);
        if n == 1 && dice.below(3) == 0 {
            acts.push((between(dice, 5, lasts), Act::SignOut));
        }
        if n == 2 && dice.below(2) == 0 {
            let mood = Mood::Fails(500, "internal_clerk_error");
            script.client = vec![(begins, Mood::Fine), (begins + 30_000, mood)];
        }
        let pause = dice.below(2) * dice.below(90);
        let shut_down = dice.below(2) == 0;
        let life = Life {
            acts,
            lasts,
            shut_down,
            pause,
        };
        script.lives.push(life);
        begins += (lasts + pause) * 1000;
    }
    script
}
