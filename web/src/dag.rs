//! The page of one DAG: its runs, its graph, its source.

use askama::Template;

use crate::badge::Badge;
use crate::dags::PauseToggle;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::graph::GraphView;
use crate::pager::Pager;
use crate::pieces::Pieces;
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "dag.html")]
pub struct DagPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub href: String,
    /// Where its changes come from.
    pub events: String,
    pub live: DagLive<'a>,
    pub details: Details,
    /// Markup made by [`crate::source::markup`].
    pub source: String,
}

/// The part that lives: all but what only a new version changes.
#[derive(Debug, Template)]
#[template(path = "dag_live.html")]
pub struct DagLive<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub href: String,
    pub description: String,
    pub toggle: PauseToggle,
    pub tags: Vec<String>,
    pub schedule: Option<String>,
    /// The schedule in words, with its time zone.
    pub schedule_words: String,
    pub next_run: Option<Stamp>,
    /// The next run on the clocks of the DAG's time zone.
    pub next_run_local: String,
    pub owners: String,
    pub file: String,
    pub version: i32,
    pub version_made: Stamp,
    pub is_stale: bool,
    /// Why it is paused, if nobody did it.
    pub pause_cause: Option<String>,
    pub broken: Option<String>,
    pub has_params: bool,
    pub graph: GraphView,
    /// The newest run, whose states the graph has: its name and page.
    pub newest: Option<(String, String)>,
    /// Its runs, to act on several at once.
    pub runs_href: String,
    pub runs: Vec<RunRow>,
    pub pager: Pager,
}

/// What else its file says, but for its tasks.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// What it is called, and the value.
    pub facts: Vec<(&'static str, String)>,
    /// Names of params and their defaults, as JSON.
    pub params: Vec<(String, String)>,
    /// `doc_md`, as it was written: a page is no place for other people's markup.
    pub doc: String,
}

/// A run in a list.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub run_id: String,
    pub href: String,
    pub badge: Badge,
    pub run_type: String,
    pub who: String,
    pub started: Option<Stamp>,
    pub took: String,
    /// Since when it goes on, for a clock that ticks.
    pub since: String,
    pub note: String,
}

impl DagPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl DagLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        self.pieces().into_whole()
    }

    /// Returns the markup in pieces.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        Pieces::cut(&render(self))
    }
}
