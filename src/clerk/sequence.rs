//! What is sent when: minting by the session schedule, verification, start-up.

use core::{panic::AssertUnwindSafe, time::Duration};
use std::sync::Arc;

use futures::{
    FutureExt,
    future::{WeakShared, ready},
};

use super::{
    NETWORK, NETWORK_RETRIES, SESSION, SESSION_RETRIES,
    api::{Client, Session, minted},
    error::{Cause, SignedOut, TokenError},
    refresher::{RefresherStatus, TokenRequest},
    state::{Core, Flight, Key, State, Task, Work},
    token::{ClientToken, SessionToken},
    transport::{Request, Response, Transport},
};
use crate::{
    builder::RetryBuilder,
    decision::{Decision, GiveUp},
    event::Event,
    timer::Timer,
};

/// What it means that the API fails while a sign-out is being verified: that `GET
/// /v1/client` answers 500, or 403 for another reason than the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutageVerdict {
    /// Nothing: the user stays signed in, and the verification is retried by the
    /// session schedule. The default.
    #[default]
    KeepAndBackOff,
    /// A sign-out, as in clerk-js 5.59.0, which ends its polling so.
    SignOut,
}

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

impl<T, X> Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    /// Sends one request. Returns the response and when the request was sent.
    async fn send(
        &self,
        request: impl FnOnce(Option<ClientToken>) -> Request,
    ) -> Result<(Response, T::Instant), Cause> {
        if let Some(left) = self.gated() {
            return Err(Cause::Gated { left });
        }
        let used = self.lock().client_token.clone();
        let (request, sent) = (request(used.clone()), self.timer.now());
        let sending = AssertUnwindSafe(async { self.transport.send(request).await }).catch_unwind();
        let response = sending
            .await
            .map_err(|_| Cause::Panicked)?
            .map_err(Cause::Transport)?;
        if let Some(header) = &response.authorization {
            let mut state = self.lock();
            // Rotated from the token that was sent, or an older answer come late.
            if state.client_token == used {
                state.client_token = ClientToken::from_header(header);
            }
        }
        if let (429 | 503, Some(wait)) = (response.status, response.retry_after) {
            self.gate(wait);
        }
        Ok((response, sent))
    }

    async fn send_mint(&self, key: &Key, force: bool) -> Result<(SessionToken, T::Instant), Cause> {
        let request = |token| {
            let (template, organization) = (key.template.as_deref(), key.organization.as_deref());
            self.api
                .mint(&key.session, template, organization, force, token)
        };
        let (response, sent) = self.send(request).await?;
        Ok((minted(&response)?, sent))
    }

    async fn send_client(&self) -> Result<(Client, T::Instant), Cause> {
        let (response, sent) = self.send(|token| self.api.client(token)).await?;
        Ok((Client::parse(&response)?, sent))
    }

    /// Repeats `op` by a policy, and keeps what is to be said of its end.
    async fn scheduled<R, F>(
        &self,
        policy: RetryBuilder<&T>,
        decide: impl Fn(&Cause) -> Decision + Send,
        op: impl FnMut() -> F + Send,
    ) -> Result<R, Failure>
    where
        F: Future<Output = Result<R, Cause>> + Send,
    {
        let mut end = (GiveUp::Decision, 0, Duration::ZERO);
        let policy = policy
            .max_elapsed(self.max_elapsed)
            .should_retry(|cause: &Cause, _| decide(cause))
            .observe(|event: Event<'_, Cause>| {
                if let Event::GaveUp {
                    reason,
                    retries,
                    elapsed,
                    ..
                } = event
                {
                    end = (reason, retries, elapsed);
                }
            });
        let result = policy.retry(op).await;
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
    async fn fetch_client(&self) -> Result<(Client, T::Instant), Failure> {
        let policy = RetryBuilder::with_timer(&self.timer)
            .backoff(NETWORK)
            .max_retries(NETWORK_RETRIES);
        let decide = |cause: &Cause| match cause {
            Cause::Transport(_) | Cause::Gated { .. } => cause.decision(),
            _ => Decision::GiveUp,
        };
        self.scheduled(policy, decide, || self.send_client()).await
    }

    /// A whole sequence: mints by the session schedule and, where the user may be
    /// signed out, verifies that.
    async fn mint(self: Arc<Self>, key: Key, force: bool) -> Result<SessionToken, TokenError> {
        let policy = self.by_session_schedule();
        let sequence = self.scheduled(policy, Cause::decision, || self.send_mint(&key, force));
        let failure = match sequence.await {
            Ok((token, sent)) => {
                let stored = self.store(key, &token, sent, true);
                return stored.ok_or_else(|| self.signed_out());
            }
            Err(failure) => failure,
        };
        let mut error = None;
        if failure.cause.suspects_sign_out() {
            error = self.verified().await.err();
            // The answer may have brought a token.
            let state = self.lock();
            if let (None, Some(token)) = (&error, self.cached(&state, &key)) {
                return Ok(token);
            }
        }
        self.degraded();
        let error = error.unwrap_or_else(|| failure.into());
        self.settle(Work::Mint(key), Err(error.clone()));
        Err(error)
    }

    async fn verify(self: Arc<Self>) -> Result<(), TokenError> {
        let result = self.ask_for_session().await;
        self.settle(Work::Verify, result.clone());
        result
    }

    /// Asks once whether the session is still there.
    async fn ask_for_session(&self) -> Result<(), TokenError> {
        let fetched = match self.verdict {
            OutageVerdict::SignOut => self.fetch_client().await,
            OutageVerdict::KeepAndBackOff => {
                let decide = |cause: &Cause| match cause.decision() {
                    _ if cause.confirms_sign_out() => Decision::GiveUp,
                    Decision::GiveUp => cause.has_status(&[403]).into(),
                    decision => decision,
                };
                let policy = self.by_session_schedule();
                self.scheduled(policy, decide, || self.send_client()).await
            }
        };
        match fetched {
            Ok((client, sent)) => self.take_in(&client, sent),
            Err(failure) if failure.cause.confirms_sign_out() => {
                Err(self.sign_out(failure.cause.signed_out()))
            }
            Err(failure)
                if self.verdict == OutageVerdict::SignOut
                    && failure.cause.has_status(&[403, 500]) =>
            {
                Err(self.sign_out(failure.cause.signed_out()))
            }
            Err(failure) => {
                self.degraded();
                Err(failure.into())
            }
        }
    }

    /// Finds out which session there is: from the API, or in an outage from the
    /// last token, with a mint that the poller waits for.
    async fn load(self: Arc<Self>) -> Result<(), TokenError> {
        let failure = match self.fetch_client().await {
            Ok((client, sent)) => {
                self.take_in(&client, sent)?;
                self.lock().status = RefresherStatus::Ready;
                return Ok(());
            }
            Err(failure) => failure,
        };
        if failure.cause.confirms_sign_out() {
            return Err(self.sign_out(failure.cause.signed_out()));
        }
        self.degraded();
        let refused = matches!(
            failure.cause,
            Cause::Status {
                status: 400..500,
                ..
            }
        );
        let last = self.last_token.as_ref().map(SessionToken::claims);
        let wanted = self.lock().session.clone();
        let same = |id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
        let Some(claims) = last.filter(|claims| !refused && same(claims.session_id())) else {
            let error = TokenError::from(failure);
            self.settle(Work::Load, Err(error.clone()));
            return Err(error);
        };
        self.poller().stop();
        self.adopt(
            Session {
                id: claims.session_id().to_owned(),
                organization: claims.organization_id().map(str::to_owned),
                token: None,
            },
            None,
        );
        let core = Arc::clone(&self);
        self.work(async move {
            let mint = {
                let mut state = core.lock();
                let key = state.key(&TokenRequest::new());
                key.map(|key| core.minting(&mut state, key, true))
            };
            if let Some(mint) = mint {
                // Whatever comes of it: the poller goes on.
                drop(mint.await);
                core.poller().start();
            }
        });
        Ok(())
    }

    fn take_in(&self, client: &Client, sent: T::Instant) -> Result<(), TokenError> {
        let wanted = self.lock().session.clone();
        match client.session(wanted.as_deref()) {
            Some(session) => {
                self.adopt(session, Some(sent));
                Ok(())
            }
            None => Err(self.sign_out(SignedOut::GONE)),
        }
    }

    /// What a caller is told whose session is gone.
    fn signed_out(&self) -> TokenError {
        match &self.lock().status {
            RefresherStatus::SignedOut(reason) => TokenError::SignedOut(reason.clone()),
            _ => TokenError::SignedOut(SignedOut::GONE),
        }
    }

    fn degraded(&self) {
        let mut state = self.lock();
        if !matches!(state.status, RefresherStatus::SignedOut(_)) {
            state.status = RefresherStatus::Degraded;
        }
    }

    fn work(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Refused only where the driver has ended, and with it all work.
        let _ = self.work.unbounded_send(work.boxed());
    }

    /// The flight that is there, or a new one that goes on without its callers.
    fn flight<R: Clone + Send + Sync + 'static>(
        &self,
        flight: Option<&WeakShared<Task<Result<R, TokenError>>>>,
        work: impl FnOnce() -> Task<Result<R, TokenError>>,
    ) -> Flight<R> {
        if let Some(flight) = flight.and_then(WeakShared::upgrade) {
            if flight.peek().is_none() {
                return flight;
            }
        }
        let flight = work().shared();
        self.work(flight.clone().map(drop));
        flight
    }

    /// The sequence in flight for a key, or a new one.
    pub(super) fn minting(
        self: &Arc<Self>,
        state: &mut State<T::Instant>,
        key: Key,
        force: bool,
    ) -> Flight<SessionToken> {
        let work = || Arc::clone(self).mint(key.clone(), force).boxed();
        let flight = self.flight(state.mints.get(&key), work);
        if let Some(weak) = flight.downgrade() {
            state.mints.insert(key, weak);
        }
        flight
    }

    /// The start-up in flight, or a new one.
    pub(super) fn loading(self: &Arc<Self>, state: &mut State<T::Instant>) -> Flight<()> {
        let work = || Arc::clone(self).load().boxed();
        let flight = self.flight(state.loading.as_ref(), work);
        state.loading = flight.downgrade();
        flight
    }

    /// The start-up that failed just now, the one in flight, or a new one.
    pub(super) fn known_or_loading(self: &Arc<Self>, state: &mut State<T::Instant>) -> Flight<()> {
        match self.settled(state, &Work::Load) {
            Some(result) => ready(result).boxed().shared(),
            None => self.loading(state),
        }
    }

    /// How the verification ended just now, or the one in flight, or a new one, will.
    async fn verified(self: &Arc<Self>) -> Result<(), TokenError> {
        let flight = {
            let mut state = self.lock();
            if let Some(result) = self.settled(&state, &Work::Verify) {
                return result;
            }
            let work = || Arc::clone(self).verify().boxed();
            let flight = self.flight(state.verification.as_ref(), work);
            state.verification = flight.downgrade();
            flight
        };
        flight.await
    }
}
