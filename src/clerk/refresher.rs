//! The refresher as its owner sees it.

use core::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use std::sync::{Arc, Mutex, OnceLock};

use futures::{StreamExt, channel::mpsc, future::select};

use super::{
    api::FrontendApi,
    error::{SignedOut, TokenError},
    sequence::OutageVerdict,
    state::{Asker, Core, Flight, State, Task, Work},
    token::{ClientToken, InvalidToken, SessionToken},
    transport::Transport,
};
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;
use crate::{
    poller::{PollerBuilder, PollerHandle, PollerRemote},
    timer::Timer,
};

/// A refresher's configuration: where the API is, how it is reached, and what the
/// client holds.
///
/// # Examples
///
/// See the [module](super).
#[must_use = "a refresher does nothing until it is driven"]
pub struct RefresherBuilder<
    X,
    #[cfg(feature = "tokio")] T = TokioTimer,
    #[cfg(not(feature = "tokio"))] T,
> {
    api: FrontendApi,
    transport: X,
    timer: T,
    interval: Duration,
    max_elapsed: Duration,
    verdict: OutageVerdict,
    client_token: Option<ClientToken>,
    session_id: Option<String>,
    last_token: Option<SessionToken>,
}

#[cfg(feature = "tokio")]
impl<X: Transport> RefresherBuilder<X> {
    /// Returns a refresher by tokio's clock.
    pub fn new(api: FrontendApi, transport: X) -> Self {
        Self::with_timer(TokioTimer, api, transport)
    }
}

impl<X: Transport, T: Timer> RefresherBuilder<X, T> {
    /// Returns a refresher by a timer of the caller's.
    pub fn with_timer(timer: T, api: FrontendApi, transport: X) -> Self {
        Self {
            api,
            transport,
            timer,
            interval: Duration::from_secs(5),
            max_elapsed: Duration::MAX,
            verdict: OutageVerdict::default(),
            client_token: None,
            session_id: None,
            last_token: None,
        }
    }

    /// Sets the client token, which proves who the client is.
    pub fn client_token(mut self, token: ClientToken) -> Self {
        self.client_token = Some(token);
        self
    }

    /// Names the session; unless set it is the client's last active one.
    pub fn session_id(mut self, id: impl Into<String>) -> Self {
        self.session_id = Some(id.into());
        self
    }

    /// Sets the last session token of an earlier run. It tells which session it is
    /// where the program starts in an outage; it is never handed out.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if the text is not a session token.
    pub fn last_token(mut self, jwt: &str) -> Result<Self, InvalidToken> {
        self.last_token = Some(SessionToken::parse(jwt)?);
        Ok(self)
    }

    /// Sets the interval at which the poller looks whether the token is still
    /// fresh: 5 s unless set, as in clerk-js 5.59.0.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Limits the time of each sequence; none unless set. See
    /// [`RetryBuilder::max_elapsed`](crate::RetryBuilder::max_elapsed).
    pub fn max_elapsed(mut self, limit: Duration) -> Self {
        self.max_elapsed = limit;
        self
    }

