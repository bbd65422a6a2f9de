//! A DAG in lists, from the database or from a server.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use subak_core::schedule;
use subak_store::read::DagRecord;

use crate::output::{self, Row};

/// A DAG, spelt as `subak dags list --json` spells it. Servers tell what the fields in `deserialize` do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dag {
    pub(crate) dag_id: String,
    /// As it is written in short; null: by hand only.
    #[serde(rename(deserialize = "timetable_summary"))]
    schedule: Option<String>,
    is_paused: bool,
    is_stale: bool,
    #[serde(deserialize_with = "names")]
    tags: Vec<String>,
    owners: Vec<String>,
    /// How many it has, and how many of its runs go on; a list of a server does not tell.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    tasks: Option<i64>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    active_runs: Option<i64>,
    #[serde(rename(deserialize = "next_dagrun_run_after"))]
    next_run_at: Option<DateTime<Utc>>,
    #[serde(rename(deserialize = "fileloc"))]
    file: String,
    #[serde(rename(deserialize = "has_import_errors"))]
    has_import_error: bool,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Tag>::deserialize(from)?.into_iter().map(|tag| tag.name).collect())
}

impl From<DagRecord> for Dag {
    fn from(dag: DagRecord) -> Self {
        Self {
            schedule: dag.head.schedule.as_ref().map(schedule::summary),
            is_paused: dag.is_paused,
            is_stale: dag.is_stale,
            tags: dag.head.tags,
            owners: dag.owners,
            tasks: Some(dag.task_count),
            active_runs: Some(dag.runs_active),
            next_run_at: dag.next_run_at,
            file: dag.file,
            has_import_error: dag.has_import_error,
            dag_id: dag.dag_id,
        }
    }
}

impl Row for Dag {
    const HEADING: &'static [&'static str] =
        &["dag", "schedule", "tasks", "active", "next run", "file"];

    fn cells(&self) -> Vec<String> {
        let count = |count: Option<i64>| count.map_or_else(String::new, |count| count.to_string());
        vec![
            self.dag_id.clone(),
            self.schedule.clone().unwrap_or_else(|| "-".to_owned()),
            count(self.tasks),
            count(self.active_runs),
            if self.is_paused { "paused".to_owned() } else { output::instant(self.next_run_at) },
            self.file.clone(),
        ]
    }
}
