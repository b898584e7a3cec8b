//! Where the API is, and how it is spoken to.

use core::{fmt, str::FromStr};
use std::net::Ipv6Addr;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use super::{
    error::Cause,
    request::Key,
    token::{ClientToken, SessionToken},
    transport::{Request, Response},
};

/// The version of the API that requests name.
const VERSION: &str = "2026-05-12";

/// Where an instance's Frontend API is: an origin and, behind a proxy, a path.
///
/// Parses from a URL, or from a publishable key, which holds the host.
///
/// # Errors
///
/// [`InvalidFrontendApi`] with the value and the rule it breaks.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::FrontendApi;
///
/// let api: FrontendApi = "pk_test_Y2xlcmsuZXhhbXBsZS50ZXN0JA".parse().unwrap();
/// assert_eq!(api.to_string(), "https://clerk.example.test");
/// assert_eq!("http://127.0.0.1:8080/".parse::<FrontendApi>().unwrap().to_string(), "http://127.0.0.1:8080");
///
/// let error = "clerk.example.test".parse::<FrontendApi>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`clerk.example.test` is neither an http(s) URL nor a publishable key",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendApi {
    base: String,
}

impl FromStr for FrontendApi {
    type Err = InvalidFrontendApi;

    fn from_str(text: &str) -> Result<Self, InvalidFrontendApi> {
        let invalid = |rule| {
            let secret = text.starts_with("sk_") || text.contains('@');
            let value = if secret { "(not shown)" } else { text }.to_owned();
            InvalidFrontendApi { value, rule }
        };
        let key = ["pk_live_", "pk_test_"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        let base = if let Some(key) = key {
            let key = key.trim_end_matches('=');
            let decoded = STANDARD_NO_PAD
                .decode(key)
                .or_else(|_| URL_SAFE_NO_PAD.decode(key))
                .map_err(|_| invalid("has a key that is not base64"))?;
            let host = String::from_utf8(decoded).ok();
            let host = host.as_deref().and_then(|host| host.strip_suffix('$'));
            let host = host.ok_or_else(|| invalid("has a key that does not end in `$`"))?;
            if host.contains('/') {
                return Err(invalid("has a key that holds more than a host"));
            }
            format!("https://{host}")
        } else {
            text.to_owned()
        };
        let (scheme, rest) = base
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "https" | "http"))
            .ok_or_else(|| invalid("is neither an http(s) URL nor a publishable key"))?;
        let rest = rest.trim_end_matches('/');
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() {
            return Err(invalid("has no host"));
        }
        if !is_host(host) {
            return Err(invalid("has a host that is not one"));
        }
        if port.is_some_and(|port| !is_port(port)) {
            return Err(invalid("has a port that is not one"));
        }
        let named = |place: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            place.bytes().all(plain) && !matches!(place, "" | "." | "..")
        };
        if !path.is_empty() && !path.split('/').all(named) {
            return Err(invalid("holds more than an origin and a plain path"));
        }
        Ok(Self {
            base: format!("{scheme}://{rest}"),
        })
    }
}

impl fmt::Display for FrontendApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    host.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// The error of a text that does not say where the API is.
///
/// What may be a secret, a secret key or a password in a URL, is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` {rule}")]
pub struct InvalidFrontendApi {
    value: String,
    rule: &'static str,
}

/// How a session token is minted, beside what for.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    pub(super) force: bool,
    /// The last token, where the API has asked for it.
    pub(super) expired: Option<&'a str>,
    /// The last token, where the instance mints from it.
    pub(super) previous: Option<&'a str>,
}

impl FrontendApi {
    fn request(&self, path: String, body: Option<String>, token: Option<ClientToken>) -> Request {
        Request {
            origin: self.base.clone(),
            path,
            query: format!("_is_native=1&__clerk_api_version={VERSION}"),
            body,
            client_token: token,
        }
    }

    /// The request that mints a session token.
    pub(super) fn mint(&self, key: &Key, how: &How<'_>, token: Option<ClientToken>) -> Request {
        let mut path = format!("/v1/client/sessions/{}/tokens", encoded(&key.session));
        let mut form = Vec::new();
        match (&key.template, &key.organization) {
            (Some(template), _) => path = format!("{path}/{}", encoded(template)),
            (None, Some(id)) => form.push(format!("organization_id={}", encoded(id))),
            (None, None) => {}
        }
        if let Some(previous) = how.previous {
            form.push(format!("token={}", encoded(previous)));
            if how.force {
                form.push("force_origin=true".to_owned());
            }
        }
        let mut request = self.request(path, Some(form.join("&")), token);
        if how.force {
            request.query.push_str("&debug=skip_cache");
        }
        if let Some(expired) = how.expired {
            request.query = format!("{}&expired_token={}", request.query, encoded(expired));
        }
        request
    }

