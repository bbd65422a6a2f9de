//! Runs of all DAGs: a list to search, and to act on several at once.

use askama::Template;
use subak_core::state::RunState;

use crate::badge::Badge;
use crate::dag::RunRow;
use crate::frame::Frame;
use crate::pager::{Pager, unlisted};
use crate::render;

/// The list, the newest first.
#[derive(Debug, Template)]
#[template(path = "runs.html")]
pub struct RunsPage<'a> {
    pub frame: Frame<'a>,
    pub filter: RunsFilter,
    /// Where its changes come from.
    pub events: String,
    pub live: RunsLive<'a>,
    /// What came of an action on several.
    pub done: Option<String>,
    /// What was refused, and why.
    pub problems: Vec<String>,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "runs_live.html")]
pub struct RunsLive<'a> {
    pub frame: Frame<'a>,
    pub filter: RunsFilter,
    pub rows: Vec<RunsRow>,
    pub pager: Pager,
}

/// What is looked for; empty: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunsFilter {
    /// This DAG, and no other.
    pub dag: String,
    /// A part of DAGs' ids.
    pub name: String,
    pub run: String,
    pub state: String,
    pub kind: String,
}

/// A run, and whether it may be acted on.
#[derive(Debug, Clone)]
pub struct RunsRow {
    pub dag_id: String,
    pub dag_href: String,
    /// What a form sends for it.
    pub value: String,
    pub can_act: bool,
    pub run: RunRow,
}

/// States that can be asked for.
pub const STATES: [&str; 4] = ["queued", "running", "success", "failed"];

/// Run types that can be asked for.
pub const TYPES: [&str; 5] =
    ["scheduled", "manual", "backfill", "asset_triggered", "operator_triggered"];

/// What can be done with several, as forms send it.
pub const ACTIONS: [&str; 6] =
    ["clear_failed", "clear", "mark_success", "mark_failed", "cancel", "delete"];

impl RunsPage<'_> {
    /// A state that no run has.
    fn unlisted_state(&self) -> Option<&str> {
        unlisted(&self.filter.state, &STATES)
    }

    /// A type that no run has.
    fn unlisted_type(&self) -> Option<&str> {
        unlisted(&self.filter.kind, &TYPES)
    }

    /// What a state is called.
    fn state_label(&self, state: &str) -> &'static str {
        let t = self.frame.t;
        RunState::parse(state).map_or(t.state_none, |state| Badge::run(state, t).label)
    }

    /// What a type of runs is called.
    fn type_label(&self, kind: &str) -> &'static str {
        self.frame.t.run_type(kind)
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl RunsLive<'_> {
    /// Whether there is no run at all, whatever is looked for.
    fn is_empty(&self) -> bool {
        self.filter == RunsFilter::default() && self.rows.is_empty() && !self.pager.is_needed()
    }

    /// Whether any of them may be acted on.
    fn can_act(&self) -> bool {
        self.rows.iter().any(|row| row.can_act)
    }

    /// What an action is called.
    fn label(&self, action: &str) -> &'static str {
        let t = self.frame.t;
        match action {
            "clear_failed" => t.clear_failed,
            "clear" => t.clear,
            "mark_success" => t.mark_success,
            "mark_failed" => t.mark_failed,
            "cancel" => t.cancel,
            _ => t.delete_run,
        }
    }

    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}
