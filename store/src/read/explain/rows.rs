//! The rows that an explanation is read from, and the facts that they become.

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::decide::UpstreamCounts;
use subak_core::explain::{DagFacts, EndFacts, Holder, LiveFacts, RunFacts, WorkerFacts};
use subak_core::ids::MapIndex;
use subak_core::state::TaskState;

use crate::engine::JoinSqlRow;
use crate::read::RunRecord;

#[derive(sqlx::FromRow)]
pub(super) struct DagAndRunRow {
    is_paused: bool,
    pause_cause: Option<String>,
    is_stale: bool,
    max_active_runs: i32,
    runs_active: i32,
    tasks_active: i32,
    tasks_held: i32,
    deadline_at: Option<DateTime<Utc>>,
    run_after: DateTime<Utc>,
    waits_until: Option<DateTime<Utc>>,
    cancelled: Option<String>,
    runs_ahead: i64,
    pub(super) rest: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct LiveRow {
    pub(super) state: String,
    pub(super) waits_pool: bool,
    priority: i32,
    pub(super) queue: String,
    try_number: i32,
    failed: i32,
    lost: i32,
    queued_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    worker: Option<String>,
    error: Option<String>,
    exit_code: Option<i32>,
    was_lost: bool,
    held_ahead: i64,
    own_active: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct EndRow {
    state: String,
    try_number: i32,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    cause: Option<String>,
    error: Option<String>,
    exit_code: Option<i32>,
    worker: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct HolderRow {
    dag_id: String,
    run_id: String,
    task_id: String,
    map_index: i32,
    slots: i32,
    state: String,
}

#[derive(sqlx::FromRow)]
pub(super) struct WorkerRow {
    worker: String,
    queues: Value,
    draining: bool,
    busy: i64,
}

impl DagAndRunRow {
    pub(super) fn run(&self, run: &RunRecord) -> RunFacts {
        RunFacts {
            run_id: run.run_id.clone(),
            state: run.state,
            run_type: run.run_type.clone(),
            triggered_by: run.triggered_by.clone(),
            triggered_user: run.triggered_user.clone(),
            cancelled: self.cancelled.clone(),
            tasks_active: self.tasks_active,
            tasks_held: self.tasks_held,
            runs_ahead: self.runs_ahead,
            deadline_at: self.deadline_at,
            run_after: self.run_after,
            waits_until: self.waits_until,
        }
    }

    pub(super) fn into_dag(self) -> DagFacts {
        DagFacts {
            is_paused: self.is_paused,
            pause_cause: self.pause_cause,
            is_stale: self.is_stale,
            max_active_runs: self.max_active_runs,
            runs_active: self.runs_active,
        }
    }
}

impl LiveRow {
    pub(super) fn into_facts(self) -> LiveFacts {
        LiveFacts {
            state: TaskState::parse(&self.state).unwrap_or(TaskState::Queued),
            waits_pool: self.waits_pool,
            priority: self.priority,
            try_number: self.try_number,
            failed: self.failed,
            lost: self.lost,
            queued_at: self.queued_at,
            started_at: self.started_at,
            due_at: self.due_at,
            worker: self.worker,
            error: self.error,
            exit_code: self.exit_code,
            was_lost: self.was_lost,
            held_ahead: self.held_ahead,
            own_active: self.own_active,
        }
    }
}

impl EndRow {
    pub(super) fn into_facts(self) -> EndFacts {
        EndFacts {
            state: TaskState::parse(&self.state).unwrap_or(TaskState::Failed),
            try_number: self.try_number,
            started_at: self.started_at,
            ended_at: self.ended_at,
            cause: self.cause,
            error: self.error,
            exit_code: self.exit_code,
            worker: self.worker,
        }
    }
}

impl HolderRow {
    pub(super) fn into_holder(self) -> Option<Holder> {
        Some(Holder {
            dag_id: self.dag_id,
            run_id: self.run_id,
            task_id: self.task_id,
            map_index: MapIndex(self.map_index),
            slots: self.slots,
            state: TaskState::parse(&self.state)?,
        })
    }
}

impl WorkerRow {
    /// Its slots of a queue, if it serves it.
    pub(super) fn serving(self, queue: &str) -> Option<WorkerFacts> {
        let queues = self.queues.as_array()?;
        let own = queues.iter().find(|it| it["queue"] == queue)?;
        let slots = own["slots"].as_i64().unwrap_or(0);
        let Self { worker, draining, busy, .. } = self;
        Some(WorkerFacts { worker, slots, busy, draining })
    }
}

impl JoinSqlRow {
    pub(super) fn into_counts(self) -> (UpstreamCounts, bool) {
        let row = crate::engine::JoinRow::from(self);
        (row.counts, row.decided)
    }
}
