//! The grid of a DAG: its last runs side by side.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use serde::Deserialize;
use subak_core::dag::model::{Dag, Task};
use subak_core::state::TaskState;
use subak_store::read::{Orders, RunFilter, RunRecord};
use subak_web::Badge;
use subak_web::format::duration;
use subak_web::grid::{self, Cell, Grid, GridPage, GridRun, Row};
use subak_web::pager::Pager;
use subak_web::text::Text;
use subak_web::url;

use super::viewer::Viewer;
use super::watch::{APART, Part, Shown, watch};
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

/// Tasks of one page.
const TASKS_MOST: usize = 100;
/// Runs of a small DAG; a large one has fewer columns.
const RUNS_MOST: usize = 25;
const RUNS_LEAST: usize = 5;
/// Each is a link with a picture: more make a browser slow.
const CELLS_MOST: usize = 1_500;

/// Height of the longest run's bar.
const HEIGHT: i64 = 40;

#[derive(Deserialize)]
pub(super) struct GridQuery {
    #[serde(default)]
    offset: usize,
}

impl GridQuery {
    /// The first task shown: whoever shows the same looks once.
    fn first(&self) -> usize {
        self.offset / TASKS_MOST * TASKS_MOST
    }
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<GridQuery>,
) -> Result<Html<String>, ApiError> {
    let first = query.first();
    let (grid, tasks) = grid(&app, &dag_id, first, viewer.t).await?;
    let shown: usize = grid.parts.iter().map(|part| part.rows.len()).sum();
    let Part { print, drawn } = Part::of(grid.pieces());
    let live = Arc::clone(&drawn.pieces);
    let href = url::dag(&dag_id);
    let events = viewer.events(&format!("{href}/grid/events?offset={first}"), print);
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let pager = Pager::new(signed(first), shown, signed(tasks), signed(TASKS_MOST), |offset| {
        format!("{href}/grid?offset={offset}")
    });
    Ok(Html(GridPage { frame: viewer.frame(), dag_id, href, events, live, pager }.page()))
}

/// Sends what has changed of the grid.
pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
    Query(query): Query<GridQuery>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (first, t) = (query.first(), viewer.t);
    look(&app, &dag_id, first, t).await?;
    let stop = app.stop.clone();
    Ok(watch(stop, APART, shown, move || {
        let (app, dag_id) = (app.clone(), dag_id.clone());
        async move {
            let Part { print, drawn } = look(&app, &dag_id, first, t).await?;
            Ok((print, move || drawn))
        }
    }))
}

/// One look serves all who watch the same tasks of the DAG.
async fn look(app: &App, dag_id: &str, first: usize, t: &'static Text) -> Result<Part, ApiError> {
    let ask = || part(app, dag_id, first, t);
    let seen = app.grids.get((dag_id.to_owned(), first, t.language), ask).await;
    seen.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))
}

async fn part(app: &App, dag_id: &str, first: usize, t: &'static Text) -> Option<Part> {
    Some(Part::of(grid(app, dag_id, first, t).await.ok()?.0.pieces()))
}

/// A run with the state of each of its tasks.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) run: RunRecord,
    /// In an order, so that what is alike is written alike.
    pub(super) states: BTreeMap<String, Option<TaskState>>,
}

/// The grid from this task on, and how many tasks there are.
async fn grid(
    app: &App,
    dag_id: &str,
    first: usize,
    t: &'static Text,
) -> Result<(Grid, usize), ApiError> {
    let found = app.store.dag_get(dag_id).await?;
    let dag = found.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))?;
    let newest = app.versions.get(dag.dag, dag.version).await?;
    let tasks = newest.record.model.tasks.len();
    let columns = (CELLS_MOST / tasks.clamp(1, TASKS_MOST)).clamp(RUNS_LEAST, RUNS_MOST);
    let columns = i64::try_from(columns).unwrap_or(i64::MAX);
    let of_dag = RunFilter {
        dag_id: Some(dag_id.to_owned()),
        orders: Orders::descending(),
        ..RunFilter::default()
    };
    let mut columns: Vec<Column> = {
        let mut all = Vec::new();
        for run in app.store.run_list(&of_dag, columns, 0).await?.items {
            all.push(column(app, run).await?);
        }
        all
    };
    columns.reverse();
    let now = clock::now();
    let took: Vec<i64> = columns.iter().map(|it| millis(&it.run, now)).collect();
    let longest = took.iter().copied().max().unwrap_or(1).max(1);
    let runs = columns.iter().zip(&took).map(|(column, took)| GridRun {
        run_id: column.run.run_id.clone(),
        href: url::run(dag_id, &column.run.run_id),
        badge: Badge::run(column.run.state, t),
        height: u32::try_from((took * HEIGHT / longest).max(4)).unwrap_or(4),
        took: match column.run.ended_at {
            Some(_) => duration(chrono::TimeDelta::milliseconds(*took)),
            // A running clock would make the grid anew at every look.
            None => String::new(),
        },
    });
    let runs = runs.collect();
    Ok((Grid { t, runs, parts: parts(&newest.record.model, first, &columns, t) }, tasks))
}

/// The time that a run took; of one that goes on, in steps, so that the page stays as it is.
fn millis(run: &RunRecord, now: DateTime<Utc>) -> i64 {
    let Some(from) = run.started_at else { return 0 };
    match run.ended_at {
        Some(to) => (to - from).num_milliseconds(),
        None => (now - from).num_seconds() / 10 * 10_000,
    }
}

