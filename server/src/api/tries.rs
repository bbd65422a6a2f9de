//! The tries of a task instance.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use subak_core::ids::{MapIndex, TaskId};
use subak_core::state::TaskState;
use subak_store::read::{RunRecord, TryRecord};

use super::instances::OneQuery;
use super::paging::{List, Listed};
use super::runs::{DagVersionView, find, seconds};
use super::states;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

/// Airflow's `TaskInstanceHistoryResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskInstanceHistoryResponse")]
pub(super) struct View {
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    duration: Option<f64>,
    #[schemars(schema_with = "states::task")]
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
    dag_version: DagVersionView,
    /// Ours: why the try failed.
    error: Option<String>,
}

impl Listed for View {
    const PLURAL: &'static str = "task_instances";
}

pub(super) async fn list(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    Ok(Json(List::all(tries(&app, [&dag_id, &run_id, &task_id], map_index).await?)))
}

pub(super) async fn list_mapped(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, index)): Path<(String, String, String, i32)>,
) -> Result<Json<List<View>>, ApiError> {
    Ok(Json(List::all(tries(&app, [&dag_id, &run_id, &task_id], MapIndex(index)).await?)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, number)): Path<(String, String, String, i32)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    one(tries(&app, [&dag_id, &run_id, &task_id], map_index).await?, number)
}

pub(super) async fn get_mapped(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, index, number)): Path<(String, String, String, i32, i32)>,
) -> Result<Json<View>, ApiError> {
    one(tries(&app, [&dag_id, &run_id, &task_id], MapIndex(index)).await?, number)
}

fn one(all: Vec<View>, number: i32) -> Result<Json<View>, ApiError> {
    let found = all.into_iter().rev().find(|it| it.try_number == number);
    found.map(Json).ok_or_else(|| ApiError::NotFound(format!("tries/{number}")))
}

async fn tries(
    app: &App,
    [dag_id, run_id, task_id]: [&String; 3],
    map_index: MapIndex,
) -> Result<Vec<View>, ApiError> {
    let run = find(app, dag_id, run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let id = TaskId(task_id.clone());
    let missing = || ApiError::no_instance(task_id, map_index);
    let found = app.store.instance_one(&run, &version.record, &id, map_index).await?;
    let task = found.ok_or_else(missing)?.task;
    let model = version.record.model.task(&id).ok_or_else(missing)?;
    let all = app.store.try_list(&run, task, map_index).await?;
    Ok(all.into_iter().map(|it| View::new(&run, model, map_index, it)).collect())
}

impl View {
    fn new(
        run: &RunRecord,
        task: &subak_core::dag::model::Task,
        map_index: MapIndex,
        it: TryRecord,
    ) -> Self {
        Self {
            task_id: task.task_id.0.clone(),
            dag_id: run.dag_id.clone(),
            dag_run_id: run.run_id.clone(),
            map_index: map_index.0,
            start_date: it.started_at,
            end_date: it.ended_at,
            duration: seconds(it.started_at, it.ended_at),
            state: Some(it.state),
            try_number: it.try_number,
            max_tries: task.retries,
            task_display_name: task.task_id.0.clone(),
            dag_display_name: run.dag_id.clone(),
            hostname: it.worker,
            unixname: None,
            pool: task.pool.clone(),
            pool_slots: task.pool_slots,
            queue: task.queue.clone(),
            priority_weight: task.priority_weight,
            operator: task.operator.clone(),
            operator_name: task.operator.clone(),
            queued_when: it.queued_at,
            scheduled_when: it.queued_at,
            pid: None,
            executor: None,
            executor_config: "{}".to_owned(),
            dag_version: DagVersionView::new(&run.dag_id, run.version, run.version_created_at),
            error: it.error,
        }
    }
}
