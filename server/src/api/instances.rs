//! Task instances.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subak_core::dag::model::Task;
use subak_core::ids::{Instance, InstanceKey, MapIndex, TaskId, TaskNo};
use subak_core::state::TaskState;
use subak_store::read::{InstanceRecord, RunRecord, VersionRecord};
use uuid::Uuid;

use super::marks::checked;
use super::paging::{List, Listed, Listing};
use super::runs::{DagVersionView, derived_id, find, seconds};
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::labels::labels;
use crate::problem::{ApiError, FieldProblem};
use crate::selection::{Scope, select};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    state: Vec<String>,
    task_id: Option<String>,
}

/// Airflow's `TaskInstanceCollectionResponse`.
pub(super) type Collection = List<View>;

impl Listed for View {
    const PLURAL: &'static str = "task_instances";
}

/// Airflow's `TaskInstanceResponse`.
#[derive(Serialize)]
pub(super) struct View {
    id: Uuid,
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    logical_date: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    duration: Option<f64>,
    state: Option<TaskState>,
    try_number: i32,
    max_tries: u32,
    task_display_name: String,
    dag_display_name: String,
    hostname: Option<String>,
    unixname: Option<String>,
    pool: String,
    pool_slots: u32,
    queue: String,
    priority_weight: i32,
    operator: String,
    operator_name: String,
    queued_when: Option<DateTime<Utc>>,
    scheduled_when: Option<DateTime<Utc>>,
    pid: Option<i32>,
    executor: Option<String>,
    executor_config: String,
    note: Option<String>,
    rendered_map_index: Option<String>,
    rendered_fields: Map<String, Value>,
    trigger: Option<Value>,
    triggerer_job: Option<Value>,
    dag_version: DagVersionView,
    /// Ours: how far a running try is, if its worker is connected to this server and has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
}

#[derive(Serialize)]
struct ProgressView {
    rows: u64,
    bytes: u64,
    note: String,
}

/// The part of Airflow's `ClearTaskInstancesBody` that is built.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearBody {
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default = "yes")]
    only_failed: bool,
    #[serde(default)]
    only_running: bool,
    #[serde(default = "yes", rename = "reset_dag_runs")]
    _reset_dag_runs: bool,
    task_ids: Option<Vec<String>>,
    dag_run_id: Option<String>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
    /// Tasks that run are left alone.
    #[serde(default)]
    prevent_running_task: bool,
    note: Option<String>,
    /// Ours: rows that the tasks have appended to tables are to be appended once more.
    #[serde(default)]
    load_again: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn list(
    State(app): State<App>,
    Path((dag_id, run_id)): Path<(String, String)>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let states = states(&query.state)?;
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let mut all = app.store.instance_list(&run, &version.record).await?;
    all.retain(|it| {
        (states.is_empty() || states.contains(&it.state))
            && query.task_id.as_ref().is_none_or(|id| it.task_id.0 == *id)
    });
    let page = List::part(all, listing.part);
    let Json(shown) = collection(&app, &run, &version.record, page.items).await?;
    Ok(Json(List { total: page.total, ..shown }))
}

/// Reads states to filter by; `none` and `no_status` are those without one.
fn states(texts: &[String]) -> Result<Vec<Option<TaskState>>, ApiError> {
    let parse = |text: &String| match text.as_str() {
        "none" | "no_status" => Ok(None),
        known => TaskState::parse(known).map(Some).ok_or_else(|| {
            let msg = format!("`{known}` is not a task instance's state");
            ApiError::Invalid(vec![FieldProblem::query("state", msg)])
        }),
    };
    texts.iter().map(parse).collect()
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    pub(super) map_index: Option<i32>,
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let id = TaskId(task_id.clone());
    let found = app.store.instance_one(&run, &version.record, &id, map_index).await?;
    let instance = found.ok_or(ApiError::TaskNotFound(task_id))?;
    let labels = labels(&app, &run, &version.record, std::slice::from_ref(&instance)).await?;
    let progress = app.actions.progress(run.run_key, &instance).map(|it| ProgressView {
        rows: it.rows,
        bytes: it.bytes,
        note: it.note,
    });
    let note = app.store.task_notes(run.run_key).await?.remove(&(instance.task, map_index.0));
    let view = View::new(&run, &version.record, instance, note)?.labelled(&labels);
    Ok(Json(View { progress, ..view }))
}

/// One instance of a mapped task, its index in the path.
pub(super) async fn get_mapped(
    state: State<App>,
    Path((dag_id, run_id, task_id, map_index)): Path<(String, String, String, i32)>,
) -> Result<Json<View>, ApiError> {
    let query = Query(OneQuery { map_index: Some(map_index) });
    get(state, Path((dag_id, run_id, task_id)), query).await
}

#[derive(Deserialize)]
pub(super) struct MappedQuery {
    #[serde(default)]
    state: Vec<String>,
}

/// The instances of a mapped task.
pub(super) async fn list_mapped(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    listing: Listing,
    Query(query): Query<MappedQuery>,
) -> Result<Json<Collection>, ApiError> {
    let states = states(&query.state)?;
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let id = TaskId(task_id.clone());
    if version.record.model.task(&id).is_none_or(|task| task.expand.is_none()) {
        return Err(ApiError::TaskNotFound(task_id));
    }
    let mut all = app.store.instances_of(&run, &version.record, &id).await?;
    all.retain(|it| !it.map_index.is_none() && (states.is_empty() || states.contains(&it.state)));
    let page = List::part(all, listing.part);
    let labels = labels(&app, &run, &version.record, &page.items).await?;
    let Json(shown) = collection(&app, &run, &version.record, page.items).await?;
    let shown = shown.map(|view| view.labelled(&labels));
    Ok(Json(List { total: page.total, ..shown }))
}

