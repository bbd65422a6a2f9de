//! The audit log: who did what, when.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::Pager;
use crate::render;

/// The list, the newest first.
#[derive(Debug, Template)]
#[template(path = "audit.html")]
pub struct AuditPage<'a> {
    pub frame: Frame<'a>,
    pub filter: AuditFilter,
    pub rows: Vec<AuditRow>,
    pub pager: Pager,
}

/// What is looked for; empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub dag: String,
    pub user: String,
    pub event: String,
}

/// A record.
#[derive(Debug, Clone)]
pub struct AuditRow {
    pub when: Stamp,
    pub user: String,
    /// `web`, `api`, `cli`.
    pub via: String,
    pub event: String,
    /// What it was about, and its page, if it has one.
    pub about: String,
    pub href: Option<String>,
    /// Names and values of what changed and of what was asked for, as JSON.
    pub details: Vec<(&'static str, String)>,
}

impl AuditPage<'_> {
    /// Whether some records may be left out.
    fn is_narrow(&self) -> bool {
        self.filter != AuditFilter::default() || self.pager.is_needed()
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
