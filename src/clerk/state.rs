//! What a refresher knows: one lock, never held across an await.

use core::{future::Future, pin::Pin, time::Duration};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures::{
    channel::mpsc::UnboundedSender,
    future::{Shared, WeakShared},
};

use super::{
    api::{FrontendApi, Session},
    error::{SignedOut, TokenError},
    refresher::{RefresherStatus, TokenRequest},
    sequence::OutageVerdict,
    token::{ClientToken, SessionToken},
};
use crate::{poller::PollerRemote, timer::Timer};

/// A cached token is served while this much of its life is left: clerk-js's 10 s
/// of leeway and 5 s until its next poll.
const LEEWAY: u64 = 10 + 5;

/// How long work that has just ended is not begun again for a caller: the poller's
/// own interval in clerk-js.
const COOLDOWN: Duration = Duration::from_secs(5);

pub(super) type Task<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// Work in flight that several wait for; its end is the same for all.
pub(super) type Flight<R> = Shared<Task<Result<R, TokenError>>>;

/// Which token: of which session, template and organization.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) session: String,
    pub(super) template: Option<String>,
    pub(super) organization: Option<String>,
}

/// What is shared while it is in flight, and for a while after.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Load,
    Mint(Key),
    Verify,
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
    /// Work that goes on when every caller has gone.
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
    pub(super) tokens: HashMap<Key, Cached<I>>,
    /// What the issuer's clock read at an instant: when a token was asked for that
    /// was new.
    issuer: Option<(u64, I)>,
    /// How work ended, and when.
    settled: HashMap<Work, (Result<(), TokenError>, I)>,
    /// No request before this long after that instant.
    gate: Option<(I, Duration)>,
    pub(super) mints: HashMap<Key, WeakShared<Task<Result<SessionToken, TokenError>>>>,
    pub(super) loading: Option<WeakShared<Task<Result<(), TokenError>>>>,
    pub(super) verification: Option<WeakShared<Task<Result<(), TokenError>>>>,
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
            settled: HashMap::new(),
            gate: None,
            mints: HashMap::new(),
            loading: None,
            verification: None,
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

    /// How work of that kind ended just now.
    pub(super) fn settled(
        &self,
        state: &State<T::Instant>,
        work: &Work,
    ) -> Option<Result<(), TokenError>> {
        let (result, at) = state.settled.get(work)?;
        (self.timer.elapsed(*at) < COOLDOWN).then(|| result.clone())
    }

    /// Keeps how work has ended.
    pub(super) fn settle(&self, work: Work, result: Result<(), TokenError>) {
        let now = self.timer.now();
        self.lock().settled.insert(work, (result, now));
    }

    /// Takes in a token that was asked for at an instant, unless a fresher one is
    /// there. Returns it, or nothing where its session is no longer the one asked
    /// for.
    ///
    /// A token that was `minted` for the request is new. One that came with a client
    /// may be older: it is as old as the issuer's clock says, as far as that is known.
    pub(super) fn store(
        &self,
        key: Key,
        token: &SessionToken,
        since: T::Instant,
        minted: bool,
    ) -> Option<SessionToken> {
        let mut state = self.lock();
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
    pub(super) fn adopt(&self, session: Session, sent: Option<T::Instant>) {
        let key = {
            let mut state = self.lock();
            state.session = Some(session.id.clone());
            state.known = true;
            state.organization.clone_from(&session.organization);
            Key {
                session: session.id,
                template: None,
                organization: session.organization,
            }
        };
        if let Some((token, sent)) = session.token.zip(sent) {
            self.store(key, &token, sent, false);
        }
    }

    /// Takes in a confirmed sign-out: nothing is kept, nothing more is sent.
    pub(super) fn sign_out(&self, reason: SignedOut) -> TokenError {
        let mut state = self.lock();
        state.status = RefresherStatus::SignedOut(reason.clone());
        (state.session, state.known) = (None, false);
        state.tokens.clear();
        state.mints.clear();
        drop(state);
        self.poller().stop();
        TokenError::SignedOut(reason)
    }

    pub(super) fn poller(&self) -> &PollerRemote {
        self.poller.get().expect("a core is made with its poller")
    }

    /// How long requests are still gated.
    pub(super) fn gated(&self) -> Option<Duration> {
        let (since, wait) = self.lock().gate?;
        wait.checked_sub(self.timer.elapsed(since))
            .filter(|left| !left.is_zero())
    }

    /// Gates all requests for as long as the API has asked.
    pub(super) fn gate(&self, wait: Duration) {
        if self.gated() < Some(wait) {
            self.lock().gate = Some((self.timer.now(), wait));
        }
    }
}
