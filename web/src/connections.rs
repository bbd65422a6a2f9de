//! Connections: names, types and places, and the form of one. Secrets go in, never out.

use askama::Template;

use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub pager: Pager,
    pub rows: Vec<ConnectionRow>,
    /// Why places are missing.
    pub problem: Option<String>,
}

/// A connection in the list.
#[derive(Debug, Clone)]
pub struct ConnectionRow {
    pub id: String,
    pub conn_type: String,
    /// Server, port and database.
    pub place: String,
    pub description: String,
    /// It stands in the environment of the servers.
    pub is_of_environment: bool,
    /// Where a test is asked for.
    pub test_action: String,
    /// Where it is changed; `None`: it stands in the environment.
    pub edit_href: Option<String>,
    /// What a test that was asked for came to.
    pub tested: Option<Tested>,
}

/// What a worker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    pub works: bool,
    pub message: String,
}

/// The form of one connection.
#[derive(Debug, Template)]
#[template(path = "connection.html")]
pub struct ConnectionPage<'a> {
    pub frame: Frame<'a>,
    pub title: String,
    pub action: String,
    /// It is not kept yet: it can be named.
    pub is_new: bool,
    pub types: &'a [&'a str],
    pub given: ConnectionFields,
    /// One is kept; it is not shown.
    pub has_password: bool,
    pub delete_action: Option<String>,
    pub problems: Vec<String>,
}

/// What the form holds. Of `extra` secrets stand as stars, which keep what is there.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFields {
    pub connection_id: String,
    pub conn_type: String,
    pub host: String,
    pub port: String,
    pub schema: String,
    pub login: String,
    pub extra: String,
    pub description: String,
}

impl ConnectionPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl ConnectionsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
