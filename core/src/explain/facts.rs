//! What is known of a task instance and of what it may wait for. The store reads it; all lists are
//! bounded, and counts end at [`COUNT_MOST`].

use chrono::{DateTime, Utc};

use crate::decide::{Shape, UpstreamCounts};
use crate::ids::{Instance, MapIndex, TaskNo};
use crate::state::{RunState, TaskState};

/// What waits before a task is counted no further.
pub const COUNT_MOST: i64 = 10_000;

/// Everything that a decision about one task instance may rest on, as it stands now.
#[derive(Debug, Clone)]
pub struct Facts {
    pub at: Instance,
    pub dag: DagFacts,
    pub run: RunFacts,
    /// It is ready, runs or waits on a timer.
    pub live: Option<LiveFacts>,
    /// It has ended since its last clear.
    pub ended: Option<EndFacts>,
    /// Its stored counters, and whether its rule has decided by them.
    pub join: Option<(UpstreamCounts, bool)>,
    /// What its upstreams and guards are; those without a state are not listed.
    pub others: Vec<OtherFacts>,
    pub shape: Shape,
    /// How many instances of it were made, if it is expanded.
    pub made: i32,
    /// Branches that decided against it.
    pub against: Vec<TaskNo>,
    /// What it waits for of the run before, if it waits for that.
    pub past: Option<PastFacts>,
    pub pool: Option<PoolFacts>,
    pub queue: Option<QueueFacts>,
    /// Work on the run that is left to transactions of its own.
    pub rest: bool,
}

/// The DAG as it is now, whatever version the run has.
#[derive(Debug, Clone, Default)]
pub struct DagFacts {
    pub is_paused: bool,
    pub pause_cause: Option<String>,
    /// Its file is gone.
    pub is_stale: bool,
    pub max_active_runs: i32,
    pub runs_active: i32,
}

/// The run.
#[derive(Debug, Clone)]
pub struct RunFacts {
    pub run_id: String,
    pub state: RunState,
    pub run_type: String,
    pub triggered_by: String,
    pub triggered_user: Option<String>,
    pub cancelled: Option<String>,
    pub tasks_active: i32,
    pub tasks_held: i32,
    /// Queued runs of its DAG that were made before it.
    pub runs_ahead: i64,
    /// It is cancelled then (`dagrun_timeout`).
    pub deadline_at: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    /// It is queued, and not due before.
    pub waits_until: Option<DateTime<Utc>>,
}

/// A row of what is ready, runs or waits on a timer.
#[derive(Debug, Clone)]
pub struct LiveFacts {
    pub state: TaskState,
    pub waits_pool: bool,
    pub priority: i32,
    pub try_number: i32,
    /// Tries that failed since the last clear.
    pub failed: i32,
    /// Tries whose worker was lost since then.
    pub lost: i32,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub due_at: Option<DateTime<Utc>>,
    pub worker: Option<String>,
    /// What its last try failed with.
    pub error: Option<String>,
    pub exit_code: Option<i32>,
    /// Its last try was lost with its worker.
    pub was_lost: bool,
    /// Tasks of its run that are held back by `max_active_tasks` and come before it.
    pub held_ahead: i64,
    /// Where it is held back: instances of its task that are active in its run.
    pub own_active: i64,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct EndFacts {
    pub state: TaskState,
    pub try_number: i32,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cause: Option<String>,
    pub error: Option<String>,
    pub exit_code: Option<i32>,
    pub worker: Option<String>,
}

/// Another task instance of the run.
#[derive(Debug, Clone, Copy)]
pub struct OtherFacts {
    pub at: Instance,
    pub state: TaskState,
}

/// The run before, as far as a task waits for it.
#[derive(Debug, Clone, Default)]
pub struct PastFacts {
    pub run_id: Option<String>,
    /// The tasks that are waited for, with what they are there.
    pub tasks: Vec<(TaskNo, Option<TaskState>)>,
    /// It has begun to wait.
    pub waits: bool,
}

/// The pool whose slots it takes.
#[derive(Debug, Clone, Default)]
pub struct PoolFacts {
    pub name: String,
    /// -1: no limit. `None`: there is no such pool.
    pub slots: Option<i32>,
    pub used: i32,
    /// Tasks that wait for it and come before this one.
    pub ahead: i64,
    /// Some of those that hold its slots.
    pub holders: Vec<Holder>,
}

/// A task instance that holds slots of a pool.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: MapIndex,
    pub slots: i32,
    pub state: TaskState,
}

/// The queue in which it waits for a worker.
#[derive(Debug, Clone, Default)]
pub struct QueueFacts {
    /// Ready tasks that come before it.
    pub ahead: i64,
    pub workers: Vec<WorkerFacts>,
    /// Workers that are there and do not serve the queue.
    pub others: usize,
}

/// A worker that serves the queue.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WorkerFacts {
    pub worker: String,
    pub slots: i64,
    pub busy: i64,
    pub draining: bool,
}
