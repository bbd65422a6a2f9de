//! What tasks handed on.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subak_core::ids::MapIndex;
use subak_store::read::{RunRecord, XComRecord};

use super::paging::{List, Listed, Listing};
use super::runs::find;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    xcom_key: Option<String>,
    map_index: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    map_index: Option<i32>,
    stringify: Option<bool>,
}

/// Airflow's `XComResponse`, and `XComResponseNative` with the value.
#[derive(Serialize)]
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

pub(super) async fn list(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let (run, mut all) = load(&app, &dag_id, &run_id, &task_id, map_index).await?;
    all.retain(|it| query.xcom_key.as_ref().is_none_or(|key| it.key == *key));
    let view = |it: XComRecord| View { value: None, ..View::new(&run, &task_id, map_index, it) };
    Ok(Json(List::part(all, listing.part).map(view)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let (run, all) = load(&app, &dag_id, &run_id, &task_id, map_index).await?;
    let found = all.into_iter().find(|it| it.key == key);
    let found = found.ok_or_else(|| ApiError::NotFound(format!("xcomEntries/{key}")))?;
    let mut view = View::new(&run, &task_id, map_index, found);
    if query.stringify == Some(true) {
        view.value = view.value.map(|value| Value::String(value.to_string()));
    }
    Ok(Json(view))
}

async fn load(
    app: &App,
    dag_id: &str,
    run_id: &str,
    task_id: &str,
    map_index: MapIndex,
) -> Result<(RunRecord, Vec<XComRecord>), ApiError> {
    let run = find(app, dag_id, run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let task = version.record.numbers.get(&task_id.into()).copied();
    let task = task.ok_or_else(|| ApiError::TaskNotFound(task_id.to_owned()))?;
    let all = app.store.xcom_list(run.run_key, task, map_index).await?;
    Ok((run, all))
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
            value: Some(xcom.value),
        }
    }
}