    /// Sets what an outage during the verification of a sign-out means.
    pub fn outage_verdict(mut self, verdict: OutageVerdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Returns the refresher and the future that drives it, for any executor.
    ///
    /// The driver starts up, polls, and carries sequences on when their callers
    /// have gone. It ends when the refresher is dropped.
    pub fn driver(self) -> (Refresher, RefresherDriver)
    where
        T: Timer<Instant: Send + Sync, Sleep: Send> + Clone + Send + Sync + 'static,
    {
        let (work, queue) = mpsc::unbounded::<Task<()>>();
        let core = Arc::new(Core {
            api: self.api,
            transport: self.transport,
            timer: self.timer,
            max_elapsed: self.max_elapsed,
            verdict: self.verdict,
            last_token: self.last_token,
            poller: OnceLock::new(),
            work,
            state: Mutex::new(State::new(self.client_token, self.session_id)),
        });
        let poller = PollerBuilder::with_timer(core.timer.clone(), self.interval);
        let (poller, polling) = poller.driver(|remote| {
            core.poller.get_or_init(|| remote);
            let core = Arc::clone(&core);
            move || tick(Arc::clone(&core))
        });
        drop(core.share(&Work::Load, false, Asker::Poller));
        let driver = async move {
            let work = queue.for_each_concurrent(None, |work| work);
            select(pin!(polling), pin!(work)).await;
        };
        let refresher = Refresher { core, poller };
        (refresher, RefresherDriver(Box::pin(driver)))
    }

    /// Spawns the refresher on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn spawn(self) -> Refresher
    where
        T: Timer<Instant: Send + Sync, Sleep: Send> + Clone + Send + Sync + 'static,
    {
        let (refresher, driver) = self.driver();
        tokio::spawn(driver);
        refresher
    }
}

impl<X, T> fmt::Debug for RefresherBuilder<X, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefresherBuilder")
            .field("api", &self.api)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

/// One look of the poller: mints where the active token has not enough life left,
/// and starts up again, without waiting for it, where that has failed.
async fn tick<T, X>(core: Arc<Core<T, X>>) -> Result<(), TokenError>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    let (mint, task) = {
        let mut state = core.lock();
        match state.key(&TokenRequest::new()) {
            Some(key) if core.cached(&state, &key).is_some() => return Ok(()),
            Some(key) => {
                let work = Work::Mint(key);
                let (mint, task) = core.flight(&mut state, &work, false, Asker::Poller);
                (Some(mint), task)
            }
            None if state.signed_out().is_some() => return Ok(()),
            None => {
                let (_, task) = core.flight(&mut state, &Work::Load, false, Asker::Caller);
                (None, task)
            }
        }
    };
    core.begin(task);
    match mint {
        Some(mint) => mint.await.map(drop),
        None => Ok(()),
    }
}

/// What a session token is asked for: by default the session's own, for the
/// organization last active.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::TokenRequest;
///
/// let request = TokenRequest::new().organization("org_1").force();
/// # let _ = request;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct TokenRequest {
    pub(super) template: Option<String>,
    pub(super) organization: Option<String>,
    force: bool,
}

impl TokenRequest {
    /// Returns a request for the session's own token.
    pub const fn new() -> Self {
        Self {
            template: None,
            organization: None,
            force: false,
        }
    }

    /// Asks for a token made from a JWT template.
    pub fn template(mut self, name: impl Into<String>) -> Self {
        self.template = Some(name.into());
        self
    }

    /// Asks for a token for an organization.
    pub fn organization(mut self, id: impl Into<String>) -> Self {
        self.organization = Some(id.into());
        self
    }

    /// Asks for a token for the personal account.
    pub fn personal(self) -> Self {
        self.organization("")
    }

    /// Asks for a new token, also where a cached one is good. A sequence in flight
    /// is shared all the same.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// What a refresher knows of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefresherStatus {
    /// It is not known yet which session there is.
    Loading,
    /// The last sequence brought a token.
    Ready,
    /// The last sequence failed; the user is not signed out.
    Degraded,
    /// The user is signed out: confirmed. Nothing is sent any more.
    SignedOut(SignedOut),
}

/// Hands out session tokens, and keeps the active one fresh; dropping it cancels
/// all its work.
///
/// Made by [`RefresherBuilder`]. To share it, put it into an [`Arc`].
#[must_use = "dropping the refresher cancels its work"]
pub struct Refresher {
    core: Arc<dyn Api>,
    poller: PollerHandle,
}

impl Refresher {
    /// Returns the active session's token: the cached one where it has at least 15 s
    /// left, in whole seconds, otherwise that of the sequence in flight, otherwise
    /// that of a new one.
    ///
    /// For 5 s after a sequence has failed, callers get its error and send nothing.
    ///
    /// # Errors
    ///
    /// [`TokenError::SignedOut`] where that is confirmed;
    /// [`TokenError::Unavailable`] where a whole sequence, of up to 161.786708 s and
    /// its requests, brought no token, nor did the verification that follows where
    /// the user may be signed out; [`TokenError::Ended`] where nothing drives the
    /// refresher any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing: the sequence goes on in the driver.
    pub async fn get_token(&self) -> Result<SessionToken, TokenError> {
        self.token(&TokenRequest::new()).await
    }