/// Looks at the tasks of a run.
pub(super) async fn column(app: &App, run: RunRecord) -> Result<Column, ApiError> {
    let version = app.versions.of_run(&run).await?;
    let singles = app.store.single_list(&run, &version.record).await?;
    let maps = app.store.map_list(&run, &version.record).await?;
    let mut states: BTreeMap<_, _> =
        singles.into_iter().map(|it| (it.task_id.0, it.state)).collect();
    states.extend(maps.into_iter().map(|map| {
        let state = map.state();
        (map.task_id.0, state)
    }));
    Ok(Column { run, states })
}

/// Tasks of an outermost group, or of none, each with its place in the file.
struct Together<'d> {
    group: Option<&'d str>,
    tasks: Vec<(usize, &'d Task)>,
}

/// All tasks in the order of the file; those of an outermost group together, where its first one is.
fn together(dag: &Dag) -> Vec<Together<'_>> {
    let mut all: Vec<Together<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for task in dag.tasks.iter().enumerate() {
        let group = task.1.task_group.as_deref().and_then(|group| group.split('.').next());
        let place = match group {
            Some(group) => places.get(group).copied(),
            None => all.len().checked_sub(1).filter(|last| all[*last].group.is_none()),
        };
        match place {
            Some(place) => all[place].tasks.push(task),
            None => {
                if let Some(group) = group {
                    places.insert(group, all.len());
                }
                all.push(Together { group, tasks: vec![task] });
            }
        }
    }
    all
}

/// The rows of one page.
fn parts(dag: &Dag, first: usize, columns: &[Column], t: &'static Text) -> Vec<grid::Part> {
    let mut parts = Vec::new();
    let mut before = 0;
    for Together { group, tasks } in together(dag) {
        let place = |task: usize| task.saturating_sub(before).min(tasks.len());
        let shown = &tasks[place(first)..place(first.saturating_add(TASKS_MOST))];
        before += tasks.len();
        if shown.is_empty() {
            continue;
        }
        parts.push(grid::Part {
            group: group.map(|group| group_row(group, &tasks, columns, t)),
            rows: shown.iter().map(|(place, task)| row(*place, task, columns, t)).collect(),
        });
    }
    parts
}

/// A group as a row: what is worst of all its tasks.
fn group_row(group: &str, tasks: &[(usize, &Task)], columns: &[Column], t: &'static Text) -> Row {
    let members: Vec<&Task> = tasks.iter().map(|(_, task)| *task).collect();
    Row {
        key: format!("group-{}", tasks.first().map_or(0, |(place, _)| *place)),
        name: group.to_owned(),
        title: format!("{group} ({})", members.len()),
        cells: columns.iter().map(|column| worst(&members, column, t)).collect(),
    }
}

fn row(place: usize, task: &Task, columns: &[Column], t: &'static Text) -> Row {
    let id = &task.task_id.0;
    let cells = columns.iter().map(|column| {
        let badge = Badge::task(*column.states.get(id)?, t);
        let run = &column.run;
        let title = format!("{id} · {} · {}", badge.label, run.run_id);
        Some(Cell { badge, href: url::task(&run.dag_id, &run.run_id, id, -1), title })
    });
    Row {
        key: place.to_string(),
        name: id.clone(),
        title: format!("{id} · {}", task.operator),
        cells: cells.collect(),
    }
}

/// What is worst of a group's tasks, as a cell that leads to the run.
fn worst(members: &[&Task], column: &Column, t: &'static Text) -> Option<Cell> {
    let states = members.iter().filter_map(|task| column.states.get(&task.task_id.0));
    let state = states.min_by_key(|state| Badge::trouble(**state))?;
    let badge = Badge::task(*state, t);
    let run = &column.run;
    let title = format!("{} · {}", badge.label, run.run_id);
    Some(Cell { badge, href: url::run(&run.dag_id, &run.run_id), title })
}

#[cfg(test)]
mod tests {
    use subak_core::dag;

    use super::*;

    fn shown(dag: &Dag, first: usize) -> Vec<(Option<String>, Vec<String>)> {
        let t = &subak_web::text::ENGLISH;
        let parts = parts(dag, first, &[], t).into_iter();
        let row = |row: Row| format!("{}:{}", row.key, row.name);
        parts.map(|it| (it.group.map(row), it.rows.into_iter().map(row).collect())).collect()
    }

    #[test]
    fn groups_are_together_and_a_page_is_a_part_of_them() {
        let text = "{dag_id: d, task_groups: {g: {}}, tasks: {a: {operator: noop}, \
                    x: {operator: noop, task_group: g}, b: {operator: noop}, \
                    c: {operator: noop}, y: {operator: noop, task_group: g}}}";
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown(&dag::parse("d.yaml", text).dags[0], 0),
            [
                (None, words(&["0:a"])),
                (Some("group-1:g".to_owned()), words(&["1:g.x", "4:g.y"])),
                (None, words(&["2:b", "3:c"])),
            ]
        );
        let many: Vec<String> = (0..450).map(|n| format!("t{n}: {{operator: noop}}")).collect();
        let text = format!("{{dag_id: d, tasks: {{{}}}}}", many.join(", "));
        let many = dag::parse("d.yaml", &text).dags.remove(0);
        let last = shown(&many, 400);
        assert_eq!((last.len(), last[0].1.len()), (1, 50));
        assert_eq!(last[0].1[0], "400:t400");
        assert!(shown(&many, 600).is_empty());
    }
}
