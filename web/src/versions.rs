//! The page of a DAG's versions, and of what differs between two of them.

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
    /// Of which version to which, and markup made by [`markup`].
    pub diff: Option<(String, String)>,
}

/// A version in the list.
#[derive(Debug, Clone)]
pub struct VersionRow {
    pub version: i32,
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
