//! The rows of a run's page: of a state, and a page of them.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use subak_core::ids::TaskId;
use subak_core::state::TaskState;
use subak_store::read::{InstanceRecord, MapRecord, RunRecord};
use subak_web::Badge;
use subak_web::format::Stamp;
use subak_web::graph::Sight;
use subak_web::map::StateLink;
use subak_web::pager::Pager;
use subak_web::run::{Span, TaskRow};
use subak_web::text::Text;
use subak_web::url;

use super::run::Look;
use super::run_live::{axis_end, row, since, took};
use crate::versions::Version;

/// Rows of one page; of a larger run those in trouble and at work come first.
const PAGE: usize = 250;

/// What is asked for, as it stands in an address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RowsQuery {
    /// Tasks in this state; `none`: without one.
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) offset: usize,
    /// What of the graph: groups that are folded or not, or the task around which it is shown.
    #[serde(default)]
    pub(super) turn: String,
    #[serde(default)]
    pub(super) around: String,
    pub(super) depth: Option<usize>,
}

impl RowsQuery {
    /// Returns what of the graph is chosen.
    pub(super) fn sight(&self) -> Sight {
        Sight::read(&self.turn, &self.around, self.depth)
    }
}

/// Which rows are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Chosen {
    /// `None`: of any state.
    pub(super) state: Option<Option<TaskState>>,
    offset: usize,
}

/// A page of them, and the ways to the others.
pub(super) struct Rows {
    pub(super) rows: Vec<TaskRow>,
    pub(super) states: Vec<StateLink>,
    pub(super) pager: Pager,
}

impl From<RowsQuery> for Chosen {
    fn from(query: RowsQuery) -> Self {
        let state = match query.state.as_str() {
            "none" => Some(None),
            // A state that there is none of is no choice.
            word => TaskState::parse(word).map(Some),
        };
        // Whoever shows the same rows looks once.
        Self { state, offset: query.offset / PAGE * PAGE }
    }
}

impl Chosen {
    /// Returns it as the end of an address.
    pub(super) fn query(self) -> String {
        match (self.state, self.offset) {
            (None, 0) => String::new(),
            (None, offset) => format!("?offset={offset}"),
            (Some(state), 0) => format!("?state={}", word(state)),
            (Some(state), offset) => format!("?state={}&offset={offset}", word(state)),
        }
    }
}

fn word(state: Option<TaskState>) -> &'static str {
    state.map_or("none", TaskState::as_str)
}

/// A row before it is drawn: a mapped task has one.
#[derive(Clone, Copy)]
enum Item<'l> {
    Single(&'l InstanceRecord),
    Map(&'l MapRecord),
}

impl Item<'_> {
    fn task_id(&self) -> &TaskId {
        match self {
            Self::Single(it) => &it.task_id,
            Self::Map(map) => &map.task_id,
        }
    }

    fn state(&self) -> Option<TaskState> {
        match self {
            Self::Single(it) => it.state,
            Self::Map(map) => map.state(),
        }
    }

    /// What is in trouble comes first, what has not begun last.
    fn calm(&self) -> u8 {
        match self.state() {
            Some(TaskState::Failed | TaskState::UpForRetry) => 0,
            Some(TaskState::Running | TaskState::Restarting) => 1,
            Some(TaskState::UpstreamFailed) => 2,
            Some(state) if !state.is_final() => 3,
            Some(_) => 4,
            None => 5,
        }
    }
}

/// Returns the rows that are shown, in the order of the version where they fit on one page; `address`
/// is where others are.
pub(super) fn rows(
    look: &Look,
    chosen: Chosen,
    address: &impl Fn(Chosen) -> String,
    now: DateTime<Utc>,
    t: &'static Text,
) -> Rows {
    let Look { run, version, .. } = look;
    let mut items = items(look);
    let mut counts: BTreeMap<Option<TaskState>, i64> = BTreeMap::new();
    for item in &items {
        *counts.entry(item.state()).or_default() += 1;
    }
    let states = counts.into_iter().map(|(state, count)| StateLink {
        badge: Badge::task(state, t),
        count,
        href: address(Chosen { state: Some(state), offset: 0 }),
        is_shown: chosen.state == Some(state),
    });
    let states = states.collect();
    items.retain(|item| chosen.state.is_none_or(|state| item.state() == state));
    if items.len() > PAGE {
        items.sort_by_key(Item::calm);
    }
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (total, offset) = (items.len(), chosen.offset);
    let shown: Vec<TaskRow> = items
        .into_iter()
        .skip(offset)
        .take(PAGE)
        .map(|item| match item {
            Item::Single(it) => row(run, version, it, now, t),
            Item::Map(map) => map_row(run, version, map, now, t),
        })
        .collect();
    let pager = Pager::new(signed(offset), shown.len(), signed(total), signed(PAGE), |offset| {
        address(Chosen { offset: usize::try_from(offset).unwrap_or(0), ..chosen })
    });
    Rows { rows: shown, states, pager }
}

/// All rows, in the order of the version.
fn items(look: &Look) -> Vec<Item<'_>> {
    let singles = look.instances.iter().map(Item::Single);
    let mut items: Vec<Item<'_>> = look.maps.iter().map(Item::Map).chain(singles).collect();
    if !look.maps.is_empty() {
        let tasks = look.version.record.model.tasks.iter().enumerate();
        let places: HashMap<&TaskId, usize> =
            tasks.map(|(place, task)| (&task.task_id, place)).collect();
        items.sort_by_key(|it| places.get(it.task_id()).copied().unwrap_or(usize::MAX));
    }
    items
}

/// A mapped task: how many of its instances have ended.
fn map_row(
    run: &RunRecord,
    version: &Version,
    map: &MapRecord,
    now: DateTime<Utc>,
    t: &'static Text,
) -> TaskRow {
    let task = version.record.model.task(&map.task_id);
    // What ended before the run began anew, after a clear, has no place in its time.
    let in_time = map.started_at.zip(run.started_at);
    let in_time = in_time.filter(|(_, from)| map.ended_at.is_none_or(|end| end > *from));
    let span = in_time.map(|(start, from)| {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        let (to, end) = (axis_end(run, now), map.ended_at.unwrap_or(now));
        Span::within(micros(from), micros(to), micros(start), micros(end))
    });
    let is_over = map.done() == map.instances;
    let done = format!("{} / {}", map.done(), map.instances);
    TaskRow {
        key: map.task,
        name: format!("{} [{}]", map.task_id, t.fill(t.instances_of, done)),
        href: url::task(&run.dag_id, &run.run_id, &map.task_id.0, -1),
        operator: task.map(|task| task.operator.clone()).unwrap_or_default(),
        badge: Badge::task(map.state(), t),
        tries: String::new(),
        started: map.started_at.map(|at| Stamp::new(at, now, t)),
        took: took(map.started_at, map.ended_at, now),
        since: if is_over { String::new() } else { since(map.started_at, None) },
        span,
        error: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_stands_in_the_address() {
        let chosen = |state: &str, offset| {
            Chosen::from(RowsQuery { state: state.to_owned(), offset, ..RowsQuery::default() })
                .query()
        };
        assert_eq!(chosen("", 0), "");
        assert_eq!(chosen("failed", 0), "?state=failed");
        assert_eq!(chosen("none", PAGE + 7), format!("?state=none&offset={PAGE}"));
        assert_eq!(chosen("green", PAGE), format!("?offset={PAGE}"));
    }
}
