//! Workers: who runs tasks, how much, and how to let one go.

use askama::Template;

use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::{Find, Pager};
use crate::render;

/// The list.
#[derive(Debug, Template)]
#[template(path = "workers.html")]
pub struct WorkersPage<'a> {
    pub frame: Frame<'a>,
    pub find: Find,
    pub pager: Pager,
    pub rows: Vec<WorkerRow>,
}

/// A worker that is joined.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    pub name: String,
    pub version: String,
    pub server: String,
    /// Queues with their slots: `default 16`.
    pub queues: Vec<String>,
    /// Tasks that it runs.
    pub runs: i64,
    pub since: Stamp,
    pub is_draining: bool,
    pub drain_action: String,
}

impl WorkersPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}
