//! What a refresher knows: one lock, never held across an await; no waker and no
//! observer is called under it.

use core::{future::Future, mem, pin::Pin, pin::pin, time::Duration};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicUsize},
    time::SystemTime,
};

use futures::{
    channel::mpsc::UnboundedSender,
    future::{Either, Shared, select},
    lock,
};

use super::{
    api::{FrontendApi, Session},
    error::{Cause, Refusal, TokenError},
    event::{Counters, RefresherEvent, RefresherStatus},
    request::{Key, TokenRequest},
    saved::{Saved, SavedGate, SavedToken},
    settings::Settings,
    store::TokenStore,
    token::{ClientToken, SessionToken},
};
use crate::{poller::PollerRemote, timer::Timer, watch::Watchers};

/// Without refresh ahead a cached token is served while this much of its life is left,
/// in whole seconds: clerk-js's 10 s of leeway and 5 s until its next poll.
const LEEWAY: u64 = 10 + 5;

/// With it, a token is refreshed when this much is left, and the old one is served
/// until more than [`CUTOFF`] is: the figures of clerk-js 6.
const AHEAD: Duration = Duration::from_secs(15 + 2);

/// See [`AHEAD`].
const CUTOFF: u64 = 5;

/// How much more than the timer the wall clock must say that it counts: less is the
/// two clocks' own difference.
const SUSPENDED: Duration = Duration::from_secs(1);

/// The longest that a `Retry-After` gates.
const MAX_GATE: Duration = Duration::from_secs(24 * 3600);

pub(super) type Task<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// How work ended: a mint with a token, other work without.
pub(super) type Ended = Result<Option<SessionToken>, TokenError>;

/// The end of work, for all who wait for it. Only the driver polls the work itself,
/// so that no caller's runtime or death can touch it.
pub(super) type Flight = Shared<Task<Ended>>;

/// What is done once for all who want it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Load,
    Mint(Key),
    Verify,
}

/// For whom work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Shares what is in flight, and what has just failed.
    Caller,
    /// Has waited for its turn: shares what is in flight.
    Poller,
}

/// What told of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The last token, in an outage: the client is still to be asked.
    LastToken,
    Client,
}

/// Work in flight, or work that has ended.
pub(super) struct InFlight<I> {
    pub(super) flight: Flight,
    /// When it ended, and whether well.
    pub(super) ended: Option<(I, bool)>,
    /// The last retry, and what failed before it.
    pub(super) failing: Option<(u32, Arc<Cause>)>,
}

/// An instant, by the monotonic clock, and by the one that goes on while the machine
/// sleeps.
#[derive(Clone, Copy)]
pub(super) struct Moment<I> {
    at: I,
    wall: SystemTime,
}

/// A token, how old it was at an instant, and that instant.
#[derive(Clone)]
struct Cached<I> {
    token: SessionToken,
    age: Duration,
    since: Moment<I>,
}

/// What a cached token is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// To be served, and to be refreshed.
    Due,
    /// Valid, but too near its end to be given away unless there is nothing better.
    Late,
}

