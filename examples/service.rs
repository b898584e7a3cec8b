//! A service whose handlers call another one with a session token, in 5 seconds.
//!
//! ```text
//! cargo run --example service --features clerk-http
//! ```
//!
//! All handlers share one [`Refresher`], so that a hundred requests at once cost one
//! token. `/health` tells what is known of the session, a task logs each change of it,
//! and a shutdown lets requests finish before the refresher ends. Clerk's API and the
//! service that checks the tokens are stand-ins on loopback ports. In the end the
//! example checks its own claims, and exits with 1 if one of them does not hold.
//!
//! What you would write yourself is [`serve`] and the three functions that follow it.

use std::error::Error;
use std::future::{Future, pending};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afterbeat::clerk::{HttpTransport, Refresher, RefresherBuilder, RefresherStatus};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match scripted().await {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }
    }
}

// ---- The service ----------------------------------------------------------------

/// What each handler has.
#[derive(Clone)]
struct Service {
    refresher: Arc<Refresher>,
    http: reqwest::Client,
    upstream: String,
}

/// Serves until `stop`, then lets the requests in flight finish and ends the refresher.
async fn serve(
    listener: TcpListener,
    refresher: Refresher,
    upstream: String,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let refresher = Arc::new(refresher);
    let service = Service {
        refresher: Arc::clone(&refresher),
        http: reqwest::Client::new(),
        upstream,
    };
    let router = Router::new()
        .route("/orders", get(orders))
        .route("/health", get(health))
        .with_state(service);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    tokio::select! {
        served = serving => served?,
        () = log_changes(&refresher) => {}
    }
    // The last connection has ended; its task lets go of its share in a moment.
    while Arc::strong_count(&refresher) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if let Some(refresher) = Arc::into_inner(refresher) {
        // A request in flight may bring a new client token: it is waited for.
        refresher.shutdown().await;
        println!("  the refresher has ended");
    }
    Ok(())
}

