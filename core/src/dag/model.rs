//! The DAG as the engine knows it: validated, defaults applied, edges complete.
//!
//! Its serialised form is canonical (maps sorted, comments and order gone): the hash of it is the
//! version. It knows nothing of YAML; `dag::parse` makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::TriggerRule;
use crate::ids::{DagId, TaskId};

/// One DAG of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    pub dag_id: DagId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_md: Option<String>,
    /// `None`: only triggered by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    pub catchup: bool,
    pub max_active_runs: u32,
    /// Tasks of one run that may be ready or running at once.
    pub max_active_tasks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dagrun_timeout: Option<Duration>,
    pub is_paused_upon_creation: bool,
    pub tags: Vec<String>,
    pub params: BTreeMap<String, Param>,
    /// In topological order, ties in the file's order; ids are unique.
    pub tasks: Vec<Task>,
}

/// When runs start by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// A cron expression of five fields, or a preset resolved to one, in UTC.
    Cron(String),
}

/// A value that a run may be triggered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// JSON Schema of the value; `{}` allows anything.
    pub schema: Value,
    /// Absent: the trigger must give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// One task of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub task_id: TaskId,
    /// The operator's name in a DAG file: `bash`, `csv.read`, …
    pub operator: String,
    /// The operator's arguments as written, templates unrendered.
    pub with: Value,
    /// Direct upstream tasks: `depends_on` and typed references together, sorted.
    pub upstream: Vec<TaskId>,
    pub trigger_rule: TriggerRule,
    pub retries: u32,
    pub retry_delay: Duration,
    pub retry_exponential_backoff: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry_delay: Option<Duration>,
    /// Share of the delay drawn at random on top of it, 0 to 1.
    pub retry_jitter: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<Duration>,
    pub queue: String,
    pub pool: String,
    pub pool_slots: u32,
    pub priority_weight: i32,
    pub owner: String,
    pub do_xcom_push: bool,
    /// Connections that the task names; it is handed these and no others.
    pub connections: Vec<String>,
}

impl Dag {
    /// Returns the task of this id.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.iter().find(|task| task.task_id == *id)
    }
}
