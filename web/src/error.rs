//! The page that says what went wrong.

use askama::Template;

use crate::render;
use crate::text::{ENGLISH, Text};

/// An error for people.
#[derive(Debug)]
pub struct ErrorPage<'a> {
    pub status: u16,
    pub title: &'a str,
    pub detail: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    t: &'static Text,
    status: u16,
    title: &'a str,
    detail: &'a str,
}

impl ErrorPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(&Page { t: &ENGLISH, status: self.status, title: self.title, detail: self.detail })
    }
}
