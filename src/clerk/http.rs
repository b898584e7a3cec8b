//! The real transport.

use core::time::Duration;
use std::time::SystemTime;

use reqwest::{
    Client, Method,
    header::{
        AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    },
    redirect::Policy,
};

use super::transport::{Request, Response, Transport, TransportError};
use crate::retry_after::retry_after;

/// The longest reply that is read: 256 KiB, several times the largest client.
const MAX_BODY: usize = 256 * 1024;

/// Speaks HTTP to the API, with TLS by rustls.
///
/// Follows no redirect, keeps no cookies, and takes the system's proxies. The body of a
/// reply that is longer than 256 KiB, or not complete after the time limit, is not read:
/// its status and its headers count.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use afterbeat::clerk::HttpTransport;
///
/// let transport = HttpTransport::with_timeout(Duration::from_secs(5))?;
/// # drop(transport);
/// # Ok::<(), afterbeat::clerk::TransportError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client,
}

impl HttpTransport {
    /// Returns a transport that gives each request 9 s, its reply included: less than a
    /// refresher does, which would drop the headers with the rest.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if TLS cannot be set up.
    pub fn new() -> Result<Self, TransportError> {
        Self::with_timeout(Duration::from_secs(9))
    }

    /// Returns a transport that gives each request `limit`, its reply included, by
    /// the real clock. Keep it below [`RefresherBuilder::attempt_timeout`].
    ///
    /// [`RefresherBuilder::attempt_timeout`]: super::RefresherBuilder::attempt_timeout
    ///
    /// # Errors
    ///
    /// [`TransportError`] if TLS cannot be set up.
    pub fn with_timeout(limit: Duration) -> Result<Self, TransportError> {
        let client = Client::builder()
            .timeout(limit)
            .redirect(Policy::none())
            .user_agent(concat!("afterbeat/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(TransportError::new)?;
        Ok(Self { client })
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let method = match request.body() {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut sending = self.client.request(method, request.url());
        if let Some(token) = request.authorization() {
            let mut token = HeaderValue::from_str(token).map_err(TransportError::new)?;
            token.set_sensitive(true);
            sending = sending.header(AUTHORIZATION, token);
        }
        if let Some(body) = request.body() {
            sending = sending
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body.to_owned());
        }
        // The URL's query may hold a token.
        let failed = |error: reqwest::Error| TransportError::new(error.without_url());
        let mut reply = sending.send().await.map_err(failed)?;
        let headers = reply.headers();
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let mut response = Response {
            status: reply.status().as_u16(),
            body: Vec::new(),
            retry_after: hint(headers),
            authorization: text(AUTHORIZATION),
            trace_id: text(HeaderName::from_static("cf-ray")),
            broken: None,
        };
        // Status and headers stand, whatever becomes of the body.
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) => response.body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) if error.is_timeout() => response.broken = Some("takes too long"),
                Err(_) => response.broken = Some("is cut off"),
            }
            if response.body.len() > MAX_BODY {
                response.broken = Some("is longer than 256 KiB");
            }
            if response.broken.is_some() {
                response.body.clear();
                break;
            }
        }
        Ok(response)
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.exchange(request).await
    }
}

/// What `Retry-After` asks for.
fn hint(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    retry_after(text(RETRY_AFTER)?, text(DATE), text(AGE), SystemTime::now())
}
