//! DAG runs.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use subak_core::ids::{DagId, Instance, TaskNo};
use subak_core::state::{RunState, TaskState};
use subak_store::read::{InstanceRecord, Rendered, RunRecord};
use uuid::Uuid;

use super::instances::{self, Collection};
use super::marks::checked;
use super::mask::{Mask, clearable};
use super::paging::Listed;
use super::{states, time};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::engine::{Mark, Trigger};
use crate::extract::{Json, Path, Query};
use crate::openapi::{Either, NoContent};
use crate::problem::{ApiError, FieldProblem};

/// Airflow's `DAGRunResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DAGRunResponse")]
pub(super) struct View {
    dag_run_id: String,
    dag_id: String,
    logical_date: Option<DateTime<Utc>>,
    queued_at: DateTime<Utc>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    duration: Option<f64>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    last_scheduling_decision: Option<DateTime<Utc>>,
    run_type: String,
    #[schemars(schema_with = "states::run")]
    state: RunState,
    triggered_by: String,
    triggering_user_name: Option<String>,
    conf: Value,
    note: Option<String>,
    dag_versions: Vec<DagVersionView>,
    bundle_version: Option<String>,
    dag_display_name: String,
    partition_key: Option<String>,
    partition_date: Option<DateTime<Utc>>,
}

impl Listed for View {
    const PLURAL: &'static str = "dag_runs";
}

/// Airflow's `DagVersionResponse`.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "DagVersionResponse")]
pub(super) struct DagVersionView {
    id: Uuid,
    version_number: i32,
    dag_id: String,
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    created_at: DateTime<Utc>,
    dag_display_name: String,
    bundle_url: Option<String>,
}

impl Listed for DagVersionView {
    const PLURAL: &'static str = "dag_versions";
}

/// Airflow's `TriggerDAGRunPostBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerBody {
    dag_run_id: Option<String>,
    #[serde(default, deserialize_with = "time::optional")]
    data_interval_start: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::optional")]
    data_interval_end: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::optional")]
    logical_date: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::optional")]
    run_after: Option<DateTime<Utc>>,
    conf: Option<Map<String, Value>>,
    note: Option<String>,
    partition_key: Option<String>,
}

/// Airflow's `DAGRunPatchBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    state: Option<String>,
    #[serde(default, deserialize_with = "clearable")]
    #[schemars(with = "Option<String>")]
    note: Option<Option<String>>,
}

/// Airflow's `DAGRunClearBody`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearBody {
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    only_failed: bool,
    #[serde(default)]
    only_new: bool,
    #[serde(default, rename = "run_on_latest_version")]
    on_latest_version: Option<bool>,
    /// Ours: rows that tasks have appended to tables are to be appended once more.
    #[serde(default)]
    load_again: bool,
    note: Option<String>,
}

fn yes() -> bool {
    true
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &dag_id, &run_id).await?.into()))
}

pub(super) async fn trigger(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(dag_id): Path<String>,
    Json(body): Json<TriggerBody>,
) -> Result<Json<View>, ApiError> {
    let data_interval = match (body.data_interval_start, body.data_interval_end) {
        (Some(start), Some(end)) if start <= end => Some((start, end)),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(bad_interval("is after `data_interval_end`")),
        _ => return Err(bad_interval("needs `data_interval_end`, and the other way round")),
    };
    if body.partition_key.is_some() {
        let msg = "is not supported yet: leave it out";
        return Err(ApiError::Invalid(vec![FieldProblem::body("partition_key", msg)]));
    }
    let conf = Value::Object(body.conf.unwrap_or_default());
    let wanted = Trigger {
        run_id: body.dag_run_id,
        user: Some(caller.name().to_owned()),
        logical_date: body.logical_date,
        data_interval,
        run_after: body.run_after,
        note: body.note,
        ..Trigger::manual(DagId(dag_id.clone()), "rest_api", conf)
    };
    let run_id = app.actions.run_trigger(wanted).await?;
    trail.made_run(&dag_id, &run_id);
    Ok(Json(find(&app, &dag_id, &run_id).await?.into()))
}

fn bad_interval(msg: &str) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::body("data_interval_start", msg)])
}

/// `state: failed` cancels a run, or fails one that has ended; `success` marks its tasks; `queued` clears
/// it, as in Airflow.
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
    Query(mask): Query<Mask>,
    Json(body): Json<PatchBody>,
) -> Result<Json<View>, ApiError> {
    mask.check(&["state", "note"])?;
    let body = PatchBody {
        state: body.state.filter(|_| mask.has("state")),
        note: body.note.filter(|_| mask.has("note")),
    };
    // Before anything is done: what is refused has changed nothing.
    if let Some(Some(note)) = &body.note {
        checked(note)?;
    }
    let run = find(&app, &dag_id, &run_id).await?;
    trail.before(json!({"state": run.state, "note": run.note}));
    match body.state.as_deref() {
        None => {}
        Some("failed") => app.actions.run_fail(run.run_key, caller.name()).await?,
        Some("success") => {
            app.actions.tasks_mark(run.run_key, None, Mark::Success, caller.name()).await?;
        }
        Some("queued") => app.actions.tasks_clear(run.run_key, None).await?,
        Some(other) => {
            let msg =
                format!("`{other}` cannot be set: it is one of `success`, `failed`, `queued`");
            return Err(ApiError::Invalid(vec![FieldProblem::body("state", msg)]));
        }
    }
    if let Some(note) = &body.note {
        let note = note.as_deref().unwrap_or_default();
        app.store.run_note_set(run.run_key, note).await?;
    }
    let run = find(&app, &dag_id, &run_id).await?;
    trail.after(json!({"state": run.state, "note": run.note}));
    Ok(Json(run.into()))
}