    /// Returns the token that a request describes; see
    /// [`get_token`](Self::get_token).
    ///
    /// # Errors
    ///
    /// As `get_token`; and [`TokenError::InvalidTemplate`] where the template has a
    /// name that cannot be one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    pub async fn token(&self, request: &TokenRequest) -> Result<SessionToken, TokenError> {
        loop {
            match Arc::clone(&self.core).serve(request) {
                Served::Now(result) => return result,
                Served::Minting(flight) => {
                    return flight
                        .await
                        .and_then(|token| token.ok_or(TokenError::Ended));
                }
                Served::Loading(flight) => drop(flight.await?),
            }
        }
    }

    /// Waits until it is known which session there is.
    ///
    /// # Errors
    ///
    /// As [`get_token`](Self::get_token). The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    pub async fn ready(&self) -> Result<(), TokenError> {
        match Arc::clone(&self.core).loading()? {
            Some(flight) => flight.await.map(drop),
            None => Ok(()),
        }
    }

    /// Returns what is known of the session at this moment.
    #[must_use]
    pub fn status(&self) -> RefresherStatus {
        self.core.status()
    }

    /// Returns a remote of the poller that keeps the active token fresh: to pause
    /// it, to have it look now, or to change its interval.
    #[must_use]
    pub fn poller(&self) -> PollerRemote {
        self.poller.remote()
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("status", &self.status())
            .field("poller", &self.poller)
            .finish_non_exhaustive()
    }
}

/// What there is for a request.
enum Served {
    Now(Result<SessionToken, TokenError>),
    Minting(Flight),
    Loading(Flight),
}

/// A core without the types of its timer and its transport.
trait Api: Send + Sync {
    fn serve(self: Arc<Self>, request: &TokenRequest) -> Served;
    /// The start-up that will tell of the session; none where it is known.
    fn loading(self: Arc<Self>) -> Result<Option<Flight>, TokenError>;
    fn status(&self) -> RefresherStatus;
}

impl<T, X> Api for Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    fn serve(self: Arc<Self>, request: &TokenRequest) -> Served {
        if let Some(template @ ("" | "." | "..")) = request.template.as_deref() {
            let template = template.to_owned();
            return Served::Now(Err(TokenError::InvalidTemplate { template }));
        }
        let mut state = self.lock();
        if let Some(error) = state.signed_out() {
            return Served::Now(Err(error));
        }
        let Some(key) = state.key(request) else {
            let (flight, task) = self.flight(&mut state, &Work::Load, false, Asker::Caller);
            drop(state);
            self.begin(task);
            return Served::Loading(flight);
        };
        match self.cached(&state, &key) {
            Some(token) if !request.force => return Served::Now(Ok(token)),
            _ => {}
        }
        let work = Work::Mint(key);
        let (flight, task) = self.flight(&mut state, &work, request.force, Asker::Caller);
        drop(state);
        self.begin(task);
        Served::Minting(flight)
    }

    fn loading(self: Arc<Self>) -> Result<Option<Flight>, TokenError> {
        let (flight, task) = {
            let mut state = self.lock();
            if let Some(error) = state.signed_out() {
                return Err(error);
            }
            if state.known {
                return Ok(None);
            }
            self.flight(&mut state, &Work::Load, false, Asker::Caller)
        };
        self.begin(task);
        Ok(Some(flight))
    }

    fn status(&self) -> RefresherStatus {
        self.lock().status.clone()
    }
}

/// The future that drives a refresher; see [`RefresherBuilder::driver`].
#[must_use = "a future does nothing unless it is polled"]
pub struct RefresherDriver(Task<()>);

impl Future for RefresherDriver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for RefresherDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefresherDriver").finish_non_exhaustive()
    }
}
