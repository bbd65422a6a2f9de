//! DAG runs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subak_core::ids::{DagId, Instance, TaskNo};
use subak_core::state::{RunState, TaskState};
use subak_store::read::{InstanceRecord, RunFilter, RunOrder, RunRecord};
use uuid::Uuid;

use super::instances;
use super::marks::checked;
use super::paging::{List, Listed, Listing, pattern};
use super::time;
use crate::app::App;
use crate::auth::Caller;
use crate::engine::{Mark, Trigger};
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

/// Airflow's path parameter for "all".
const EVERY: &str = "~";

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    state: Vec<String>,
    #[serde(default)]
    run_type: Vec<String>,
    run_id_pattern: Option<String>,
}

/// Airflow's `DAGRunResponse`.
#[derive(Serialize)]
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
#[derive(Clone, Serialize)]
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
#[derive(Deserialize)]
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    state: Option<String>,
    note: Option<String>,
}

/// Airflow's `DAGRunClearBody`.
#[derive(Deserialize)]
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

pub(super) async fn list(
    State(app): State<App>,
    Path(dag_id): Path<String>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    if let Some(bad) = query.state.iter().find(|state| RunState::parse(state).is_none()) {
        let msg = format!("`{bad}` is not one of `queued`, `running`, `success`, `failed`");
        return Err(ApiError::Invalid(vec![FieldProblem::query("state", msg)]));
    }
    let dag_id = if dag_id == EVERY {
        None
    } else {
        let known = app.store.dag_get(&dag_id).await?;
        Some(known.ok_or(ApiError::DagNotFound(dag_id))?.dag_id)
    };
    let (order, descending) = listing.order(ORDERS)?.unwrap_or((RunOrder::Key, false));
    let filter = RunFilter {
        dag_id,
        states: query.state,
        run_types: query.run_type,
        run_id: pattern(query.run_id_pattern),
        order,
        descending,
    };
    let page = app.store.run_list(&filter, part.limit, part.offset).await?;
    Ok(Json(List::of(page)))
}

/// What runs are ordered by.
const ORDERS: &[(&str, RunOrder)] = &[
    ("id", RunOrder::Key),
    ("dag_run_id", RunOrder::RunId),
    ("run_id", RunOrder::RunId),
    ("run_after", RunOrder::RunAfter),
    ("logical_date", RunOrder::LogicalDate),
    ("start_date", RunOrder::Started),
    ("end_date", RunOrder::Ended),
    ("state", RunOrder::State),
];

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&app, &dag_id, &run_id).await?.into()))
}

pub(super) async fn trigger(
    State(app): State<App>,
    caller: Caller,
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
    Path((dag_id, run_id)): Path<(String, String)>,
    Json(body): Json<PatchBody>,
) -> Result<Json<View>, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
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
        app.store.run_note_set(run.run_key, checked(note)?).await?;
    }
    Ok(Json(find(&app, &dag_id, &run_id).await?.into()))
}

/// Deletes a run that has ended.
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((dag_id, run_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    app.actions.run_delete(run.run_key, caller.name()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn clear(
    State(app): State<App>,
    Path((dag_id, run_id)): Path<(String, String)>,
    Json(body): Json<ClearBody>,
) -> Result<Response, ApiError> {
    if body.only_new || body.on_latest_version == Some(true) {
        let msg = "a run keeps its version: start a new run for the latest one";
        let field = if body.only_new { "only_new" } else { "run_on_latest_version" };
        return Err(ApiError::Invalid(vec![FieldProblem::body(field, msg)]));
    }
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let mut chosen = app.store.instance_list(&run, &version.record).await?;
    if body.only_failed {
        chosen.retain(|it| matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed)));
    }
    if body.dry_run {
        return Ok(instances::collection(&app, &run, &version.record, chosen)
            .await?
            .into_response());
    }
    let at = |it: &InstanceRecord| Instance { task: TaskNo(it.task), map_index: it.map_index };
    let failed: Vec<Instance> = chosen.iter().map(at).collect();
    match (body.only_failed, body.load_again) {
        (true, again) => app.actions.instances_clear(run.run_key, &failed, again).await?,
        (false, true) => app.actions.tasks_clear_and_load_again(run.run_key, None).await?,
        (false, false) => app.actions.tasks_clear(run.run_key, None).await?,
    }
    if let Some(note) = &body.note {
        app.store.run_note_set(run.run_key, checked(note)?).await?;
    }
    Ok(Json(View::from(find(&app, &dag_id, &run_id).await?)).into_response())
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
