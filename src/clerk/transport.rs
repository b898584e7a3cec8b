//! What carries a request to the API and a response back.

use core::{fmt, future::Future, time::Duration};
use std::{error::Error, sync::Arc};

use super::token::ClientToken;

/// Carries one request and brings back one response: no retries, no cache, no
/// judgement.
///
/// `HttpTransport` (feature `clerk-http`) is the real one. An implementation
/// bounds the time and the size of a reply, follows no redirect, sends no cookie
/// and no `Origin`, and reports every status it gets as a [`Response`].
///
/// # Cancel safety
///
/// The future of [`send`](Self::send) is dropped with the refresher, and at
/// [`attempt_timeout`](super::RefresherBuilder::attempt_timeout): a rotated client token
/// that it has read by then is lost.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request.
    ///
    /// # Errors
    ///
    /// [`TransportError`] where there is no response with a status.
    fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, TransportError>> + Send;
}

/// A request to the API.
#[derive(Clone)]
pub struct Request {
    pub(super) origin: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Option<String>,
    pub(super) client_token: Option<ClientToken>,
}

impl Request {
    /// Says the number of the retry.
    pub(super) fn tag(&mut self, retry: u32) {
        self.query = format!("{}&_clerk_retry_attempt={retry}", self.query);
    }

    /// Returns the method: `POST` where there is a body, otherwise `GET`.
    #[must_use]
    pub fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }

    /// Returns the whole URL. Its query may hold a token: do not log it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}?{}", self.origin, self.path, self.query)
    }

    /// Returns the path, which holds no secret.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the form to send as `application/x-www-form-urlencoded`, possibly
    /// empty; none for a `GET`.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Returns what to send as `Authorization`, as it is; a secret.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.client_token.as_ref().map(ClientToken::expose)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("origin", &self.origin)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A response of the API: anything with a status.
#[derive(Clone)]
pub struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) retry_after: Option<Duration>,
    pub(super) authorization: Option<String>,
    pub(super) trace_id: Option<String>,
    /// The rule that the body breaks as it is carried, if it does.
    pub(super) broken: Option<&'static str>,
}

impl Response {
    /// Returns a response with a status and a body, and no headers of interest.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            retry_after: None,
            authorization: None,
            trace_id: None,
            broken: None,
        }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Sets what `Retry-After` asked for; `afterbeat::retry_after` (feature
    /// `retry-after`) reads the header.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the `Authorization` header: the client token to use from now on.
    #[must_use]
    pub fn authorization(mut self, header: impl Into<String>) -> Self {
        self.authorization = Some(header.into());
        self
    }

    /// Sets the trace id to report where the body has none: `cf-ray`.
    #[must_use]
    pub fn trace_id(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(id.into());
        self
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

/// The error of a request that got no response with a status.
///
/// Shown with all its sources, down to what the operating system said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no response from the API{}", Chain(&**cause))]
pub struct TransportError {
    #[source]
    cause: Arc<dyn Error + Send + Sync>,
    offline: bool,
}

impl TransportError {
    /// Returns the error for a cause, which must hold no secret.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into().into(),
            offline: false,
        }
    }

    /// Returns the same error, with the word of the transport that the machine is not
    /// connected at all: a sequence then gives up after three retries.
    ///
    /// A refused connection does not say so; only the operating system can.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Returns whether the machine is not connected at all.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self.0);
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
