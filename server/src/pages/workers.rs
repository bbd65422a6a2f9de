//! Workers: the list, and how one is let go.

use axum::extract::State;
use axum::response::{Html, Redirect};
use serde_json::Value;
use subak_web::format::Stamp;
use subak_web::url::encode;
use subak_web::workers::{WorkerRow, WorkersPage};

use super::listing::NameQuery;
use super::viewer::Viewer;
use crate::app::App;
use crate::clock;
use crate::extract::{Path, Query};
use crate::problem::ApiError;

pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NameQuery>,
) -> Result<Html<String>, ApiError> {
    let now = clock::now();
    let tasks = app.store.session_tasks().await?;
    let row = |it: subak_store::WorkerRow| WorkerRow {
        queues: queues(&it.queues),
        runs: tasks.get(&it.session).copied().unwrap_or(0),
        since: Stamp::new(it.started_at, now, viewer.t),
        is_draining: it.draining,
        drain_action: format!("/workers/{}/drain", encode(&it.worker)),
        name: it.worker,
        version: it.version,
        server: it.server,
    };
    let found = query.part(app.store.workers().await?, |it| &it.worker);
    let (find, pager) = query.ways("/workers", found.items.len(), found.total);
    let rows = found.items.into_iter().map(row).collect();
    Ok(Html(WorkersPage { frame: viewer.frame(), find, pager, rows }.page()))
}

/// Lets a worker take no more tasks.
pub(super) async fn drain(
    State(app): State<App>,
    Path(worker): Path<String>,
) -> Result<Redirect, ApiError> {
    match app.actions.worker_drain(&worker).await? {
        true => Ok(Redirect::to("/workers")),
        false => Err(ApiError::NotFound(format!("worker {worker}"))),
    }
}

/// `default 16`.
fn queues(value: &Value) -> Vec<String> {
    let queues = value.as_array().into_iter().flatten();
    let named = queues.filter_map(|it| Some(format!("{} {}", it["queue"].as_str()?, it["slots"])));
    named.collect()
}
