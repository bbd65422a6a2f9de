//! Datasets that task instances made. Airflow has none: in the style of its XComs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::ids::{InstanceKey, MapIndex, TaskNo};
use subak_store::read::DatasetRecord;

use super::paging::{List, Listed, Listing, text};
use super::runs::find;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::previews::ROWS_MOST;
use crate::problem::{ApiError, FieldProblem};
use crate::versions::Version;

/// A worker that reads a file takes this long at most.
const PATIENCE: Duration = Duration::from_secs(8);
/// Rows, where the caller does not say how many.
const ROWS: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    map_index: Option<i32>,
    name_pattern: Option<String>,
    name_prefix_pattern: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct RowsQuery {
    map_index: Option<i32>,
    limit: Option<usize>,
}

impl Listed for View {
    const PLURAL: &'static str = "datasets";
}

/// A dataset, and what is known of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Dataset")]
pub(super) struct View {
    name: String,
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    timestamp: DateTime<Utc>,
    /// `ipc`, `csv`, `parquet`.
    kind: Value,
    /// `[{name, type, nullable}]`
    columns: Value,
    rows: Option<u64>,
    bytes: Option<u64>,
    /// By column: nulls, distinct, min, max.
    statistics: Value,
}

/// The first rows of a dataset.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DatasetRows")]
pub(super) struct RowsView {
    rows: Vec<Value>,
    /// Why these are not all that were asked for; null: they are.
    missing: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    let (instance, _) = place(&app, [&dag_id, &run_id, &task_id], query.map_index).await?;
    let wanted = text(query.name_pattern, query.name_prefix_pattern);
    let found = app.store.dataset_list(instance, &wanted, part.limit, part.offset).await?;
    let view = |it: DatasetRecord| View {
        kind: it.reference["source"]["kind"].clone(),
        columns: it.reference["schema"].clone(),
        rows: it.stats["rows"].as_u64(),
        bytes: it.stats["bytes"].as_u64(),
        statistics: it.stats["columns"].clone(),
        name: it.name,
        task_id: task_id.clone(),
        dag_id: dag_id.clone(),
        dag_run_id: run_id.clone(),
        map_index: instance.map_index.0,
        timestamp: it.created_at,
    };
    Ok(Json(List::<DatasetRecord>::of(found).map(view)))
}

pub(super) async fn rows(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, name)): Path<(String, String, String, String)>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<RowsView>, ApiError> {
    let limit = query.limit.unwrap_or(ROWS);
    if !(1..=ROWS_MOST).contains(&limit) {
        let msg = format!("is from 1 to {ROWS_MOST}");
        return Err(ApiError::Invalid(vec![FieldProblem::query("limit", msg)]));
    }
    let (instance, version) = place(&app, [&dag_id, &run_id, &task_id], query.map_index).await?;
    let found = app.store.dataset_get(instance, &name).await?;
    let found = found.ok_or_else(|| ApiError::NotFound(format!("datasets/{name}")))?;
    let read = app.previews.rows(&found, &version.record.model, limit, PATIENCE).await;
    let read = read.map_err(|error| {
        ApiError::Unavailable(format!("the dataset's rows cannot be read: {error}"))
    })?;
    Ok(Json(RowsView { rows: read.rows, missing: read.missing }))
}

/// The task instance that an address names, and its run's version of the DAG.
async fn place(
    app: &App,
    [dag_id, run_id, task_id]: [&String; 3],
    map_index: Option<i32>,
) -> Result<(InstanceKey, Arc<Version>), ApiError> {
    let run = find(app, dag_id, run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let task = version.record.numbers.get(&task_id.as_str().into()).copied();
    let task = TaskNo(task.ok_or_else(|| ApiError::TaskNotFound(task_id.clone()))?);
    let map_index = map_index.map_or(MapIndex::NONE, MapIndex);
    Ok((InstanceKey { run: run.run_key, task, map_index }, version))
}
