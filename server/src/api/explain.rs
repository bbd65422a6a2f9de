//! Why a task instance does not run, or why it ran. Airflow has no such thing.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use subak_core::explain::Explanation;
use subak_core::ids::MapIndex;

use super::instances::OneQuery;
use super::runs::find;
use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub(super) struct View {
    dag_id: String,
    dag_run_id: String,
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    explanation: Explanation,
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    Query(query): Query<OneQuery>,
) -> Result<Json<View>, ApiError> {
    let run = find(&app, &dag_id, &run_id).await?;
    let version = app.versions.of_run(&run).await?;
    let map_index = query.map_index.map_or(MapIndex::NONE, MapIndex);
    let found = crate::explain::explain(&app.store, &run, &version, &task_id, map_index).await?;
    let explanation = found.ok_or_else(|| ApiError::no_instance(&task_id, map_index))?;
    Ok(Json(View { dag_id: run.dag_id, dag_run_id: run.run_id, explanation }))
}
