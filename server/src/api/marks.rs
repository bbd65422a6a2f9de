//! Marks task instances as ended, and notes on them: Airflow's PATCH of task instances.

use axum::extract::State;
use serde::Deserialize;
use subak_core::ids::{InstanceKey, MapIndex, TaskId, TaskNo};
use subak_store::read::RunRecord;

use super::instances::{Collection, collection};
use super::runs::find;
use crate::app::App;
use crate::auth::Caller;
use crate::engine::Mark;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};
use crate::selection::{Scope, Selected, select};

/// Longer notes are refused, as in Airflow.
const NOTE_CHARS_MOST: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct PatchQuery {
    map_index: Option<i32>,
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Airflow's `PatchTaskInstanceBody`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    new_state: Option<String>,
    note: Option<String>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let body = body.masked(&query.update_mask);
    let (run, selected) = chosen(&app, &dag_id, &run_id, task_id.clone(), &body).await?;
    let mark = body.mark(query.map_index)?;
    if let Some(mark) = mark {
        for one in &selected {
            let tasks = Some(one.tasks.as_slice()).filter(|tasks| !tasks.is_empty());
            if tasks.is_some() {
                app.actions.tasks_mark(one.run.run_key, tasks, mark, caller.name()).await?;
            }
        }
    }
    if let Some(note) = &body.note {
        let own = app.versions.of_run(&run).await?;
        let number = own.record.numbers.get(&TaskId(task_id.clone())).copied();
        let task = TaskNo(number.ok_or(ApiError::TaskNotFound(task_id))?);
        let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
        let of = InstanceKey { run: run.run_key, task, map_index };
        app.store.task_note_set(of, checked(note)?, caller.name()).await?;
    }
    instances(&app, &selected, |_| true).await
}

/// What a mark would change.
pub(super) async fn dry_run(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let body = body.masked(&query.update_mask);
    let (_, selected) = chosen(&app, &dag_id, &run_id, task_id, &body).await?;
    let mark = body.mark(query.map_index)?;
    let changes = |state: Option<subak_core::state::TaskState>| {
        mark.is_some_and(|mark| state.and_then(|it| it.to_final()) != Some(mark.state()))
    };
    instances(&app, &selected, changes).await
}

async fn chosen(
    app: &App,
    dag_id: &str,
    run_id: &str,
    task_id: String,
    body: &PatchBody,
) -> Result<(RunRecord, Vec<Selected>), ApiError> {
    let run = find(app, dag_id, run_id).await?;
    let selected = select(&app.store, &run, Some(&[TaskId(task_id)]), body.scope()).await?;
    Ok((run, selected))
}

/// The instances of the selected tasks as they stand now.
async fn instances(
    app: &App,
    selected: &[Selected],
    wanted: impl Fn(Option<subak_core::state::TaskState>) -> bool,
) -> Result<Json<Collection>, ApiError> {
    let mut all = Collection::default();
    for one in selected {
        // A mark that follows another run's may have come a moment later.
        let mut found = app.store.instance_list(&one.run, &one.version).await?;
        found.retain(|it| one.tasks.contains(&TaskNo(it.task)) && wanted(it.state));
        all.extend(collection(app, &one.run, &one.version, found).await?.0);
    }
    Ok(Json(all))
}

/// Checks a note's length.
pub(crate) fn checked(note: &str) -> Result<&str, ApiError> {
    if note.chars().count() > NOTE_CHARS_MOST || note.contains('\0') {
        let msg = format!("holds more than {NOTE_CHARS_MOST} characters, or the character NUL");
        return Err(ApiError::Invalid(vec![FieldProblem::body("note", msg)]));
    }
    Ok(note)
}

impl PatchBody {
    /// Only what the mask names, if it names anything.
    fn masked(mut self, mask: &[String]) -> Self {
        let has = |field: &str| mask.is_empty() || mask.iter().any(|it| it == field);
        self.new_state = self.new_state.filter(|_| has("new_state"));
        self.note = self.note.filter(|_| has("note"));
        self
    }

    fn scope(&self) -> Scope {
        Scope {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
        }
    }

    fn mark(&self, map_index: Option<i32>) -> Result<Option<Mark>, ApiError> {
        let Some(state) = &self.new_state else { return Ok(None) };
        if map_index.is_some_and(|index| index >= 0) {
            let msg = "one instance of a mapped task cannot be marked by itself yet";
            return Err(ApiError::Invalid(vec![FieldProblem::query("map_index", msg)]));
        }
        let bad = || {
            let msg = format!("`{state}` is not one of `success`, `failed`, `skipped`");
            ApiError::Invalid(vec![FieldProblem::body("new_state", msg)])
        };
        Mark::parse(state).map(Some).ok_or_else(bad)
    }
}
