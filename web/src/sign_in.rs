//! The sign-in page.

use askama::Template;

use crate::render;
use crate::text::Text;

/// The form, and what was wrong with what was sent before.
#[derive(Debug)]
pub struct SignIn<'a> {
    pub t: &'static Text,
    /// Where to go afterwards.
    pub next: &'a str,
    pub username: &'a str,
    pub problem: Option<&'a str>,
    /// An identity provider signs people in, too.
    pub by_provider: bool,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    t: &'static Text,
    next: &'a str,
    username: &'a str,
    problem: Option<&'a str>,
    by_provider: bool,
}

impl SignIn<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(&Page {
            t: self.t,
            next: self.next,
            username: self.username,
            problem: self.problem,
            by_provider: self.by_provider,
        })
    }
}
