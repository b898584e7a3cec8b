//! A session token kept fresh through Clerk's bad day, in 17 seconds.
//!
//! ```text
//! cargo run --example session --features clerk-http
//! CLERK_CLIENT_TOKEN=.. CLERK_SESSION_ID=.. \
//!     cargo run --example session --features clerk-http -- --frontend-api URL
//! ```
//!
//! The first form starts a stand-in for Clerk's Frontend API: a real HTTP server on
//! a loopback port that follows a script: healthy, 429 with `Retry-After`, 500,
//! connections refused, 401 though the session is alive, recovery. Thirty tasks keep
//! asking one [`Refresher`] for a token. A timeline tells what was sent, answered
//! and waited for, a table sums it up; then the example checks its own claims, and
//! exits with 1 if one of them does not hold. It takes seconds because all of it
//! runs by [`Faster`]: the schedule and the lives of the tokens are the real ones.
//!
//! The second form is a session of yours, in real time, for two minutes. `URL` is
//! your instance's Frontend API, or its publishable key.
//!
//! What you would write yourself is in [`against`]; a caller is [`call`].

use std::collections::{BTreeMap, hash_map::RandomState};
use std::error::Error;
use std::fmt::Display;
use std::hash::BuildHasher;
use std::io;
use std::iter::successors;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afterbeat::clerk::{
    self, ClientToken, FrontendApi, HttpTransport, Refresher, RefresherBuilder, RefresherStatus,
    SESSION, SESSION_RETRIES, SessionToken, TokenError, Transport, TransportError,
};
use afterbeat::{Backoff, Clock, Jitter, Timer, TokioTimer};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the API does, and for how many seconds. The script is their sequence.
type Phase = (&'static str, u64);
const HEALTHY: Phase = ("healthy", 100);
const THROTTLED: Phase = ("429, retry after 20 s", 70);
const BROKEN: Phase = ("500", 140);
const REFUSED: Phase = ("connections refused", 115);
const DENIED: Phase = ("401, session alive", 95);
const RECOVERY: Phase = ("recovery", 160);
const OUTAGE: [Phase; 4] = [THROTTLED, BROKEN, REFUSED, DENIED];

/// Seconds, all of them by the fast clock. The hint is that of `Retry-After`.
const HINT: f64 = 20.0;
const LIFE: f64 = 60.0;
const LATENCY: f64 = 0.4;
/// How long a caller rests: about so long after a token, and exactly so long after
/// an error, as the refresher's own poller does.
const REST: f64 = 5.0;

const CALLERS: usize = 30;
const SESSION_ID: &str = "sess_example";
const CLIENT_TOKEN: &str = "the-client-token";

#[tokio::main]
async fn main() -> ExitCode {
    let result = match arguments() {
        Ok(None) => scripted().await,
        Ok(Some((api, client_token, id))) => against(api, client_token, id).await,
        Err(complaint) => {
            eprintln!("session: {complaint}\nusage: session [--frontend-api URL]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            eprintln!("session: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where the API is, the client token and the session's id; none for the script.
fn arguments() -> Result<Option<(FrontendApi, ClientToken, String)>, String> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match &words[..] {
        [] => Ok(None),
        [option, url] if option == "--frontend-api" => {
            let api = url.to_string_lossy().parse();
            let api = api.map_err(|error| format!("the Frontend API {error}"))?;
            let client_token = variable("CLERK_CLIENT_TOKEN")?.parse();
            let client_token = client_token.map_err(|error| format!("{error}"))?;
            Ok(Some((api, client_token, variable("CLERK_SESSION_ID")?)))
        }
        _ => Err("the only option is --frontend-api URL".into()),
    }
}

/// A complaint does not show the value, which may be a secret.
fn variable(name: &str) -> Result<String, String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("{name} is not set"))
}

// ---- The two programs ---------------------------------------------------------

/// A few callers and a session of yours. Returns whether it has a token in the end.
async fn against(
    api: FrontendApi,
    client_token: ClientToken,
    session_id: String,
) -> Result<bool, Box<dyn Error>> {
    println!("3 callers ask {api} for a token every 5 to 10 s, for 2 minutes.");
    let refresher = RefresherBuilder::new(api, HttpTransport::new()?)
        .client_token(client_token)
        .session_id(session_id)
        .spawn();

    let begun = Instant::now();
    let say = |text: String| println!("{:7.1}  {text}", begun.elapsed().as_secs_f64());
    let callers = join_all((1..=3).map(async |number| {
        let rests = Backoff::constant(Duration::from_secs(10)).jitter(Jitter::EQUAL);
        for rest in rests.delays() {
            let told = match refresher.get_token().await {
                Ok(token) => describe(&token),
                Err(error) => error.to_string(),
            };
            say(format!("caller {number}: {told}"));
            TokioTimer.sleep(rest).await;
        }
    }));
    tokio::select! {
        _ = callers => {}
        () = watch(TokioTimer, &refresher, |status| say(format!("status: {status:?}"))) => {}
        () = TokioTimer.sleep(Duration::from_secs(120)) => {}
    }
    Ok(refresher.status() == RefresherStatus::Ready)
}

/// What may be shown of a token.
fn describe(token: &SessionToken) -> String {
    let left = token.expires_in().as_secs_f64();
    format!("a token of {}, {left:.1} s left", token.claims().subject())
}

/// Tells each change of the status, and ends with a sign-out.
async fn watch(timer: impl Timer, refresher: &Refresher, tell: impl Fn(&RefresherStatus)) {
    let mut last = RefresherStatus::Loading;
    while !matches!(last, RefresherStatus::SignedOut(_)) {
        timer.sleep(Duration::from_millis(500)).await;
        let status = refresher.status();
        if status != last {
            tell(&status);
            last = status;
        }
    }
}

/// The scripted day. Returns whether all claims hold.
async fn scripted() -> Result<bool, Box<dyn Error>> {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into())?.listen(1024)?;
    let api: FrontendApi = format!("http://{}", listener.local_addr()?).parse()?;
    print(format!(
        "{CALLERS} callers ask for a token every {REST} s or so."
    ));
    print(format!(
        "The API, a stand-in, is {api}; its tokens live 60 s."
    ));
    print("Times are seconds of a clock that runs 40 times faster than the wall's.\n");
    print(format!("   time{HEADINGS}  waiting     left"));

    let refresher = RefresherBuilder::with_timer(CLOCK, api, Logged(HttpTransport::new()?))
        .client_token(CLIENT_TOKEN.parse()?)
        .session_id(SESSION_ID)
        .spawn();
    let refresher = Arc::new(refresher);
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(call(number, Arc::clone(&refresher)));
    }
    let timeline = async {
        loop {
            sleep(25.0).await;
            log().print_row();
        }
    };
    tokio::select! {
        ended = follow_script(listener) => ended?,
        () = watch(CLOCK, &refresher, |status| log().changes(status)) => {}
        () = timeline => {}
    }
    callers.shutdown().await;
    let log = log();
    log.print_table();
    Ok(log.check_promises() & log.check_script() & log.check_secrets())
}

