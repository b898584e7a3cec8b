//! What the tests share: a stand-in for the Frontend API on the virtual clock, what a
//! refresher is asked, and what it tells.

use std::{
    cell::RefCell,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use afterbeat::{
    Clock, ManualTimer, Timer,
    clerk::{
        Cause, MemoryStore, Refresher, RefresherBuilder, RefresherEvent, RefresherStatus, Request,
        Response, SessionToken, TokenError, TokenRequest, TokenStore, Transport, TransportError,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use serde_json::{Value, json};

pub type Builder = RefresherBuilder<Fapi, ManualTimer>;

pub const SECOND: Duration = Duration::from_secs(1);

pub fn seconds(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9).round() as u64)
}

// The API.

/// What the wall clock reads at the start, in seconds.
pub const START: u64 = 1_700_000_000;

/// A secret: no output may hold it.
pub const CLIENT_TOKEN: &str = "client-token-secret";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Tokens,
    Client,
}

/// One request, as the API sees it.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Duration,
    pub on: On,
    pub method: &'static str,
    pub url: String,
    pub body: Option<String>,
    pub authorization: Option<String>,
}

pub enum Answer {
    /// 200 with what belongs there.
    Fine,
    /// An error with one code.
    Fails(u16, &'static str),
    /// Exactly this.
    Exactly(Response),
    /// No response at all.
    Reject,
    /// The same, and the machine says that it is not connected.
    Offline,
    /// That, this much later.
    Late(Duration, Box<Answer>),
    /// Nothing, ever.
    Hang,
    /// A panic of the transport, past the hook, which would print.
    Panic,
}

thread_local! {
    /// This test's clock, and how far its wall clock is off.
    static CLOCK: RefCell<(ManualTimer, i64)> = RefCell::default();
}

/// Sets this test's wall clock to that many seconds off.
pub fn set_wall_clock_off(seconds: i64) {
    CLOCK.with_borrow_mut(|clock| clock.1 = seconds);
}

pub fn wall_clock() -> SystemTime {
    let (now, off) = CLOCK.with_borrow(|(timer, off)| (timer.now(), *off));
    let wall = UNIX_EPOCH + Duration::from_secs(START) + now;
    match u64::try_from(off) {
        Ok(ahead) => wall + Duration::from_secs(ahead),
        Err(_) => wall - Duration::from_secs(off.unsigned_abs()),
    }
}

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

/// Clones are one API.
#[derive(Clone)]
pub struct Fapi {
    pub timer: ManualTimer,
    pub latency: Duration,
    pub lifetime: u64,
    /// Whether a client tells of its session's last token.
    pub client_has_token: bool,
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<Call>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fapi {
    pub fn new(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let timer = ManualTimer::new();
        CLOCK.set((timer.clone(), 0));
        Self {
            timer,
            latency: Duration::ZERO,
            lifetime: 60,
            client_has_token: true,
            script: Arc::new(script),
            calls: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// Healthy until `from`, then as `script` says of `/tokens`, for ever.
    pub fn tokens_fail_from(
        from: Duration,
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |call| match call.on {
            On::Tokens if call.at >= from => script(call),
            _ => Answer::Fine,
        })
    }

    /// Each look mints: a token of 10 s is never worth caching, and none comes with a
    /// client.
    pub fn short_lived(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let mut fapi = Self::tokens_fail_from(Duration::ZERO, script);
        (fapi.lifetime, fapi.client_has_token) = (10, false);
        fapi
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// When requests were sent to an endpoint.
    pub fn instants(&self, on: On) -> Vec<Duration> {
        let calls = self.calls();
        calls
            .iter()
            .filter(|call| call.on == on)
            .map(|call| call.at)
            .collect()
    }

    /// What was sent as `Authorization`.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        let calls = self.calls().into_iter();
        calls.map(|call| call.authorization).collect()
    }

    pub fn builder(&self) -> Builder {
        over(&self.timer, self.clone()).client_token(CLIENT_TOKEN.parse().unwrap())
    }

    /// A refresher with the ways of clerk-js 5.59.0: no refresh ahead, callers that wait
    /// for ever, requests without a limit.
    pub fn seed(&self) -> Builder {
        self.builder()
            .refresh_ahead(false)
            .max_wait(Duration::MAX)
            .attempt_timeout(Duration::MAX)
    }

    /// Drives a refresher while `scenario` goes on.
    pub fn with<R>(&self, builder: Builder, scenario: impl AsyncFnOnce(&Refresher) -> R) -> R {
        let (refresher, driver) = builder.driver();
        drive(&self.timer, driver, scenario(&refresher))
    }

    /// The same, with the seed's ways.
    pub fn run<R>(&self, scenario: impl AsyncFnOnce(&Refresher) -> R) -> R {
        self.with(self.seed(), scenario)
    }

    pub fn jwt(&self) -> String {
        let issued = START + self.timer.now().as_secs();
        jwt(&json!({
            "sid": "sess_1",
            "sub": "user_1",
            "iat": issued,
            "exp": issued + self.lifetime,
        }))
    }

    fn body(&self, on: On) -> Value {
        match on {
            On::Tokens => json!({ "jwt": self.jwt() }),
            On::Client if self.client_has_token => {
                client(&json!([session(&json!({ "jwt": self.jwt() }))]))
            }
            On::Client => client(&json!([session(&Value::Null)])),
        }
    }
}

/// A refresher by this test's clocks, over any transport.
pub fn over<X: Transport>(timer: &ManualTimer, transport: X) -> RefresherBuilder<X, ManualTimer> {
    let api = "https://clerk.example.test".parse().unwrap();
    RefresherBuilder::with_timer(timer.clone(), api, transport).wall_clock(wall_clock)
}

/// Drives `scenario` to its end, which comes before the driver's.
pub fn drive<R>(timer: &ManualTimer, driver: impl Future, scenario: impl Future<Output = R>) -> R {
    timer.run(async {
        match select(pin!(scenario), pin!(driver)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("the driver ended before the scenario"),
        }
    })
}

impl Transport for Fapi {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let on = if request.path() == "/v1/client" {
            On::Client
        } else {
            On::Tokens
        };
        let call = Call {
            at: self.timer.now(),
            on,
            method: request.method(),
            url: request.url(),
            body: request.body().map(str::to_owned),
            authorization: request.authorization().map(str::to_owned),
        };
        self.requests.lock().unwrap().push(request);
        self.calls.lock().unwrap().push(call.clone());
        let answer = (self.script)(&call);
        let (latency, answer) = match answer {
            Answer::Late(latency, answer) => (latency, *answer),
            answer => (self.latency, answer),
        };
        if !latency.is_zero() {
            self.timer.sleep(latency).await;
        }
        match answer {
            Answer::Fine => Ok(Response::new(200, self.body(on).to_string())),
            Answer::Fails(status, code) => {
                let body = json!({ "errors": [{ "code": code }], "clerk_trace_id": "trace_1" });
                Ok(Response::new(status, body.to_string()))
            }
            Answer::Exactly(response) => Ok(response),
            Answer::Reject => Err(TransportError::new("connection refused")),
            Answer::Offline => Err(TransportError::new("no route").offline()),
            Answer::Late(..) => unreachable!("late once"),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => std::panic::resume_unwind(Box::new("planted")),
        }
    }
}

// Its answers.

pub fn client(sessions: &Value) -> Value {
    json!({ "response": { "sessions": sessions, "last_active_session_id": "sess_1" } })
}

pub fn session(token: &Value) -> Value {
    json!({ "id": "sess_1", "status": "active", "last_active_token": token })
}

pub fn jwt(claims: &Value) -> String {
    jwt_with(&json!({ "alg": "RS256" }), claims)
}

fn jwt_with(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(header), part(claims))
}

/// A token of 60 s, issued so many seconds after the start.
pub fn of_session(sid: &str, issued: u64) -> String {
    let issued = START + issued;
    jwt(&json!({ "sid": sid, "sub": "user_1", "iat": issued, "exp": issued + 60 }))
}

/// A token minted at 0.
pub fn first_jwt(sid: &str) -> String {
    of_session(sid, 0)
}

/// A session token of 60 s; `n` tells it from others of the same times.
pub fn token_of(origin_issued_at: Option<u64>, issued_at: u64, n: u32) -> String {
    let claims = json!({
        "sid": "sess_1",
        "sub": format!("user_{n}"),
        "iat": issued_at,
        "exp": issued_at.saturating_add(60),
    });
    jwt_with(
        &json!({ "alg": "RS256", "oiat": origin_issued_at }),
        &claims,
    )
}

/// An answer with a JSON body.
pub fn exactly(status: u16, body: &Value) -> Answer {
    Answer::Exactly(Response::new(status, body.to_string()))
}

pub fn mints(token: &str) -> Answer {
    exactly(200, &json!({ "jwt": token }))
}

pub fn client_with(token: &Value) -> Answer {
    exactly(200, &client(&json!([session(token)])))
}

pub fn session_without_a_token() -> Answer {
    client_with(&Value::Null)
}

pub fn no_session() -> Answer {
    exactly(200, &client(&json!([])))
}

pub fn fails_500() -> Answer {
    Answer::Fails(500, "internal_clerk_error")
}

pub fn fails_401() -> Answer {
    Answer::Fails(401, "signed_out")
}

pub fn throttled(hint: u64) -> Answer {
    Answer::Exactly(Response::new(429, "slow down").retry_after(Duration::from_secs(hint)))
}

/// `n` answers, then `rest`.
pub fn first(n: u32, answer: impl Fn() -> Answer, rest: fn() -> Answer) -> impl Fn() -> Answer {
    let given = AtomicU32::new(0);
    move || {
        if given.fetch_add(1, Ordering::Relaxed) < n {
            answer()
        } else {
            rest()
        }
    }
}

// Who asks, and when.

/// The instants of the session schedule, from the first request.
const SCHEDULE: [f64; 9] = [
    0.0,
    3.0,
    7.65,
    14.8575,
    26.029_125,
    43.345_143_75,
    70.184_972_813,
    111.786_707_860,
    161.786_707_860,
];

/// The schedule, counted from an instant.
pub fn schedule_from(start: f64) -> Vec<Duration> {
    SCHEDULE
        .iter()
        .map(|at| seconds(start) + seconds(*at))
        .collect()
}

pub async fn until(fapi: &Fapi, at: f64) {
    let wait = seconds(at) - fapi.timer.now();
    fapi.timer.sleep(wait).await;
}

/// Waits until the session is known, and stops the poller.
pub async fn quiet(refresher: &Refresher) {
    refresher.ready().await.unwrap();
    refresher.poller().stop();
}

/// Asks a second later, without the poller, for a token that is not cached.
pub async fn forced(fapi: &Fapi, refresher: &Refresher) -> Result<SessionToken, TokenError> {
    refresher.ready().await?;
    refresher.poller().stop();
    fapi.timer.sleep(SECOND).await;
    refresher.token(&TokenRequest::new().force()).await
}

/// What a caller gets without waiting.
pub fn at_once(refresher: &Refresher) -> Option<SessionToken> {
    refresher.get_token().now_or_never().map(Result::unwrap)
}

/// Runs a refresher for a while and returns the instants of its mints.
pub fn polled(fapi: &Fapi, until: Duration) -> Vec<Duration> {
    fapi.run(async |_| fapi.timer.sleep(until).await);
    fapi.instants(On::Tokens)
}

pub fn template(name: impl Into<String>) -> TokenRequest {
    TokenRequest::new().template(name)
}

// What it tells.

#[track_caller]
pub fn cause(error: &TokenError) -> &Cause {
    match error {
        TokenError::Unavailable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn status(error: &TokenError) -> u16 {
    match cause(error) {
        Cause::Status { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

/// What a store holds.
pub fn text(store: &MemoryStore) -> String {
    let bytes = store.load().unwrap().unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

/// What an observer was told, and when.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<(Duration, RefresherEvent)>>>);

impl Told {
    pub fn by(fapi: &Fapi, builder: Builder) -> (Self, Builder) {
        let told = Self::default();
        let (timer, notes) = (fapi.timer.clone(), Arc::clone(&told.0));
        let observer = move |event| notes.lock().unwrap().push((timer.now(), event));
        (told, builder.observe(observer))
    }

    /// What is wanted of each event and its instant.
    pub fn each<R>(&self, of: impl Fn((Duration, RefresherEvent)) -> Option<R>) -> Vec<R> {
        let told = self.0.lock().unwrap().clone();
        told.into_iter().filter_map(of).collect()
    }

    pub fn all(&self) -> Vec<RefresherEvent> {
        self.each(|(_, event)| Some(event))
    }

    pub fn statuses(&self) -> Vec<RefresherStatus> {
        self.each(|(_, event)| match event {
            RefresherEvent::Status(status) => Some(status),
            _ => None,
        })
    }

    pub fn tokens(&self) -> Vec<SessionToken> {
        self.each(|(_, event)| match event {
            RefresherEvent::Token(token) => Some(token),
            _ => None,
        })
    }

    pub fn token_instants(&self) -> Vec<Duration> {
        self.each(|(at, event)| matches!(event, RefresherEvent::Token(_)).then_some(at))
    }

    pub fn client_tokens(&self) -> Vec<Option<String>> {
        self.each(|(_, event)| match event {
            RefresherEvent::ClientToken(token) => {
                Some(token.map(|token| token.expose().to_owned()))
            }
            _ => None,
        })
    }

    pub fn store_failures(&self) -> usize {
        let failed = self.each(|(_, event)| match event {
            RefresherEvent::StoreFailed(_) => Some(()),
            _ => None,
        });
        failed.len()
    }
}
