//! Lists of DAG runs: by query or by body, by page or by cursor.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use subak_core::state::{RunState, RunType};
use subak_store::read::{RunFilter, RunOrder, RunPlace, RunRecord};

use super::bounds::{BodyBounds, RunBounds};
use super::paging::{Cursors, List, Listing, present, text};
use super::runs::View;
use super::time;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{ApiError, FieldProblem};

/// Airflow's path parameter for "all": of DAGs those that one may see.
pub(super) const EVERY: &str = "~";

/// What runs are ordered by.
const ORDERS: &[(&str, RunOrder)] = &[
    ("id", RunOrder::Key),
    ("dag_id", RunOrder::DagId),
    ("dag_run_id", RunOrder::RunId),
    ("run_id", RunOrder::RunId),
    ("run_after", RunOrder::RunAfter),
    ("logical_date", RunOrder::LogicalDate),
    ("data_interval_start", RunOrder::DataStart),
    ("data_interval_end", RunOrder::DataEnd),
    ("start_date", RunOrder::Started),
    ("end_date", RunOrder::Ended),
    ("duration", RunOrder::Duration),
    ("state", RunOrder::State),
    ("run_type", RunOrder::Type),
    ("updated_at", RunOrder::Updated),
    ("conf", RunOrder::Conf),
    // No run has a partition.
    ("partition_date", RunOrder::Nothing),
];

#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    #[serde(default)]
    state: Vec<String>,
    #[serde(default)]
    run_type: Vec<String>,
    #[serde(default)]
    dag_version: Vec<i32>,
    conf_contains: Option<String>,
    run_id_pattern: Option<String>,
    run_id_prefix_pattern: Option<String>,
    dag_id_pattern: Option<String>,
    dag_id_prefix_pattern: Option<String>,
    triggering_user_name_pattern: Option<String>,
    triggering_user_name_prefix_pattern: Option<String>,
    /// There are no bundles, no partitions, and no runs that assets made: no run has any of it.
    bundle_version: Option<String>,
    partition_key_pattern: Option<String>,
    partition_key_prefix_pattern: Option<String>,
    #[serde(default, deserialize_with = "time::optional")]
    partition_date_gte: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::optional")]
    partition_date_lte: Option<DateTime<Utc>>,
    consuming_asset_pattern: Option<String>,
    /// Empty: the first page of a list that is read by cursor; then the `next_cursor` of each page.
    #[serde(default, deserialize_with = "present")]
    cursor: Option<String>,
}

impl ListQuery {
    /// Whether it asks for what no run here has.
    fn is_of_none(&self) -> bool {
        let texts = [
            &self.bundle_version,
            &self.partition_key_pattern,
            &self.partition_key_prefix_pattern,
            &self.consuming_asset_pattern,
        ];
        texts.iter().any(|it| it.is_some())
            || self.partition_date_gte.is_some()
            || self.partition_date_lte.is_some()
    }
}

/// Airflow's `DAGRunsBatchBody`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BatchBody {
    order_by: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 0))]
    page_offset: i64,
    #[schemars(range(min = 0))]
    page_limit: Option<i64>,
    dag_ids: Option<Vec<String>>,
    states: Option<Vec<Option<String>>>,
    conf_contains: Option<String>,
    #[serde(flatten)]
    bounds: BodyBounds,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(dag_id): Path<String>,
    listing: Listing,
    RunBounds(bounds): RunBounds,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<View>>, ApiError> {
    checked(&query.state, |msg| FieldProblem::query("state", msg))?;
    if let Some(bad) = query.run_type.iter().find(|it| !RunType::AIRFLOWS.contains(&it.as_str())) {
        let known = RunType::AIRFLOWS.map(|it| format!("`{it}`")).join(", ");
        let msg = format!("`{bad}` is not one of {known}");
        return Err(ApiError::Invalid(vec![FieldProblem::query("run_type", msg)]));
    }
    let orders = listing.orders(ORDERS)?;
    let dag_id = existing(&app, dag_id).await?;
    if query.is_of_none() {
        let cursors = query.cursor.map(|_| Cursors::default());
        return Ok(Json(List { cursors, ..List::empty() }));
    }
    let filter = RunFilter {
        dag_id,
        within: caller.sight(),
        dag_text: text(query.dag_id_pattern, query.dag_id_prefix_pattern),
        run_text: text(query.run_id_pattern, query.run_id_prefix_pattern),
        user_text: text(
            query.triggering_user_name_pattern,
            query.triggering_user_name_prefix_pattern,
        ),
        states: query.state,
        run_types: query.run_type,
        versions: query.dag_version,
        conf: query.conf_contains,
        bounds,
        orders,
        ..RunFilter::default()
    };
    match query.cursor {
        Some(cursor) => by_cursor(&app, filter, &cursor, listing.part.limit).await,
        None => page(&app, &filter, &listing).await,
    }
}

