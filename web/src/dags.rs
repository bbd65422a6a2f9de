//! The list of DAGs.

use askama::Template;
use subak_core::state::RunState;

use crate::badge::Badge;
use crate::bars::Bar;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::pager::{Pager, unlisted};
use crate::render;
use crate::text::Text;

/// The page.
#[derive(Debug, Template)]
#[template(path = "dags.html")]
pub struct DagsPage<'a> {
    pub frame: Frame<'a>,
    pub filter: Filter,
    pub tags: Vec<String>,
    /// Where its changes come from.
    pub events: String,
    pub live: DagsLive<'a>,
    pub broken: Vec<BrokenFile>,
    pub broken_title: String,
}

/// The part that lives.
#[derive(Debug, Template)]
#[template(path = "dags_live.html")]
pub struct DagsLive<'a> {
    pub frame: Frame<'a>,
    pub rows: Vec<DagRow>,
    pub pager: Pager,
    /// There is no DAG at all, whatever the filter.
    pub is_empty: bool,
}

/// What the list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub name: String,
    pub tag: String,
    /// A part of an owner's name.
    pub owner: String,
    /// `""`, `active` or `paused`.
    pub shown: String,
    /// The state of the newest run; `""`: any.
    pub last: String,
}

/// A file that does not parse.
#[derive(Debug, Clone)]
pub struct BrokenFile {
    pub file: String,
    pub message: String,
}

/// One DAG.
#[derive(Debug, Clone)]
pub struct DagRow {
    pub dag_id: String,
    pub href: String,
    pub description: String,
    pub tags: Vec<String>,
    /// As the file has it; `None`: by hand.
    pub schedule: Option<String>,
    pub next_run: Option<Stamp>,
    pub toggle: PauseToggle,
    pub bars: Vec<Bar>,
    pub last: Option<LastRun>,
    pub has_params: bool,
    pub is_stale: bool,
    pub is_broken: bool,
    pub can_run: bool,
}

/// The newest run.
#[derive(Debug, Clone)]
pub struct LastRun {
    pub badge: Badge,
    pub href: String,
    pub when: Stamp,
}

/// That a DAG is paused, for who waits for a run of it.
#[derive(Debug, Clone, Template)]
#[template(path = "paused.html")]
pub struct Paused {
    /// What comes of it.
    pub told: &'static str,
    pub action: String,
    /// On the button that lets it go on, for who may.
    pub resume: Option<String>,
}

impl Paused {
    /// Returns what tells that a DAG is paused.
    #[must_use]
    pub fn new(told: &'static str, dag_id: &str, can_pause: bool, t: &Text) -> Self {
        Self {
            told,
            action: format!("{}/pause", crate::url::dag(dag_id)),
            resume: can_pause.then(|| t.fill(t.resume, dag_id)),
        }
    }

    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

/// The switch that pauses a DAG.
#[derive(Debug, Clone, Template)]
#[template(path = "pause.html")]
pub struct PauseToggle {
    pub dag_id: String,
    pub action: String,
    pub is_paused: bool,
    pub label: String,
    pub can_pause: bool,
}

impl PauseToggle {
    /// Returns the switch of a DAG.
    #[must_use]
    pub fn new(dag_id: &str, is_paused: bool, frame: &Frame<'_>) -> Self {
        let t = frame.t;
        Self {
            dag_id: dag_id.to_owned(),
            action: format!("{}/pause", crate::url::dag(dag_id)),
            is_paused,
            label: t.fill(if is_paused { t.resume } else { t.pause }, dag_id),
            can_pause: frame.can_pause,
        }
    }

    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl DagsPage<'_> {
    /// A tag that no DAG has.
    fn unlisted_tag(&self) -> Option<&str> {
        unlisted(&self.filter.tag, &self.tags)
    }

    /// What a state is called.
    fn state_label(&self, state: &str) -> &'static str {
        let t = self.frame.t;
        RunState::parse(state).map_or(t.state_none, |state| Badge::run(state, t).label)
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

impl DagsLive<'_> {
    /// Returns the markup.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}
