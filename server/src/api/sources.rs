//! A DAG's source, and the schema of DAG files.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::extract::{Json, Path, Query};
use crate::openapi::TextOr;
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct SourceQuery {
    version_number: Option<i32>,
}

/// Airflow's `DAGSourceResponse`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DAGSourceResponse")]
pub(super) struct View {
    content: String,
    dag_id: String,
    version_number: i32,
    dag_display_name: String,
}

pub(super) async fn get(
    State(app): State<App>,
    Path(dag_id): Path<String>,
    Query(query): Query<SourceQuery>,
    headers: HeaderMap,
) -> Result<TextOr<View>, ApiError> {
    let not_found = || ApiError::DagNotFound(dag_id.clone());
    let dag = app.store.dag_get(&dag_id).await?.ok_or_else(not_found)?;
    let number = query.version_number.unwrap_or(dag.version);
    let version = app.store.version_get(dag.dag, number).await?.ok_or_else(not_found)?;
    let accepts = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
    if accepts.starts_with("text/plain") {
        return Ok(TextOr::Text(version.source));
    }
    Ok(TextOr::Json(View {
        content: version.source,
        dag_display_name: dag_id.clone(),
        dag_id,
        version_number: number,
    }))
}

/// The JSON Schema that editors check DAG files with.
pub(super) async fn schema() -> Json<Value> {
    Json(subak_core::dag::schema())
}
