//! Whether the server lives, and what it is.

use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::actions::is_recent;
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
    /// Null: this server reads no DAG files.
    status: Option<&'static str>,
    latest_dag_processor_heartbeat: Option<DateTime<Utc>>,
}

pub(super) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION"), git_version: None })
}

/// Healthy means progress: the database answers, and the loops went round of late.
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Seen::of(&app).await.judge(clock::now()))
}

/// What a server would say of itself at `now`, which tests bring.
pub(crate) async fn health_at(app: &App, now: DateTime<Utc>) -> serde_json::Value {
    serde_json::to_value(Seen::of(app).await.judge(now)).unwrap_or_default()
}

/// What a server knows of itself.
struct Seen {
    database: bool,
    engine: Option<DateTime<Utc>>,
    /// `None`: it reads no DAG files.
    folder: Option<DateTime<Utc>>,
    strained: bool,
}

impl Seen {
    async fn of(app: &App) -> Self {
        Self {
            database: app.store.answers().await,
            engine: app.actions.last_beat(),
            folder: app.actions.folder_beat(),
            strained: app.actions.is_strained(),
        }
    }

    fn judge(&self, now: DateTime<Utc>) -> Health {
        let word = |is_well: bool| if is_well { "healthy" } else { "unhealthy" };
        let goes_round = |beat| self.database && is_recent(beat, now);
        let status = word(self.engine.is_some_and(goes_round));
        Health {
            metadatabase: Part { status: word(self.database) },
            scheduler: Scheduler { status, latest_scheduler_heartbeat: self.engine },
            triggerer: Triggerer { status, latest_triggerer_heartbeat: self.engine },
            dag_processor: DagProcessor {
                status: self.folder.map(|beat| word(goes_round(beat))),
                latest_dag_processor_heartbeat: self.folder,
            },
            upkeep: Part { status: word(!self.strained) },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::{Value, json};

    use super::*;

    /// Status of scheduler, DAG processor and upkeep, where loops went round so many seconds ago.
    fn told(database: bool, engine: Option<i64>, folder: Option<i64>, strained: bool) -> Value {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let before = |secs: i64| now - TimeDelta::seconds(secs);
        let (engine, folder) = (engine.map(before), folder.map(before));
        let health = Seen { database, engine, folder, strained }.judge(now);
        let health = serde_json::to_value(health).unwrap();
        let status = |part: &str| health[part]["status"].clone();
        assert_eq!(status("triggerer"), status("scheduler"));
        json!([status("scheduler"), status("dag_processor"), status("upkeep")])
    }

    #[test]
    fn each_loop_has_a_beat_of_its_own() {
        let (well, ill) = ("healthy", "unhealthy");
        assert_eq!(told(true, Some(29), Some(29), false), json!([well, well, well]));
        assert_eq!(told(true, Some(30), Some(1), false), json!([ill, well, well]));
        assert_eq!(told(true, Some(1), Some(30), true), json!([well, ill, ill]));
        assert_eq!(told(false, Some(1), Some(1), false), json!([ill, ill, well]));
        // Not yet, and not at all.
        assert_eq!(told(true, None, None, false), json!([ill, null, well]));
    }
}