/// Deletes a run that has ended.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<NoContent, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    trail.before(json!({"state": run.state, "note": run.note}));
    app.actions.run_delete(run.run_key, caller.name()).await?;
    Ok(NoContent)
}

pub(super) async fn clear(
    State(app): State<App>,
    trail: Trail,
    Path((dag_id, run_id)): Path<(String, String)>,
    Json(body): Json<ClearBody>,
) -> Result<Either<Json<Collection>, Json<View>>, ApiError> {
    if body.only_new || body.on_latest_version == Some(true) {
        let msg = "a run keeps its version: start a new run for the latest one";
        let field = if body.only_new { "only_new" } else { "run_on_latest_version" };
        return Err(ApiError::Invalid(vec![FieldProblem::body(field, msg)]));
    }
    if let Some(note) = &body.note {
        checked(note)?;
    }
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let mut chosen = app.store.instance_list(&run, &version.record).await?;
    if body.only_failed {
        chosen.retain(|it| matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed)));
    }
    if body.dry_run {
        let would =
            instances::collection(&app, &run, &version.record, chosen, Rendered::new()).await?;
        trail.nothing();
        return Ok(Either::One(would));
    }
    trail.before(json!({"state": run.state, "note": run.note}));
    let at = |it: &InstanceRecord| Instance { task: TaskNo(it.task), map_index: it.map_index };
    let failed: Vec<Instance> = chosen.iter().map(at).collect();
    match (body.only_failed, body.load_again) {
        (true, again) => app.actions.instances_clear(run.run_key, &failed, again).await?,
        (false, true) => app.actions.tasks_clear_and_load_again(run.run_key, None).await?,
        (false, false) => app.actions.tasks_clear(run.run_key, None).await?,
    }
    if let Some(note) = &body.note {
        app.store.run_note_set(run.run_key, note).await?;
    }
    let run = find(&app, &dag_id, &run_id).await?;
    trail.after(json!({"state": run.state, "note": run.note}));
    Ok(Either::Other(Json(View::from(run))))
}

/// Returns a run, or says what is not there.
pub(super) async fn find(app: &App, dag_id: &str, run_id: &str) -> Result<RunRecord, ApiError> {
    app.store.run_get(dag_id, run_id).await?.ok_or_else(|| ApiError::RunNotFound {
        dag_id: dag_id.to_owned(),
        run_id: run_id.to_owned(),
    })
}

impl From<RunRecord> for View {
    fn from(run: RunRecord) -> Self {
        let version = DagVersionView::new(&run.dag_id, run.version, run.version_created_at);
        Self {
            duration: seconds(run.started_at, run.ended_at),
            dag_display_name: run.dag_id.clone(),
            dag_versions: vec![version],
            dag_run_id: run.run_id,
            dag_id: run.dag_id,
            logical_date: run.logical_date,
            queued_at: run.created_at,
            start_date: run.started_at,
            end_date: run.ended_at,
            data_interval_start: run.data_interval_start,
            data_interval_end: run.data_interval_end,
            run_after: run.run_after,
            last_scheduling_decision: None,
            run_type: run.run_type,
            state: run.state,
            triggered_by: run.triggered_by,
            triggering_user_name: run.triggered_user,
            conf: run.conf,
            note: run.note,
            bundle_version: None,
            partition_key: None,
            partition_date: None,
        }
    }
}

impl DagVersionView {
    pub(super) fn new(dag_id: &str, version: i32, created_at: DateTime<Utc>) -> Self {
        Self {
            id: derived_id(&["version", dag_id, &version.to_string()]),
            version_number: version,
            dag_id: dag_id.to_owned(),
            bundle_name: None,
            bundle_version: None,
            created_at,
            dag_display_name: dag_id.to_owned(),
            bundle_url: None,
        }
    }
}

/// How long something took that began and ended.
pub(super) fn seconds(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<f64> {
    let micros = (to? - from?).num_microseconds()?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit 53 bits")]
    Some(micros.max(0) as f64 / 1e6)
}

/// A UUID for what has a name but no UUID of its own; the same name gives the same.
pub(super) fn derived_id(parts: &[&str]) -> Uuid {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let bytes = digest.finalize().first_chunk::<16>().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
