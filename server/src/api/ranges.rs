//! Ranges of topics: which offsets were read by which run, and which loads have them. Airflow has none:
//! ours, beside its resources.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_store::access::Role;
use subak_store::read::{RANGE_STATES, RangeFilter};

use super::paging::{List, Listed, Listing};
use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::NoContent;
use crate::problem::{ApiError, FieldProblem};
use crate::range_view::RangeView;
use crate::replay::WantedRange;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// Left out: those of all DAGs that one may see.
    dag_id: Option<String>,
    task_id: Option<String>,
    topic: Option<String>,
    /// `open`, `committed`, `abandoned`. Left out: any of the DAG that is named, or without one those
    /// that are not in every load.
    state: Option<String>,
}

impl Listed for RangeView {
    const PLURAL: &'static str = "ranges";
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct AbandonQuery {
    /// Only this load's part.
    load: Option<String>,
}

/// A run that loads a range once more.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RangeReplayed")]
pub(super) struct Replayed {
    dag_id: String,
    dag_run_id: String,
}

/// The newest first.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    listing: Listing,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<RangeView>>, ApiError> {
    let part = listing.part;
    if let Some(bad) = query.state.as_deref().filter(|state| !RANGE_STATES.contains(state)) {
        let msg = format!("`{bad}` is not one of `{}`", RANGE_STATES.join("`, `"));
        return Err(ApiError::Invalid(vec![FieldProblem::query("state", msg)]));
    }
    if let Some(dag_id) = &query.dag_id {
        caller.must(dag_id, Role::Viewer)?;
        let known = app.store.dag_get(dag_id).await?;
        known.ok_or_else(|| ApiError::DagNotFound(dag_id.clone()))?;
    }
    let open = || query.dag_id.is_none().then(|| "open".to_owned());
    let filter = RangeFilter {
        state: query.state.or_else(open),
        dag_id: query.dag_id,
        within: caller.sight(),
        task_id: query.task_id,
        topic: query.topic,
    };
    Ok(Json(List::of(app.store.range_list(&filter, part.limit, part.offset).await?)))
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