// ---- The callers, and what their refresher runs on ----------------------------

/// Keeps asking for a token. It knows nothing of retries, which are shared.
async fn call(number: usize, refresher: Arc<Refresher>) {
    let rests = Backoff::constant(Duration::from_secs_f64(REST));
    for rest in rests.jitter(Jitter::between(0.5, 1.5)).delays() {
        CLOCK.sleep(rest).await;
        log().asks(number);
        let token = loop {
            match refresher.get_token().await {
                Ok(token) => break token,
                Err(error) => log().fails(&error),
            }
            sleep(REST).await;
        };
        log().serves(number, &token);
    }
}

/// A timer that runs 40 times faster than the one inside it.
#[derive(Clone, Copy)]
struct Faster<T>(T, u32);

const CLOCK: Faster<TokioTimer> = Faster(TokioTimer, 40);

impl<T: Clock> Clock for Faster<T> {
    type Instant = T::Instant;

    fn now(&self) -> T::Instant {
        self.0.now()
    }

    fn elapsed(&self, since: T::Instant) -> Duration {
        self.0.elapsed(since).saturating_mul(self.1)
    }
}

impl<T: Timer> Timer for Faster<T> {
    type Sleep = T::Sleep;

    fn sleep(&self, duration: Duration) -> T::Sleep {
        // Rounded up: never ready early.
        self.0.sleep(duration / self.1 + Duration::from_nanos(1))
    }
}

