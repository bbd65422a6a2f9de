//! Ranges of topics: which offsets were read by which run, and which loads have them. Airflow has none:
//! ours, beside its resources.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use subak_store::RangeRow;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::ApiError;
use crate::replay::WantedRange;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// Left out: those of all DAGs that are not in every load.
    dag_id: Option<String>,
}

/// The newest thousand.
#[derive(Serialize)]
pub(super) struct Collection {
    ranges: Vec<View>,
    total_entries: usize,
}

/// A range.
#[derive(Serialize)]
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
    /// Null: not read yet.
    records: Option<i64>,
    loads: Vec<String>,
    committed: Vec<String>,
    dag_version: Option<i32>,
}

/// A run that loads a range once more.
#[derive(Serialize)]
pub(super) struct Replayed {
    dag_id: String,
    dag_run_id: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Collection>, ApiError> {
    let ranges = match query.dag_id {
        Some(dag_id) if app.store.dag_get(&dag_id).await?.is_none() => {
            return Err(ApiError::DagNotFound(dag_id));
        }
        Some(dag_id) => app.store.ranges_of(&dag_id).await?,
        None => app.store.ranges_open().await?,
    };
    let ranges: Vec<View> = ranges.into_iter().map(View::from).collect();
    Ok(Json(Collection { total_entries: ranges.len(), ranges }))
}

pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Replayed>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::NotFound(format!("ranges/{id}")))?;
    let user = Some(caller.name().to_owned());
    let wanted = WantedRange { id, triggered_by: "rest_api", user };
    let (dag_id, dag_run_id) = app.actions.replay_range(&app.store, &wanted).await?;
    Ok(Json(Replayed { dag_id, dag_run_id }))
}

impl From<RangeRow> for View {
    fn from(row: RangeRow) -> Self {
        Self {
            range_id: row.id,
            dag_id: row.dag_id,
            task_id: row.task_id,
            sequence: row.sequence,
            topic: row.topic,
            state: row.state,
            dag_run_id: row.run_id,
            records: row.records,
            loads: row.sinks,
            committed: row.committed,
            dag_version: row.version,
        }
    }
}
