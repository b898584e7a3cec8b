//! What a refresher knows: one lock, never held across an await, and no waker is
//! called under it.

use core::{future::Future, pin::Pin, time::Duration};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures::{
    FutureExt,
    channel::{mpsc::UnboundedSender, oneshot},
    future::Shared,
};

use super::{
    api::{FrontendApi, Session},
    error::{SignedOut, TokenError},
    refresher::{RefresherStatus, TokenRequest},
    sequence::OutageVerdict,
    token::{ClientToken, SessionToken},
    transport::Transport,
};
use crate::{poller::PollerRemote, timer::Timer};

/// A cached token is served while this much of its life is left: clerk-js's 10 s
/// of leeway and 5 s until its next poll.
const LEEWAY: u64 = 10 + 5;

/// How long callers share how work has ended, before it is begun again for them: the
/// poller's own interval in clerk-js.
const COOLDOWN: Duration = Duration::from_secs(5);

/// The longest that a `Retry-After` gates.
const MAX_GATE: Duration = Duration::from_secs(24 * 3600);

pub(super) type Task<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// How work ended: a mint with a token, other work without.
pub(super) type Ended = Result<Option<SessionToken>, TokenError>;

/// The end of work, for all who wait for it. Only the driver polls the work itself,
/// so that no caller's runtime or death can touch it.
pub(super) type Flight = Shared<Task<Ended>>;

/// Which token: of which session, template and organization.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) session: String,
    pub(super) template: Option<String>,
    pub(super) organization: Option<String>,
}

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

/// A token, how old it was at an instant, and that instant.
pub(super) struct Cached<I> {
    token: SessionToken,
    age: Duration,
    since: I,
}

/// A refresher but for its poller's owner.
pub(super) struct Core<T: Timer, X> {
    pub(super) api: FrontendApi,
    pub(super) transport: X,
    pub(super) timer: T,
    pub(super) max_elapsed: Duration,
    pub(super) verdict: OutageVerdict,
    pub(super) last_token: Option<SessionToken>,
    pub(super) poller: OnceLock<PollerRemote>,
    /// The work that the driver does.
    pub(super) work: UnboundedSender<Task<()>>,
    pub(super) state: Mutex<State<T::Instant>>,
}

pub(super) struct State<I> {
    pub(super) client_token: Option<ClientToken>,
    /// The session that is asked for, and whether it is known to be there.
    pub(super) session: Option<String>,
    pub(super) known: bool,
    pub(super) organization: Option<String>,
    pub(super) status: RefresherStatus,
    tokens: HashMap<Key, Cached<I>>,
    /// What the issuer's clock read at an instant: when a token was asked for that
    /// was new.
    issuer: Option<(u64, I)>,
    /// No request before this long after that instant.
    gate: Option<(I, Duration)>,
    /// Work in flight, and work that has ended: when, and whether well.
    flights: HashMap<Work, (Flight, Option<(I, bool)>)>,
}

impl<I> State<I> {
    pub(super) fn new(client_token: Option<ClientToken>, session: Option<String>) -> Self {
        Self {
            client_token,
            session,
            known: false,
            organization: None,
            status: RefresherStatus::Loading,
            tokens: HashMap::new(),
            issuer: None,
            gate: None,
            flights: HashMap::new(),
        }
    }

    /// The key of a request, once the session is known.
    pub(super) fn key(&self, request: &TokenRequest) -> Option<Key> {
        Some(Key {
            session: self.session.clone().filter(|_| self.known)?,
            template: request.template.clone(),
            organization: request
                .organization
                .clone()
                .or_else(|| self.organization.clone()),
        })
    }

    /// What everyone is told, and everything ends with, once the user is signed out.
    pub(super) fn signed_out(&self) -> Option<TokenError> {
        match &self.status {
            RefresherStatus::SignedOut(reason) => Some(TokenError::SignedOut(reason.clone())),
            _ => None,
        }
    }
}