/// A refresher but for its poller's owner.
pub(super) struct Core<T: Timer, X> {
    pub(super) api: FrontendApi,
    pub(super) transport: X,
    pub(super) timer: T,
    pub(super) settings: Settings,
    pub(super) store: Option<Box<dyn TokenStore>>,
    /// One request at a time: each may rotate the client token.
    pub(super) turn: lock::Mutex<()>,
    pub(super) poller: OnceLock<PollerRemote>,
    /// The work that the driver does, and that there is something to tell the observer.
    pub(super) work: UnboundedSender<Task<()>>,
    pub(super) events: UnboundedSender<()>,
    pub(super) state: Mutex<State<T::Instant>>,
    /// Calls that found the active token fresh; the other counters are in the state.
    pub(super) served: AtomicUsize,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is true or not whatever the others are"
)]
pub(super) struct State<I> {
    pub(super) client_token: Option<ClientToken>,
    /// The client token that the store is known to hold.
    pub(super) stored: Option<ClientToken>,
    /// The gate that it is known to hold.
    pub(super) stored_gate: Option<SavedGate>,
    /// The session that is asked for, and by whose word it is known to be there.
    pub(super) session: Option<String>,
    pub(super) known: Option<Source>,
    pub(super) organization: Option<String>,
    /// Whether the program has chosen that: no client's word changes it then.
    pub(super) chosen: bool,
    pub(super) status: RefresherStatus,
    /// Whether the poller looks at this moment: it then waits no longer than it should.
    pub(super) looking: bool,
    /// No request is begun any more, and no status will follow.
    pub(super) closed: bool,
    /// The program has signed the user out, and the store has yet to hear of it.
    pub(super) to_forget: bool,
    /// The session's own last token, though it may have expired: it tells who is to be
    /// refreshed, and is never handed out.
    pub(super) last: Option<SessionToken>,
    /// What the store told of the session before that was known: to be written back
    /// where nothing better is known.
    found: Option<SavedToken>,
    tokens: HashMap<Key, Cached<I>>,
    /// That of the active session, once more: it is asked for all the time.
    active: Option<Cached<I>>,
    /// What the issuer's clock read at an instant: when a token was asked for that
    /// was new.
    issuer: Option<(u64, Moment<I>)>,
    /// No request before this long after that instant.
    gate: Option<(I, Duration)>,
    pub(super) flights: HashMap<Work, InFlight<I>>,
    /// How many start-ups have failed in a row.
    pub(super) failed_loads: u32,
    pub(super) counters: Counters,
    pub(super) watchers: Watchers,
    /// To be told by the driver, in this order.
    pub(super) events: Vec<RefresherEvent>,
}

impl<I> State<I> {
    pub(super) fn new(
        client_token: Option<ClientToken>,
        session: Option<String>,
        last: Option<SessionToken>,
    ) -> Self {
        Self {
            client_token,
            stored: None,
            stored_gate: None,
            session,
            known: None,
            organization: None,
            chosen: false,
            status: RefresherStatus::Loading,
            looking: false,
            closed: false,
            to_forget: false,
            last,
            found: None,
            tokens: HashMap::new(),
            active: None,
            issuer: None,
            gate: None,
            flights: HashMap::new(),
            failed_loads: 0,
            counters: Counters::default(),
            watchers: Watchers::default(),
            events: Vec::new(),
        }
    }

    /// Which token a request is for; none where the session is not known.
    pub(super) fn key(&self, request: &TokenRequest) -> Option<Key> {
        let organization = request.organization.as_ref().or(self.organization.as_ref());
        Some(Key {
            session: self.session.clone().filter(|_| self.known.is_some())?,
            template: request.template.clone(),
            // A template's token is the session's, whatever the organization.
            organization: organization.filter(|_| request.template.is_none()).cloned(),
        })
    }

    /// Whether a session is the one that is asked for, as far as that is known.
    pub(super) fn may_be(&self, session: &str) -> bool {
        self.session.as_deref().is_none_or(|id| id == session)
    }

    /// Whether the token is the one that the poller keeps fresh.
    pub(super) fn is_active(&self, key: &Key) -> bool {
        key.template.is_none()
            && self.session.as_ref() == Some(&key.session)
            && key.organization == self.organization
    }

    /// Why nothing is sent any more.
    pub(super) fn over(&self) -> Option<TokenError> {
        match &self.status {
            RefresherStatus::SignedOut(why) => Some(TokenError::SignedOut(why.clone())),
            RefresherStatus::Refused(why) => Some(TokenError::Refused(why.clone())),
            _ => None,
        }
    }

    /// Whether nothing is sent any more, also because the program ends.
    pub(super) fn is_over(&self) -> bool {
        self.closed || self.over().is_some()
    }

    /// Changes the status, unless it is a final one.
    pub(super) fn set_status(&mut self, status: RefresherStatus) {
        if self.status != status && self.over().is_none() {
            self.status = status.clone();
            self.tell(RefresherEvent::Status(status));
        }
    }

    pub(super) fn tell(&mut self, event: RefresherEvent) {
        self.events.push(event);
    }

    pub(super) fn set_client_token(&mut self, token: Option<ClientToken>) {
        if self.client_token != token {
            self.client_token.clone_from(&token);
            self.tell(RefresherEvent::ClientToken(token));
        }
    }

