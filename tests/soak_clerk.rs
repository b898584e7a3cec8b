//! Refreshers of two processes, one user and one store, over real HTTP, while the API
//! has its worst day and one of the processes keeps being killed.
//!
//! Lasts ten seconds and what the recovery takes, or as many as asked for:
//!
//! ```text
//! SOAK_SECONDS=600 cargo test --all-features --test soak_clerk -- --nocapture
//! ```
//!
//! Nobody is signed out; no rotated client token is lost; no two requests are in flight
//! at once, none comes before `Retry-After` is over, and none that the session schedule
//! does not know; the store always holds a whole state; the process that lives on does
//! not grow; no expired token is served, and in the end everybody is served again.
//!
//! The stand-in for the API rotates the client token with each answer that is its own.
//! A token that has been replaced counts until the one that replaced it comes: of an
//! answer that nobody got, the API cannot know. So much is fair; it notes a lost
//! rotation where an answer did get there, and its receiver lived long enough to save
//! it.

#![cfg(all(feature = "clerk-http", target_os = "linux"))]

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use afterbeat::clerk::{
    FileStore, HttpTransport, Refresher, RefresherBuilder, RefresherEvent, RefresherStatus,
    SESSION, SESSION_RETRIES, SessionToken, TokenError, TokenRequest, TokenStore,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};

/// How long a request may take: no answer takes so long that it is sound.
const LIMIT: Duration = Duration::from_secs(3);
/// How long a process may take to save what an answer brought.
const SAVING: Duration = Duration::from_secs(2);
/// How long session tokens live, in seconds.
const LIFE: u64 = 20;
const SESSION_ID: &str = "sess_soak";
const TEMPLATES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
const CALLERS: usize = 8;

// ---- The test -----------------------------------------------------------------

