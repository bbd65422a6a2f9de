//! The page that describes the REST API, for people.

use askama::Template;

use crate::frame::Frame;
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "api.html")]
pub struct ApiPage<'a> {
    pub frame: Frame<'a>,
    pub groups: Vec<ApiGroup>,
}

/// The operations on one kind of thing.
#[derive(Debug, Clone)]
pub struct ApiGroup {
    pub name: String,
    pub operations: Vec<ApiOperation>,
}

/// An operation.
#[derive(Debug, Clone)]
pub struct ApiOperation {
    /// Of the page's link to it.
    pub anchor: String,
    pub method: String,
    pub path: String,
    /// Who may.
    pub role: String,
    pub is_built: bool,
    pub parameters: Vec<ApiParameter>,
    /// Its JSON Schema.
    pub body: Option<String>,
    pub answers: Vec<ApiAnswer>,
}

/// A parameter of the path or the query.
#[derive(Debug, Clone)]
pub struct ApiParameter {
    pub name: String,
    pub place: String,
    pub kind: String,
    pub about: String,
}

/// What an operation may answer.
#[derive(Debug, Clone)]
pub struct ApiAnswer {
    pub status: String,
    pub about: String,
    pub shape: String,
}

impl ApiPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
