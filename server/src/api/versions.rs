//! Versions of DAGs, and what differs between two of them.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_core::text::unified_diff;
use subak_store::read::{DagRecord, VersionFilter, VersionHead, VersionOrder, VersionRecord};

use super::paging::{List, Listing};
use super::run_lists::existing;
use super::runs::DagVersionView;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::TextOr;
use crate::problem::ApiError;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    version_number: Option<i32>,
    /// There are no bundles: no version is of one.
    bundle_name: Option<String>,
    bundle_version: Option<String>,
}

/// What versions are ordered by: there are no bundles.
const ORDERS: &[(&str, VersionOrder)] = &[
    ("id", VersionOrder::Number),
    ("version_number", VersionOrder::Number),
    ("created_at", VersionOrder::Created),
    ("bundle_name", VersionOrder::Nothing),
    ("bundle_version", VersionOrder::Nothing),
];

impl From<VersionHead> for DagVersionView {
    fn from(it: VersionHead) -> Self {
        Self::new(&it.dag_id, it.version, it.created_at)
    }
}

/// The versions of a DAG, or, with `~`, of all that one may see.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(dag_id): Path<String>,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<DagVersionView>>, ApiError> {
    let filter = VersionFilter {
        orders: listing.orders(ORDERS)?,
        dag_id: existing(&app, dag_id).await?,
        within: caller.sight(),
        number: query.version_number,
    };
    if query.bundle_name.or(query.bundle_version).is_some() {
        return Ok(Json(List::empty()));
    }
    let part = listing.part;
    Ok(Json(List::of(app.store.version_list(&filter, part.limit, part.offset).await?)))
}

pub(super) async fn get(
    State(app): State<App>,
    Path((dag_id, number)): Path<(String, i32)>,
) -> Result<Json<DagVersionView>, ApiError> {
    let dag = dag(&app, dag_id).await?;
    let version = version(&app, &dag, number).await?;
    Ok(Json(DagVersionView::new(&dag.dag_id, number, version.created_at)))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DAGVersionDiff")]
pub(super) struct Diff {
    dag_id: String,
    from: i32,
    to: i32,
    diff: String,
}

/// What differs between two versions' sources. Ours: Airflow has it in its pages only.
pub(super) async fn diff(
    State(app): State<App>,
    Path((dag_id, from, to)): Path<(String, i32, i32)>,
    headers: HeaderMap,
) -> Result<TextOr<Diff>, ApiError> {
    let dag = dag(&app, dag_id).await?;
    let (old, new) = (version(&app, &dag, from).await?, version(&app, &dag, to).await?);
    let name = |number: i32| format!("{} version {number}", dag.dag_id);
    let diff = unified_diff(&old.source, &new.source, &name(from), &name(to));
    let accepts = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or("");
    if accepts.starts_with("text/plain") {
        return Ok(TextOr::Text(diff));
    }
    Ok(TextOr::Json(Diff { dag_id: dag.dag_id, from, to, diff }))
}

async fn dag(app: &App, dag_id: String) -> Result<DagRecord, ApiError> {
    app.store.dag_get(&dag_id).await?.ok_or(ApiError::DagNotFound(dag_id))
}

async fn version(app: &App, dag: &DagRecord, number: i32) -> Result<VersionRecord, ApiError> {
    let not_found = || ApiError::NotFound(format!("version {number} of DAG {}", dag.dag_id));
    app.store.version_get(dag.dag, number).await?.ok_or_else(not_found)
}
