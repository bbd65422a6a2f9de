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
    /// Where its changes come from.
    pub events: String,
    pub live: WorkersLive<'a>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "workers_live.html")]
pub struct WorkersLive<'a> {
    pub frame: Frame<'a>,
    /// Something was looked for.
    pub is_searched: bool,
    pub rows: Vec<WorkerRow>,
    pub pager: Pager,
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

impl WorkersLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}
