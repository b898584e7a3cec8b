//! What is sent when: minting by the session schedule, verification, start-up.

use core::{panic::AssertUnwindSafe, time::Duration};
use std::{io, sync::Arc};

use futures::{FutureExt, channel::oneshot, lock::MutexGuard};

use super::{
    NETWORK, NETWORK_RETRIES, SESSION, SESSION_RETRIES,
    api::{Client, How, Session, minted},
    error::{Cause, Refusal, TokenError},
    event::{RefresherEvent, RefresherStatus},
    request::Key,
    saved::Saved,
    settings::OutageVerdict,
    state::{Asker, Core, Ended, Flight, Freshness, InFlight, Moment, State, Task, Work},
    store::{StoreLock, TokenStore},
    token::{ClientToken, SessionToken},
    transport::{Request, Response, Transport},
};
use crate::{
    backoff::Backoff,
    builder::RetryBuilder,
    decision::{Decision, GiveUp},
    event::Event,
    jitter::Jitter,
    timer::Timer,
};

/// How often a store's lock is tried that another process holds.
const LOCKED: Backoff = Backoff::new()
    .initial_delay(Duration::from_millis(5))
    .max_delay(Duration::from_millis(100))
    .jitter(Jitter::FULL);

/// How long callers share how work has ended, before it is begun again for them: the
/// poller's own interval in clerk-js.
const COOLDOWN: Duration = Duration::from_secs(5);

/// How many retries a sequence makes where the machine is not connected at all: those
/// of clerk-js 6.
const OFFLINE_RETRIES: u32 = 3;

/// A sequence that ended with an error: the cause, and what its observer was told.
struct Failure {
    cause: Cause,
    reason: GiveUp,
    retries: u32,
    elapsed: Duration,
}

impl From<Failure> for TokenError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable {
            cause: Arc::new(failure.cause),
            reason: failure.reason,
            retries: failure.retries,
            elapsed: failure.elapsed,
        }
    }
}

/// The right to send: one request at a time, of all processes that share the store.
struct Turn<'a> {
    _here: MutexGuard<'a, ()>,
    _everywhere: Option<StoreLock>,
}

