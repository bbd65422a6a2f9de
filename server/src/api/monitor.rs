//! Whether the server lives, and what it is.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::extract::Json;

/// Airflow's `VersionInfo`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VersionInfo")]
pub(super) struct Version {
    version: &'static str,
    git_version: Option<String>,
}

/// Airflow's `HealthInfoResponse`; `upkeep` is ours.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HealthInfoResponse")]
pub(super) struct Health {
    metadatabase: Part,
    scheduler: Scheduler,
    triggerer: Triggerer,
    dag_processor: DagProcessor,
    upkeep: Part,
}

/// `healthy` or `unhealthy`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BaseInfoResponse")]
struct Part {
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SchedulerInfoResponse")]
struct Scheduler {
    status: &'static str,
    latest_scheduler_heartbeat: Option<DateTime<Utc>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggererInfoResponse")]
struct Triggerer {
    status: &'static str,
    latest_triggerer_heartbeat: Option<DateTime<Utc>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DagProcessorInfoResponse")]
struct DagProcessor {
    status: &'static str,
    latest_dag_processor_heartbeat: Option<DateTime<Utc>>,
}

pub(super) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION"), git_version: None })
}

/// Healthy means progress: the database answers, and the engine's loops went round of late.
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    let word = |is_well: bool| if is_well { "healthy" } else { "unhealthy" };
    let database = app.store.answers().await;
    let beat = app.actions.last_beat();
    let status = word(database && app.actions.is_progressing(clock::now()));
    Json(Health {
        metadatabase: Part { status: word(database) },
        scheduler: Scheduler { status, latest_scheduler_heartbeat: beat },
        triggerer: Triggerer { status, latest_triggerer_heartbeat: beat },
        dag_processor: DagProcessor { status, latest_dag_processor_heartbeat: beat },
        upkeep: Part { status: word(!app.actions.is_strained()) },
    })
}