/// The real transport, and a note of what it could not carry.
struct Logged(HttpTransport);

impl Transport for Logged {
    async fn send(&self, request: clerk::Request) -> Result<clerk::Response, TransportError> {
        let result = self.0.send(request).await;
        if result.is_err() {
            log().refused.push(now());
        }
        result
    }
}

// ---- The stand-in for the API -------------------------------------------------

async fn follow_script(listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    serve(listener, &[HEALTHY, THROTTLED, BROKEN]).await?;
    // The listener is closed. A socket that is bound but does not listen refuses
    // connections as well, and keeps the port from other programs.
    let socket = bind(address)?;
    pass(REFUSED).await;
    serve(socket.listen(1024)?, &[DENIED, RECOVERY]).await
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Unix a port with recent connections can be bound again only so.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    Ok(socket)
}

async fn pass(phase: Phase) {
    log().begin(phase);
    sleep(phase.1 as f64).await;
}

/// Answers requests while these phases pass.
async fn serve(listener: TcpListener, phases: &'static [Phase]) -> io::Result<()> {
    let tokens = format!("/v1/client/sessions/{SESSION_ID}/tokens");
    let router = axum::Router::new()
        .route("/v1/client", get(|headers| answer(false, headers)))
        .route(&tokens, post(|headers| answer(true, headers)));
    let script = async move {
        for phase in phases.iter().copied() {
            pass(phase).await;
        }
    };
    let server = axum::serve(listener, router);
    server.with_graceful_shutdown(script).await
}

async fn answer(is_mint: bool, headers: HeaderMap) -> Response {
    let arrived = now();
    sleep(LATENCY).await;
    match headers.get(AUTHORIZATION) {
        Some(token) if token == CLIENT_TOKEN => log().answers(is_mint, arrived),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// A JWT like Clerk's, but for the signature: a keyed hash that nobody verifies.
fn sign(now: f64) -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let issued = 1_700_000_000 + now as u64;
    let expires = issued + LIFE as u64;
    let claims = json!({ "sid": SESSION_ID, "sub": "user_example", "iat": issued, "exp": expires });
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "SipHash" })), part(&claims));
    let signature = KEY.hash_one(&signed).to_be_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

// ---- The log, and what it says ------------------------------------------------

static START: LazyLock<Instant> = LazyLock::new(|| CLOCK.now());
static LOG: LazyLock<Mutex<Log>> = LazyLock::new(Mutex::default);
/// All lines that were printed, to be searched for secrets.
static OUTPUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

type Window = Range<f64>;
const ALWAYS: Window = 0.0..f64::INFINITY;
const HEADINGS: &str = "     sent      200      429      500      401  refused   served";

#[derive(Default)]
struct Log {
    phases: Vec<(Phase, Window)>,
    /// Requests that the API has answered, and when others were refused.
    requests: Vec<Request>,
    refused: Vec<f64>,
    /// When session tokens were issued.
    issued: Vec<f64>,
    secrets: Vec<String>,
    /// Since when callers wait for a token, and what became of earlier waits.
    asking: BTreeMap<usize, f64>,
    served: Vec<(usize, Window)>,
    statuses: Vec<RefresherStatus>,
    // What the timeline has told.
    until: f64,
    cause: String,
    longest_wait: f64,
}

struct Request {
    during: Window,
    is_mint: bool,
    status: u16,
}

