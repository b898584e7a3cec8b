//! A day of outages in 17 seconds, over real sockets.
//!
//! ```text
//! cargo run --example outage                  # a scripted server on a loopback port
//! cargo run --example outage -- --url URL     # a server you name, at a modest rate
//! ```
//!
//! The server follows a script: healthy, slow, 503 with `Retry-After`, connections
//! refused, connections reset, recovery. Thirty clients call it through one
//! [`POLICY`] while a poller watches its health. A timeline tells what was asked,
//! answered and waited for, a table sums it up; then the example checks its own
//! claims, and exits with 1 if one of them does not hold.
//!
//! The crate does its work in two functions: [`call`] retries, [`watch`] polls.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afterbeat::{Backoff, Decision, Event, Jitter, PollerBuilder, PollerHandle, RetryBuilder};
use axum::http::{StatusCode, Uri, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use reqwest::{Client, Url, redirect};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};

/// The policy that all clients share. Its 40 retries take at least 19 s, longer
/// than the outage, so no call is given up.
const POLICY: RetryBuilder = RetryBuilder::new()
    .initial_delay(millis(100))
    .max_delay(MAX_DELAY)
    .max_retries(40);
const MAX_DELAY: Duration = millis(1000);
/// A server that asks for a longer wait than this is left alone.
const MAX_RETRY_AFTER: Duration = millis(5000);

/// The poller's interval, and how it slows down while its runs fail.
const HEALTH_INTERVAL: Duration = millis(500);
const HEALTH_BACKOFF: Backoff = Backoff::new()
    .initial_delay(HEALTH_INTERVAL)
    .max_delay(MAX_DELAY);

/// The pause of the loop that the policy is compared with.
const FIXED_INTERVAL: Duration = millis(100);

/// When the last calls begin, and how long after it they may still be served.
const CLOSING: Duration = millis(17_000);
const GRACE: Duration = millis(3000);