impl<T, X> Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    /// Waits for the right to send, then takes in what the store holds: a client token
    /// that another process has rotated must not be used again. Nobody waits to send
    /// what is not to be sent any more.
    async fn turn(&self, to_send: bool) -> Result<Turn<'_>, Cause> {
        let here = self.turn.lock().await;
        let refused = || to_send && self.lock().is_over();
        if refused() {
            return Err(Cause::Over);
        }
        let failed = |error| {
            let error = Arc::new(error);
            self.change(|state| state.tell(RefresherEvent::StoreFailed(Arc::clone(&error))));
            Cause::Store(error)
        };
        let mut everywhere = None;
        if let Some(store) = &self.store {
            everywhere = match self.locked(&**store, refused).await {
                Err(_) if refused() => return Err(Cause::Over),
                locked => Some(locked.map_err(failed)?),
            };
            if let Some(bytes) = store.load().map_err(failed)? {
                match Saved::read(&bytes) {
                    Some(saved) => self.change(|state| self.take_in_saved(state, saved)),
                    // Told, and written anew: no state of ours.
                    None => drop(failed(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it does not hold the state of a refresher",
                    ))),
                }
            }
        }
        Ok(Turn {
            _here: here,
            _everywhere: everywhere,
        })
    }

    /// Takes the store's lock, and waits for it unless that is refused.
    async fn locked(
        &self,
        store: &dyn TokenStore,
        refused: impl Fn() -> bool,
    ) -> io::Result<StoreLock> {
        let held = || io::Error::new(io::ErrorKind::WouldBlock, "another process holds its lock");
        let policy = RetryBuilder::with_timer(&self.timer)
            .backoff(LOCKED)
            .without_max_retries()
            .max_elapsed(self.settings.attempt_timeout)
            .should_retry(|error: &io::Error, _| {
                error.kind() == io::ErrorKind::WouldBlock && !refused()
            });
        let lock = policy.retry(|| async { store.try_lock()?.ok_or_else(held) });
        lock.await
    }

    /// Writes the state into the store, in a turn. Returns whether it is there.
    fn save(&self) -> bool {
        let Some(store) = &self.store else {
            return true;
        };
        let saved = self.saved(&self.lock());
        let result = store.save(&saved.bytes());
        let there = result.is_ok();
        self.change(|state| match result {
            Ok(()) => (state.stored, state.stored_gate) = (saved.client_token, saved.gate),
            Err(error) => state.tell(RefresherEvent::StoreFailed(Arc::new(error))),
        });
        there
    }

    /// Sends one request, in a turn. Where the API refuses a client token that has been
    /// rotated meanwhile, it is sent once more with the new one: the refusal was not
    /// the user's. Returns the response and when the request was sent.
    async fn send(
        &self,
        _turn: &mut Turn<'_>,
        retry: u32,
        request: impl Fn(Option<ClientToken>) -> Request,
    ) -> Result<(Response, Moment<T::Instant>), Cause> {
        let mut again = true;
        loop {
            let used = self.change(|state| {
                if state.is_over() {
                    return Err(Cause::Over);
                }
                if let Some(left) = self.gated(state) {
                    state.counters.gate_waits += 1;
                    return Err(Cause::Gated { left });
                }
                state.counters.requests += 1;
                Ok(state.client_token.clone())
            })?;
            let (mut request, sent) = (request(used.clone()), self.now());
            if self.settings.tag_retries && retry > 0 {
                request.tag(retry);
            }
            let sending = AssertUnwindSafe(async { self.transport.send(request).await });
            let limit = self.settings.attempt_timeout;
            let response = self
                .within(limit, sending.catch_unwind())
                .await
                .ok_or(Cause::TimedOut { limit })?
                .map_err(|_| Cause::Panicked)?
                .map_err(Cause::Transport)?;
            let gate = match (response.status, response.retry_after) {
                (429 | 503, Some(wait)) => Some(wait),
                _ => None,
            };
            let rotated = self.change(|state| {
                // Rotated from the token that was sent, or an older answer come late.
                let ours = state.client_token == used;
                let header = response.authorization.as_deref().filter(|_| ours);
                // What is no token at all takes none away.
                if let Some(Ok(token)) = header.map(ClientToken::from_header) {
                    state.set_client_token(token);
                }
                if let Some(wait) = gate {
                    self.gate(state, wait);
                }
                state.client_token != used
            });
            if rotated || gate.is_some() {
                self.save();
            }
            if !(response.status == 401 && rotated && again) {
                return Ok((response, sent));
            }
            again = false;
        }
    }

    async fn send_mint(
        &self,
        turn: &mut Turn<'_>,
        retry: u32,
        key: &Key,
        how: &How<'_>,
    ) -> Result<(SessionToken, Moment<T::Instant>), Cause> {
        let request = |token| self.api.mint(key, how, token);
        let (response, sent) = self.send(turn, retry, request).await?;
        let token = minted(key, &response)?;
        if token.claims().session_id() != key.session {
            let (status, rule) = (response.status, "holds the token of another session");
            return Err(Cause::Malformed { status, rule });
        }
        // The machine was suspended before the answer was read.
        if self.since(sent) >= token.claims().lifetime() {
            let (status, rule) = (response.status, "holds a token that expired on its way");
            return Err(Cause::Malformed { status, rule });
        }
        Ok((token, sent))
    }

    /// One attempt to mint: no request where another process has been quicker, two
    /// where the API wants to see the last token.
    async fn attempt(&self, key: &Key, force: bool, retry: u32) -> Result<SessionToken, Cause> {
        let mut turn = self.turn(true).await?;
        let (cached, last) = {
            let state = self.lock();
            let last = state.last.clone();
            (
                self.cached(&state, key),
                last.filter(|last| last.claims().session_id() == key.session),
            )
        };
        if let (false, Some((token, Freshness::Fresh))) = (force, cached) {
            return Ok(token);
        }
        let last = last.as_ref().map(SessionToken::expose);
        let mut how = How {
            force,
            expired: None,
            previous: last.filter(|_| self.settings.session_minter),
        };
        let mut answer = self.send_mint(&mut turn, retry, key, &how).await;
        if matches!(&answer, Err(cause) if cause.wants_the_expired_token()) {
            how.expired = last.filter(|_| !self.settings.session_minter);
            if how.expired.is_some() {
                answer = self.send_mint(&mut turn, retry, key, &how).await;
            }
        }
        let (token, sent) = answer?;
        let kept = self.change(|state| self.keep(state, key, &token, sent, true));
        self.save();
        kept.ok_or(Cause::Over)
    }

    async fn send_client(&self, retry: u32) -> Result<(Client, Moment<T::Instant>), Cause> {
        let mut turn = self.turn(true).await?;
        let (response, sent) = self
            .send(&mut turn, retry, |token| self.api.client(token))
            .await?;
        Ok((Client::parse(&response)?, sent))
    }

    /// Repeats `op`, which is told the number of the retry, by a policy, and keeps what
    /// is to be said of its end.
    async fn scheduled<R, F>(
        &self,
        work: &Work,
        policy: RetryBuilder<&T>,
        decide: impl Fn(&Cause) -> Decision + Send,
        op: impl Fn(u32) -> F + Send,
    ) -> Result<R, Failure>
    where
        F: Future<Output = Result<R, Cause>> + Send,
    {
        let mut end = (GiveUp::Decision, 0, Duration::ZERO);
        let policy = policy
            .max_elapsed(self.settings.max_elapsed)
            .should_retry(|cause: &Cause, iteration| match cause {
                Cause::Transport(error) if error.is_offline() && iteration > OFFLINE_RETRIES => {
                    Decision::GiveUp
                }
                _ => decide(cause),
            })
            .observe(|event: Event<'_, Cause>| match event {
                Event::Retrying {
                    error,
                    iteration,
                    wait,
                    ..
                } => self.change(|state| state.failing(work, iteration, error, wait)),
                Event::GaveUp {
                    reason, retries, ..
                } => end = (reason, retries, event.elapsed()),
                _ => {}
            });
        let mut attempts = 0..;
        let result = policy
            .retry(|| op(attempts.next().unwrap_or(u32::MAX)))
            .await;
        let (reason, retries, elapsed) = end;
        result.map_err(|cause| Failure {
            cause,
            reason,
            retries,
            elapsed,
        })
    }

    fn by_session_schedule(&self) -> RetryBuilder<&T> {
        RetryBuilder::with_timer(&self.timer)
            .backoff(SESSION)
            .max_retries(SESSION_RETRIES)
    }

    /// `GET /v1/client`, repeated only where it did not get through.
    async fn fetch_client(&self, work: &Work) -> Result<(Client, Moment<T::Instant>), Failure> {
        let policy = RetryBuilder::with_timer(&self.timer)
            .backoff(NETWORK)
            .max_retries(NETWORK_RETRIES);
        let decide = |cause: &Cause| match cause {
            Cause::Transport(_) | Cause::Gated { .. } => cause.decision(),
            _ => Decision::GiveUp,
        };
        self.scheduled(work, policy, decide, |retry| self.send_client(retry))
            .await
    }

    /// Does work that is in flight for everyone.
    pub(super) async fn perform(self: Arc<Self>, work: Work, force: bool) -> Ended {
        let ended = match &work {
            Work::Load => {
                let loaded = self.load(&work).await;
                self.change(|state| match &loaded {
                    Ok(()) => state.failed_loads = 0,
                    Err(_) => state.failed_loads = state.failed_loads.saturating_add(1),
                });
                loaded.map(|()| None)
            }
            Work::Mint(key) => {
                let minted = self.mint(&work, key, force).await;
                self.change(|state| {
                    if minted.is_ok() && state.is_active(key) {
                        state.set_status(RefresherStatus::Ready);
                    }
                });
                minted.map(Some)
            }
            Work::Verify => self.verify(&work).await.map(|()| None),
        };
        let late = {
            let state = self.lock();
            ended.is_ok() && !state.looking && self.due_in(&state).is_some()
        };
        if late {
            // Its wait may be longer than the new token is fresh.
            self.poller().trigger();
        }
        if matches!(ended, Err(TokenError::SignedOut(_))) {
            self.forget().await;
        }
        ended
    }

    /// A whole sequence: mints by the session schedule and, where the user may be
    /// signed out, verifies that.
    async fn mint(
        self: &Arc<Self>,
        work: &Work,
        key: &Key,
        force: bool,
    ) -> Result<SessionToken, TokenError> {
        let before = self.cached(&self.lock(), key);
        let sequence = self.scheduled(work, self.by_session_schedule(), Cause::decision, |retry| {
            self.attempt(key, force, retry)
        });
        let failure = match sequence.await {
            Ok(token) => return Ok(token),
            Err(failure) => failure,
        };
        if failure.cause.suspects_sign_out() {
            self.share(&Work::Verify, false, Asker::Caller).await?;
            // The answer may have brought a token.
            let new = |token: &SessionToken| {
                let before = before.as_ref().map(|(before, _)| before.expose());
                before != Some(token.expose())
            };
            match self.cached(&self.lock(), key) {
                Some((token, Freshness::Fresh | Freshness::Due)) if new(&token) => {
                    return Ok(token);
                }
                _ => {}
            }
        }
        let active = self.lock().is_active(key);
        Err(self.failed(failure, active))
    }

    /// Asks whether the session is still there.
    async fn verify(&self, work: &Work) -> Result<(), TokenError> {
        self.change(|state| state.counters.verifications += 1);
        let outage_signs_out = self.settings.verdict == OutageVerdict::SignOut;
        let fetched = if outage_signs_out {
            self.fetch_client(work).await
        } else {
            let decide = |cause: &Cause| match cause.decision() {
                _ if cause.confirms_sign_out() => Decision::GiveUp,
                Decision::GiveUp => cause.has_status(&[403]).into(),
                decision => decision,
            };
            let policy = self.by_session_schedule();
            self.scheduled(work, policy, decide, |retry| self.send_client(retry))
                .await
        };
        match fetched {
            Ok((client, sent)) => self.take_in(&client, sent),
            Err(failure)
                if failure.cause.confirms_sign_out()
                    || outage_signs_out && failure.cause.has_status(&[403, 500]) =>
            {
                Err(self.sign_out(failure.cause.refusal()))
            }
            Err(failure) => Err(self.failed(failure, true)),
        }
    }

    /// Finds out which session there is: from the API, or in an outage from the
    /// last token, with a mint that the poller waits for.
    async fn load(self: &Arc<Self>, work: &Work) -> Result<(), TokenError> {
        let known = self.lock().known.is_some();
        let limit = self.settings.max_wait;
        let (core, of) = (Arc::clone(self), work.clone());
        let mut fetching = async move { core.fetch_client(&of).await }.boxed();
        let mut fetched = self.within(limit, &mut fetching).await;
        // Nobody waits longer for what may not come than for what is known already: by
        // now the store has told, too.
        if fetched.is_none() && !self.falls_back() {
            fetched = Some((&mut fetching).await);
        }
        let failure = match fetched {
            Some(Ok((client, sent))) => {
                self.take_in(&client, sent)?;
                if !known {
                    self.change(|state| state.set_status(RefresherStatus::Ready));
                }
                return Ok(());
            }
            Some(Err(failure)) => failure,
            None => {
                // What is in flight may rotate the client token: it goes on, and is taken
                // in when it comes.
                let core = Arc::clone(self);
                let late = async move {
                    let fetched = fetching.await;
                    let taken_in = fetched.map(|(client, sent)| core.take_in(&client, sent));
                    if let Ok(Err(_)) = taken_in {
                        core.forget().await;
                    }
                };
                self.begin(Some(late.boxed()));
                Failure {
                    cause: Cause::TimedOut { limit },
                    reason: GiveUp::MaxElapsed,
                    retries: self.lock().failure(work).map_or(0, |(retries, _)| retries),
                    elapsed: limit,
                }
            }
        };
        if let Some(error) = self.lock().over() {
            return Err(error);
        }
        if failure.cause.confirms_sign_out() {
            return Err(self.sign_out(failure.cause.refusal()));
        }
        let refused = matches!(
            failure.cause,
            Cause::Status {
                status: 400..500,
                ..
            }
        ) && failure.cause.decision() == Decision::GiveUp;
        let last = self.lock().last.clone();
        let last = last.filter(|_| !refused && self.falls_back());
        let Some(claims) = last.as_ref().map(SessionToken::claims) else {
            return Err(self.failed(failure, !known));
        };
        // Stop, session, forced mint, start: in this order, and in every case.
        self.poller().stop();
        let session = Session {
            id: claims.session_id().to_owned(),
            organization: claims.organization_id().map(str::to_owned),
            token: None,
        };
        let (mint, task) = self.change(|state| {
            if let Some(error) = state.over() {
                return Err(error);
            }
            state.set_status(RefresherStatus::Degraded);
            let id = session.id.clone();
            self.adopt(state, session, None);
            let work = Work::Mint(Key {
                session: id,
                template: None,
                organization: state.organization.clone(),
            });
            Ok(self.flight(state, &work, true, Asker::Poller))
        })?;
        self.begin(task);
        let core = Arc::clone(self);
        let start = async move {
            drop(mint.await);
            core.poller().start();
            // Last, so that no end falls in between.
            if core.lock().is_over() {
                core.poller().stop();
            }
        };
        self.begin(Some(start.boxed()));
        Ok(())
    }

    /// Whether a start-up goes by the last token where the API takes too long.
    pub(super) fn falls_back(&self) -> bool {
        let state = self.lock();
        let last = state.last.as_ref().map(SessionToken::claims);
        state.known.is_none() && last.is_some_and(|claims| state.may_be(claims.session_id()))
    }

    fn take_in(&self, client: &Client, sent: Moment<T::Instant>) -> Result<(), TokenError> {
        let gone = self.change(|state| {
            if let Some(error) = state.over() {
                return Err(error);
            }
            let session = client.session(state.session.as_deref());
            let found = session.map(|session| self.adopt(state, session, Some(sent)));
            Ok(found.is_none())
        })?;
        if gone {
            return Err(self.sign_out(Refusal::default()));
        }
        Ok(())
    }

    /// What the failure of a sequence means to everyone, where it was for the active
    /// token, and what to those who waited for it.
    fn failed(&self, failure: Failure, active: bool) -> TokenError {
        if failure.cause.refuses_the_program() {
            return self.end(RefresherStatus::Refused(failure.cause.refusal()), false);
        }
        self.change(|state| {
            if let Some(error) = state.over() {
                return error;
            }
            if state.closed {
                return TokenError::Ended;
            }
            if active {
                state.set_status(RefresherStatus::Degraded);
            }
            failure.into()
        })
    }

    /// Has the store forget the session, and the client too where the program itself
    /// has signed the user out.
    pub(super) async fn forget(&self) {
        if let Ok(_turn) = self.turn(false).await {
            let client = self.change(|state| {
                if state.to_forget {
                    state.client_token = None;
                }
                state.to_forget
            });
            if self.save() && client {
                self.change(|state| state.to_forget = false);
            }
        }
    }

    /// The work in flight, or new work, which is to be begun once the lock has been
    /// released.
    pub(super) fn flight(
        self: &Arc<Self>,
        state: &mut State<T::Instant>,
        work: &Work,
        force: bool,
        asker: Asker,
    ) -> (Flight, Option<Task<()>>) {
        let recent = |at| self.timer.elapsed(at) < COOLDOWN;
        if let Some(InFlight { flight, ended, .. }) = state.flights.get(work) {
            let shared = match *ended {
                None => true,
                // A mint that went well has left its token in the cache.
                Some((_, true)) if *work != Work::Verify => false,
                Some((at, _)) => asker == Asker::Caller && recent(at),
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
                if let Some(flight) = core.lock().flights.get_mut(&work) {
                    flight.ended = Some((now, result.is_ok()));
                }
                // Nobody may be waiting.
                let _ = end.send(result);
            }
        };
        // The sender is dropped unsent where the driver has ended.
        let flight = ended.map(|result| result.unwrap_or(Err(TokenError::Ended)));
        let flight = flight.boxed().shared();
        let kept = |work: &Work, ended: Option<(_, bool)>| {
            *work == Work::Load || ended.is_none_or(|(at, _)| recent(at))
        };
        state
            .flights
            .retain(|work, flight| kept(work, flight.ended));
        let in_flight = InFlight {
            flight: flight.clone(),
            ended: None,
            failing: None,
        };
        state.flights.insert(work.clone(), in_flight);
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