fn now() -> f64 {
    CLOCK.elapsed(*START).as_secs_f64()
}

async fn sleep(seconds: f64) {
    CLOCK.sleep(Duration::from_secs_f64(seconds)).await;
}

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn output() -> MutexGuard<'static, Vec<String>> {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn print(text: impl Display) {
    let line = text.to_string();
    println!("{line}");
    output().push(line);
}

fn say(text: impl Display) {
    print(format!("{:7.1}  {text}", now()));
}

fn cell(count: usize) -> String {
    match count {
        0 => format!("{:>9}", "."),
        _ => format!("{count:9}"),
    }
}

fn count<'a>(instants: impl IntoIterator<Item = &'a f64>, window: &Window) -> usize {
    let instants = instants.into_iter();
    instants.filter(|at| window.contains(at)).count()
}

impl Log {
    fn begin(&mut self, phase: Phase) {
        let mut begun = 0.0;
        if let Some((_, window)) = self.phases.last_mut() {
            begun = now();
            window.end = begun;
        }
        self.phases.push((phase, begun..f64::INFINITY));
        say(format!("====== {} ======", phase.0));
    }

    /// What the API answers now.
    fn answers(&mut self, is_mint: bool, arrived: f64) -> Response {
        let now = now();
        let phase = self.phases.last().map_or(HEALTHY, |phase| phase.0);
        let (status, code) = match phase {
            THROTTLED => (429, "too_many_requests"),
            BROKEN => (500, "internal_clerk_error"),
            // The new listener may be a moment ahead of its phase.
            REFUSED | DENIED if is_mint => (401, "signed_out"),
            _ => (200, ""),
        };
        self.requests.push(Request {
            during: arrived..now,
            is_mint,
            status,
        });
        // While mints are denied, the session is there but brings no token.
        let issues = status == 200 && phase != DENIED;
        let token = issues.then(|| json!({ "jwt": self.issue(now) }));
        let session = || json!({ "id": SESSION_ID, "last_active_token": token });
        let body = match (status, is_mint) {
            (200, true) => json!(token),
            (200, false) => json!({ "response": { "sessions": [session()] } }),
            _ => json!({ "errors": [{ "code": code }] }),
        };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let gate = (phase == THROTTLED).then(|| {
            say(format!("429: no request before {:.1}", now + HINT));
            [(RETRY_AFTER, HINT.to_string())]
        });
        (status, gate, body.to_string()).into_response()
    }

    /// Issues a session token.
    fn issue(&mut self, now: f64) -> String {
        self.issued.push(now);
        let jwt = sign(now);
        // The first part, the header, is no secret.
        let parts = jwt.split('.').skip(1);
        self.secrets.extend(parts.map(str::to_owned));
        jwt
    }

    fn asks(&mut self, caller: usize) {
        self.asking.insert(caller, now());
    }

    fn fails(&mut self, error: &TokenError) {
        output().push(format!("{error:?} {error}"));
        if let TokenError::Unavailable { cause, retries, .. } = error {
            if cause.to_string() != self.cause {
                self.cause = cause.to_string();
                say(format!("callers: no token after {retries} retries"));
                say(format!("the last cause: {cause}"));
            }
        }
    }

    fn serves(&mut self, caller: usize, token: &SessionToken) {
        output().push(format!("{token:?}"));
        let during = self.asking.remove(&caller).unwrap_or_default()..now();
        let wait = during.end - during.start;
        if self.served.is_empty() || wait > HINT.max(self.longest_wait * 2.0) {
            self.longest_wait = wait;
            let token = describe(token);
            say(format!("caller {caller}: {token}, after {wait:.1} s"));
        }
        self.served.push((caller, during));
    }

    fn changes(&mut self, status: &RefresherStatus) {
        say(format!("status: {status:?}"));
        self.statuses.push(status.clone());
    }

    fn window(&self, phase: Phase) -> Window {
        let phase = self.phases.iter().find(|(begun, _)| *begun == phase);
        phase.map_or(ALWAYS, |phase| phase.1.clone())
    }

