//! The grid of a DAG: its last runs side by side.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use axum::extract::State;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use chrono::{DateTime, Utc};
use futures::Stream;
use subak_core::dag::model::{Dag, Task};
use subak_core::state::TaskState;
use subak_store::read::{Orders, RunFilter, RunRecord};
use subak_web::Badge;
use subak_web::format::duration;
use subak_web::grid::{self, Cell, Grid, GridPage, GridRun, Row};
use subak_web::text::Text;
use subak_web::url;

use super::viewer::Viewer;
use super::watch::{APART, Part, watch};
use crate::app::App;
use crate::clock;
use crate::extract::Path;
use crate::problem::ApiError;

/// Runs of a small DAG; a large one has fewer columns.
const RUNS_MOST: i64 = 25;
const CELLS_MOST: i64 = 10_000;

/// Height of the longest run's bar.
const HEIGHT: i64 = 40;

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
) -> Result<Html<String>, ApiError> {
    let live = grid(&app, &dag_id, viewer.t).await?;
    let href = url::dag(&dag_id);
    Ok(Html(GridPage { frame: viewer.frame(), dag_id, href, live }.page()))
}

/// Sends the grid anew whenever it has changed.
pub(super) async fn events(
    State(app): State<App>,
    viewer: Viewer,
    Path(dag_id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    look(&app, &dag_id, viewer.t).await?;
    let (stop, t) = (app.stop.clone(), viewer.t);
    Ok(watch(stop, APART, move || {
        let (app, dag_id) = (app.clone(), dag_id.clone());
        async move {
            let Part { print, markup } = look(&app, &dag_id, t).await?;
            Ok((print, move || markup))
        }
    }))
}

/// One look serves all who watch the DAG.
async fn look(app: &App, dag_id: &str, t: &'static Text) -> Result<Part, ApiError> {
    let ask = || part(app, dag_id, t);
    let seen = app.grids.get((dag_id.to_owned(), t.language), ask).await;
    seen.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))
}

async fn part(app: &App, dag_id: &str, t: &'static Text) -> Option<Part> {
    Some(Part::of(grid(app, dag_id, t).await.ok()?.markup()))
}

/// A run with the state of each of its tasks.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) run: RunRecord,
    /// In an order, so that what is alike is written alike.
    pub(super) states: BTreeMap<String, Option<TaskState>>,
}

async fn grid(app: &App, dag_id: &str, t: &'static Text) -> Result<Grid, ApiError> {
    let found = app.store.dag_get(dag_id).await?;
    let dag = found.ok_or_else(|| ApiError::DagNotFound(dag_id.to_owned()))?;
    let newest = app.versions.get(dag.dag, dag.version).await?;
    let tasks = i64::try_from(newest.record.model.tasks.len()).unwrap_or(CELLS_MOST);
    let columns = (CELLS_MOST / tasks.max(1)).clamp(5, RUNS_MOST);
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
    Ok(Grid { t, runs: runs.collect(), parts: parts(&newest.record.model, &columns, t) })
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

/// The rows, in the order of the file; tasks of an outermost group together, where its first one is.
fn parts(dag: &Dag, columns: &[Column], t: &'static Text) -> Vec<grid::Part> {
    let mut parts: Vec<grid::Part> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for task in &dag.tasks {
        let row = row(task, columns, t);
        let outer = task.task_group.as_deref().and_then(|group| group.split('.').next());
        let Some(outer) = outer else {
            parts.push(grid::Part { group: None, rows: vec![row] });
            continue;
        };
        let place = *places.entry(outer).or_insert_with(|| {
            parts.push(grid::Part::default());
            parts.len() - 1
        });
        parts[place].rows.push(row);
    }
    for (group, place) in places {
        let members = dag.tasks.iter().filter(|task| {
            let of = task.task_group.as_deref();
            of.and_then(|of| of.split('.').next()) == Some(group)
        });
        let members: Vec<&Task> = members.collect();
        let cells = columns.iter().map(|column| worst(&members, column, t)).collect();
        let title = format!("{group} ({})", members.len());
        parts[place].group = Some(Row { name: group.to_owned(), title, cells });
    }
    parts
}

fn row(task: &Task, columns: &[Column], t: &'static Text) -> Row {
    let id = &task.task_id.0;
    let cells = columns.iter().map(|column| {
        let badge = Badge::task(*column.states.get(id)?, t);
        let run = &column.run;
        let title = format!("{id} · {} · {}", badge.label, run.run_id);
        Some(Cell { badge, href: url::task(&run.dag_id, &run.run_id, id, -1), title })
    });
    Row { name: id.clone(), title: format!("{id} · {}", task.operator), cells: cells.collect() }
}

/// What is worst of a group's tasks, as a cell that leads to the run.
fn worst(members: &[&Task], column: &Column, t: &'static Text) -> Option<Cell> {
    let states = members.iter().filter_map(|task| column.states.get(&task.task_id.0));
    let state = states.min_by_key(|state| match state {
        Some(TaskState::Failed) => 0,
        Some(TaskState::UpstreamFailed) => 1,
        Some(TaskState::UpForRetry) => 2,
        Some(TaskState::Running | TaskState::Restarting) => 3,
        Some(state) if !state.is_final() => 4,
        None => 5,
        Some(TaskState::Success) => 6,
        Some(_) => 7,
    })?;
    let badge = Badge::task(*state, t);
    let run = &column.run;
    let title = format!("{} · {}", badge.label, run.run_id);
    Some(Cell { badge, href: url::run(&run.dag_id, &run.run_id), title })
}
