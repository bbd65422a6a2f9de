//! Workers that are joined, and how one is let go. Airflow has its executors: ours, beside its resources.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use subak_store::WorkerRow;

use super::paging::{List, Listed, Part};
use crate::app::App;
use crate::audit::Trail;
use crate::extract::{Json, Path};
use crate::openapi::NoContent;
use crate::problem::ApiError;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
pub(super) struct View {
    worker: String,
    version: String,
    /// The server that it is joined to.
    server: String,
    /// Each with its slots.
    queues: Value,
    started_at: DateTime<Utc>,
    /// It takes no more tasks.
    draining: bool,
}

impl Listed for View {
    const PLURAL: &'static str = "workers";
}

pub(super) async fn list(State(app): State<App>, part: Part) -> Result<Json<List<View>>, ApiError> {
    Ok(Json(List::part(app.store.workers().await?, part).map(View::from)))
}

/// Lets a worker take no more tasks; it ends when its running ones have.
pub(super) async fn drain(
    State(app): State<App>,
    trail: Trail,
    Path(worker): Path<String>,
) -> Result<NoContent, ApiError> {
    let joined = app.store.workers().await?;
    let was = joined.iter().find(|it| it.worker == worker);
    trail.before(was.map(|it| json!({"draining": it.draining})));
    if !app.actions.worker_drain(&worker).await? {
        return Err(ApiError::NotFound(format!("workers/{worker}")));
    }
    trail.after(json!({"draining": true}));
    Ok(NoContent)
}

impl From<WorkerRow> for View {
    fn from(it: WorkerRow) -> Self {
        Self {
            worker: it.worker,
            version: it.version,
            server: it.server,
            queues: it.queues,
            started_at: it.started_at,
            draining: it.draining,
        }
    }
}