    /// Notes a retry to come.
    pub(super) fn failing(&mut self, work: &Work, retry: u32, cause: &Cause, wait: Duration) {
        let cause = Arc::new(cause.clone());
        if let Some(flight) = self.flights.get_mut(work) {
            flight.failing = Some((retry, Arc::clone(&cause)));
        }
        self.counters.retries += 1;
        self.tell(RefresherEvent::Retrying { cause, retry, wait });
    }

    /// The last retry of work in flight, and what failed before it.
    pub(super) fn failure(&self, work: &Work) -> Option<(u32, Arc<Cause>)> {
        let flight = self.flights.get(work)?;
        flight.failing.clone().filter(|_| flight.ended.is_none())
    }
}

impl<T: Timer, X> Core<T, X> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T::Instant>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then tells of the change.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State<T::Instant>) -> R) -> R {
        let mut state = self.lock();
        let before = state.events.len();
        let result = change(&mut state);
        let told = state.events.len() > before;
        let watchers = if told || state.closed {
            state.watchers.take()
        } else {
            Vec::new()
        };
        drop(state);
        if told {
            // Refused where the driver has ended.
            let _ = self.events.unbounded_send(());
        }
        for (_, watcher) in watchers {
            watcher.wake();
        }
        result
    }

    pub(super) fn now(&self) -> Moment<T::Instant> {
        Moment {
            at: self.timer.now(),
            wall: (self.settings.wall_clock)(),
        }
    }

    /// The time since a moment: by the wall clock only where it says more, so that a
    /// suspension counts, and a wall clock that is wrong does not.
    pub(super) fn since(&self, moment: Moment<T::Instant>) -> Duration {
        let awake = self.timer.elapsed(moment.at);
        let wall = (self.settings.wall_clock)().duration_since(moment.wall);
        let wall = wall.unwrap_or_default();
        if wall > awake.saturating_add(SUSPENDED) {
            wall
        } else {
            awake
        }
    }

    fn age(&self, cached: &Cached<T::Instant>) -> Duration {
        cached.age.saturating_add(self.since(cached.since))
    }

    fn is_alive(&self, cached: &Cached<T::Instant>) -> bool {
        self.age(cached) < cached.token.claims().lifetime()
    }

    /// The cached token, unless it has expired.
    pub(super) fn cached(
        &self,
        state: &State<T::Instant>,
        key: &Key,
    ) -> Option<(SessionToken, Freshness)> {
        let cached = state.tokens.get(key)?;
        let (age, freshness) = self.judged(cached)?;
        Some((cached.token.aged(age), freshness))
    }

    /// The active session's own token, if it is fresh. The clocks are read without the
    /// lock, which every caller wants.
    pub(super) fn fresh_active(&self) -> Option<SessionToken> {
        let active = self.lock().active.clone()?;
        match self.judged(&active)? {
            (age, Freshness::Fresh) => Some(active.token.into_aged(age)),
            _ => None,
        }
    }

    /// How old a token is, and what it is good for; none where it has expired.
    fn judged(&self, cached: &Cached<T::Instant>) -> Option<(Duration, Freshness)> {
        let (age, life) = (self.age(cached), cached.token.claims().lifetime());
        let left = life.as_secs().checked_sub(age.as_secs())?;
        let due = life.checked_sub(AHEAD).is_some_and(|due| age >= due);
        let freshness = match self.settings.refresh_ahead {
            true if left <= CUTOFF => Freshness::Late,
            true if due && life > AHEAD => Freshness::Due,
            false if left < LEEWAY => Freshness::Late,
            _ => Freshness::Fresh,
        };
        (left > 0).then_some((age, freshness))
    }

    /// To be called when the active session, organization or token has changed.
    pub(super) fn find_active(&self, state: &mut State<T::Instant>) {
        let key = state.key(&TokenRequest::new());
        let active = key.and_then(|key| state.tokens.get(&key).cloned());
        let before = mem::replace(&mut state.active, active.clone());
        let Some(active) = active.filter(|active| self.is_alive(active)) else {
            return;
        };
        if before.is_none_or(|before| before.token.expose() != active.token.expose()) {
            let token = active.token.aged(self.age(&active));
            state.tell(RefresherEvent::Token(token));
        }
    }

    /// How long the poller may wait before the active token is due.
    pub(super) fn due_in(&self, state: &State<T::Instant>) -> Option<Duration> {
        let cached = state.active.as_ref()?;
        let fresh = cached.token.claims().lifetime().checked_sub(AHEAD)?;
        let left = fresh.checked_sub(self.age(cached))?;
        (self.settings.refresh_ahead && !left.is_zero()).then_some(left)
    }

    /// How long ago a token was issued, by what is known of the issuer's clock.
    fn issued_ago(&self, state: &State<T::Instant>, token: &SessionToken) -> Option<Duration> {
        let (read, at) = state.issuer?;
        let reads = Duration::from_secs(read).saturating_add(self.since(at));
        Some(reads.saturating_sub(Duration::from_secs(token.issued_at())))
    }

    /// Caches a token that was asked for at an instant and came with a client, or was
    /// minted then. Where that brought a staler token the cached one is kept. Returns
    /// the token; none where its session has ended meanwhile.
    pub(super) fn keep(
        &self,
        state: &mut State<T::Instant>,
        key: &Key,
        token: &SessionToken,
        since: Moment<T::Instant>,
        minted: bool,
    ) -> Option<SessionToken> {
        if state.session.as_ref() != Some(&key.session) {
            return None;
        }
        // The very same, from some cache on the way, is no younger than it was.
        let same = |kept: &&Cached<_>| kept.token.expose() == token.expose();
        if let Some(kept) = state.tokens.get(key).filter(same) {
            return Some(kept.token.aged(self.age(kept)));
        }
        let age = match self.issued_ago(state, token) {
            Some(ago) if !minted => ago.saturating_sub(self.since(since)),
            _ => {
                state.issuer = Some((token.issued_at(), since));
                Duration::ZERO
            }
        };
        self.keep_aged(state, key, token, age, since);
        Some(token.aged(age.saturating_add(self.since(since))))
    }

    /// Caches a token of that age, unless the cached one is fresher; one that is to be
    /// refreshed keeps none out that is not, or each call would mint another.
    fn keep_aged(
        &self,
        state: &mut State<T::Instant>,
        key: &Key,
        token: &SessionToken,
        age: Duration,
        since: Moment<T::Instant>,
    ) {
        let token = token.clone();
        let cached = Cached { token, age, since };
        let token = &cached.token;
        let kept = state.tokens.get(key);
        let good = |of: &Cached<_>| matches!(self.judged(of), Some((_, Freshness::Fresh)));
        let in_its_way = |kept: &Cached<_>| good(kept) || !good(&cached);
        if kept.is_some_and(|kept| in_its_way(kept) && !token.is_fresher_than(&kept.token)) {
            return;
        }
        if state.is_active(key) {
            state.last = Some(token.clone());
        }
        state.tokens.retain(|_, cached| self.is_alive(cached));
        state.tokens.insert(key.clone(), cached);
        self.find_active(state);
    }

    /// Makes a session the active one; its token, if one is given with the instant at
    /// which it was asked for, is cached.
    pub(super) fn adopt(
        &self,
        state: &mut State<T::Instant>,
        session: Session,
        sent: Option<Moment<T::Instant>>,
    ) {
        state.session = Some(session.id.clone());
        state.known = Some(sent.map_or(Source::LastToken, |_| Source::Client));
        if !state.chosen {
            state.organization.clone_from(&session.organization);
        }
        let key = Key {
            session: session.id,
            template: None,
            organization: session.organization,
        };
        self.find_active(state);
        if let Some((token, sent)) = session.token.zip(sent) {
            self.keep(state, &key, &token, sent, false);
        }
    }

    /// What is to be stored: all that another process, or the next one, must know.
    pub(super) fn saved(&self, state: &State<T::Instant>) -> Saved {
        let now = (self.settings.wall_clock)();
        let key = state.key(&TokenRequest::new());
        let cached = key.and_then(|key| Some((state.tokens.get(&key)?, key.organization)));
        let known = cached.and_then(|(cached, organization)| {
            Some(SavedToken {
                token: cached.token.clone(),
                organization,
                minted_at: now.checked_sub(self.age(cached))?,
            })
        });
        let found = state.found.as_ref();
        let found = found.filter(|found| state.may_be(found.token.claims().session_id()));
        Saved {
            client_token: state.client_token.clone(),
            token: known.or_else(|| found.cloned()),
            gate: self.gated(state).and_then(|left| SavedGate::new(now, left)),
        }
    }

    /// Takes in what another process has stored, or an earlier one.
    pub(super) fn take_in_saved(&self, state: &mut State<T::Instant>, saved: Saved) {
        let now = self.now();
        let forgotten = state.over().is_some() && state.client_token.is_none();
        if saved.client_token.is_some() && saved.client_token != state.stored && !forgotten {
            state.stored.clone_from(&saved.client_token);
            state.set_client_token(saved.client_token);
        }
        // Once: what is known by the timer is not judged anew by the wall clock.
        if saved.gate != state.stored_gate {
            state.stored_gate = saved.gate;
            if let Some(gate) = saved.gate {
                self.gate(state, gate.left(now.wall));
            }
        }
        let Some(found) = saved.token.filter(|_| state.over().is_none()) else {
            return;
        };
        if state.known.is_none() && state.may_be(found.token.claims().session_id()) {
            state.last.get_or_insert_with(|| found.token.clone());
            state.found = Some(found.clone());
        }
        let SavedToken {
            token,
            organization,
            minted_at,
        } = found;
        let key = Key {
            session: token.claims().session_id().to_owned(),
            template: None,
            organization,
        };
        let same = |kept: &Cached<_>| kept.token.expose() == token.expose();
        // Of the future by this machine's own clock: not to be judged.
        let Ok(age) = now.wall.duration_since(minted_at) else {
            return;
        };
        // The wall clock may have been set back since: the issuer's tells, to a second.
        let age = match self.issued_ago(state, &token) {
            Some(ago) if ago > age.saturating_add(2 * SUSPENDED) => ago,
            _ => age,
        };
        let ours = state.session.as_ref() == Some(&key.session) && state.known.is_some();
        let alive = age < token.claims().lifetime();
        if ours && alive && !state.tokens.get(&key).is_some_and(same) {
            self.keep_aged(state, &key, &token, age, now);
        }
    }

    /// Ends all work: nothing is kept, nothing more is sent; no client token either, where
    /// that is of no use any more.
    pub(super) fn end(&self, status: RefresherStatus, for_good: bool) -> TokenError {
        let error = self.change(|state| {
            if for_good {
                state.client_token = None;
                state.to_forget = true;
            }
            if state.over().is_none() {
                state.set_status(status);
                (state.session, state.known, state.last) = (None, None, None);
                state.found = None;
                state.tokens.clear();
                state.active = None;
            }
            state.over()
        });
        self.poller().stop();
        error.unwrap_or(TokenError::Ended)
    }

    pub(super) fn sign_out(&self, why: Refusal) -> TokenError {
        // A client token that `GET /v1/client` refuses is dead: a store that kept it would
        // sign the user out again after the next sign-in.
        let dead = why.status == Some(401);
        self.end(RefresherStatus::SignedOut(why), dead)
    }

    pub(super) fn poller(&self) -> &PollerRemote {
        self.poller.get().expect("a core is made with its poller")
    }

    /// How long requests are still gated.
    pub(super) fn gated(&self, state: &State<T::Instant>) -> Option<Duration> {
        let (since, wait) = state.gate?;
        let left = wait.checked_sub(self.timer.elapsed(since))?;
        (!left.is_zero()).then_some(left)
    }

    /// Gates all requests for as long as the API has asked; a day at most, so that
    /// no reply can end all work.
    pub(super) fn gate(&self, state: &mut State<T::Instant>, wait: Duration) {
        let (now, wait) = (self.timer.now(), wait.min(MAX_GATE));
        if self.gated(state) < Some(wait) {
            state.gate = Some((now, wait));
        }
    }

    /// When work last failed, if that is how it ended.
    pub(super) fn failed_before(&self, state: &State<T::Instant>, work: &Work) -> Option<Duration> {
        match state.flights.get(work)?.ended? {
            (at, false) => Some(self.timer.elapsed(at)),
            _ => None,
        }
    }

    /// Waits no longer than the limit.
    pub(super) async fn within<R>(
        &self,
        limit: Duration,
        future: impl Future<Output = R>,
    ) -> Option<R> {
        if limit == Duration::MAX {
            return Some(future.await);
        }
        match select(pin!(future), pin!(self.timer.sleep(limit))).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    }
}
