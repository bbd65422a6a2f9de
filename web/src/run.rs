//! The page of one run: states that live, the graph, the tasks.

use askama::Template;

use crate::badge::Badge;
use crate::dags::Paused;
use crate::format::Stamp;
use crate::frame::Frame;
use crate::graph::GraphView;
use crate::map::StateLink;
use crate::pager::Pager;
use crate::pieces::Pieces;
use crate::render;

/// The page.
#[derive(Debug, Template)]
#[template(path = "run.html")]
pub struct RunPage<'a> {
    pub frame: Frame<'a>,
    /// Where what changes later comes from.
    pub events: String,
    pub live: RunLive,
    pub note: String,
    /// Where the note is changed.
    pub note_action: Option<String>,
    /// Formatted JSON; empty when there is none.
    pub conf: String,
}

/// The part of the page that changes while the run goes on; sent anew as it does.
#[derive(Debug, Clone, Template)]
#[template(path = "run_live.html")]
pub struct RunLive {
    pub t: &'static crate::text::Text,
    pub dag_id: String,
    pub dag_href: String,
    pub run_id: String,
    pub href: String,
    pub badge: Badge,
    pub version: i32,
    /// The page of that version.
    pub version_href: String,
    pub who: String,
    pub logical_date: Option<Stamp>,
    pub started: Option<Stamp>,
    pub ended: Option<Stamp>,
    pub took: String,
    /// Since when the run goes on, for a clock that ticks; empty once it has ended.
    pub since: String,
    pub cancelled: Option<String>,
    /// Its DAG is paused.
    pub paused: Option<Paused>,
    pub progress: Progress,
    pub graph: GraphView,
    pub timeline: Timeline,
    /// How many rows were rejected, and where their dead letters are.
    pub rejected: Option<(String, String)>,
    pub can_cancel: bool,
    pub can_clear: bool,
    pub can_clear_failed: bool,
    /// It has ended.
    pub can_delete: bool,
    pub can_trigger: bool,
    pub can_mark_success: bool,
    pub can_mark_failed: bool,
}

/// The tasks of a run, each with its time on a common axis.
#[derive(Debug, Clone, Template)]
#[template(path = "timeline.html")]
pub struct Timeline {
    pub t: &'static crate::text::Text,
    pub tasks: Vec<TaskRow>,
    /// States to choose from.
    pub states: Vec<StateLink>,
    /// Where tasks of all states are.
    pub all: String,
    /// One of the states is chosen.
    pub is_chosen: bool,
    pub pager: Pager,
    /// The middle and the end of the time that the tasks' bars lie in.
    pub axis: Vec<String>,
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub parts: Vec<ProgressPart>,
    pub total: usize,
    pub label: String,
}

/// Tasks of one colour, as a part of a bar that is 1000 wide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressPart {
    pub class: &'static str,
    pub label: &'static str,
    pub count: usize,
    pub x: usize,
    pub width: usize,
}

/// A task instance in the list.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// Tells a run's tasks apart.
    pub key: i32,
    pub name: String,
    pub href: String,
    pub operator: String,
    pub badge: Badge,
    pub tries: String,
    pub started: Option<Stamp>,
    pub took: String,
    pub since: String,
    /// Its time within the run's, as a bar that is 1000 wide.
    pub span: Option<Span>,
    pub error: String,
}

/// A bar in the run's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub x: i64,
    pub width: i64,
}

impl Progress {
    /// Counts badges, in the order of their first appearance in a task's life.
    #[must_use]
    pub fn of(badges: &[Badge], done: usize, t: &crate::text::Text) -> Self {
        const ORDER: [&str; 9] = [
            "s-success",
            "s-skipped",
            "s-failed",
            "s-upstream",
            "s-running",
            "s-retry",
            "s-deferred",
            "s-waiting",
            "s-none",
        ];
        let total = badges.len();
        let mut parts = Vec::new();
        let mut before = 0;
        for class in ORDER {
            let of_class = badges.iter().filter(|badge| badge.class == class);
            let count = of_class.clone().count();
            let Some(first) = of_class.clone().next() else { continue };
            let x = before * 1000 / total;
            before += count;
            let width = before * 1000 / total - x;
            parts.push(ProgressPart { class, label: first.label, count, x, width });
        }
        Self { parts, total, label: t.fill(t.progress_done, format!("{done} / {total}")) }
    }
}

impl Span {
    /// The part of `from..to` that `start..end` takes, at least a sliver.
    #[must_use]
    pub fn within(from: i64, to: i64, start: i64, end: i64) -> Self {
        let whole = (to - from).max(1);
        let scale = |at: i64| (at.clamp(from, to) - from).saturating_mul(1000) / whole;
        let x = scale(start).min(994);
        Self { x, width: (scale(end) - x).max(6) }
    }
}

impl Timeline {
    /// Returns its markup, the pieces marked, as a part of what is cut.
    #[must_use]
    pub fn markup(&self) -> String {
        render(self)
    }
}

impl RunLive {
    /// Returns its markup.
    #[must_use]
    pub fn markup(&self) -> String {
        self.pieces().into_whole()
    }

    /// Returns its markup in pieces.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        Pieces::cut(&render(self))
    }
}

impl RunPage<'_> {
    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> String {
        render(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::ENGLISH;
    use subak_core::state::TaskState;

    #[test]
    fn progress_fills_its_bar() {
        let states = [Some(TaskState::Success), None, Some(TaskState::Running), None];
        let badges: Vec<Badge> = states.map(|state| Badge::task(state, &ENGLISH)).into();
        let progress = Progress::of(&badges, 1, &ENGLISH);
        assert_eq!(progress.parts.iter().map(|part| part.width).sum::<usize>(), 1000);
        assert_eq!(progress.parts[0].class, "s-success");
        assert_eq!(progress.label, "1 / 4 done");
        assert_eq!(Progress::of(&[], 0, &ENGLISH).parts, []);
    }

    #[test]
    fn a_short_task_still_shows() {
        assert_eq!(Span::within(0, 10_000, 0, 1), Span { x: 0, width: 6 });
        assert_eq!(Span::within(0, 1000, 250, 750), Span { x: 250, width: 500 });
        assert_eq!(Span::within(0, 1000, 1000, 1000), Span { x: 994, width: 6 });
    }
}
