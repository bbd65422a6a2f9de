//! The pages of a DAG's versions, of the code of one, and of what differs between two of them.

use std::fmt::Write as _;

use askama::Template;
use askama::filters::{Html, escape};

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "versions.html")]
pub struct VersionsPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub dag_id: String,
    pub dag_href: String,
    pub versions: Vec<VersionRow>,
    pub pager: Pager,
    /// `None`: there is one version alone.
    pub compare: Option<Compare>,
    pub diff: Option<Difference>,
}

/// The page of one version.
#[derive(Debug, Template)]
#[template(path = "version.html")]
pub struct VersionPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub dag_href: String,
    pub versions_href: String,
    pub version: i32,
    /// Where the newest version is, of an older one.
    pub newest: Option<String>,
    pub made: Stamp,
    pub file: String,
    pub tasks: usize,
    pub compare: Option<Compare>,
    /// Markup made by [`crate::source::markup`].
    pub source: String,
}

/// The form that compares two versions.
#[derive(Debug, Clone)]
pub struct Compare {
    pub action: String,
    pub choices: Vec<Choice>,
}

/// A version that can be chosen.
#[derive(Debug, Clone)]
pub struct Choice {
    pub version: i32,
    pub is_from: bool,
    pub is_to: bool,
}

/// What differs between two versions.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Of which version to which.
    pub title: String,
    /// Markup made by [`markup`].
    pub diff: String,
}

/// A version in the list.
#[derive(Debug, Clone)]
pub struct VersionRow {
    pub version: i32,
    pub href: String,
    pub file: String,
    pub tasks: i64,
    pub made: Stamp,
    /// Where it is compared with the one before.
    pub compare: Option<String>,
}

impl VersionsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl VersionPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

/// Returns a unified diff as markup, one element a line. Everything in it is escaped.
#[must_use]
pub fn markup(diff: &str) -> String {
    let mut out = String::with_capacity(diff.len() * 2);
    for line in diff.lines() {
        let class = match line.as_bytes().first() {
            Some(b'+') => "d-add",
            Some(b'-') => "d-gone",
            Some(b'@') => "d-at",
            _ => "",
        };
        let Ok(line) = escape(line, Html);
        let _infallible = write!(out, "<div class=\"l {class}\"><span>{line}</span></div>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_text_whatever_it_holds() {
        let html = markup("@@ -1 +1 @@\n-<b>\n+a & b\n c");
        assert!(!html.contains("<b>"));
        assert!(html.contains("<div class=\"l d-gone\"><span>-&#60;b&#62;</span></div>"), "{html}");
        assert!(html.contains("d-add") && html.contains("d-at"));
    }
}
