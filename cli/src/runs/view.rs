//! Runs and their tasks as commands show them, from the database or from a server.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use subak_core::ids::MapIndex;
use subak_core::state::{RunState, TaskState};
use subak_store::read::{InstanceRecord, RunRecord};

use crate::clock;
use crate::output::{self, Row};

/// A run, spelt as the API spells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) dag_id: String,
    #[serde(rename = "dag_run_id")]
    pub(crate) run_id: String,
    pub(crate) state: RunState,
    run_type: String,
    triggered_by: String,
    logical_date: Option<DateTime<Utc>>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    queued_at: DateTime<Utc>,
    pub(crate) start_date: Option<DateTime<Utc>>,
    pub(crate) end_date: Option<DateTime<Utc>>,
    pub(crate) conf: Value,
    note: Option<String>,
    #[serde(rename(deserialize = "dag_versions"), deserialize_with = "number")]
    dag_version: Option<i32>,
    /// Why it was cancelled; servers do not tell.
    #[serde(skip)]
    pub(crate) cancel_cause: Option<String>,
}

/// A task instance, spelt as the API spells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) task_id: String,
    pub(crate) map_index: i32,
    pub(crate) state: Option<TaskState>,
    pub(crate) try_number: i32,
    queued_when: Option<DateTime<Utc>>,
    start_date: Option<DateTime<Utc>>,
    end_date: Option<DateTime<Utc>>,
    /// Servers tell these two of single tries alone.
    #[serde(skip_deserializing)]
    exit_code: Option<i32>,
    hostname: Option<String>,
    #[serde(skip_deserializing)]
    pub(crate) error: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version_number: i32,
}

/// Of the version that the run is pinned to.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    Ok(Vec::<Version>::deserialize(from)?.last().map(|version| version.version_number))
}

impl From<RunRecord> for Run {
    fn from(run: RunRecord) -> Self {
        Self {
            dag_id: run.dag_id,
            run_id: run.run_id,
            state: run.state,
            run_type: run.run_type,
            triggered_by: run.triggered_by,
            logical_date: run.logical_date,
            data_interval_start: run.data_interval_start,
            data_interval_end: run.data_interval_end,
            run_after: run.run_after,
            queued_at: run.created_at,
            start_date: run.started_at,
            end_date: run.ended_at,
            conf: run.conf,
            note: run.note,
            dag_version: Some(run.version),
            cancel_cause: run.cancel_cause,
        }
    }
}

impl Row for Run {
    const HEADING: &'static [&'static str] = &["dag", "run", "state", "started", "took"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.dag_id.clone(),
            self.run_id.clone(),
            self.state.to_string(),
            output::instant(self.start_date),
            self.took(),
        ]
    }
}

impl Run {
    pub(crate) fn took(&self) -> String {
        output::took(self.start_date, self.end_date, clock::now())
    }
}

impl From<InstanceRecord> for Task {
    fn from(it: InstanceRecord) -> Self {
        Self {
            task_id: it.task_id.0,
            map_index: it.map_index.0,
            state: it.state,
            try_number: it.try_number,
            queued_when: it.queued_at,
            start_date: it.started_at,
            end_date: it.ended_at,
            exit_code: it.exit_code,
            hostname: it.worker,
            error: it.error,
        }
    }
}

impl Row for Task {
    const HEADING: &'static [&'static str] = &["task", "state", "try", "took", "worker", "error"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name(),
            self.state.map_or_else(|| "-".to_owned(), |state| state.to_string()),
            self.try_number.to_string(),
            self.took(),
            self.hostname.clone().unwrap_or_else(|| "-".to_owned()),
            self.error.clone().unwrap_or_default(),
        ]
    }
}

impl Task {
    /// The task's id, with the map index of a mapped one.
    pub(crate) fn name(&self) -> String {
        match MapIndex(self.map_index) {
            MapIndex::NONE => self.task_id.clone(),
            MapIndex(index) => format!("{}[{index}]", self.task_id),
        }
    }

    pub(crate) fn took(&self) -> String {
        output::took(self.start_date, self.end_date, clock::now())
    }

    pub(crate) fn is_held(&self) -> bool {
        self.state.is_some_and(TaskState::is_held)
    }

    pub(crate) fn is_final(&self) -> bool {
        self.state.is_some_and(TaskState::is_final)
    }

    /// The map index, as far as there is one.
    pub(crate) fn index(&self) -> Option<i32> {
        (self.map_index >= 0).then_some(self.map_index)
    }
}
