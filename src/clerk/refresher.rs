//! The refresher as its owner sees it.

use core::{
    fmt,
    future::{Future, pending, poll_fn},
    mem,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    panic::catch_unwind,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use futures::{
    FutureExt, StreamExt,
    channel::mpsc,
    future::{Either, join, ready, select},
    lock,
};

use super::{
    api::FrontendApi,
    error::{Refusal, TokenError},
    event::{Counters, RefresherEvent, RefresherStatus},
    request::{Key, TokenRequest},
    settings::{OutageVerdict, Settings},
    state::{Asker, Core, Flight, Freshness, Source, State, Task, Work},
    store::TokenStore,
    token::{ClientToken, InvalidToken, SessionToken},
    transport::Transport,
};
#[cfg(feature = "tokio")]
use crate::timer::TokioTimer;
use crate::{
    backoff::Backoff,
    jitter::Jitter,
    poller::{PollerBuilder, PollerHandle, PollerRemote},
    timer::Timer,
    watch::{Watch, Watched, Watchers},
};

/// How long the poller waits before it starts up again, after start-ups that failed in
/// a row. It looks at its own interval, so that the wait is a multiple of that.
const RELOAD: Backoff = Backoff::new()
    .initial_delay(Duration::from_secs(3))
    .max_delay(Duration::from_secs(30))
    .jitter(Jitter::NONE);

/// The least interval of the poller.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

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
    settings: Settings,
    jitter: Jitter,
    observer: Box<dyn FnMut(RefresherEvent) + Send>,
    store: Option<Box<dyn TokenStore>>,
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
            settings: Settings {
                interval: Box::new(|| Duration::from_secs(5)),
                max_elapsed: Duration::MAX,
                max_wait: Duration::from_secs(7),
                attempt_timeout: Duration::from_secs(10),
                verdict: OutageVerdict::default(),
                refresh_ahead: true,
                session_minter: false,
                tag_retries: false,
                wall_clock: SystemTime::now,
            },
            jitter: Jitter::NONE,
            observer: Box::new(|_| {}),
            store: None,
            client_token: None,
            session_id: None,
            last_token: None,
        }
    }

    /// Sets the client token, which proves who the client is. What a
    /// [`store`](Self::store) holds goes before it, also where the API refuses that: a
    /// confirmed sign-out leaves it there, and [`Refresher::sign_out`] takes it away.
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

    /// Sets where the client token, the session's own token and the gate of a
    /// `Retry-After` outlive the process; nowhere unless set.
    ///
    /// Processes that share a store send one request at a time between them, and one
    /// of them refreshes for all. A sign-out by one is found out by the others when the
    /// API refuses them. Its lock is held around each request, its reads and
    /// writes block the driver's thread for as long as they take.
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Sets the interval at which the poller looks whether the token is still
    /// fresh: 5 s unless set, as in clerk-js 5.59.0.
    pub fn interval(self, interval: Duration) -> Self {
        self.interval_by(move || interval)
    }

    /// Asks a function for that interval after each look; an answer below 100 ms counts
    /// as that.
    pub fn interval_by(mut self, interval: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.settings.interval = Box::new(interval);
        self
    }

    /// Sets the jitter of the poller's waits, also of the one that ends when the token is
    /// due: none unless set. A fleet that must not be late draws from [0.9, 1], say.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets whether the active token is refreshed 17 s before it expires, while the old
    /// one is served until 5 s before; it is unless set. Otherwise a token is refreshed
    /// when it has less than 15 s left, and callers wait for that, as in clerk-js
    /// 5.59.0.
    pub fn refresh_ahead(mut self, ahead: bool) -> Self {
        self.settings.refresh_ahead = ahead;
        self
    }

    /// Limits how long a caller waits: 7 s unless set. The sequence goes on without it.
    ///
    /// It is also how long a start-up waits for `GET /v1/client` where the last token
    /// tells of the session.
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.settings.max_wait = limit;
        self
    }

    /// Limits the time of one request: 10 s unless set. A request that takes longer has
    /// failed, and is dropped; with it goes a client token that the headers of its reply
    /// may have brought, so the transport's own limit is to be lower.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.settings.attempt_timeout = limit;
        self
    }

    /// Limits the time of each sequence; none unless set. See
    /// [`RetryBuilder::max_elapsed`](crate::RetryBuilder::max_elapsed).
    pub fn max_elapsed(mut self, limit: Duration) -> Self {
        self.settings.max_elapsed = limit;
        self
    }

    /// Sets what an outage during the verification of a sign-out means.
    pub fn outage_verdict(mut self, verdict: OutageVerdict) -> Self {
        self.settings.verdict = verdict;
        self
    }

    /// Sets whether the instance mints a session token from the one before it, which
    /// then goes with each request: `auth_config.session_minter` in its environment.
    pub fn session_minter(mut self, mints: bool) -> Self {
        self.settings.session_minter = mints;
        self
    }

    /// Sets whether a repeated request says so, as `_clerk_retry_attempt`.
    pub fn tag_retries(mut self, tag: bool) -> Self {
        self.settings.tag_retries = tag;
        self
    }

    /// Sets the clock that goes on while the machine sleeps: `SystemTime::now` unless
    /// set. It need not be right: only the time between two readings counts, and only
    /// where that is longer than by the timer.
    pub fn wall_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.settings.wall_clock = clock;
        self
    }

    /// Sets the observer. The driver calls it with each event, in order and under no
    /// lock; if it panics, the event is lost and nothing else.
    pub fn observe(mut self, observer: impl FnMut(RefresherEvent) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Returns the refresher and the future that drives it, for any executor.
    ///
    /// The driver starts up, polls, and carries sequences on when their callers
    /// have gone. It ends when the refresher is dropped, the store has heard of a
    /// sign-out, and the observer of all that has happened.
    pub fn driver(self) -> (Refresher, RefresherDriver)
    where
        T: Timer<Instant: Send + Sync, Sleep: Send> + Clone + Send + Sync + 'static,
    {
        let (work, queue) = mpsc::unbounded::<Task<()>>();
        let (events, told) = mpsc::unbounded();
        let state = State::new(self.client_token, self.session_id, self.last_token);
        let core = Arc::new(Core {
            api: self.api,
            transport: self.transport,
            timer: self.timer,
            settings: self.settings,
            store: self.store,
            turn: lock::Mutex::new(()),
            poller: OnceLock::new(),
            work,
            events,
            state: Mutex::new(state),
            served: AtomicUsize::new(0),
        });
        let interval = {
            let core = Arc::clone(&core);
            move |_: &Result<(), TokenError>| next_look(&core)
        };
        let (poller, polling) = PollerBuilder::with_timer(core.timer.clone(), Duration::ZERO)
            .jitter(self.jitter)
            .interval_by(interval)
            .driver(|remote| {
                core.poller.get_or_init(|| remote);
                let core = Arc::clone(&core);
                move || tick(Arc::clone(&core))
            });
        drop(core.share(&Work::Load, false, Asker::Poller));
        let mut observer = self.observer;
        let teller = Arc::clone(&core);
        let telling = told.for_each(move |()| {
            let events = mem::take(&mut teller.lock().events);
            for event in events {
                drop(catch_unwind(AssertUnwindSafe(|| observer(event))));
            }
            ready(())
        });
        let closing = Closing(Arc::clone(&core) as _);
        let at_last = Arc::clone(&core);
        let working = select(
            polling.boxed(),
            queue.for_each_concurrent(None, |work| work),
        )
        .map(drop)
        .then(|()| async move {
            at_last.forget_at_last().await;
            drop(closing);
            at_last.events.close_channel();
        });
        let driver = join(working, telling).map(drop);
        let refresher = Refresher { core, poller };
        (refresher, RefresherDriver(driver.boxed()))
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

/// One look of the poller.
async fn tick<T, X>(core: Arc<Core<T, X>>) -> Result<(), TokenError>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    core.lock().looking = true;
    let result = look(&core).await;
    core.lock().looking = false;
    result
}

/// Mints where the active token has not enough life left, and starts up again, without
/// waiting for it, where that is due.
async fn look<T, X>(core: &Arc<Core<T, X>>) -> Result<(), TokenError>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    let (mint, tasks) = {
        let mut state = core.lock();
        if state.over().is_some() {
            return Ok(());
        }
        let wait = *RELOAD.bounds(state.failed_loads).end();
        let failed = core.failed_before(&state, &Work::Load);
        let mut reload = None;
        if state.known != Some(Source::Client) && failed.is_none_or(|ago| ago >= wait) {
            reload = core.flight(&mut state, &Work::Load, false, Asker::Poller).1;
        }
        match state.key(&TokenRequest::new()) {
            Some(key) if !core.is_fresh(&state, &key) => {
                let work = Work::Mint(key);
                let (mint, task) = core.flight(&mut state, &work, false, Asker::Poller);
                (Some(mint), [reload, task])
            }
            _ => (None, [reload, None]),
        }
    };
    for task in tasks {
        core.begin(task);
    }
    match mint {
        Some(mint) => mint.await.map(drop),
        None => Ok(()),
    }
}

