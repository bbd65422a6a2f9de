//! Ranges of topics: which offsets were read by which run, and which loads have them. Airflow has none:
//! ours, beside its resources.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_store::access::Role;

use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::NoContent;
use crate::problem::ApiError;
use crate::range_view::RangeView;
use crate::replay::WantedRange;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// Left out: those of all DAGs that one may see that are not in every load.
    dag_id: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct AbandonQuery {
    /// Only this load's part.
    load: Option<String>,
}

/// The newest thousand.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RangeCollection")]
pub(super) struct Collection {
    ranges: Vec<RangeView>,
    total_entries: usize,
}

/// A run that loads a range once more.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RangeReplayed")]
pub(super) struct Replayed {
    dag_id: String,
    dag_run_id: String,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let ranges = match query.dag_id {
        Some(dag_id) => {
            caller.must(&dag_id, Role::Viewer)?;
            if app.store.dag_get(&dag_id).await?.is_none() {
                return Err(ApiError::DagNotFound(dag_id));
            }
            app.store.ranges_of(&dag_id).await?
        }
        None => app.store.ranges_open(caller.sight().as_deref()).await?,
    };
    let ranges: Vec<RangeView> = ranges.into_iter().map(RangeView::from).collect();
    Ok(Json(Collection { total_entries: ranges.len(), ranges }))
}

pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(id): Path<String>,
) -> Result<Json<Replayed>, ApiError> {
    let id = number(&id)?;
    let user = Some(caller.name().to_owned());
    let wanted = WantedRange { id, triggered_by: "rest_api", user };
    let (dag_id, dag_run_id) = app.actions.replay_range(&app.store, &wanted).await?;
    trail.made_run(&dag_id, &dag_run_id);
    Ok(Json(Replayed { dag_id, dag_run_id }))
}

/// Gives up an open range, or one load's part of it.
pub(super) async fn abandon(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<AbandonQuery>,
) -> Result<NoContent, ApiError> {
    let number = number(&id)?;
    let subject = match &query.load {
        Some(load) => format!("range {number}, load {load}"),
        None => format!("range {number}"),
    };
    let by = caller.settles("abandon_range", subject);
    match app.store.range_abandon(number, query.load.as_deref(), &by).await? {
        true => Ok(NoContent),
        false => Err(ApiError::NotFound(format!("an open range {number} of this load"))),
    }
}

/// Lets whatever version of the DAG finish an open range that one load has.
pub(super) async fn release(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<NoContent, ApiError> {
    let number = number(&id)?;
    let by = caller.settles("release_range", format!("range {number}"));
    match app.store.range_release(number, &by).await? {
        true => Ok(NoContent),
        false => Err(ApiError::NotFound(format!("an open range {number}"))),
    }
}

fn number(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| ApiError::NotFound(format!("ranges/{id}")))
}
