//! The page that says what went wrong.

use askama::Template;

use crate::render;
use crate::text::Text;

/// An error for people.
#[derive(Debug)]
pub struct ErrorPage<'a> {
    pub t: &'static Text,
    pub status: u16,
    /// Its problem's type: the last part of the address.
    pub kind: &'a str,
    /// What it is called where its kind has no title.
    pub title: &'a str,
    pub detail: &'a str,
    /// The page that led here.
    pub back: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    t: &'static Text,
    status: u16,
    title: &'a str,
    detail: &'a str,
    back: Option<&'a str>,
}

/// The title of a kind of problem.
fn title(kind: &str, t: &'static Text) -> Option<&'static str> {
    Some(match kind {
        "dag-not-found" => t.error_dag_not_found,
        "run-not-found" => t.error_run_not_found,
        "task-not-found" => t.error_task_not_found,
        "not-found" => t.error_not_found,
        "method-not-allowed" => t.error_method,
        "conflict" => t.error_conflict,
        "invalid-request" => t.error_request,
        "bad-request" => t.error_bad_request,
        "sign-in-needed" => t.error_sign_in_needed,
        "bad-password" | "bad-link" => t.error_sign_in,
        "not-allowed" => t.error_not_allowed,
        "cross-site" => t.error_cross_site,
        "too-many-sign-ins" => t.error_too_many_sign_ins,
        "too-large" => t.error_too_large,
        "timed-out" => t.error_timed_out,
        "unavailable" => t.error_unavailable,
        "internal" => t.error_internal,
        _ => return None,
    })
}

impl ErrorPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        let Self { t, status, kind, detail, back, .. } = *self;
        render(&Page { t, status, title: title(kind, t).unwrap_or(self.title), detail, back })
    }
}
