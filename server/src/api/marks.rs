//! Marks task instances as ended, and notes on them: Airflow's PATCH of task instances.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use subak_core::ids::{Instance, MapIndex, TaskId, TaskNo};
use subak_store::read::{Rendered, RunRecord, noted};

use super::instances::{Collection, collection, recorded_with_notes};
use super::mask::{Mask, clearable};
use super::runs::find;
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::engine::Mark;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};
use crate::selection::{Scope, Selected, select};

/// Longer notes are refused, as in Airflow.
const NOTE_CHARS_MOST: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
pub(super) struct PatchQuery {
    map_index: Option<i32>,
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Airflow's `PatchTaskInstanceBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    new_state: Option<String>,
    #[serde(default, deserialize_with = "clearable")]
    #[schemars(with = "Option<String>")]
    note: Option<Option<String>>,
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
    trail: Trail,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let body = body.masked(query.update_mask)?;
    let (run, selected) = chosen(&app, &dag_id, &run_id, task_id.clone(), &body).await?;
    let named = body.instance(query.map_index)?;
    let mark = body.mark()?;
    // Before anything is marked: what is refused has changed nothing.
    let mut to_note = Vec::new();
    if let Some(note) = &body.note {
        checked(note.as_deref().unwrap_or_default())?;
        let own = app.versions.of_run(&run).await?;
        let all = app.store.instance_list(&run, &own.record).await?;
        to_note = noted(&all, &TaskId::from(&*task_id), named);
        if to_note.is_empty() {
            return Err(ApiError::no_instance(&task_id, named.unwrap_or(MapIndex::NONE)));
        }
    }
    match mark.is_some() || body.note.is_some() {
        true => {
            let Json(before) = instances(&app, &selected, (&task_id, named), |_| true).await?;
            trail.before(recorded_with_notes(&before));
        }
        false => trail.nothing(),
    }
    if let Some(mark) = mark {
        for one in &selected {
            let instances = instances_of(one, &task_id, named);
            if !instances.is_empty() {
                let run = one.run.run_key;
                app.actions.instances_mark(run, &instances, mark, caller.name()).await?;
            }
        }
    }
    if let Some(note) = &body.note {
        let note = note.as_deref().unwrap_or_default();
        app.store.task_note_set(run.run_key, &to_note, note, caller.name()).await?;
    }
    let Json(after) = instances(&app, &selected, (&task_id, named), |_| true).await?;
    trail.after(recorded_with_notes(&after));
    Ok(Json(after))
}

/// What a mark would change.
pub(super) async fn dry_run(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<PatchQuery>,
    Json(body): Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let body = body.masked(query.update_mask)?;
    let (_, selected) = chosen(&app, &dag_id, &run_id, task_id.clone(), &body).await?;
    let (mark, named) = (body.mark()?, body.instance(query.map_index)?);
    let changes = |state: Option<subak_core::state::TaskState>| {
        mark.is_some_and(|mark| state.and_then(|it| it.to_final()) != Some(mark.state()))
    };
    instances(&app, &selected, (&task_id, named), changes).await
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct MappedQuery {
    #[serde(default)]
    update_mask: Vec<String>,
}

/// Marks one instance, its index in the path.
pub(super) async fn patch_mapped(
    app: State<App>,
    caller: Caller,
    trail: Trail,
    Path((dag_id, run_id, task_id, index)): Path<(String, String, String, i32)>,
    Query(MappedQuery { update_mask }): Query<MappedQuery>,
    body: Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let query = Query(PatchQuery { map_index: Some(index), update_mask });
    patch(app, caller, trail, Path((dag_id, run_id, task_id)), query, body).await
}

/// What that would change.
pub(super) async fn dry_run_mapped(
    app: State<App>,
    Path((dag_id, run_id, task_id, index)): Path<(String, String, String, i32)>,
    Query(MappedQuery { update_mask }): Query<MappedQuery>,
    body: Json<PatchBody>,
) -> Result<Json<Collection>, ApiError> {
    let query = Query(PatchQuery { map_index: Some(index), update_mask });
    dry_run(app, Path((dag_id, run_id, task_id)), query, body).await
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

/// What is to be marked of a run: the named task by its map index, if one is given.
fn instances_of(one: &Selected, task_id: &str, named: Option<MapIndex>) -> Vec<Instance> {
    let number = one.version.numbers.get(&TaskId::from(task_id)).copied();
    let at = |task: &TaskNo| match named.filter(|_| Some(task.0) == number) {
        Some(map_index) => Instance { task: *task, map_index },
        None => Instance::single(*task),
    };
    one.tasks.iter().map(at).collect()
}

/// The instances of the selected tasks as they stand now.
async fn instances(
    app: &App,
    selected: &[Selected],
    (task_id, named): (&str, Option<MapIndex>),
    wanted: impl Fn(Option<subak_core::state::TaskState>) -> bool,
) -> Result<Json<Collection>, ApiError> {
    let mut all = Collection::empty();
    for one in selected {
        // A mark that follows another run's may have come a moment later.
        let mut found = app.store.instance_list(&one.run, &one.version).await?;
        found.retain(|it| {
            let is_meant =
                it.task_id.0 != task_id || named.is_none_or(|index| it.map_index == index);
            one.tasks.contains(&TaskNo(it.task)) && is_meant && wanted(it.state)
        });
        all.append(collection(app, &one.run, &one.version, found, Rendered::new()).await?.0);
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
    /// Only what the mask names, if it names anything. What else is to be marked is no field of its own.
    fn masked(mut self, mask: Vec<String>) -> Result<Self, ApiError> {
        let mask = Mask::of(mask);
        mask.check(&[
            "new_state",
            "note",
            "include_upstream",
            "include_downstream",
            "include_future",
            "include_past",
        ])?;
        self.new_state = self.new_state.filter(|_| mask.has("new_state"));
        self.note = self.note.filter(|_| mask.has("note"));
        Ok(self)
    }

    fn scope(&self) -> Scope {
        Scope {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
        }
    }

    /// One instance of the named task, by itself.
    fn instance(&self, map_index: Option<i32>) -> Result<Option<MapIndex>, ApiError> {
        let named = map_index.filter(|index| *index >= 0).map(MapIndex);
        if named.is_some() && (self.include_past || self.include_future) {
            let msg = "one instance of a mapped task is marked in one run: leave include_past and \
                       include_future out";
            return Err(ApiError::Invalid(vec![FieldProblem::query("map_index", msg)]));
        }
        Ok(named)
    }

    fn mark(&self) -> Result<Option<Mark>, ApiError> {
        let Some(state) = &self.new_state else { return Ok(None) };
        let bad = || {
            let msg = format!("`{state}` is not one of `success`, `failed`, `skipped`");
            ApiError::Invalid(vec![FieldProblem::body("new_state", msg)])
        };
        Mark::parse(state).map(Some).ok_or_else(bad)
    }
}