impl<T: Timer, X> Core<T, X> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T::Instant>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cached token with enough of its life left. Ages count in whole seconds,
    /// as the token's own times do.
    pub(super) fn cached(&self, state: &State<T::Instant>, key: &Key) -> Option<SessionToken> {
        let cached = state.tokens.get(key)?;
        let age = cached.age + self.timer.elapsed(cached.since);
        let life = cached.token.claims().lifetime();
        let left = life.as_secs().checked_sub(age.as_secs())?;
        (left >= LEEWAY).then(|| cached.token.aged(age))
    }

    /// Takes in a token that was asked for at an instant, unless a fresher one is
    /// there. Returns it, or nothing where its session is no longer the one asked
    /// for.
    ///
    /// A token that was `minted` for the request is new. One that came with a client
    /// may be older: it is as old as the issuer's clock says, as far as that is known.
    pub(super) fn store(
        &self,
        state: &mut State<T::Instant>,
        key: Key,
        token: &SessionToken,
        since: T::Instant,
        minted: bool,
    ) -> Option<SessionToken> {
        if state.session.as_ref() != Some(&key.session) {
            return None;
        }
        let age = match state.issuer {
            Some((read, at)) if !minted => {
                let reads = Duration::from_secs(read) + self.timer.elapsed(at);
                let now = reads.saturating_sub(self.timer.elapsed(since));
                now.saturating_sub(Duration::from_secs(token.issued_at()))
            }
            _ => {
                state.issuer = Some((token.issued_at(), since));
                Duration::ZERO
            }
        };
        if minted {
            state.status = RefresherStatus::Ready;
        }
        match state.tokens.get(&key) {
            Some(kept) if !token.is_fresher_than(&kept.token) => {}
            _ => {
                let token = token.clone();
                state.tokens.insert(key, Cached { token, age, since });
            }
        }
        Some(token.aged(age + self.timer.elapsed(since)))
    }

    /// Takes in a session that is known to be there.
    pub(super) fn adopt(
        &self,
        state: &mut State<T::Instant>,
        session: Session,
        sent: Option<T::Instant>,
    ) {
        state.session = Some(session.id.clone());
        state.known = true;
        state.organization.clone_from(&session.organization);
        let key = Key {
            session: session.id,
            template: None,
            organization: session.organization,
        };
        if let Some((token, sent)) = session.token.zip(sent) {
            self.store(state, key, &token, sent, false);
        }
    }

    /// Takes in a confirmed sign-out: nothing is kept, nothing more is sent.
    pub(super) fn sign_out(&self, reason: SignedOut) -> TokenError {
        let mut state = self.lock();
        state.status = RefresherStatus::SignedOut(reason.clone());
        (state.session, state.known) = (None, false);
        state.tokens.clear();
        drop(state);
        self.poller().stop();
        TokenError::SignedOut(reason)
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
    pub(super) fn gate(&self, wait: Duration) {
        let (now, wait) = (self.timer.now(), wait.min(MAX_GATE));
        let mut state = self.lock();
        if self.gated(&state) < Some(wait) {
            state.gate = Some((now, wait));
        }
    }
}

impl<T, X> Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    /// The work in flight, or new work, which is to be begun once the lock has been
    /// released.
    pub(super) fn flight(
        self: &Arc<Self>,
        state: &mut State<T::Instant>,
        work: &Work,
        force: bool,
        asker: Asker,
    ) -> (Flight, Option<Task<()>>) {
        if let Some((flight, ended)) = state.flights.get(work) {
            let shared = match *ended {
                None => true,
                // A mint that went well has left its token in the cache.
                Some((_, true)) if *work != Work::Verify => false,
                Some((at, _)) => asker == Asker::Caller && self.timer.elapsed(at) < COOLDOWN,
            };
            if shared {
                return (flight.clone(), None);
            }
        }
        let (end, ended) = oneshot::channel();
        let core = Arc::clone(self);
        let task = {
            let work = work.clone();
            async move {
                let result = Arc::clone(&core).perform(work.clone(), force).await;
                let now = core.timer.now();
                if let Some((_, ended)) = core.lock().flights.get_mut(&work) {
                    *ended = Some((now, result.is_ok()));
                }
                // Nobody may be waiting.
                let _ = end.send(result);
            }
        };
        // The sender is dropped unsent where the driver has ended.
        let flight = ended.map(|result| result.unwrap_or(Err(TokenError::Ended)));
        let flight = flight.boxed().shared();
        state.flights.insert(work.clone(), (flight.clone(), None));
        (flight, Some(task.boxed()))
    }

    /// Gives work to the driver.
    pub(super) fn begin(&self, task: Option<Task<()>>) {
        if let Some(task) = task {
            // Refused where the driver has ended: the flight tells.
            let _ = self.work.unbounded_send(task);
        }
    }

    /// The work in flight, or new work, begun.
    pub(super) fn share(self: &Arc<Self>, work: &Work, force: bool, asker: Asker) -> Flight {
        let (flight, task) = self.flight(&mut self.lock(), work, force, asker);
        self.begin(task);
        flight
    }
}
