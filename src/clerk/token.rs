//! Tokens, and what they say of themselves.

use core::{fmt, str::FromStr, time::Duration};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// The client token, which proves who the client is; a secret.
///
/// Parses from text. It is shown in no `Debug`, error or trace.
///
/// # Errors
///
/// [`InvalidClientToken`] if the text is empty, or holds what a header cannot: a
/// blank, a line's end, anything but visible ASCII.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::ClientToken;
///
/// let token: ClientToken = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln".parse().unwrap();
/// assert_eq!(format!("{token:?}"), "ClientToken(..)");
/// assert!("read from a file\n".parse::<ClientToken>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClientToken(Arc<str>);

impl ClientToken {
    /// Returns the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What an `Authorization` header of a response says of the token to use from
    /// now on: none where it is blank.
    pub(super) fn from_header(value: &str) -> Result<Option<Self>, InvalidClientToken> {
        let value = value.trim();
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace);
        let token = match value.split_at_checked(6) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") && ends(rest) => {
                rest.trim()
            }
            _ => value,
        };
        if token.is_empty() {
            return Ok(None);
        }
        token.parse().map(Some)
    }
}

impl FromStr for ClientToken {
    type Err = InvalidClientToken;

    fn from_str(text: &str) -> Result<Self, InvalidClientToken> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidClientToken);
        }
        Ok(Self(text.into()))
    }
}

/// The error of a text that cannot be a client token. The text itself is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client token is not one or more characters of visible ASCII")]
pub struct InvalidClientToken;

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientToken(..)")
    }
}

/// A session token: a JWT to send to your own servers; a secret.
///
/// It is shown in no `Debug`, error or trace.
#[derive(Clone)]
pub struct SessionToken {
    parsed: Arc<Parsed>,
    age: Duration,
}

struct Parsed {
    jwt: String,
    claims: Claims,
}

impl SessionToken {
    /// Reads a JWT and its claims. Its signature is not verified.
    pub(super) fn parse(jwt: &str) -> Result<Self, InvalidToken> {
        Self::parse_of(None, jwt)
    }

    /// The same, for a token that need not say of which session it is: one that is made
    /// from a template.
    pub(super) fn parse_of(session: Option<&str>, jwt: &str) -> Result<Self, InvalidToken> {
        let claims = Claims::parse(session, jwt).map_err(|rule| InvalidToken { rule })?;
        let jwt = jwt.to_owned();
        Ok(Self {
            parsed: Arc::new(Parsed { jwt, claims }),
            age: Duration::ZERO,
        })
    }

    /// The token at an age, by the monotonic clock since it was asked for.
    pub(super) fn aged(&self, age: Duration) -> Self {
        self.clone().into_aged(age)
    }

    pub(super) fn into_aged(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Returns the JWT, as it goes into an `Authorization` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.parsed.jwt
    }

    /// Returns what the token claims; unverified, as [`Claims`] says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.parsed.claims
    }

    /// Returns how long the token was still valid when it was handed out.
    ///
    /// Its life is `exp − iat` from the moment it was asked for, by the monotonic
    /// clock; no wall clock is read.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.claims().lifetime().saturating_sub(self.age)
    }

    /// When it was issued, in the seconds of the issuer's clock.
    pub(super) fn issued_at(&self) -> u64 {
        self.claims().issued_at
    }

    /// Whether this token is to replace `other`, of the same session and
    /// organization: by when the origin issued it, then by when it was issued.
    pub(super) fn is_fresher_than(&self, other: &Self) -> bool {
        let rank = |token: &Self| (token.claims().origin_issued_at, token.issued_at());
        rank(self) >= rank(other)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken")
            .field("claims", self.claims())
            .field("expires_in", &self.expires_in())
            .finish_non_exhaustive()
    }
}

/// What a session token claims. **Unverified**: the signature is not looked at.
///
/// Good for one's own display and bookkeeping. A server that trusts a token
/// verifies it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    session_id: String,
    subject: String,
    organization_id: Option<String>,
    issued_at: u64,
    expires_at: u64,
    origin_issued_at: Option<u64>,
}

impl Claims {
    fn parse(session: Option<&str>, jwt: &str) -> Result<Self, &'static str> {
        let mut parts = jwt.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("is not three parts with dots between them");
        };
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?).ok()
        };
        let header = json(header).ok_or("has a header that is not base64url of JSON")?;
        let payload = json(payload).ok_or("has a payload that is not base64url of JSON")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let organization = payload.get("org_id").or_else(|| payload.pointer("/o/id"));
        let claims = Self {
            session_id: text(&payload["sid"])
                .or_else(|| session.map(str::to_owned))
                .ok_or("has no `sid`")?,
            subject: text(&payload["sub"]).ok_or("has no `sub`")?,
            organization_id: organization.and_then(text).filter(|id| !id.is_empty()),
            issued_at: payload["iat"].as_u64().ok_or("has no `iat`")?,
            expires_at: payload["exp"].as_u64().ok_or("has no `exp`")?,
            origin_issued_at: header["oiat"].as_u64(),
        };
        if claims.expires_at <= claims.issued_at {
            return Err("expires before it was issued");
        }
        Ok(claims)
    }

    /// Returns the session's id, `sid`; where a template leaves that out, the id of the
    /// session that the token was asked for.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Returns the user's id, `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the organization's id, `org_id` or `o.id`; none for the personal
    /// account.
    #[must_use]
    pub fn organization_id(&self) -> Option<&str> {
        self.organization_id.as_deref()
    }

    /// Returns how long the token lives in all, `exp − iat`.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.expires_at - self.issued_at)
    }
}

/// The error of a text that is not a session token: which rule it breaks.
///
/// The text itself is not shown: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session token {rule}")]
pub struct InvalidToken {
    rule: &'static str,
}
