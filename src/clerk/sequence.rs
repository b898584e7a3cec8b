//! What is sent when: minting by the session schedule, verification, start-up.

use core::{panic::AssertUnwindSafe, time::Duration};
use std::sync::Arc;

use futures::FutureExt;

use super::{
    NETWORK, NETWORK_RETRIES, SESSION, SESSION_RETRIES,
    api::{Client, Session, minted},
    error::{Cause, SignedOut, TokenError},
    refresher::RefresherStatus,
    state::{Asker, Core, Ended, Key, Work},
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
        let used = {
            let state = self.lock();
            if state.signed_out().is_some() {
                return Err(Cause::SignedOut);
            }
            if let Some(left) = self.gated(&state) {
                return Err(Cause::Gated { left });
            }
            state.client_token.clone()
        };
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
        let token = minted(&response)?;
        if token.claims().session_id() != key.session {
            return Err(Cause::Malformed {
                status: response.status,
                rule: "holds the token of another session",
            });
        }
        Ok((token, sent))
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

    /// Does work that is in flight for everyone.
    pub(super) async fn perform(self: Arc<Self>, work: Work, force: bool) -> Ended {
        match work {
            Work::Load => self.load().await.map(|()| None),
            Work::Mint(key) => self.mint(key, force).await.map(Some),
            Work::Verify => self.verify().await.map(|()| None),
        }
    }

    /// A whole sequence: mints by the session schedule and, where the user may be
    /// signed out, verifies that.
    async fn mint(self: &Arc<Self>, key: Key, force: bool) -> Result<SessionToken, TokenError> {
        let policy = self.by_session_schedule();
        let sequence = self.scheduled(policy, Cause::decision, || self.send_mint(&key, force));
        let failure = match sequence.await {
            Ok((token, sent)) => {
                let mut state = self.lock();
                let stored = self.store(&mut state, key, &token, sent, true);
                let gone = || TokenError::SignedOut(SignedOut::GONE);
                return stored.ok_or_else(|| state.signed_out().unwrap_or_else(gone));
            }
            Err(failure) => failure,
        };
        if failure.cause.suspects_sign_out() {
            self.share(&Work::Verify, false, Asker::Caller).await?;
            // The answer may have brought a token.
            let state = self.lock();
            if let Some(token) = self.cached(&state, &key) {
                return Ok(token);
            }
        }
        Err(self.failed(failure))
    }

    /// Asks whether the session is still there.
    async fn verify(&self) -> Result<(), TokenError> {
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
        let outage_signs_out = self.verdict == OutageVerdict::SignOut;
        match fetched {
            Ok((client, sent)) => self.take_in(&client, sent),
            Err(failure)
                if failure.cause.confirms_sign_out()
                    || outage_signs_out && failure.cause.has_status(&[403, 500]) =>
            {
                Err(self.sign_out(failure.cause.signed_out()))
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Finds out which session there is: from the API, or in an outage from the
    /// last token, with a mint that the poller waits for.
    async fn load(self: &Arc<Self>) -> Result<(), TokenError> {
        let failure = match self.fetch_client().await {
            Ok((client, sent)) => {
                self.take_in(&client, sent)?;
                self.lock().status = RefresherStatus::Ready;
                return Ok(());
            }
            Err(failure) => failure,
        };
        if let Some(error) = self.lock().signed_out() {
            return Err(error);
        }
        if failure.cause.confirms_sign_out() {
            return Err(self.sign_out(failure.cause.signed_out()));
        }
        let refused = matches!(
            failure.cause,
            Cause::Status {
                status: 400..500,
                ..
            }
        ) && failure.cause.decision() == Decision::GiveUp;
        let last = self.last_token.as_ref().map(SessionToken::claims);
        let wanted = self.lock().session.clone();
        let same = |id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
        let Some(claims) = last.filter(|claims| !refused && same(claims.session_id())) else {
            return Err(self.failed(failure));
        };
        // Stop, session, forced mint, start: in this order, and in every case.
        self.poller().stop();
        let session = Session {
            id: claims.session_id().to_owned(),
            organization: claims.organization_id().map(str::to_owned),
            token: None,
        };
        let (mint, task) = {
            let mut state = self.lock();
            state.status = RefresherStatus::Degraded;
            let work = Work::Mint(Key {
                session: session.id.clone(),
                template: None,
                organization: session.organization.clone(),
            });
            self.adopt(&mut state, session, None);
            self.flight(&mut state, &work, true, Asker::Poller)
        };
        self.begin(task);
        let core = Arc::clone(self);
        let start = async move {
            drop(mint.await);
            if core.lock().signed_out().is_none() {
                core.poller().start();
            }
        };
        self.begin(Some(start.boxed()));
        Ok(())
    }

    fn take_in(&self, client: &Client, sent: T::Instant) -> Result<(), TokenError> {
        let mut state = self.lock();
        if let Some(error) = state.signed_out() {
            return Err(error);
        }
        if let Some(session) = client.session(state.session.as_deref()) {
            self.adopt(&mut state, session, Some(sent));
            return Ok(());
        }
        drop(state);
        Err(self.sign_out(SignedOut::GONE))
    }

    /// What the failure of a sequence means to everyone.
    fn failed(&self, failure: Failure) -> TokenError {
        let mut state = self.lock();
        if let Some(error) = state.signed_out() {
            return error;
        }
        state.status = RefresherStatus::Degraded;
        failure.into()
    }
}