    /// The request that asks which sessions the client has.
    pub(super) fn client(&self, token: Option<ClientToken>) -> Request {
        self.request("/v1/client".to_owned(), None, token)
    }
}

/// Percent-encoded but for what needs no encoding anywhere in a URL.
fn encoded(text: &str) -> String {
    use fmt::Write;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The token of a response to a mint, or why there is none.
pub(super) fn minted(key: &Key, response: &Response) -> Result<SessionToken, Cause> {
    let body = accepted(response)?;
    let jwt = body["jwt"].as_str().ok_or(Cause::Malformed {
        status: response.status,
        rule: "has no `jwt`",
    })?;
    // A template's token has the claims of the template, and `sid` is none of those that
    // every token has.
    let session = key.template.as_ref().map(|_| key.session.as_str());
    SessionToken::parse_of(session, jwt).map_err(Cause::InvalidToken)
}

/// A client, as `GET /v1/client` tells of it.
pub(super) struct Client {
    sessions: Vec<Value>,
    last_active: Option<String>,
}

/// A session of a client that may be used.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) organization: Option<String>,
    pub(super) token: Option<SessionToken>,
}

impl Client {
    pub(super) fn parse(response: &Response) -> Result<Self, Cause> {
        let body = accepted(response)?;
        let malformed = |rule| Cause::Malformed {
            status: response.status,
            rule,
        };
        let client = body.get("response").ok_or(malformed("has no `response`"))?;
        // No client at all has no sessions; what is neither says nothing.
        let sessions = match client {
            Value::Null => Vec::new(),
            client => {
                let sessions = client["sessions"].as_array();
                sessions.ok_or(malformed("has no `sessions`"))?.clone()
            }
        };
        Ok(Self {
            sessions,
            last_active: client["last_active_session_id"].as_str().map(str::to_owned),
        })
    }

    /// The session of that id, or else the one last active, or else any; none if
    /// it is not there or over.
    pub(super) fn session(&self, id: Option<&str>) -> Option<Session> {
        let live = |session: &&Value| {
            let status = session["status"].as_str();
            session["id"].is_string() && matches!(status, None | Some("active" | "pending"))
        };
        let live = || self.sessions.iter().filter(live);
        let named = |id| live().find(|session| session["id"] == id);
        let session = match (id, self.last_active.as_deref()) {
            (Some(id), _) => named(id),
            (None, Some(last)) => named(last).or_else(|| live().next()),
            (None, None) => live().next(),
        }?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let jwt = session
            .pointer("/last_active_token/jwt")
            .and_then(Value::as_str);
        let id = text(&session["id"])?;
        let token = jwt.and_then(|jwt| SessionToken::parse(jwt).ok());
        Some(Session {
            token: token.filter(|token| token.claims().session_id() == id),
            id,
            organization: text(&session["last_active_organization_id"]),
        })
    }
}

/// The JSON body of a success, or what failed: by status first, body second.
fn accepted(response: &Response) -> Result<Value, Cause> {
    let status = response.status;
    let body = serde_json::from_slice::<Value>(&response.body).ok();
    if (200..300).contains(&status) {
        let rule = response.broken.unwrap_or("is not JSON");
        return body.ok_or(Cause::Malformed { status, rule });
    }
    // What the API says goes into errors and logs: names only, and none without end.
    let name = |text: &&str| text.len() <= 100 && text.bytes().all(|b| b.is_ascii_graphic());
    let text = |value: &Value| value.as_str().filter(name).map(str::to_owned);
    let codes = body.as_ref().and_then(|body| body["errors"].as_array());
    let codes = codes
        .into_iter()
        .flatten()
        .filter_map(|error| text(&error["code"]));
    let trace_id = body.as_ref().and_then(|body| text(&body["clerk_trace_id"]));
    Err(Cause::Status {
        status,
        codes: codes.collect(),
        retry_after: response.retry_after,
        trace_id: trace_id.or_else(|| response.trace_id.clone()),
    })
}
