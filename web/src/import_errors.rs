//! DAG files that do not parse.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The list, the newest first.
#[derive(Debug, Template)]
#[template(path = "import_errors.html")]
pub struct ImportErrorsPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub rows: Vec<ImportErrorRow>,
    pub pager: Pager,
}

/// A file, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct ImportErrorRow {
    pub file: String,
    pub message: String,
    pub since: Stamp,
}

impl ImportErrorsPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
