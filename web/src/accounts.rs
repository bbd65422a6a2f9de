//! Users with what they may do, and API tokens.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The users, for administrators.
#[derive(Debug, Template)]
#[template(path = "users.html")]
pub struct UsersPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub pager: Pager,
    pub rows: Vec<UserRow>,
    /// A sign-in link that was just made: whose, and its address.
    pub link: Option<(String, String)>,
    pub problem: Option<String>,
}

/// A user.
#[derive(Debug, Clone)]
pub struct UserRow {
    pub name: String,
    pub role: &'static str,
    /// The first of them.
    pub grants: Vec<GrantRow>,
    /// Where all of them are, if there are more.
    pub all_grants: Option<String>,
    /// The viewer cannot disable themselves.
    pub is_self: bool,
    /// They may not sign in: nothing is done with them but to let them again.
    pub is_disabled: bool,
}

/// A role for a DAG or a tag.
#[derive(Debug, Clone)]
pub struct GrantRow {
    pub role: String,
    /// `dag` or `tag`, and its name.
    pub kind: &'static str,
    pub name: String,
}

/// What is granted to a user for single DAGs.
#[derive(Debug, Template)]
#[template(path = "grants.html")]
pub struct GrantsPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub pager: Pager,
    pub username: String,
    pub rows: Vec<GrantRow>,
}

/// API tokens.
#[derive(Debug, Template)]
#[template(path = "tokens.html")]
pub struct TokensPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub pager: Pager,
    pub rows: Vec<TokenRow>,
    /// Shown once: the secret of a token that was just made.
    pub secret: Option<String>,
    pub problem: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    pub id: String,
    pub user: String,
    pub name: String,
    pub scope: Option<String>,
    pub made: Stamp,
    pub expires: Option<Stamp>,
    pub used: Option<Stamp>,
}

/// What users may be, everywhere.
pub const ROLES: [&str; 5] = ["none", "viewer", "user", "op", "admin"];

/// What users may be for single DAGs.
pub const GRANTED: [&str; 3] = ["viewer", "user", "op"];

/// The most that tokens may do.
pub const SCOPES: [&str; 4] = ["viewer", "user", "op", "admin"];

impl UserRow {
    /// Whether this is their role.
    fn is(&self, role: &str) -> bool {
        self.role == role
    }
}

impl UsersPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl GrantsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl TokensPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
