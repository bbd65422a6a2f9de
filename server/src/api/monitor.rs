//! Whether the server lives, and what it is.

use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::clock;
use crate::extract::Json;

pub(super) async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "git_version": null }))
}

/// Healthy means progress: the database answers, and the engine's loops went round of late.
pub(super) async fn health(State(app): State<App>) -> Json<Value> {
    let word = |is_well: bool| if is_well { "healthy" } else { "unhealthy" };
    let database = app.store.answers().await;
    let beat = app.actions.last_beat();
    let loops = word(database && app.actions.is_progressing(clock::now()));
    Json(json!({
        "metadatabase": { "status": word(database) },
        "scheduler": { "status": loops, "latest_scheduler_heartbeat": beat },
        "triggerer": { "status": loops, "latest_triggerer_heartbeat": beat },
        "dag_processor": { "status": loops, "latest_dag_processor_heartbeat": beat },
        "upkeep": { "status": word(!app.actions.is_strained()) },
    }))
}
