//! A desktop program that knows its user again, also without a network, in seconds.
//!
//! ```text
//! cargo run --example desktop --features clerk-http
//! CLERK_CLIENT_TOKEN=.. cargo run --example desktop --features clerk-http -- \
//!     --frontend-api URL FILE
//! ```
//!
//! The first form starts a stand-in for Clerk's API on a loopback port, which rotates
//! the client token with each answer and notes the use of an older one. The program
//! works and quits; it starts again while nothing listens on that port, and has its
//! user all the same, from the file that it left; then the API comes back. In the end
//! the example checks its own claims, and exits with 1 if one of them does not hold.
//!
//! The second form keeps a session of yours in `FILE`. The client token is needed the
//! first time only: from then on the file has it, as it was rotated last.
//!
//! What you would write yourself is [`open`] and [`work`].

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afterbeat::clerk::{
    FileStore, FrontendApi, HttpTransport, Refresher, RefresherBuilder, RefresherStatus,
    TokenError, TokenRequest, TokenStore,
};
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => scripted().await,
        ["--frontend-api", url, file] => against(url, Path::new(file)).await,
        _ => {
            eprintln!("usage: desktop [--frontend-api URL FILE]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            eprintln!("desktop: {error}");
            ExitCode::FAILURE
        }
    }
}

// ---- The program ----------------------------------------------------------------

/// Starts up. The client token is that of the sign-in, where there has been one; what
/// the file holds goes before it.
fn open(api: &str, file: &Path, sign_in: Option<&str>) -> Result<Refresher> {
    let api: FrontendApi = api.parse()?;
    let mut builder =
        RefresherBuilder::new(api, HttpTransport::new()?).store(FileStore::new(file)?);
    if let Some(client_token) = sign_in {
        builder = builder.client_token(client_token.parse()?);
    }
    Ok(builder.spawn())
}

/// A piece of work in the user's name: whose it was.
async fn work(refresher: &Refresher) -> std::result::Result<String, TokenError> {
    // Here it would go into an `Authorization: Bearer` header.
    let token = refresher.get_token().await?;
    let (user, left) = (token.claims().subject(), token.expires_in());
    println!("  {user} works, with a token for another {left:.0?}");
    Ok(user.to_owned())
}

/// A session of yours for a minute. Returns whether the user is signed in.
async fn against(url: &str, file: &Path) -> Result<bool> {
    let sign_in = std::env::var("CLERK_CLIENT_TOKEN").ok();
    let refresher = open(url, file, sign_in.as_deref())?;
    for _ in 0..6 {
        if let Err(error) = work(&refresher).await {
            println!("  {error}");
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let status = refresher.status();
    refresher.shutdown().await;
    Ok(!matches!(status, RefresherStatus::SignedOut(_)))
}

/// Two runs, an outage between them. Returns whether all claims hold.
async fn scripted() -> Result<bool> {
    let folder = std::env::temp_dir().join(format!("afterbeat-desktop-{}", std::process::id()));
    let file = folder.join("client");
    let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    let url = format!("http://{address}");

    println!("The first run, after a sign-in:");
    let network = Network::up(socket)?;
    let refresher = open(&url, &file, Some("client-0"))?;
    let first = work(&refresher).await?;
    refresher.token(&TokenRequest::new().force()).await?;
    refresher.shutdown().await;
    println!("  quit, after {} answers of the API", answers());
    network.down().await?;

    println!("The second run, without a network:");
    // Keeps the port, and refuses connections.
    let socket = bind(address)?;
    let (before, began) = (answers(), SystemTime::now());
    let refresher = open(&url, &file, None)?;
    refresher.ready().await?;
    let took = began.elapsed()?;
    println!("  {:?} after {took:.1?}", refresher.status());
    let second = work(&refresher).await?;
    let (offline, asked) = (refresher.status(), answers() - before);

    println!("The network is back:");
    let network = Network::up(socket)?;
    let ready = |status: &RefresherStatus| *status == RefresherStatus::Ready;
    let recovered = refresher.wait_for(ready).await;
    println!("  {recovered:?}");
    let third = work(&refresher).await?;
    refresher.shutdown().await;
    network.down().await?;
    let kept = FileStore::new(&file)?.load()?.unwrap_or_default();
    let kept = String::from_utf8(kept)?;
    std::fs::remove_dir_all(folder)?;

    let newest = format!("client-{}", answers());
    let degraded = offline == RefresherStatus::Degraded;
    Ok(check(&[
        ("one user in all of it", first == second && second == third),
        ("an outage is no sign-out", degraded && asked == 0),
        ("it recovers by itself", recovered == RefresherStatus::Ready),
        ("the newest client token is kept", kept.contains(&newest)),
        ("no older one was used", STALE.load(SeqCst) == 0),
    ]))
}

/// Prints each claim. Returns whether all hold.
fn check(claims: &[(&str, bool)]) -> bool {
    for (claim, holds) in claims {
        println!("{:8}{claim}", if *holds { "ok" } else { "FAILED" });
    }
    claims.iter().all(|(_, holds)| *holds)
}

// ---- The stand-in for the API ---------------------------------------------------

/// How many answers it has given: the number of the newest client token.
static ANSWERS: AtomicU64 = AtomicU64::new(0);
static STALE: AtomicU64 = AtomicU64::new(0);
const TOKENS: &str = "/v1/client/sessions/sess_1/tokens";

fn answers() -> u64 {
    ANSWERS.load(SeqCst)
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Unix a port with recent connections can be bound again only so.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    Ok(socket)
}

/// The API while it can be reached.
struct Network {
    end: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Network {
    fn up(socket: TcpSocket) -> io::Result<Self> {
        let listener = socket.listen(64)?;
        let (end, ended) = oneshot::channel::<()>();
        let router = axum::Router::new()
            .route(
                "/v1/client",
                get(async |headers: HeaderMap| answer(false, &headers)),
            )
            .route(
                TOKENS,
                post(async |headers: HeaderMap| answer(true, &headers)),
            );
        let ended = async { drop(ended.await) };
        let server = axum::serve(listener, router).with_graceful_shutdown(ended);
        let server = tokio::spawn(async move { server.await });
        Ok(Self { end, server })
    }

    async fn down(self) -> Result<()> {
        drop(self.end);
        Ok(self.server.await??)
    }
}

fn answer(is_mint: bool, headers: &HeaderMap) -> Response {
    let number = ANSWERS.fetch_add(1, SeqCst);
    let known = headers.get(AUTHORIZATION);
    if known.is_none_or(|token| *token != format!("client-{number}")) {
        STALE.fetch_add(1, SeqCst);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let claims = json!({ "sid": "sess_1", "sub": "user_1", "iat": now, "exp": now + 60 });
    // Neither signed nor verified here.
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let token = json!({ "jwt": jwt });
    let session = json!({ "id": "sess_1", "last_active_token": token });
    let client = json!({ "response": { "sessions": [session] } });
    let body = if is_mint { token } else { client }.to_string();
    ([(AUTHORIZATION, format!("client-{}", number + 1))], body).into_response()
}