/// What the server does, and for how long. The script is their sequence.
type Phase = (&'static str, Duration);
const HEALTHY: Phase = ("healthy", millis(2500));
const SLOW: Phase = ("slow, 0.6 s", millis(2500));
const UNAVAILABLE: Phase = ("503, retry after 2 s", millis(3000));
const REFUSED: Phase = ("connections refused", millis(3000));
const RESET: Phase = ("connections reset", millis(2500));
const RECOVERY: Phase = ("recovery", millis(3500));

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match &words[..] {
        [] => scripted().await,
        [option, url] if option == "--url" => match Url::parse(&url.to_string_lossy()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => against(url).await,
            Ok(_) => return refuse("the URL must begin with http:// or https://"),
            Err(error) => return refuse(&format!("the URL is not valid: {error}")),
        },
        _ => return refuse("the only option is --url URL"),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("outage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(complaint: &str) -> ExitCode {
    eprintln!("outage: {complaint}\nusage: outage [--url URL]");
    ExitCode::from(2)
}

/// The scripted day. Returns whether all claims hold.
async fn scripted() -> Result<bool, Box<dyn Error>> {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into())?.listen(1024)?;
    let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
    run(30, millis(400), &url, url.join("health")?, serve(listener)).await?;
    let log = log();
    log.print_table();
    Ok(log.check_promises() & log.check_script())
}

/// The same against any server, with fewer clients and longer rests: at most 7
/// calls and 2 health checks in a second, and what retries add.
async fn against(url: Url) -> Result<bool, Box<dyn Error>> {
    let script = async {
        begin(("run at a modest rate", CLOSING));
        Ok(())
    };
    run(5, millis(1500), &url, url.clone(), script).await?;
    let log = log();
    log.print_table();
    Ok(log.check_promises())
}

/// Runs the clients and the poller to their end, beside the script.
async fn run(
    clients: usize,
    rest: Duration,
    work: &Url,
    health: Url,
    script: impl Future<Output = io::Result<()>>,
) -> Result<(), Box<dyn Error>> {
    let ridden = *POLICY.total().start();
    println!("{clients} clients call {work} and rest about {rest:?} between two calls;");
    println!("a poller asks {health} every {HEALTH_INTERVAL:?}.");
    println!("The clients' policy rides out {ridden:?} or more.");
    println!("\n{:>8}  {HEADINGS}  waiting", "time");

    let poller = watch(health);
    let timeline = PollerBuilder::new(millis(500))
        .jitter(Jitter::NONE)
        .immediate(false)
        .spawn(async || {
            log().print_row();
            Ok::<_, Infallible>(())
        });
    let callers = (1..=clients).map(|number| client(number, rest, work));
    let day = async {
        join_all(callers).await;
        drop(timeline);
        poller.shutdown().await
    };
    tokio::select! {
        Err(error) = script => Err(error.into()),
        ended = day => ended.map_err(|_| "a run of the poller panicked".into()),
    }
}

// ---- The clients and the poller -----------------------------------------------

async fn client(number: usize, rest: Duration, url: &Url) {
    let rests = Backoff::constant(rest).jitter(Jitter::between(0.5, 1.5));
    for rest in rests.delays() {
        if now() + rest >= CLOSING {
            break;
        }
        sleep(rest).await;
        // A call that takes too long is dropped, and the wait or the request in
        // progress with it. Nothing else has to be stopped.
        let patience = (CLOSING + GRACE).saturating_sub(now());
        let outcome = timeout(patience, call(number, url)).await;
        if matches!(outcome, Ok(Err(Failure::Status(_, Some(_))))) {
            // Told to stay away for longer than the policy waits.
            break;
        }
    }
}

/// Makes one call: as many requests as the policy allows.
async fn call(client: usize, url: &Url) -> Outcome {
    POLICY
        .max_retry_after(MAX_RETRY_AFTER)
        .should_retry(|failure: &Failure, _iteration| match *failure {
            Failure::Status(_, Some(hint)) => Decision::RetryAfter(hint),
            Failure::Status(status, None) => Decision::from(status == 429 || status >= 500),
            Failure::Refused | Failure::Reset | Failure::Other(_) => Decision::Retry,
        })
        .observe(|event: Event<'_, Failure>| log().observe(client, &event))
        .retry(|| request(client, url))
        .await
}

/// Watches the server's health until the handle is shut down or dropped.
fn watch(url: Url) -> PollerHandle {
    PollerBuilder::new(HEALTH_INTERVAL)
        .backoff(HEALTH_BACKOFF)
        .interval_by(|outcome: &Outcome| HEALTH_INTERVAL.max(retry_after(outcome)))
        .spawn(move || {
            let url = url.clone();
            async move { request(POLLER, &url).await }
        })
}

/// Sends one request, and writes it into the log.
async fn request(caller: usize, url: &Url) -> Outcome {
    let index = log().sent(caller);
    let outcome = get(url).await;
    log().ended(index, &outcome);
    outcome
}

/// Each request has a connection of its own; a redirection counts as an answer.
async fn get(url: &Url) -> Outcome {
    static HTTP: LazyLock<Client> = LazyLock::new(|| {
        let client = Client::builder().no_proxy().timeout(millis(5000));
        let client = client.pool_max_idle_per_host(0);
        let client = client.redirect(redirect::Policy::none());
        client.build().expect("a TLS backend is compiled in")
    });
    let response = HTTP.get(url.clone()).send().await?;
    let status = response.status().as_u16();
    if status < 400 {
        return Ok(());
    }
    let header = response.headers().get(RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    let seconds = seconds.filter(|_| matches!(status, 429 | 503));
    Err(Failure::Status(status, seconds.map(Duration::from_secs)))
}

type Outcome = Result<(), Failure>;

fn retry_after(outcome: &Outcome) -> Duration {
    match *outcome {
        Err(Failure::Status(_, Some(hint))) => hint,
        _ => Duration::ZERO,
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    /// An answer from 400 on, and after how long the server wants to be asked.
    #[error("status {0}")]
    Status(u16, Option<Duration>),
    #[error("connection refused")]
    Refused,
    #[error("connection reset")]
    Reset,
    #[error("{0}")]
    Other(String),
}

impl From<reqwest::Error> for Failure {
    /// The cause is the last in the error's chain of sources.
    fn from(error: reqwest::Error) -> Self {
        let chain = successors(Some(&error as &dyn Error), |error| (*error).source());
        let cause = chain.last().unwrap_or(&error);
        match cause.downcast_ref().map(io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => Self::Refused,
            Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Self::Reset,
            _ => Self::Other(cause.to_string()),
        }
    }
}

// ---- The server that follows the script ---------------------------------------

async fn serve(listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    begin(HEALTHY);
    let hours = async {
        sleep(HEALTHY.1).await;
        pass(SLOW).await;
        pass(UNAVAILABLE).await;
    };
    serve_http(listener, hours).await?;

    // The listener is closed. A socket that is bound but does not listen refuses
    // connections as well, and keeps the port from other programs.
    let socket = bind(address)?;
    pass(REFUSED).await;

    let listener = socket.listen(1024)?;
    begin(RESET);
    if let Ok(result) = timeout(RESET.1, reset_all(&listener)).await {
        return result;
    }

    begin(RECOVERY);
    serve_http(listener, pending()).await
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Unix a port with recent connections can be bound again only so.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve_http<F>(listener: TcpListener, until: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let server = axum::serve(listener, axum::Router::new().fallback(answer));
    server.with_graceful_shutdown(until).await
}

async fn answer(uri: Uri) -> Response {
    let phase = log().seen(uri.path() == "/");
    if phase == UNAVAILABLE.0 {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")]).into_response();
    }
    if phase == SLOW.0 {
        sleep(millis(600)).await;
    }
    "done".into_response()
}

/// Looks at the beginning of each request, then closes without linger: sends RST.
async fn reset_all(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mut head = [0; 6];
        let _ = stream.peek(&mut head).await;
        log().seen(&head == b"GET / ");
        let _ = stream.set_zero_linger();
    }
}

// ---- The log, and what it says ------------------------------------------------

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LOG: LazyLock<Mutex<Log>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Log {
    /// Of the clients and the poller, in the order in which they were sent.
    requests: Vec<Request>,
    /// When the server saw a client's request.
    seen: Vec<Duration>,
    phases: Vec<(&'static str, Window)>,
    health: &'static str,
    // What the timeline has told: until when, and of which records.
    until: Duration,
    longest_wait: Duration,
    longest_call: Duration,
    given_up: usize,
}

#[derive(Default)]
struct Request {
    caller: usize,
    sent: Duration,
    ended: Duration,
    /// How it ended, one of [`ENDS`]; empty while it is under way.
    end: &'static str,
    /// How long the policy, or the poller, waits after it.
    wait: Duration,
    /// How long the server wants it to.
    hint: Duration,
}

type Window = Range<Duration>;

/// The poller among the callers; clients count from 1.
const POLLER: usize = 0;
const ENDS: [&str; 6] = ["ok", "4xx", "5xx", "refused", "reset", "other"];
const HEADINGS: &str =
    " sent      ok     4xx     5xx refused   reset   other    seen  longest wait";
const ALWAYS: Window = Duration::ZERO..Duration::MAX;

fn now() -> Duration {
    START.elapsed()
}

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(text: impl Display) {
    println!("{:8.2}  {text}", now().as_secs_f64());
}

fn or_dot(count: usize) -> String {
    if count == 0 {
        ".".into()
    } else {
        count.to_string()
    }
}

fn begin((name, _): Phase) {
    let (mut log, now) = (log(), now());
    if let Some((_, window)) = log.phases.last_mut() {
        window.end = now;
    }
    log.phases.push((name, now..Duration::MAX));
    say(format_args!("====== {name} ======"));
}

async fn pass(phase: Phase) {
    begin(phase);
    sleep(phase.1).await;
}

impl Log {
    /// A caller sends a request. Returns its place in the log.
    fn sent(&mut self, caller: usize) -> usize {
        self.requests.push(Request {
            caller,
            sent: now(),
            ended: Duration::MAX,
            ..Request::default()
        });
        self.requests.len() - 1
    }

    /// The server has seen a request. Returns the phase.
    fn seen(&mut self, is_clients: bool) -> &'static str {
        self.seen.extend(is_clients.then(now));
        self.phases.last().map_or("", |phase| phase.0)
    }

    fn ended(&mut self, index: usize, outcome: &Outcome) {
        let request = &mut self.requests[index];
        request.ended = now();
        request.hint = retry_after(outcome);
        request.end = match outcome {
            Ok(()) => "ok",
            Err(Failure::Status(..500, _)) => "4xx",
            Err(Failure::Status(..)) => "5xx",
            Err(Failure::Refused) => "refused",
            Err(Failure::Reset) => "reset",
            Err(Failure::Other(_)) => "other",
        };
        if request.caller == POLLER {
            request.wait = HEALTH_INTERVAL;
            if self.health != request.end {
                self.health = request.end;
                say(format_args!("health: {}", self.health));
            }
        }
    }

    fn observe(&mut self, client: usize, event: &Event<'_, Failure>) {
        match *event {
            Event::Retrying { error, wait, .. } => {
                let mut requests = self.requests.iter_mut();
                if let Some(last) = requests.rfind(|r| r.caller == client) {
                    last.wait = wait;
                }
                if wait > self.longest_wait * 2 {
                    self.longest_wait = wait;
                    say(format_args!("client {client}: {error}, waits {wait:.2?}"));
                }
            }
            Event::GaveUp { error, reason, .. } => {
                self.given_up += 1;
                if self.given_up <= 3 {
                    say(format_args!("client {client}: {error}, gives up: {reason}"));
                }
            }
            Event::Succeeded { .. } if event.elapsed() > MAX_DELAY.max(self.longest_call * 2) => {
                let elapsed = event.elapsed();
                self.longest_call = elapsed;
                say(format_args!("client {client}: served after {elapsed:.2?}"));
            }
            _ => {}
        }
    }

    fn clients(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|r| r.caller != POLLER)
    }

    fn poller(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|r| r.caller == POLLER)
    }

    fn window(&self, (name, _): Phase) -> Window {
        let phase = self.phases.iter().find(|phase| phase.0 == name);
        phase.map_or(ALWAYS, |phase| phase.1.clone())
    }

    /// The request that the same caller sent next.
    fn next(&self, request: &Request) -> Option<&Request> {
        let mut same = self.requests.iter().filter(|r| r.caller == request.caller);
        same.find(|next| next.sent > request.sent)
    }

    /// Whether the next request was sent no sooner than this after the end.
    fn kept(&self, request: &Request, pause: Duration) -> bool {
        let next = self.next(request).map_or(Duration::MAX, |next| next.sent);
        next >= request.ended.saturating_add(pause)
    }

    fn sent_in(&self, window: &Window) -> usize {
        self.clients().filter(|r| window.contains(&r.sent)).count()
    }

    /// What the same calls would have sent in a loop with a fixed interval: for
    /// each wait in vain as many requests as fit into it.
    fn fixed_loop(&self, window: &Window) -> usize {
        let in_vain = |r: &&Request| self.next(r).is_some_and(|next| next.end != "ok");
        let more = self.clients().filter(in_vain).map(|r| {
            let end = window.end.min(r.ended.saturating_add(r.wait));
            let wait = end.saturating_sub(window.start.max(r.ended));
            (wait.as_millis() / FIXED_INTERVAL.as_millis()).saturating_sub(1)
        });
        self.sent_in(window) + more.sum::<u128>() as usize
    }

    /// A row of the timeline or of the table.
    fn row(&self, window: &Window) -> String {
        let ended = || self.clients().filter(|r| window.contains(&r.ended));
        let ends = ENDS.map(|end| ended().filter(|r| r.end == end).count());
        let ends = ends.map(|count| format!("{:>8}", or_dot(count)));
        let sent = or_dot(self.sent_in(window));
        let seen = self.seen.iter().filter(|at| window.contains(at)).count();
        let longest = ended().map(|r| r.wait).max().unwrap_or_default();
        let (ends, seen) = (ends.concat(), or_dot(seen));
        format!("{sent:>5}{ends}{seen:>8}{:12.2} s", longest.as_secs_f64())
    }

    fn print_row(&mut self) {
        let window = self.until..now();
        self.until = window.end;
        let over = self.clients().filter(|r| r.ended < window.end);
        let waiting = over.filter(|r| r.ended + r.wait > window.end).count();
        say(format_args!("{}{:>9}", self.row(&window), or_dot(waiting)));
    }

    fn print_table(&self) {
        println!("\n{:22}{HEADINGS}  fixed loop", "phase");
        for (name, window) in self.phases.iter().chain([&("all", ALWAYS)]) {
            let (row, fixed_loop) = (self.row(window), self.fixed_loop(window));
            println!("{name:22}{row}{fixed_loop:12}");
        }
        println!("seen: requests that the scripted server has counted");
        println!("fixed loop: requests of the same calls, had each asked every {FIXED_INTERVAL:?}");
        println!("            for as long as its client saw the server fail\n");
    }

    /// Checks what the crate promises, whatever the server does.
    fn check_promises(&self) -> bool {
        let failed = || self.clients().filter(|r| !r.wait.is_zero());
        let kept = failed().map(|r| self.kept(r, r.wait));
        let capped = failed().map(|r| r.wait <= MAX_DELAY.saturating_add(r.hint));
        let hinted = self.requests.iter().filter(|r| !r.hint.is_zero());
        let obeyed = hinted.map(|r| self.kept(r, r.hint));
        let is_over = |r: &Request| r.ended < ALWAYS.end && self.kept(r, r.wait);
        let runs = self.poller().map(is_over);
        check("waits had passed when the next request was sent", kept)
            & check("waits were at most 1 s beyond the server's hint", capped)
            & check("Retry-After hints had passed at the next request", obeyed)
            & check("runs of the poller ended an interval before the next", runs)
    }

    /// Checks what must have come of the script.
    fn check_script(&self) -> bool {
        let outage = [UNAVAILABLE, REFUSED, RESET].map(|p| self.window(p));
        let is_cheaper = |w: &Window| self.sent_in(w) < self.fixed_loop(w);
        let fewer = outage.each_ref().map(is_cheaper);
        let is_last = |r: &&Request| r.wait.is_zero() || self.next(r).is_none();
        let served = self.clients().filter(is_last).map(|r| r.end == "ok");
        let recovered = self.window(RECOVERY).start;
        let is_late = |r: &&Request| r.sent >= recovered;
        let late = self.clients().filter(is_late).map(|r| r.end == "ok");

        let count = |end| self.clients().filter(|r| r.end == end).count();
        let real = ["5xx", "refused", "reset"].map(|end| count(end) > 0);
        let is_answered = |at: &&Duration| !outage[2].contains(at);
        let answered = self.seen.iter().filter(is_answered).count();
        let agree = [answered == count("ok") + count("5xx")];
        let down = self.poller().any(|r| r.end == "refused");

        check("calls were served", served)
            & check("parts of the outage got less than by a fixed loop", fewer)
            & check("kinds of failure were met: 503, refused, reset", real)
            & check("requests after the recovery were served at once", late)
            & check("count of answers agrees with the server's", agree)
            & check("changes of health were seen", [down, self.health == "ok"])
    }
}

/// Prints how many of the checks hold. Returns whether all do.
fn check(claim: &str, checks: impl IntoIterator<Item = bool>) -> bool {
    let checks: Vec<_> = checks.into_iter().collect();
    let (held, all) = (checks.iter().filter(|holds| **holds).count(), checks.len());
    let verdict = if held < all { "FAILED" } else { "ok" };
    println!("{verdict:8}{held} of {all} {claim}");
    held == all
}
