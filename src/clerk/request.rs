//! Which token is asked for.

/// What a session token is asked for: by default the session's own, for the
/// organization last active.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::TokenRequest;
///
/// let request = TokenRequest::new().organization("org_1").force();
/// # let _ = request;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct TokenRequest {
    pub(super) template: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) force: bool,
}

impl TokenRequest {
    /// Returns a request for the session's own token.
    pub const fn new() -> Self {
        Self {
            template: None,
            organization: None,
            force: false,
        }
    }

    /// Asks for a token made from a JWT template.
    pub fn template(mut self, name: impl Into<String>) -> Self {
        self.template = Some(name.into());
        self
    }

    /// Asks for a token for an organization; a template's token is for none.
    pub fn organization(mut self, id: impl Into<String>) -> Self {
        self.organization = Some(id.into());
        self
    }

    /// Asks for a token for the personal account.
    pub fn personal(self) -> Self {
        self.organization("")
    }

    /// Asks for a new token, also where a cached one is good. A sequence in flight
    /// is shared all the same.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// Which token: of which session, template and organization.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) session: String,
    pub(super) template: Option<String>,
    pub(super) organization: Option<String>,
}