/// How long the poller waits: no longer than until the active token is due.
fn next_look<T: Timer, X>(core: &Core<T, X>) -> Duration {
    let interval = (core.settings.interval)().max(LEAST_INTERVAL);
    let due = core.due_in(&core.lock());
    due.map_or(interval, |due| due.min(interval))
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
    /// Returns the active session's token: the cached one where it has enough life
    /// left, otherwise that of the sequence in flight, otherwise that of a new one.
    ///
    /// With refresh ahead, enough is more than 5 s, and a token with 17 s left or less
    /// is served while a new one is asked for. Without, it is 15 s. Where the sequence
    /// in flight has failed already, or fails, or takes longer than a caller may wait,
    /// a cached token is served as long as it is valid at all:
    /// [`SessionToken::expires_in`] tells.
    ///
    /// For 5 s after a sequence has failed, callers get its error and send nothing.
    ///
    /// # Errors
    ///
    /// [`TokenError::SignedOut`] where that is confirmed; [`TokenError::Refused`] where
    /// the API refuses the program; [`TokenError::TimedOut`] where the caller has waited
    /// for as long as [`RefresherBuilder::max_wait`] allows; [`TokenError::Unavailable`]
    /// where a whole sequence, of up to 161.786708 s and its requests, brought no token,
    /// nor did the verification that follows where the user may be signed out;
    /// [`TokenError::Ended`] where nothing drives the refresher any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing: the sequence goes on in the driver.
    pub async fn get_token(&self) -> Result<SessionToken, TokenError> {
        match self.core.fresh() {
            Some(token) => Ok(token),
            None => self.token(&TokenRequest::new()).await,
        }
    }

    /// Returns the token that a request describes; see
    /// [`get_token`](Self::get_token).
    ///
    /// # Errors
    ///
    /// As `get_token`; and [`TokenError::InvalidTemplate`] where the template has a
    /// name that cannot be one. A forced request that fails does so also where a cached
    /// token is valid; that stays cached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    pub async fn token(&self, request: &TokenRequest) -> Result<SessionToken, TokenError> {
        let (mut limit, mut again) = (None, false);
        loop {
            let (flight, work, patience) =
                match Arc::clone(&self.core).serve(request, mem::replace(&mut again, true)) {
                    Served::Now(result) => return result,
                    Served::Later(flight, work, patience) => (flight, work, patience),
                };
            let limit = limit.get_or_insert_with(|| self.core.limit(1));
            let patience = async {
                match patience {
                    Some(sleep) => sleep.await,
                    None => pending().await,
                }
            };
            let over = pin!(self.wait_for(|_| false));
            let patience = pin!(patience);
            let error = match select(flight, select(over, select(limit, patience))).await {
                Either::Left((Ok(Some(token)), _)) => return Ok(token),
                Either::Left((Ok(None), _)) => continue,
                Either::Left((Err(error), _)) => error,
                Either::Right(_) => self.core.without_result(&work, 1),
            };
            return self.core.still_valid(request).ok_or(error);
        }
    }

    /// Waits until it is known which session there is: twice as long as a caller may,
    /// since a start-up in an outage falls back on the last token after one such wait.
    ///
    /// # Errors
    ///
    /// As [`get_token`](Self::get_token). The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    pub async fn ready(&self) -> Result<(), TokenError> {
        let Some(flight) = Arc::clone(&self.core).loading()? else {
            return Ok(());
        };
        let over = pin!(self.wait_for(|_| false));
        match select(flight, select(over, self.core.limit(2))).await {
            Either::Left((result, _)) => result.map(drop),
            Either::Right(_) => Err(self.core.without_result(&Work::Load, 2)),
        }
    }

    /// Signs the user out here: all tokens are forgotten, in the store too, and nothing
    /// is sent any more. The API is not told; end the session there first.
    ///
    /// What is in flight is dropped when it comes. The store hears of it from the driver,
    /// or in [`shutdown`](Self::shutdown), which a program that ends at once is to await.
    pub fn sign_out(&self) {
        Arc::clone(&self.core).sign_out_here();
    }

    /// Makes an organization the active one, or with `None` the personal account, and
    /// has the poller look.
    ///
    /// The answers to earlier requests are cached for their own organization only.
    pub fn set_organization(&self, id: Option<&str>) {
        self.core.activate(id.unwrap_or_default());
        self.poller.trigger();
    }

    /// Waits until the status is as `wanted`, or nothing can follow, and returns the
    /// status. Nothing follows a sign-out, a refusal, and the end of the driver.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn wait_for<F>(&self, mut wanted: F) -> impl Future<Output = RefresherStatus> + use<F>
    where
        F: FnMut(&RefresherStatus) -> bool,
    {
        let mut watch = Watch::new(Arc::clone(&self.core));
        poll_fn(move |context| {
            watch.poll(context, |core| {
                let (status, over) = core.status();
                (over || wanted(&status)).then_some(status)
            })
        })
    }

    /// Returns what is known of the session at this moment.
    #[must_use]
    pub fn status(&self) -> RefresherStatus {
        self.core.status().0
    }

    /// Returns how much has been done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// Returns a remote of the poller that keeps the active token fresh: to pause it,
    /// or to have it look now. Its interval is asked for after each look: see
    /// [`RefresherBuilder::interval_by`].
    #[must_use]
    pub fn poller(&self) -> PollerRemote {
        self.poller.remote()
    }

    /// Ends the refresher; a request in flight is let finish, so that no rotated client
    /// token is lost, and no other is begun.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is dropping the refresher.
    pub async fn shutdown(self) {
        self.poller.stop();
        Arc::clone(&self.core).close().await;
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

/// Tells whoever waits that the driver has gone.
struct Closing(Arc<dyn Api>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// What there is for a request: a result, or work to wait for, no longer than a sleep
/// lasts where a cached token is still valid.
enum Served {
    Now(Result<SessionToken, TokenError>),
    Later(Flight, Work, Option<Task<()>>),
}

/// A core without the types of its timer and its transport.
trait Api: Watched + Send + Sync {
    /// The active session's own token, counted as served, if it is fresh.
    fn fresh(&self) -> Option<SessionToken>;
    /// Counts the call, unless it is one that goes on.
    fn serve(self: Arc<Self>, request: &TokenRequest, again: bool) -> Served;
    /// The start-up that will tell of the session; none where it is known.
    fn loading(self: Arc<Self>) -> Result<Option<Flight>, TokenError>;
    /// So many times as long as a caller may wait.
    fn limit(&self, times: u32) -> Task<()>;
    /// Why a caller waits no longer for work that is in flight, after so many times as
    /// long as it may.
    fn without_result(&self, work: &Work, times: u32) -> TokenError;
    fn still_valid(&self, request: &TokenRequest) -> Option<SessionToken>;
    fn sign_out_here(self: Arc<Self>);
    fn activate(&self, organization: &str);
    fn close(self: Arc<Self>) -> Task<()>;
    fn closed(&self);
    /// The status, and whether none will follow.
    fn status(&self) -> (RefresherStatus, bool);
    fn counters(&self) -> Counters;
}

impl<T, X> Api for Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    fn fresh(&self) -> Option<SessionToken> {
        let token = self.fresh_active()?;
        self.served.fetch_add(1, Relaxed);
        Some(token)
    }

    fn serve(self: Arc<Self>, request: &TokenRequest, again: bool) -> Served {
        let (served, task) = {
            let mut state = self.lock();
            let (served, task) = self.served(&mut state, request);
            if !again {
                let counters = &mut state.counters;
                counters.calls += 1;
                *match (&served, &task) {
                    (Served::Now(_), _) => &mut counters.served,
                    (_, None) => &mut counters.coalesced,
                    (_, Some(_)) => &mut counters.led,
                } += 1;
            }
            (served, task)
        };
        self.begin(task);
        served
    }

    fn loading(self: Arc<Self>) -> Result<Option<Flight>, TokenError> {
        let (flight, task) = {
            let mut state = self.lock();
            if let Some(error) = state.over() {
                return Err(error);
            }
            if state.known.is_some() {
                return Ok(None);
            }
            self.flight(&mut state, &Work::Load, false, Asker::Caller)
        };
        self.begin(task);
        Ok(Some(flight))
    }

    fn limit(&self, times: u32) -> Task<()> {
        match self.settings.max_wait.saturating_mul(times) {
            Duration::MAX => Box::pin(pending()),
            limit => Box::pin(self.timer.sleep(limit)),
        }
    }

    fn without_result(&self, work: &Work, times: u32) -> TokenError {
        let state = self.lock();
        if let Some(error) = state.over() {
            return error;
        }
        if state.closed {
            return TokenError::Ended;
        }
        let failure = state.failure(work);
        TokenError::TimedOut {
            limit: self.settings.max_wait.saturating_mul(times),
            retries: failure.as_ref().map_or(0, |(retries, _)| *retries),
            cause: failure.map(|(_, cause)| cause),
        }
    }

    fn still_valid(&self, request: &TokenRequest) -> Option<SessionToken> {
        let state = self.lock();
        let (token, _) = self.cached(&state, &state.key(request)?)?;
        (!request.force).then_some(token)
    }

    fn sign_out_here(self: Arc<Self>) {
        drop(self.end(RefresherStatus::SignedOut(Refusal::default()), true));
        let core = Arc::clone(&self);
        self.begin(Some(async move { core.forget().await }.boxed()));
    }

    fn activate(&self, organization: &str) {
        self.change(|state| {
            state.organization = Some(organization.to_owned());
            state.chosen = true;
            self.find_active(state);
        });
    }

    fn close(self: Arc<Self>) -> Task<()> {
        self.change(|state| state.closed = true);
        async move {
            drop(self.turn.lock().await);
            self.forget_at_last().await;
        }
        .boxed()
    }

    fn closed(&self) {
        self.change(|state| state.closed = true);
    }

    fn status(&self) -> (RefresherStatus, bool) {
        let state = self.lock();
        (state.status.clone(), state.is_over())
    }

    fn counters(&self) -> Counters {
        let served = self.served.load(Relaxed) as u64;
        let counters = self.lock().counters;
        Counters {
            calls: counters.calls + served,
            served: counters.served + served,
            ..counters
        }
    }
}

impl<T: Timer, X> Watched for Core<T, X> {
    fn with_watchers(
        &self,
        change: &mut dyn FnMut(&mut Watchers) -> Option<Waker>,
    ) -> Option<Waker> {
        change(&mut self.lock().watchers)
    }
}

impl<T, X> Core<T, X>
where
    T: Timer<Instant: Send + Sync, Sleep: Send> + Send + Sync + 'static,
    X: Transport,
{
    /// Has the store hear of a sign-out that it has not heard of.
    async fn forget_at_last(&self) {
        let to_forget = self.lock().to_forget;
        if to_forget {
            self.forget().await;
        }
    }

    fn is_fresh(&self, state: &State<T::Instant>, key: &Key) -> bool {
        matches!(self.cached(state, key), Some((_, Freshness::Fresh)))
    }

    /// What there is for a request, and the work to begin for it.
    fn served(
        self: &Arc<Self>,
        state: &mut State<T::Instant>,
        request: &TokenRequest,
    ) -> (Served, Option<Task<()>>) {
        if let Some(template @ ("" | "." | "..")) = request.template.as_deref() {
            let template = template.to_owned();
            let error = TokenError::InvalidTemplate { template };
            return (Served::Now(Err(error)), None);
        }
        if let Some(error) = state.over() {
            return (Served::Now(Err(error)), None);
        }
        let Some(key) = state.key(request) else {
            let (flight, task) = self.flight(state, &Work::Load, false, Asker::Caller);
            return (Served::Later(flight, Work::Load, None), task);
        };
        let cached = self.cached(state, &key).filter(|_| !request.force);
        if let Some((token, Freshness::Fresh)) = cached {
            return (Served::Now(Ok(token)), None);
        }
        let work = Work::Mint(key);
        let (flight, task) = self.flight(state, &work, request.force, Asker::Caller);
        let failing = state.failure(&work).is_some();
        match cached {
            Some((token, Freshness::Due)) => (Served::Now(Ok(token)), task),
            Some((token, _)) if failing => (Served::Now(Ok(token)), task),
            cached => {
                // A second before its end, so that the token is of use.
                let left = cached.map(|(token, _)| token.expires_in());
                let left = left.and_then(|left| left.checked_sub(Duration::from_secs(1)));
                let patience = left.map(|left| self.timer.sleep(left).boxed());
                (Served::Later(flight, work, patience), task)
            }
        }
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
