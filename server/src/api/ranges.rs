//! Ranges of topics: which offsets were read by which run, and which loads have them. Airflow has none:
//! ours, beside its resources.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_core::range::Partition;
use subak_store::RangeRow;
use subak_store::access::Role;

use crate::app::App;
use crate::audit::Trail;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::NoContent;
use crate::problem::ApiError;
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
    ranges: Vec<View>,
    total_entries: usize,
}

/// A range.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Range")]
struct View {
    range_id: i64,
    dag_id: String,
    task_id: String,
    /// 1, 2, 3, … of the task.
    sequence: i64,
    topic: String,
    /// `open`, `committed`, `abandoned`.
    state: String,
    dag_run_id: Option<String>,
    /// Those without a record are left out, unless records before it were lost.
    partitions: Vec<Part>,
    /// That were read; null: not all of them yet.
    records: Option<i64>,
    /// Of these those that did not fit, skipped or kept as dead letters.
    rejected: Option<i64>,
    /// Of these those that were left out, such as tombstones.
    filtered: Option<i64>,
    loads: Vec<String>,
    committed: Vec<String>,
    /// Rows that a load has because of the range, if it has told: of several ranges at once it does
    /// not know.
    loaded: BTreeMap<String, i64>,
    dag_version: Option<i32>,
}

/// A range's part of a partition.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RangePartition")]
struct Part {
    partition: i32,
    /// Of the first record.
    from_offset: i64,
    /// Behind the last record.
    to_offset: i64,
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
    let ranges: Vec<View> = ranges.into_iter().map(View::from).collect();
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
    trail.run(&dag_id, &dag_run_id);
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

impl From<RangeRow> for View {
    fn from(row: RangeRow) -> Self {
        let part = |part: &Partition| Part {
            partition: part.partition,
            from_offset: part.from,
            to_offset: part.to,
        };
        Self {
            partitions: row.parts().map(part).collect(),
            range_id: row.id,
            dag_id: row.dag_id,
            task_id: row.task_id,
            sequence: row.sequence,
            topic: row.topic,
            state: row.state,
            dag_run_id: row.run_id,
            records: row.records,
            rejected: row.rejected,
            filtered: row.filtered,
            loads: row.sinks,
            committed: row.committed,
            loaded: row.loaded,
            dag_version: row.version,
        }
    }
}