/// The list, asked for by a body; in the path stands `~`.
pub(super) async fn batch(
    State(app): State<App>,
    caller: Caller,
    Path(dag_id): Path<String>,
    Json(body): Json<BatchBody>,
) -> Result<Json<List<View>>, ApiError> {
    if dag_id != EVERY {
        let why = "the DAGs stand in the body: the path has `~` instead";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    let listing = Listing::of(body.page_limit, Some(body.page_offset), body.order_by)?;
    let wanted = body.states.unwrap_or_default();
    let states: Vec<String> = wanted.iter().flatten().cloned().collect();
    checked(&states, |msg| FieldProblem::body("states", msg))?;
    if !wanted.is_empty() && states.is_empty() {
        // Null is no state, and every run has one.
        return Ok(Json(List::empty()));
    }
    let filter = RunFilter {
        dag_ids: body.dag_ids.unwrap_or_default(),
        within: caller.sight(),
        bounds: body.bounds.read()?,
        conf: body.conf_contains,
        states,
        orders: listing.orders(ORDERS)?,
        ..RunFilter::default()
    };
    page(&app, &filter, &listing).await
}

/// The DAG of a path, if there is one; `None`: all.
pub(super) async fn existing(app: &App, dag_id: String) -> Result<Option<String>, ApiError> {
    if dag_id == EVERY {
        return Ok(None);
    }
    let known = app.store.dag_get(&dag_id).await?;
    Ok(Some(known.ok_or(ApiError::DagNotFound(dag_id))?.dag_id))
}

async fn page(
    app: &App,
    filter: &RunFilter,
    listing: &Listing,
) -> Result<Json<List<View>>, ApiError> {
    let part = listing.part;
    Ok(Json(List::of(app.store.run_list(filter, part.limit, part.offset).await?)))
}

async fn by_cursor(
    app: &App,
    filter: RunFilter,
    cursor: &str,
    limit: i64,
) -> Result<Json<List<View>>, ApiError> {
    let place = match cursor {
        "" => None,
        token => Some(read(token).ok_or_else(|| wrong("is not a cursor of this server"))?),
    };
    let (keys, _) = filter.orders.before_own();
    if keys.iter().any(|(order, _)| *order == RunOrder::Conf) {
        // A conf may be larger than what a cursor can hold.
        return Err(wrong("is not of a list by `conf`: read that with `offset`"));
    }
    let fits = |it: &RunPlace| it.orders == filter.orders && it.values.len() == keys.len();
    if !place.as_ref().is_none_or(fits) {
        return Err(wrong("is of a list of another order"));
    }
    let found = app.store.runs_behind(&filter, place.as_ref(), limit).await;
    // What a cursor tells of a run is a text of this server's, unless somebody has changed it.
    let (runs, more) =
        found.map_err(|error| match place.is_some() && error.is_refused_value() {
            true => wrong("is not a cursor of this server"),
            false => error.into(),
        })?;
    let back = place.as_ref().is_some_and(|place| place.back);
    let (has_next, has_previous) = if back { (true, more) } else { (more, place.is_some()) };
    let next = token(app, runs.last().filter(|_| has_next), &filter, false).await?;
    let previous = token(app, runs.first().filter(|_| has_previous), &filter, true).await?;
    let list = List::all(runs.into_iter().map(View::from).collect());
    Ok(Json(List { cursors: Some(Cursors { next, previous }), ..list }))
}

fn wrong(msg: &str) -> ApiError {
    ApiError::Invalid(vec![FieldProblem::query("cursor", msg)])
}

fn read(token: &str) -> Option<RunPlace> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

async fn token(
    app: &App,
    run: Option<&RunRecord>,
    filter: &RunFilter,
    back: bool,
) -> Result<Option<String>, ApiError> {
    let Some(run) = run else { return Ok(None) };
    let place = app.store.run_place(run, filter, back).await?;
    let place = serde_json::to_vec(&place).map_err(|_| ApiError::Internal)?;
    Ok(Some(URL_SAFE_NO_PAD.encode(place)))
}

fn checked(states: &[String], wrong: impl Fn(String) -> FieldProblem) -> Result<(), ApiError> {
    let Some(bad) = states.iter().find(|state| RunState::parse(state).is_none()) else {
        return Ok(());
    };
    let msg = format!("`{bad}` is not one of `queued`, `running`, `success`, `failed`");
    Err(ApiError::Invalid(vec![wrong(msg)]))
}
