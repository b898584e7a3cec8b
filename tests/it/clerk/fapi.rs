//! A stand-in for the Frontend API, on the virtual clock.

use std::{
    cell::RefCell,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use afterbeat::{
    ManualTimer, Timer,
    clerk::{Refresher, RefresherBuilder, Request, Response, Transport, TransportError},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{Either, select};
use serde_json::{Value, json};

pub const SECOND: Duration = Duration::from_secs(1);

pub fn seconds(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9).round() as u64)
}

/// The secrets in play: no output may hold one.
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
    let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_000) + now;
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

    pub fn builder(&self) -> RefresherBuilder<Self, ManualTimer> {
        let api = "https://clerk.example.test".parse().unwrap();
        RefresherBuilder::with_timer(self.timer.clone(), api, self.clone())
            .client_token(CLIENT_TOKEN.parse().unwrap())
            .wall_clock(wall_clock)
    }

    /// A refresher with the ways of clerk-js 5.59.0: no refresh ahead, callers that wait
    /// for ever, requests without a limit.
    pub fn seed(&self) -> RefresherBuilder<Self, ManualTimer> {
        self.builder()
            .refresh_ahead(false)
            .max_wait(Duration::MAX)
            .attempt_timeout(Duration::MAX)
    }

    /// Drives a refresher while `scenario` goes on.
    pub fn with<R>(
        &self,
        builder: RefresherBuilder<Self, ManualTimer>,
        scenario: impl AsyncFnOnce(&Refresher) -> R,
    ) -> R {
        let (refresher, driver) = builder.driver();
        self.timer.run(async {
            match select(pin!(scenario(&refresher)), driver).await {
                Either::Left((result, _)) => result,
                Either::Right(_) => panic!("the driver ended before the scenario"),
            }
        })
    }

    /// The same, with the seed's ways.
    pub fn run<R>(&self, scenario: impl AsyncFnOnce(&Refresher) -> R) -> R {
        self.with(self.seed(), scenario)
    }

    pub fn jwt(&self) -> String {
        let issued = 1_700_000_000 + self.timer.now().as_secs();
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

pub fn client(sessions: &Value) -> Value {
    json!({ "response": { "sessions": sessions, "last_active_session_id": "sess_1" } })
}

pub fn session(token: &Value) -> Value {
    json!({ "id": "sess_1", "status": "active", "last_active_token": token })
}

pub fn jwt(claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!(
        "{}.{}.c2lnbmF0dXJl",
        part(&json!({ "alg": "RS256" })),
        part(claims)
    )
}

/// An answer with a JSON body.
pub fn exactly(status: u16, body: &Value) -> Answer {
    Answer::Exactly(Response::new(status, body.to_string()))
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