async fn orders(State(service): State<Service>) -> Response {
    let token = match service.refresher.get_token().await {
        Ok(token) => token,
        // An error holds no secret.
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let orders = service
        .http
        .get(&service.upstream)
        .bearer_auth(token.expose());
    match orders
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
    {
        Ok(reply) => reply.text().await.unwrap_or_default().into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn health(State(service): State<Service>) -> (StatusCode, &'static str) {
    match service.refresher.status() {
        RefresherStatus::Ready => (StatusCode::OK, "ready"),
        // A token may be at hand: callers are told when there is none.
        RefresherStatus::Degraded => (StatusCode::OK, "degraded"),
        RefresherStatus::SignedOut(_) => (StatusCode::SERVICE_UNAVAILABLE, "signed out"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    }
}

/// Never ends: after a sign-out the service still tells of it.
async fn log_changes(refresher: &Refresher) {
    let mut last = RefresherStatus::Loading;
    loop {
        let status = refresher.wait_for(|status| *status != last).await;
        println!("  status: {status:?}");
        if matches!(
            status,
            RefresherStatus::SignedOut(_) | RefresherStatus::Refused(_)
        ) {
            pending::<()>().await;
        }
        last = status;
    }
}

// ---- A day of it ----------------------------------------------------------------

/// Returns whether all claims hold.
async fn scripted() -> Result<bool> {
    let world = Arc::new(World::default());
    let tokens = "/v1/client/sessions/sess_1/tokens";
    let clerk = Router::new()
        .route("/v1/client", get(client))
        .route(tokens, post(mint));
    let upstream = Router::new().route("/", get(check_token));
    let (clerk, upstream) = (
        stand_in(clerk, &world).await?,
        stand_in(upstream, &world).await?,
    );

    let refresher = RefresherBuilder::new(clerk.parse()?, HttpTransport::new()?)
        .client_token("the-client-token".parse()?)
        .spawn();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let signed_out = refresher.wait_for(|status| matches!(status, RefresherStatus::SignedOut(_)));
    // `tokio::signal::ctrl_c()` in a real program.
    let stopped = async { drop(stopped.await) };
    let service = tokio::spawn(serve(listener, refresher, upstream, stopped));
    let asks = async |path: &str| -> Result<(u16, String)> {
        let reply = reqwest::get(format!("{url}{path}")).await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    };
    let served = (200, "2 orders of user_1".to_owned());

    println!("A hundred requests at once:");
    let replies = join_all((0..100).map(|_| asks("/orders"))).await;
    let replies: Vec<_> = replies.into_iter().collect::<Result<_>>()?;
    let requests = world.requests.load(SeqCst);
    let healthy = asks("/health").await?;
    println!("  served, for {requests} requests to Clerk; health: {healthy:?}");

    println!("The user signs out elsewhere, while a request is in flight:");
    world.slow.store(true, SeqCst);
    let (late, signed_out) = tokio::join!(asks("/orders"), async {
        world.asked.notified().await;
        world.revoked.store(true, SeqCst);
        signed_out.await;
        let told = (asks("/health").await?, asks("/orders").await?);
        println!("Shutdown:");
        drop(stop);
        world.answer.notify_one();
        Ok::<_, Box<dyn Error + Send + Sync>>(told)
    });
    let (health, orders) = signed_out?;
    service.await??;
    println!("  {}", orders.1);

    let (ready, over) = ((200, "ready".to_owned()), (503, "signed out".to_owned()));
    let all_served = replies.iter().all(|reply| *reply == served);
    Ok(check(&[
        ("a hundred were served", all_served),
        ("few requests served them all", requests < 10),
        ("the service was healthy", healthy == ready),
        ("then it was not", health == over && orders.0 == 503),
        ("the request in flight was served", late? == served),
        ("nothing is served any more", asks("/health").await.is_err()),
    ]))
}

/// Prints each claim. Returns whether all hold.
fn check(claims: &[(&str, bool)]) -> bool {
    for (claim, holds) in claims {
        println!("{:8}{claim}", if *holds { "ok" } else { "FAILED" });
    }
    claims.iter().all(|(_, holds)| *holds)
}

// ---- The stand-ins --------------------------------------------------------------

#[derive(Default)]
struct World {
    /// Requests to Clerk, the tokens they brought, and whether the session has ended.
    requests: AtomicUsize,
    issued: Mutex<Vec<String>>,
    revoked: AtomicBool,
    /// Whether the other service waits to be told before it answers.
    slow: AtomicBool,
    asked: Notify,
    answer: Notify,
}

/// Serves on a free port, for as long as the example runs.
async fn stand_in(router: Router<Arc<World>>, world: &Arc<World>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = router.with_state(Arc::clone(world));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

async fn client(State(world): State<Arc<World>>) -> String {
    let session = || json!({ "id": "sess_1", "last_active_token": { "jwt": world.issue() } });
    let sessions = if world.revoked.load(SeqCst) {
        vec![]
    } else {
        vec![session()]
    };
    json!({ "response": { "sessions": sessions } }).to_string()
}

async fn mint(State(world): State<Arc<World>>) -> (StatusCode, String) {
    if world.revoked.load(SeqCst) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    (StatusCode::OK, json!({ "jwt": world.issue() }).to_string())
}

async fn check_token(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let known = |token| world.issued().iter().any(|issued| issued == token);
    if !bearer.is_some_and(known) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if world.slow.load(SeqCst) {
        world.asked.notify_one();
        world.answer.notified().await;
    }
    "2 orders of user_1".into_response()
}

impl World {
    fn issued(&self) -> MutexGuard<'_, Vec<String>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that lives 18 s: it is due for a new one after the first of them.
    fn issue(&self) -> String {
        let number = self.requests.fetch_add(1, SeqCst);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let claims = json!({ "sid": "sess_1", "sub": "user_1", "iat": now, "exp": now + 18 });
        // Not signed: what was issued is remembered.
        let jwt = format!(
            "e30.{}.{number:04}",
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        self.issued().push(jwt.clone());
        jwt
    }
}