#[test]
fn two_processes_share_a_store_through_chaos() {
    let seconds = env::var("SOAK_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let folder = env::temp_dir().join(format!("afterbeat-soak-{}", std::process::id()));
    let (kill, killing) = mpsc::channel();
    let api = Arc::new(Api::new(kill));
    let origin = serve(&api);

    let mut steady = Worker::start(&origin, "steady", &folder, &api);
    let mut mortal = Worker::start(&origin, "mortal-0", &folder, &api);
    let (mut kills, mut served) = (0, 0);
    while Instant::now() < end && api.lock().wrong.is_empty() {
        let rest = Duration::from_millis(fastrand::u64(2000..5000));
        let rest = rest.min(end.saturating_duration_since(Instant::now()));
        let ends = Instant::now() + rest;
        while killing.try_recv().is_ok() {}
        while killing.recv_timeout(Duration::from_millis(50)).is_err() && Instant::now() < ends {
            check_store(&folder, &api);
        }
        api.lock()
            .killed
            .insert(mortal.name.clone(), Instant::now());
        served += mortal.kill();
        kills += 1;
        mortal = Worker::start(&origin, &format!("mortal-{kills}"), &folder, &api);
        api.change_the_weather();
    }

    // The storm is over: both are served anew, also where the schedule's longest wait
    // has just begun.
    api.lock().weather = 0;
    let minted = |worker: &Worker| worker.report()["minted"].as_u64().unwrap_or(0);
    let before = [&steady, &mortal].map(minted);
    let patience = Instant::now() + Duration::from_secs(180);
    let late = |worker: usize| minted([&steady, &mortal][worker]) <= before[worker];
    while api.lock().wrong.is_empty() && (late(0) || late(1)) {
        if Instant::now() > patience {
            api.lock().notes("callers are not served after the storm");
        }
        // Two other processes are waited for, which tell nobody when they are done.
        thread::sleep(Duration::from_millis(50));
        check_store(&folder, &api);
    }

    let reports = steady.reports();
    for worker in [&mut steady, &mut mortal] {
        api.lock()
            .killed
            .insert(worker.name.clone(), Instant::now());
        served += worker.kill();
    }
    fs::remove_dir_all(&folder).unwrap();
    let mut log = api.lock();
    println!(
        "{kills} kills, {served} tokens served; the API saw {:#?}",
        log.counts
    );
    println!(
        "the steady process: first {}, last {}",
        reports[0],
        reports[reports.len() - 1]
    );
    log.check_for_leaks(&reports);
    assert_eq!(log.wrong, [""; 0]);
    assert!(served >= seconds, "only {served} tokens were served");
}

/// Whenever it is looked at, the store holds a whole state.
fn check_store(folder: &Path, api: &Api) {
    let store = FileStore::new(folder.join("client")).unwrap();
    match store.load() {
        Ok(None) => {}
        Ok(Some(state)) => {
            let state: Result<Value, _> = serde_json::from_slice(&state);
            if !state.is_ok_and(|state| state["client_token"].is_string()) {
                api.lock().notes("the store holds no state");
            }
        }
        Err(error) => api
            .lock()
            .notes(format!("the store does not load: {error}")),
    }
}

// ---- The processes ------------------------------------------------------------

/// A process, and what it tells.
struct Worker {
    name: String,
    child: Child,
    reports: Arc<Mutex<Vec<Value>>>,
    listener: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn start(origin: &str, name: &str, folder: &Path, api: &Arc<Api>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "a_process_of_the_soak",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env("SOAK_API", format!("{origin}/{name}"))
            .env("SOAK_STORE", folder.join("client"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reports = Arc::<Mutex<Vec<Value>>>::default();
        let (told, api, speaker) = (Arc::clone(&reports), Arc::clone(api), name.to_owned());
        let listener = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(report) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                match report["wrong"].as_str() {
                    Some(wrong) => api.lock().notes(format!("{speaker}: {wrong}")),
                    None if report.is_object() => told.lock().unwrap().push(report),
                    None => {}
                }
            }
        });
        Self {
            name: name.to_owned(),
            child,
            reports,
            listener: Some(listener),
        }
    }

    fn reports(&self) -> Vec<Value> {
        self.reports.lock().unwrap().clone()
    }

    /// The last report.
    fn report(&self) -> Value {
        self.reports
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }

    /// Kills the process in whatever it does; returns how many tokens it was served.
    fn kill(&mut self) -> u64 {
        assert_eq!(
            self.child.try_wait().unwrap(),
            None,
            "{} has ended",
            self.name
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listener.take().unwrap().join().unwrap();
        self.report()["served"].as_u64().unwrap_or(0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Tally {
    served: AtomicU64,
    minted: AtomicU64,
    failed: AtomicU64,
    /// How often the other process kept the lock for too long.
    locked_out: AtomicU64,
}

/// What the test above starts as processes of their own, by this name; by itself it does
/// nothing.
#[test]
#[ignore = "a part of the other one"]
fn a_process_of_the_soak() {
    let (Ok(api), Ok(store)) = (env::var("SOAK_API"), env::var("SOAK_STORE")) else {
        return;
    };
    // libtest has begun a line.
    println!();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tally = Arc::<Tally>::default();
        let telling = Arc::clone(&tally);
        let refresher = RefresherBuilder::new(
            api.parse().unwrap(),
            HttpTransport::with_timeout(LIMIT).unwrap(),
        )
        .attempt_timeout(LIMIT + Duration::from_secs(1))
        // Also one that lets go of a start-up while its request is in flight.
        .max_wait(Duration::from_secs(fastrand::u64(1..8)))
        .store(FileStore::new(store).unwrap())
        .client_token("client-0".parse().unwrap())
        .tag_retries(true)
        .observe(move |event| note(&telling, event))
        .spawn();
        let refresher = Arc::new(refresher);
        for _ in 0..CALLERS {
            tokio::spawn(call(Arc::clone(&refresher), Arc::clone(&tally)));
        }
        loop {
            report(&refresher, &tally);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

fn note(tally: &Tally, event: RefresherEvent) {
    match event {
        RefresherEvent::Status(
            status @ (RefresherStatus::SignedOut(_) | RefresherStatus::Refused(_)),
        ) => wrong(&format!("{status:?}")),
        RefresherEvent::ClientToken(None) => wrong("the client token was taken back"),
        RefresherEvent::StoreFailed(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tally.locked_out.fetch_add(1, Relaxed);
        }
        RefresherEvent::StoreFailed(error) => wrong(&format!("the store: {error}")),
        _ => {}
    }
}

/// Asks for whatever tokens there are, now and then without waiting for the answer.
async fn call(refresher: Arc<Refresher>, tally: Arc<Tally>) {
    loop {
        let template = fastrand::choice(TEMPLATES).unwrap();
        let (request, forced) = match fastrand::u8(0..8) {
            0 => (TokenRequest::new().force(), true),
            1 => (TokenRequest::new().template(template).force(), true),
            2 | 3 => (TokenRequest::new().template(template), false),
            _ => (TokenRequest::new(), false),
        };
        let asked = SystemTime::now();
        let patience = Duration::from_millis(fastrand::choice([50, 500, 60_000]).unwrap());
        match tokio::time::timeout(patience, refresher.token(&request)).await {
            Ok(Ok(token)) => {
                // The issuer's clock is this machine's; its seconds are whole.
                if expiry(&token) + Duration::from_secs(2) < asked {
                    wrong("an expired token was served");
                }
                tally.served.fetch_add(1, Relaxed);
                tally.minted.fetch_add(u64::from(forced), Relaxed);
            }
            Ok(Err(TokenError::TimedOut { .. } | TokenError::Unavailable { .. })) => {
                tally.failed.fetch_add(1, Relaxed);
            }
            Ok(Err(error)) => wrong(&format!("{error:?}")),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..400))).await;
    }
}

fn expiry(token: &SessionToken) -> SystemTime {
    let payload = token.expose().split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap())
}

fn wrong(text: &str) {
    println!("{}", json!({ "wrong": text }));
}

fn report(refresher: &Refresher, tally: &Tally) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let counters = refresher.counters();
    assert_eq!(
        counters.calls,
        counters.served + counters.coalesced + counters.led
    );
    let report = json!({
        "served": tally.served.load(Relaxed),
        "minted": tally.minted.load(Relaxed),
        "failed": tally.failed.load(Relaxed),
        "locked_out": tally.locked_out.load(Relaxed),
        "requests": counters.requests,
        "verifications": counters.verifications,
        "resident_kib": resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap(),
        "files": fs::read_dir("/proc/self/fd").unwrap().count(),
        "tasks": Handle::current().metrics().num_alive_tasks(),
    });
    println!("{report}");
}

// ---- The API ------------------------------------------------------------------

struct Api {
    log: Mutex<Log>,
    /// Asks for the death of a process that has just been answered.
    kill: Mutex<mpsc::Sender<()>>,
}

#[derive(Default)]
struct Log {
    /// How many answers of a hundred are bad.
    weather: u32,
    /// The newest client token, and the newest that has come back.
    newest: u64,
    confirmed: u64,
    /// The answer that surely brought the newest one.
    brought: Option<Receipt>,
    /// Until when requests are asked not to come, and the answer that surely said so.
    gate: Option<(Instant, Receipt)>,
    /// Requests in flight, and whether another one came meanwhile.
    in_flight: HashMap<u64, bool>,
    sequences: HashMap<(String, String), Sequence>,
    killed: HashMap<String, Instant>,
    counts: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

/// A process that was answered, how, and by when it has saved what it was told.
#[derive(Clone)]
struct Receipt {
    process: String,
    carriage: Carriage,
    saved: Instant,
}

/// The mints of one process for one token since the last that went well.
#[derive(Default)]
struct Sequence {
    mints: u32,
    retry: u32,
    /// Whether the last one is to be followed at once by another.
    resent: bool,
    /// When the last one had failed, where the schedule says what follows.
    failed: Option<Instant>,
}

struct Request {
    id: u64,
    process: String,
    is_mint: bool,
    /// The number of the retry.
    retry: u32,
    expired_token: bool,
    arrived: Instant,
    /// Of which token the mint is.
    key: String,
}

/// How an answer is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carriage {
    Whole,
    Stalled,
    Reset,
    TornHead,
    SlowHead,
    CutBody,
    ResetBody,
    SlowBody,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    content_type: &'static str,
    retry_after: Option<u64>,
    body: String,
    /// The client token that it brings.
    brings: Option<u64>,
    carriage: Carriage,
}

impl Api {
    fn new(kill: mpsc::Sender<()>) -> Self {
        Self {
            log: Mutex::default(),
            kill: Mutex::new(kill),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_the_weather(&self) {
        self.lock().weather = fastrand::choice([0, 5, 20, 50, 95]).unwrap();
    }

    /// Carries an answer. Returns whether the connection is good for another request.
    fn carry(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        answer: &Answer,
    ) -> io::Result<bool> {
        let (head, body) = (answer.head(), answer.body.as_bytes());
        let slowly = LIMIT.mul_f64(fastrand::f64() * 1.3);
        let last = head.len() - 2;
        match answer.carriage {
            Carriage::Stalled => {
                gone_within(stream, 10 * LIMIT);
                return Ok(false);
            }
            Carriage::Reset => {
                self.end(stream, request);
                reset(stream)?;
                return Ok(false);
            }
            Carriage::TornHead => {
                stream.write_all(&head[..fastrand::usize(1..last)])?;
                self.end(stream, request);
                return Ok(false);
            }
            Carriage::SlowHead => trickle(stream, &head[..last], slowly)?,
            _ => stream.write_all(&head[..last])?,
        }
        {
            // Nobody may see the end of the head before it is noted.
            let mut log = self.lock();
            let in_time = request.arrived.elapsed() < LIMIT / 2 && !has_closed(stream);
            let at = Instant::now();
            stream.write_all(&head[last..])?;
            let sure = in_time && answer.carriage != Carriage::ResetBody;
            let receipt = Receipt {
                process: request.process.clone(),
                carriage: answer.carriage,
                // It may wait for the end of the body first.
                saved: at + LIMIT + SAVING,
            };
            if let Some(token) = answer.brings {
                log.newest = token;
                log.brought = sure.then(|| receipt.clone());
            }
            if let (Some(wait), true) = (answer.retry_after, sure) {
                // The store keeps whole milliseconds.
                let until = at + Duration::from_millis(wait * 1000 - 10);
                log.gate = Some((until, receipt));
            }
        }
        if request.process != "steady" && fastrand::u8(..) < 2 {
            let _ = self.kill.lock().unwrap().send(());
        }
        // Whoever has the last byte may send the next request before it is noted.
        let last = body.len().saturating_sub(1);
        match answer.carriage {
            Carriage::CutBody => stream.write_all(&body[..body.len() / 2])?,
            Carriage::ResetBody => {
                stream.write_all(&body[..body.len() / 2])?;
                self.end(stream, request);
                reset(stream)?;
                return Ok(false);
            }
            Carriage::SlowBody => trickle(stream, &body[..last], slowly)?,
            _ => stream.write_all(&body[..last])?,
        }
        self.end(stream, request);
        if answer.carriage == Carriage::CutBody {
            return Ok(false);
        }
        stream.write_all(&body[last..])?;
        Ok(true)
    }

    /// Notes the end of a request. Where another one came meanwhile, this one must have
    /// been given up by its sender.
    fn end(&self, stream: &TcpStream, request: &Request) {
        let overlapped = self.lock().in_flight.remove(&request.id);
        if overlapped == Some(true) && !gone_within(stream, LIMIT) {
            let process = &request.process;
            self.lock()
                .notes(format!("{process} was not alone with its request"));
        }
    }
}

impl Log {
    fn notes(&mut self, text: impl Into<String>) {
        let text = text.into();
        eprintln!("wrong: {text}");
        self.wrong.push(text);
    }

    fn counts(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Whether what an answer brought must be known to all by now.
    fn is_known(&self, receipt: &Receipt) -> bool {
        let killed = self.killed.get(&receipt.process);
        killed.is_none_or(|killed| *killed > receipt.saved)
    }

    /// Holds a request against the laws, and decides upon the answer.
    fn arrives(&mut self, request: &Request, client_token: &str) -> Answer {
        self.counts(if request.is_mint {
            "mints"
        } else {
            "clients asked for"
        });
        let dying = self.killed.contains_key(&request.process);
        if !dying {
            for overlapped in self.in_flight.values_mut() {
                *overlapped = true;
            }
        }
        self.in_flight.insert(request.id, false);

        let early = |(until, _): &&(Instant, Receipt)| request.arrived < *until;
        let gate = self.gate.as_ref().filter(early);
        if gate.is_some_and(|(_, receipt)| self.is_known(receipt)) && !dying {
            self.notes(format!(
                "{} came before Retry-After was over",
                request.process
            ));
        }
        let key = (request.process.clone(), request.key.clone());
        let mut sequence = self.sequences.remove(&key).unwrap_or_default();
        if request.is_mint {
            if let Some(rule) = sequence.breaks(request) {
                self.notes(format!("{}, {}: {rule}", request.process, request.key));
            }
        }

        let used = client_token
            .strip_prefix("client-")
            .and_then(|n| n.parse::<u64>().ok());
        let answer = if used == Some(self.newest) {
            self.confirmed = self.newest;
            self.answer(request)
        } else if used == Some(self.confirmed) {
            self.counts("rotations that nobody got");
            let known = |brought: &Receipt| self.is_known(brought) && !dying;
            if let Some(brought) = self.brought.clone().filter(known) {
                let (process, carriage) = (brought.process, brought.carriage);
                let loser = &request.process;
                self.notes(format!("{loser} lost what {process} got ({carriage:?})"));
            }
            self.answer(request)
        } else {
            self.notes(format!(
                "{} came with a stale client token",
                request.process
            ));
            Answer::without_session(request)
        };
        if request.is_mint {
            sequence.learns(request, &answer);
            self.sequences.insert(key, sequence);
        }
        answer
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let mut answer = Answer::fine(request);
        answer.brings = Some(self.newest + 1);
        if fastrand::u32(0..100) >= self.weather {
            return answer;
        }
        let failing = |status, code: &str| Answer {
            status,
            body: json!({ "errors": [{ "code": code }] }).to_string(),
            ..answer.clone()
        };
        let html = |status| Answer {
            status,
            content_type: "text/html",
            body: "<html>Be right back.</html>".to_owned(),
            // A proxy knows nothing of client tokens.
            brings: None,
            ..answer.clone()
        };
        let carried = |carriage| Answer {
            carriage,
            ..answer.clone()
        };
        let gates = |answer, wait| Answer {
            retry_after: Some(wait),
            ..answer
        };
        let (name, answer) = match fastrand::u8(0..if request.is_mint { 20 } else { 16 }) {
            0 => ("resets", carried(Carriage::Reset)),
            1 => ("torn heads", carried(Carriage::TornHead)),
            2 => ("slow heads", carried(Carriage::SlowHead)),
            3 => ("cut bodies", carried(Carriage::CutBody)),
            4 => ("resets in the body", carried(Carriage::ResetBody)),
            5 | 6 => ("slow bodies", carried(Carriage::SlowBody)),
            7 if fastrand::bool() => ("stalls", carried(Carriage::Stalled)),
            7 => (
                "other types",
                Answer {
                    content_type: "text/plain",
                    ..answer
                },
            ),
            8 => ("500", failing(500, "internal_clerk_error")),
            9 => ("503", failing(503, "service_unavailable")),
            10 => ("403, not of the user", failing(403, "quota_exceeded")),
            11 => ("429 without a time", failing(429, "too_many_requests")),
            12 => {
                let answer = failing(429, "too_many_requests");
                ("429 for a time", gates(answer, fastrand::u64(1..3)))
            }
            13 if fastrand::bool() => ("503 for a time", gates(html(503), 1)),
            13 => ("502 in HTML", html(502)),
            14 => ("429 in HTML, for a time", gates(html(429), 1)),
            15 => ("200 in HTML", html(200)),
            16 => ("401, session alive", failing(401, "signed_out")),
            // Not repeated with a new client token, but verified.
            17 => ("401 in HTML, session alive", html(401)),
            18 => ("422", failing(422, "missing_expired_token")),
            _ => ("404", failing(404, "resource_not_found")),
        };
        self.counts(name);
        answer
    }

    /// Compares the second quarter of the time, when all is in place, with the last.
    fn check_for_leaks(&mut self, reports: &[Value]) {
        let quarter = reports.len() / 4;
        for (what, bound) in [("resident_kib", 8192), ("files", 8), ("tasks", 8)] {
            let least = |reports: &[Value]| reports.iter().filter_map(|r| r[what].as_u64()).min();
            let before = least(&reports[quarter..2 * quarter]).unwrap_or(u64::MAX);
            let after = least(&reports[reports.len() - quarter..]).unwrap_or(0);
            println!("{what}: at least {before}, in the end at least {after}");
            if after > before.saturating_add(bound) {
                self.notes(format!("{what} grew from {before} to {after}"));
            }
        }
    }
}

impl Sequence {
    /// Which law the request breaks.
    fn breaks(&mut self, request: &Request) -> Option<String> {
        let resent = request.retry == self.retry && (self.resent || request.expired_token);
        let goes_on = self.failed.is_some() && request.retry > self.retry;
        // By the store the other process may have ended a sequence for the session's own
        // token, so that the next one follows at once.
        let alone = request.retry > 0 || request.key.contains("/tokens/");
        let last = self.failed.filter(|_| !resent && alone);
        self.mints = match (resent, goes_on) {
            (true, _) => self.mints,
            (_, true) => self.mints + 1,
            _ => 1,
        };
        self.retry = request.retry;
        if request.retry > SESSION_RETRIES || self.mints > SESSION_RETRIES + 1 {
            return Some(format!("retry {}, mint {}", self.retry, self.mints));
        }
        let wait = *SESSION.bounds(request.retry.max(1)).start();
        let gap = request.arrived.duration_since(last?);
        (gap < wait).then(|| format!("retry {} only {gap:?} after a failure", request.retry))
    }

    fn learns(&mut self, request: &Request, answer: &Answer) {
        let suspects = matches!(answer.status, 401 | 422);
        self.resent = suspects;
        let broken = matches!(
            answer.carriage,
            Carriage::Reset | Carriage::TornHead | Carriage::CutBody | Carriage::ResetBody
        );
        let read = matches!(answer.carriage, Carriage::Whole) && answer.status != 200;
        let html = answer.content_type == "text/html";
        // A verification may bring a token, so that its sequence has not failed.
        self.failed = ((broken || read || html) && !suspects).then_some(request.arrived);
    }
}

impl Answer {
    fn fine(request: &Request) -> Self {
        let token = json!({ "jwt": jwt(!request.key.contains("/tokens/")) });
        let session =
            || json!({ "id": SESSION_ID, "status": "active", "last_active_token": token });
        let body = if request.is_mint {
            json!(token)
        } else {
            json!({ "response": { "sessions": [session()] } })
        };
        Self {
            status: 200,
            content_type: "application/json",
            retry_after: None,
            body: body.to_string(),
            brings: None,
            carriage: Carriage::Whole,
        }
    }

    /// What the API has for a client token that it does not know any more.
    fn without_session(request: &Request) -> Self {
        let (status, body) = if request.is_mint {
            (401, json!({ "errors": [{ "code": "signed_out" }] }))
        } else {
            (200, json!({ "response": { "sessions": [] } }))
        };
        Self {
            status,
            body: body.to_string(),
            ..Self::fine(request)
        }
    }

    fn head(&self) -> Vec<u8> {
        let (status, content_type, length) = (self.status, self.content_type, self.body.len());
        let mut head = format!(
            "HTTP/1.1 {status} -\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n"
        );
        if let Some(token) = self.brings {
            let scheme = fastrand::choice(["", "Bearer "]).unwrap();
            head = format!("{head}authorization: {scheme}client-{token}\r\n");
        }
        if let Some(wait) = self.retry_after {
            head = format!("{head}retry-after: {wait}\r\n");
        }
        (head + "\r\n").into_bytes()
    }
}

/// A token like no other; one from a template does not name the session.
fn jwt(names_session: bool) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let issued = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut claims = json!({
        "sub": "user_soak", "iat": issued, "exp": issued + LIFE,
        "jti": NUMBER.fetch_add(1, Relaxed),
    });
    if names_session {
        claims["sid"] = SESSION_ID.into();
    }
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

// ---- The wire -----------------------------------------------------------------

/// Answers each connection in a thread of its own, which ends with it.
fn serve(api: &Arc<Api>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let api = Arc::clone(api);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, api) = (stream.unwrap(), Arc::clone(&api));
            thread::spawn(move || {
                while let Some((request, client_token)) = read(&mut stream) {
                    let answer = api.lock().arrives(&request, &client_token);
                    let carried = api.carry(&mut stream, &request, &answer);
                    api.lock().in_flight.remove(&request.id);
                    if !carried.unwrap_or(false) {
                        break;
                    }
                }
            });
        }
    });
    origin
}

/// A whole request, and its client token; none where there is no other.
fn read(stream: &mut TcpStream) -> Option<(Request, String)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    stream.set_read_timeout(None).ok()?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap();
    let (process, path) = path[1..].split_once('/').unwrap();
    let retry = query.split("_clerk_retry_attempt=").nth(1).map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    });
    let request = Request {
        id: NUMBER.fetch_add(1, Relaxed),
        process: process.to_owned(),
        is_mint: path.ends_with("/tokens") || path.contains("/tokens/"),
        retry: retry.unwrap_or(0),
        expired_token: query.contains("expired_token="),
        arrived: Instant::now(),
        key: path.to_owned(),
    };
    Some((request, header("authorization").unwrap_or_default()))
}

/// Writes in many pieces, over a time.
fn trickle(stream: &mut TcpStream, bytes: &[u8], time: Duration) -> io::Result<()> {
    const PIECES: usize = 20;
    for piece in bytes.chunks(bytes.len().div_ceil(PIECES)) {
        if gone_within(stream, time / PIECES as u32) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        stream.write_all(piece)?;
    }
    Ok(())
}

/// Waits for the other side to close; it has nothing to say meanwhile.
fn gone_within(stream: &TcpStream, time: Duration) -> bool {
    let time = time.max(Duration::from_millis(1));
    stream.set_read_timeout(Some(time)).unwrap();
    match stream.peek(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ),
    }
}

fn has_closed(stream: &TcpStream) -> bool {
    gone_within(stream, Duration::ZERO)
}

/// Has the connection end with a reset, whatever is still on its way.
fn reset(stream: &TcpStream) -> io::Result<()> {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_io().build().unwrap());
    let _entered = RUNTIME.enter();
    let stream = stream.try_clone()?;
    stream.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(stream)?.set_zero_linger()
}
