//! A session token that stays fresh while Clerk's API is down.
//!
//! A [`Refresher`] is given a client token and hands out session tokens:
//!
//! - one refresh *sequence* is in flight for a token, shared by every caller; a
//!   caller that goes away cancels nothing for the others, and none waits longer than
//!   7 s;
//! - the active token is refreshed 17 s before it expires, and the old one is served
//!   meanwhile; a failed refresh never takes away a token that is still valid;
//! - a token's age is the time since it was asked for, never a comparison with the
//!   local clock; the time that the machine slept counts;
//! - a suspected sign-out is verified once, by `GET /v1/client`, before anyone is
//!   told; an outage signs nobody out;
//! - a `Retry-After` gates all callers, also after the sequence that met it gave
//!   up;
//! - requests are sent one at a time, so that a rotated client token is the next
//!   one's; a [`TokenStore`] carries it over to the next run, and to other processes
//!   of the user, which then refresh once between them.
//!
//! It adds to the floors below it two schedules, a cache, one single-flight and a
//! [`Transport`]; all waiting, retrying and polling is theirs.
//!
//! # Examples
//!
//! A real program names its instance and uses `HttpTransport` (feature
//! `clerk-http`); here the transport answers by itself.
//!
//! ```
//! use std::time::Duration;
//! use afterbeat::clerk::{RefresherBuilder, Request, Response, Transport, TransportError};
//!
//! struct Scripted;
//!
//! impl Transport for Scripted {
//!     async fn send(&self, request: Request) -> Result<Response, TransportError> {
//!         let jwt = "eyJhbGciOiJub25lIn0.\
//!                    eyJzaWQiOiJzZXNzXzEiLCJzdWIiOiJ1c2VyXzEiLCJpYXQiOjAsImV4cCI6NjB9.c2ln";
//!         let session = format!(r#"{{"id":"sess_1","last_active_token":{{"jwt":"{jwt}"}}}}"#);
//!         let client = format!(r#"{{"response":{{"sessions":[{session}]}}}}"#);
//!         Ok(Response::new(200, match request.path() {
//!             "/v1/client" => client,
//!             _ => format!(r#"{{"jwt":"{jwt}"}}"#),
//!         }))
//!     }
//! }
//!
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let refresher = RefresherBuilder::new("https://clerk.example.com".parse()?, Scripted)
//!     .client_token("the-client-token".parse()?)
//!     .spawn();
//! let token = refresher.get_token().await?;
//! assert_eq!(token.claims().subject(), "user_1");
//! assert_eq!(token.expires_in(), Duration::from_secs(60));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! A program that outlives outages of its own: the state is kept, and what happens is
//! told.
//!
//! ```
//! # use afterbeat::clerk::*;
//! # struct Scripted;
//! # impl Transport for Scripted {
//! #     async fn send(&self, request: Request) -> Result<Response, TransportError> {
//! #         let jwt = "eyJhbGciOiJub25lIn0.\
//! #                    eyJzaWQiOiJzZXNzXzEiLCJzdWIiOiJ1c2VyXzEiLCJpYXQiOjAsImV4cCI6NjB9.c2ln";
//! #         let client = r#"{"response":{"sessions":[{"id":"sess_1"}]}}"#.to_owned();
//! #         Ok(Response::new(200, match request.path() {
//! #             "/v1/client" => client,
//! #             _ => format!(r#"{{"jwt":"{jwt}"}}"#),
//! #         }).authorization("the-next-client-token"))
//! #     }
//! # }
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::default(); // `FileStore` outlives the process
//! let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
//! let refresher = RefresherBuilder::new("https://clerk.example.com".parse()?, Scripted)
//!     .client_token("the-client-token".parse()?)
//!     .store(store.clone())
//!     .observe(move |event| drop(events.send(event)))
//!     .spawn();
//!
//! let status = refresher.wait_for(|status| *status != RefresherStatus::Loading).await;
//! assert_eq!(status, RefresherStatus::Ready);
//! refresher.get_token().await?;
//! assert!(matches!(told.recv().await, Some(RefresherEvent::ClientToken(Some(_)))));
//! assert!(matches!(told.recv().await, Some(RefresherEvent::Status(_))));
//! assert!(matches!(told.recv().await, Some(RefresherEvent::Token(_))));
//!
//! refresher.shutdown().await; // lets a request in flight finish
//! let state = String::from_utf8(store.load()?.unwrap())?;
//! assert!(state.contains("the-next-client-token"));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```

use core::time::Duration;

use crate::{backoff::Backoff, jitter::Jitter};

mod api;
mod error;
mod event;
#[cfg(any(unix, windows))]
mod file;
#[cfg(feature = "clerk-http")]
mod http;
mod refresher;
mod request;
mod saved;
mod sequence;
mod settings;
mod state;
mod store;
mod token;
mod transport;

#[cfg(any(unix, windows))]
pub use self::file::FileStore;
#[cfg(feature = "clerk-http")]
pub use self::http::HttpTransport;
pub use self::{
    api::{FrontendApi, InvalidFrontendApi},
    error::{Cause, Refusal, TokenError},
    event::{Counters, RefresherEvent, RefresherStatus},
    refresher::{Refresher, RefresherBuilder, RefresherDriver},
    request::TokenRequest,
    settings::OutageVerdict,
    store::{MemoryStore, StoreLock, TokenStore},
    token::{Claims, ClientToken, InvalidClientToken, InvalidToken, SessionToken},
    transport::{Request, Response, Transport, TransportError},
};

/// The session schedule, by which a token is minted: 3 s, ×1.55, at most 50 s, no
/// jitter, as in clerk-js 5.59.0. With [`SESSION_RETRIES`] it takes 161.786708 s.
pub const SESSION: Backoff = Backoff::new()
    .initial_delay(Duration::from_secs(3))
    .factor(1.55)
    .max_delay(Duration::from_secs(50))
    .jitter(Jitter::NONE);

/// How many retries the session schedule makes.
pub const SESSION_RETRIES: u32 = 8;

/// The network schedule, by which a `GET` that did not get through is repeated:
/// at once, then 700 ms, ×2, at most 5 s, with jitter, as in clerk-js 5.59.0.
pub const NETWORK: Backoff = Backoff::new()
    .initial_delay(Duration::from_millis(700))
    .max_delay(Duration::from_secs(5))
    .immediate_retry(true);

/// How many retries the network schedule makes.
pub const NETWORK_RETRIES: u32 = 3;
