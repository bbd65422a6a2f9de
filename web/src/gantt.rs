//! The Gantt of a DAG: the timeline of one of its runs.

use askama::Template;

use crate::badge::Badge;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::pieces::Pieces;
use crate::render;
use crate::run::Timeline;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "gantt.html")]
pub struct GanttPage<'a> {
    pub frame: Frame<'a>,
    pub dag_id: String,
    pub href: String,
    /// Runs to choose from, the newest first.
    pub runs: Vec<GanttRun>,
    /// Where what changes later comes from.
    pub events: String,
    /// `None`: it never ran.
    pub live: Option<GanttLive>,
}

/// A run to choose.
#[derive(Debug, Clone)]
pub struct GanttRun {
    pub run_id: String,
    pub badge: Badge,
    pub is_shown: bool,
}

/// The part that lives.
#[derive(Debug, Clone, Template)]
#[template(path = "gantt_live.html")]
pub struct GanttLive {
    pub t: &'static Text,
    pub run_id: String,
    pub href: String,
    pub badge: Badge,
    pub started: Option<Stamp>,
    pub took: String,
    /// Since when the run goes on, for a clock that ticks.
    pub since: String,
    pub timeline: Timeline,
}

impl GanttPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl GanttLive {
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