    /// How many requests were sent, those in vain included.
    fn sent_in(&self, window: &Window) -> usize {
        let arrived = self.requests.iter().map(|r| &r.during.start);
        count(arrived.chain(&self.refused), window)
    }

    fn answered(&self, status: u16) -> impl Iterator<Item = &f64> {
        let answered = self.requests.iter().filter(move |r| r.status == status);
        answered.map(|r| &r.during.end)
    }

    /// Questions whether the session is still there; the first is which there is.
    fn verifications(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|r| !r.is_mint).skip(1)
    }

    /// When a retry loop of a caller's own, begun when it asked, sends requests.
    fn own_loop(&self, asked: f64) -> impl Iterator<Item = f64> {
        let schedule = || SESSION.delays().take(SESSION_RETRIES as usize);
        let mut waits = schedule();
        successors(Some(asked), move |at| {
            let mut begun = self.phases.iter().rev();
            let wait = match begun.find(|(_, window)| window.start <= *at)?.0 {
                HEALTHY | RECOVERY => return None,
                DENIED => None,
                THROTTLED => waits.next().map(|wait| wait.as_secs_f64().max(HINT)),
                _ => waits.next().map(|wait| wait.as_secs_f64()),
            };
            if wait.is_none() {
                waits = schedule();
            }
            Some(*at + LATENCY + wait.unwrap_or(REST))
        })
    }

    /// When such loops send requests, one for each wait of a caller.
    fn own_loops(&self, window: &Window) -> Vec<f64> {
        // Who was served from the cache saw no token being issued.
        let waits = self.served.iter().map(|served| &served.1);
        let waits = waits.filter(|during| count(&self.issued, during) > 0);
        let asked = waits.map(|during| &during.start);
        let asked = asked.chain(self.asking.values());
        let sent = asked.flat_map(|asked| self.own_loop(*asked));
        sent.filter(|at| window.contains(at)).collect()
    }

    /// A row of the timeline or of the table.
    fn row(&self, window: &Window) -> String {
        let answers = |status| count(self.answered(status), window);
        let [ok, throttled, broken, denied] = [200, 429, 500, 401].map(answers);
        let (sent, refused) = (self.sent_in(window), count(&self.refused, window));
        let served = count(self.served.iter().map(|served| &served.1.end), window);
        let cells = [sent, ok, throttled, broken, denied, refused, served];
        cells.map(cell).concat()
    }

    fn print_row(&mut self) {
        let window = self.until..now();
        self.until = window.end;
        let expiry = self.issued.last().map_or(0.0, |at| at + LIFE);
        let left = cell((expiry - window.end) as usize);
        let (row, waiting) = (self.row(&window), cell(self.asking.len()));
        print(format!("{:7.1}{row}{waiting}{left}", window.end));
    }

    fn print_table(&self) {
        print(format!("\nphase{:16}{HEADINGS}  own loops", ""));
        let mut all = 0;
        for (phase, window) in &self.phases {
            let own_loops = match *phase {
                HEALTHY | RECOVERY => self.sent_in(window),
                _ => self.own_loops(window).len(),
            };
            all += own_loops;
            print(format!("{:21}{}{own_loops:11}", phase.0, self.row(window)));
        }
        print(format!("{:21}{}{all:11}", "all", self.row(&ALWAYS)));
        print("served: tokens handed to callers, from the cache or new");
        print("own loops: requests for a token, had each caller in need of one retried by itself:");
        print("    by the same schedule, obeying Retry-After, and again 5 s after it gave up or");
        print("    met a 401; while the API is healthy they share the token, and send no more\n");

        let recovery = self.window(RECOVERY);
        let first = |instants: &[f64]| {
            let instants = instants.iter().filter(|at| recovery.contains(at));
            instants.fold(f64::INFINITY, |first, at| first.min(*at)) - recovery.start
        };
        let (shared, own) = (first(&self.issued), first(&self.own_loops(&recovery)));
        let ends = self.issued.iter().skip(1).copied().chain([now()]);
        let gaps = self.issued.iter().zip(ends);
        let gap = gaps.fold(0.0, |gap: f64, (at, next)| gap.max(next - at - LIFE));
        print(format!(
            "without a usable token for {gap:.1} s at the longest:"
        ));
        print("    from the end of one's life to the issue of the next");
        print(format!(
            "first token {shared:.1} s after the recovery began;"
        ));
        print(format!("    own loops, which ask more often: {own:.1} s"));
        let is_one = |status: &&RefresherStatus| matches!(status, RefresherStatus::SignedOut(_));
        let sign_outs = self.statuses.iter().filter(is_one).count();
        print(format!("sign-outs: {sign_outs}\n"));
    }

    /// Checks what the refresher promises.
    fn check_promises(&self) -> bool {
        let (healthy, recovery) = (self.window(HEALTHY), self.window(RECOVERY).start..now());
        let back = (0..CALLERS).map(|caller| {
            let served = self.served.iter().filter(|served| served.0 == caller);
            count(served.map(|served| &served.1.end), &recovery) > 0
        });
        let cheap = OUTAGE.map(|phase| {
            let window = self.window(phase);
            self.sent_in(&window) < self.own_loops(&window).len()
        });
        let gates = self.answered(429).map(|at| *at..at + HINT);
        let free = gates.map(|gate| self.sent_in(&gate) == 0);
        let pairs = self.requests.windows(2);
        let alone = pairs.map(|pair| pair[0].during.end <= pair[1].during.start);
        let verified = self.verifications().zip(1..).map(|(verification, nth)| {
            let before = 0.0..verification.during.start;
            count(self.answered(401), &before) >= nth
        });
        // A token is replaced when it is 46 s old.
        let calm = [&healthy, &recovery].map(|window| {
            let tokens = (window.end - window.start) / 45.0;
            self.sent_in(window) <= 2 + tokens as usize
        });
        let is_fine = |status| !matches!(status, &RefresherStatus::SignedOut(_));
        let fine = self.statuses.iter().map(is_fine);

        check("statuses were no sign-out", fine)
            & check("callers were served after the recovery", back)
            & check("parts of the outage cost less than own loops", cheap)
            & check("Retry-After windows were free of requests", free)
            & check("pairs of requests in a row did not overlap", alone)
            & check("verifications had a 401 each before them", verified)
            & check("calm phases took a request per 45 s at most", calm)
    }

    /// Checks what must have come of the script.
    fn check_script(&self) -> bool {
        let [throttled, broken, denied] = [429, 500, 401].map(|s| self.answered(s).count());
        let (refused, verified) = (self.refused.len(), self.verifications().count());
        let met = [throttled, broken, refused, denied, verified].map(|count| count > 0);
        let degraded = self.statuses.contains(&RefresherStatus::Degraded);
        let ready = self.statuses.last() == Some(&RefresherStatus::Ready);

        check("kinds of trouble were met", met)
            & check("statuses: Degraded, in the end Ready", [degraded, ready])
    }

    /// The last check: it looks at all that was printed before.
    fn check_secrets(&self) -> bool {
        let secrets = self.secrets.iter().map(String::as_str);
        let secrets = secrets.chain([CLIENT_TOKEN]);
        let is_clean = |text: &String| !secrets.clone().any(|secret| text.contains(secret));
        let clean: Vec<_> = output().iter().map(is_clean).collect();
        check("lines and Debug texts hold no secret", clean)
    }
}

/// Prints how many of the checks hold. Returns whether all do.
fn check(claim: &str, checks: impl IntoIterator<Item = bool>) -> bool {
    let checks: Vec<_> = checks.into_iter().collect();
    let (held, all) = (checks.iter().filter(|holds| **holds).count(), checks.len());
    let verdict = if held < all { "FAILED" } else { "ok" };
    print(format!("{verdict:8}{held} of {all} {claim}"));
    held == all
}
