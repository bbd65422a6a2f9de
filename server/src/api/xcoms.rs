//! What tasks handed on.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::ids::MapIndex;
use subak_store::read::{RunFilter, RunRecord, XComFilter, XComHead, XComOrder, XComRecord};

use super::bounds::XComBounds;
use super::paging::{List, Listed, Listing, text};
use super::run_lists::{EVERY, existing};
use super::runs::find;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

/// What they are ordered by.
const ORDERS: &[(&str, XComOrder)] = &[
    ("key", XComOrder::Key),
    ("dag_id", XComOrder::DagId),
    ("run_id", XComOrder::RunId),
    ("task_id", XComOrder::TaskId),
    ("map_index", XComOrder::MapIndex),
    ("timestamp", XComOrder::At),
    ("run_after", XComOrder::RunAfter),
];

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    xcom_key: Option<String>,
    map_index: Option<i32>,
    map_index_filter: Option<i32>,
    xcom_key_pattern: Option<String>,
    xcom_key_prefix_pattern: Option<String>,
    dag_display_name_pattern: Option<String>,
    dag_display_name_prefix_pattern: Option<String>,
    run_id_pattern: Option<String>,
    run_id_prefix_pattern: Option<String>,
    task_id_pattern: Option<String>,
    task_id_prefix_pattern: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct OneQuery {
    map_index: Option<i32>,
    stringify: Option<bool>,
    /// Values are JSON: there is nothing to deserialise.
    deserialize: Option<bool>,
}

/// Airflow's `XComResponse`, and `XComResponseNative` with the value.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "XComResponse")]
pub(super) struct View {
    key: String,
    timestamp: DateTime<Utc>,
    logical_date: Option<DateTime<Utc>>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
    dag_display_name: String,
    task_display_name: String,
    run_after: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Listed for View {
    const PLURAL: &'static str = "xcom_entries";
}

/// What task instances handed on; in place of DAG, run and task `~` is all of them.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    listing: Listing,
    XComBounds(bounds): XComBounds,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    if [&dag_id, &run_id, &task_id].iter().all(|it| *it != EVERY) {
        // What is not there is told.
        let run = find(&app, &dag_id, &run_id).await?;
        number(&app, &run, &task_id).await?;
    }
    let runs = RunFilter {
        dag_id: existing(&app, dag_id).await?,
        within: caller.sight(),
        run_id: Some(run_id).filter(|it| it != EVERY),
        dag_text: text(query.dag_display_name_pattern, query.dag_display_name_prefix_pattern),
        run_text: text(query.run_id_pattern, query.run_id_prefix_pattern),
        bounds,
        ..RunFilter::default()
    };
    let filter = XComFilter {
        task_id: Some(task_id).filter(|it| it != EVERY),
        task_text: text(query.task_id_pattern, query.task_id_prefix_pattern),
        key: query.xcom_key,
        key_text: text(query.xcom_key_pattern, query.xcom_key_prefix_pattern),
        map_index: query.map_index.or(query.map_index_filter),
        orders: listing.orders(ORDERS)?,
    };
    let part = listing.part;
    Ok(Json(List::of(app.store.xcoms_across(&runs, &filter, part.limit, part.offset).await?)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    if query.deserialize == Some(true) {
        let msg = "values are JSON here: leave it out";
        return Err(ApiError::Invalid(vec![FieldProblem::query("deserialize", msg)]));
    }
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let run = find(&app, &dag_id, &run_id).await?;
    let task = number(&app, &run, &task_id).await?;
    let all = app.store.xcom_list(run.run_key, task, map_index).await?;
    let found = all.into_iter().find(|it| it.key == key);
    let found = found.ok_or_else(|| ApiError::NotFound(format!("xcomEntries/{key}")))?;
    let view = View::new(&run, &task_id, map_index, found.clone());
    let value = app.store.xcom_value(found).await?;
    let value = match query.stringify {
        Some(true) => Value::String(value.to_string()),
        _ => value,
    };
    Ok(Json(View { value: Some(value), ..view }))
}

/// The number of a task of a run.
async fn number(app: &App, run: &RunRecord, task_id: &str) -> Result<i32, ApiError> {
    let version = app.versions.of_run(run).await?;
    let task = version.record.numbers.get(&task_id.into()).copied();
    task.ok_or_else(|| ApiError::TaskNotFound(task_id.to_owned()))
}

impl View {
    fn new(run: &RunRecord, task_id: &str, map_index: MapIndex, xcom: XComRecord) -> Self {
        Self {
            key: xcom.key,
            timestamp: xcom.created_at,
            logical_date: run.logical_date,
            map_index: map_index.0,
            task_id: task_id.to_owned(),
            dag_id: run.dag_id.clone(),
            run_id: run.run_id.clone(),
            dag_display_name: run.dag_id.clone(),
            task_display_name: task_id.to_owned(),
            run_after: run.run_after,
            value: None,
        }
    }
}

impl From<XComHead> for View {
    fn from(it: XComHead) -> Self {
        Self {
            key: it.key,
            timestamp: it.created_at,
            logical_date: it.logical_date,
            map_index: it.map_index,
            task_display_name: it.task_id.clone(),
            task_id: it.task_id,
            dag_display_name: it.dag_id.clone(),
            dag_id: it.dag_id,
            run_id: it.run_id,
            run_after: it.run_after,
            value: None,
        }
    }
}
