//! What is asked for, and what comes of it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::ids::{DagId, RunKey};
use subak_core::state::{RunState, RunType};
use uuid::Uuid;

/// A run that is asked for.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub dag_id: DagId,
    /// Left out: derived as Airflow derives it.
    pub run_id: Option<String>,
    pub run_type: RunType,
    /// `ui`, `rest_api`, `cli`, `timetable`, …
    pub triggered_by: String,
    pub user: Option<String>,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Left out: now. A manual run waits for it.
    pub run_after: Option<DateTime<Utc>>,
    /// A JSON object.
    pub conf: Value,
    pub note: Option<String>,
}

/// A run that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    pub run: RunKey,
    pub run_id: String,
    pub state: RunState,
}

/// Why a run was not made.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    #[error("DAG `{0}` does not exist")]
    DagNotFound(DagId),
    /// Its file is gone.
    #[error("the file of DAG `{0}` is gone: it cannot be triggered")]
    DagStale(DagId),
    /// The message says by what it is known: its id, its logical date, or either.
    #[error("{0}")]
    Exists(String),
    /// The message names the param, what is wrong and what is allowed.
    #[error("{0}")]
    Conf(String),
    /// What was chosen for a field cannot be kept, or could be read as code.
    #[error("{problem}")]
    Field { field: &'static str, problem: String },
    #[error("the run could not be made")]
    Internal(#[source] anyhow::Error),
}

impl TriggerError {
    /// The same error for another request of the batch.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::DagNotFound(dag) => Self::DagNotFound(dag.clone()),
            Self::DagStale(dag) => Self::DagStale(dag.clone()),
            other => Self::Internal(anyhow::anyhow!("{other}")),
        }
    }
}

impl Trigger {
    /// A run that a person asks for by hand.
    #[must_use]
    pub fn manual(dag_id: DagId, triggered_by: &str, conf: Value) -> Self {
        Self {
            dag_id,
            run_id: None,
            run_type: RunType::Manual,
            triggered_by: triggered_by.to_owned(),
            user: None,
            logical_date: None,
            data_interval: None,
            run_after: None,
            conf,
            note: None,
        }
    }

    /// Until when the run waits, before it waits for its turn: somebody asked for it to be later. What a
    /// schedule makes is due already.
    pub(super) fn waits_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.run_after.filter(|at| self.run_type == RunType::Manual && *at > now)
    }

    pub(super) fn is_unnamed(&self) -> bool {
        self.run_id.is_none() && self.logical_date.is_none() && self.run_after.is_none()
    }

    pub(super) fn name_at_random(&mut self) {
        let id = Uuid::now_v7().simple().to_string();
        self.run_id = Some(format!("{}__{}", self.run_type.as_str(), &id));
    }
}