pub(super) async fn clear(
    State(app): State<App>,
    caller: Caller,
    Path(dag_id): Path<String>,
    Json(body): Json<ClearBody>,
) -> Result<Json<Collection>, ApiError> {
    let Some(run_id) = &body.dag_run_id else {
        let msg = "name the run: clearing by dates is not supported yet";
        return Err(ApiError::Invalid(vec![FieldProblem::body("dag_run_id", msg)]));
    };
    let run = find(&app, &dag_id, run_id).await?;
    let named: Option<Vec<TaskId>> =
        body.task_ids.as_ref().map(|ids| ids.iter().map(|id| TaskId(id.clone())).collect());
    let mut cleared = Collection::empty();
    for one in select(&app.store, &run, named.as_deref(), body.scope()).await? {
        let mut all = app.store.instance_list(&one.run, &one.version).await?;
        all.retain(|it| one.tasks.contains(&TaskNo(it.task)) && body.takes(it));
        if !body.dry_run && !all.is_empty() {
            // What is named without regard to states is cleared as a whole.
            let apart = body.only_failed || body.only_running;
            let at = |it: &InstanceRecord| match apart {
                true => Instance { task: TaskNo(it.task), map_index: it.map_index },
                false => Instance::single(TaskNo(it.task)),
            };
            let instances: Vec<Instance> = all.iter().map(at).collect();
            let key = one.run.run_key;
            app.actions.instances_clear(key, &instances, body.load_again).await?;
            if let Some(note) = &body.note {
                let note = checked(note)?;
                for it in &all {
                    let (task, map_index) = (TaskNo(it.task), it.map_index);
                    let of = InstanceKey { run: key, task, map_index };
                    app.store.task_note_set(of, note, caller.name()).await?;
                }
            }
        }
        cleared.append(collection(&app, &one.run, &one.version, all).await?.0);
    }
    Ok(Json(cleared))
}

impl ClearBody {
    fn scope(&self) -> Scope {
        Scope {
            upstream: self.include_upstream,
            downstream: self.include_downstream,
            past: self.include_past,
            future: self.include_future,
        }
    }

    /// Whether it is about an instance of a chosen task.
    fn takes(&self, it: &InstanceRecord) -> bool {
        let failed = matches!(it.state, Some(TaskState::Failed | TaskState::UpstreamFailed));
        (!self.only_failed || failed)
            && (!self.only_running || it.is_held())
            && (!self.prevent_running_task || !it.is_held())
    }
}

/// Returns the collection of these instances, with their notes.
pub(super) async fn collection(
    app: &App,
    run: &RunRecord,
    version: &VersionRecord,
    instances: Vec<InstanceRecord>,
) -> Result<Json<Collection>, ApiError> {
    let mut notes = app.store.task_notes(run.run_key).await?;
    let mut views = Vec::with_capacity(instances.len());
    for it in instances {
        let note = notes.remove(&(it.task, it.map_index.0));
        views.extend(View::new(run, version, it, note).ok());
    }
    Ok(Json(List::all(views)))
}

impl View {
    /// With the name that `map_index_template` gives the instance; its index, if it gives none.
    fn labelled(self, labels: &BTreeMap<i32, String>) -> Self {
        let rendered_map_index = labels.get(&self.map_index).cloned();
        Self { rendered_map_index, ..self }
    }

    fn new(
        run: &RunRecord,
        version: &VersionRecord,
        instance: InstanceRecord,
        note: Option<String>,
    ) -> Result<Self, ApiError> {
        let task: &Task = version
            .model
            .task(&instance.task_id)
            .ok_or_else(|| ApiError::TaskNotFound(instance.task_id.0.clone()))?;
        let key = [&run.uuid.to_string(), &instance.task_id.0, &instance.map_index.0.to_string()];
        Ok(Self {
            id: derived_id(&key.map(String::as_str)),
            task_display_name: instance.task_id.0.clone(),
            task_id: instance.task_id.0,
            dag_id: run.dag_id.clone(),
            dag_run_id: run.run_id.clone(),
            map_index: instance.map_index.0,
            logical_date: run.logical_date,
            run_after: run.run_after,
            start_date: instance.started_at,
            end_date: instance.ended_at,
            duration: seconds(instance.started_at, instance.ended_at),
            state: instance.state,
            try_number: instance.try_number,
            max_tries: task.retries,
            dag_display_name: run.dag_id.clone(),
            hostname: instance.worker,
            unixname: None,
            pool: task.pool.clone(),
            pool_slots: task.pool_slots,
            queue: task.queue.clone(),
            priority_weight: task.priority_weight,
            operator: task.operator.clone(),
            operator_name: task.operator.clone(),
            queued_when: instance.queued_at,
            scheduled_when: instance.queued_at,
            pid: None,
            executor: None,
            executor_config: "{}".to_owned(),
            note,
            rendered_map_index: None,
            rendered_fields: Map::new(),
            trigger: None,
            triggerer_job: None,
            dag_version: DagVersionView::new(&run.dag_id, run.version, run.version_created_at),
            progress: None,
        })
    }
}
