//! The list of connections: names, types and places, never secrets.

use askama::Template;

use crate::frame::Frame;
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage<'a> {
    pub frame: Frame<'a>,
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
    /// What a test that was asked for came to.
    pub tested: Option<Tested>,
}

/// What a worker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    pub works: bool,
    pub message: String,
}

impl ConnectionsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
