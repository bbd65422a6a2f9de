//! What people may do to runs, as the engine does it, with errors that the API shows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
pub(crate) use subak_core::dag::model::DEFAULT_POOL;
use subak_core::dag::model::{POOL_NAME_MOST, is_pool_name};
use subak_core::ids::{DagId, Instance, InstanceKey, RunKey, TaskNo};
use subak_core::problem::Problem;
use subak_core::state::TaskState;
use subak_store::read::InstanceRecord;
use subak_store::{EncryptionKey, Store};
use tokio::sync::watch;
use tracing::error;

use crate::engine::{
    Backfill, BackfillError, CancelError, ClearError, DeleteError, Engine, Mark, MarkError, Marked,
    PoolError, Progress, Trigger, TriggerError,
};
use crate::problem::{ApiError, FieldProblem};
use crate::replay::{self, ReplayError};

/// Loops that have not gone round for this long are stuck: they never sleep longer than 5 s.
const STUCK_AFTER: TimeDelta = TimeDelta::seconds(30);

/// Whether a loop that last went round at `beat` is not stuck.
pub(crate) fn is_recent(beat: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - beat < STUCK_AFTER
}

/// The engine's handle for people.
#[derive(Clone)]
pub(crate) struct Actions {
    engine: Engine,
}

impl Actions {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// What connections and variables are encrypted with.
    pub(crate) fn key(&self) -> Result<&EncryptionKey, ApiError> {
        let why =
            "this server has no key to encrypt variables: start it with SUBAK_SECRET_KEY_FILE";
        self.engine.core().key.as_deref().ok_or_else(|| ApiError::Unavailable(why.to_owned()))
    }

    /// Tells when something of a run changed on this server; other servers' changes are not among them.
    pub(crate) fn changes_of(&self, run: RunKey) -> watch::Receiver<()> {
        self.engine.changes_of(run)
    }

    /// How far the running try of a task instance is, if its worker has said so here.
    pub(crate) fn progress(&self, run: RunKey, instance: &InstanceRecord) -> Option<Progress> {
        let running = instance.state == Some(TaskState::Running);
        let (task, map_index) = (TaskNo(instance.task), instance.map_index);
        running.then(|| self.engine.progress_of(InstanceKey { run, task, map_index })).flatten()
    }

    /// When the engine's timers last went round.
    pub(crate) fn last_beat(&self) -> Option<DateTime<Utc>> {
        self.engine.last_beat()
    }

    /// Whether the engine's loops go round.
    pub(crate) fn is_progressing(&self, now: DateTime<Utc>) -> bool {
        self.last_beat().is_some_and(|beat| is_recent(beat, now))
    }

    /// When this server last looked through its folder of DAG files; `None`: it has none.
    pub(crate) fn folder_beat(&self) -> Option<DateTime<Utc>> {
        self.engine.folder_beat()
    }

    /// Whether something slows the metadata database down.
    pub(crate) fn is_strained(&self) -> bool {
        self.engine.is_strained()
    }

    /// Starts a run and returns its run id.
    pub(crate) async fn run_trigger(&self, wanted: Trigger) -> Result<String, ApiError> {
        let made = self.engine.run_trigger(wanted).await;
        made.map(|run| run.run_id).map_err(refused)
    }

    /// Makes runs that replay dead letters.
    pub(crate) async fn replay_range(
        &self,
        store: &Store,
        wanted: &replay::WantedRange,
    ) -> Result<(String, String), ApiError> {
        replay::replay_range(store, &self.engine, wanted).await.map_err(not_replayed)
    }

    pub(crate) async fn replay(
        &self,
        store: &Store,
        wanted: &replay::Wanted,
    ) -> Result<Vec<replay::Started>, ApiError> {
        let started = replay::replay(store, &self.engine, wanted).await;
        started.map_err(not_replayed)
    }

    /// Makes a backfill; returns its number.
    pub(crate) async fn backfill_create(&self, wanted: &Backfill) -> Result<i64, ApiError> {
        self.engine.backfill_create(wanted).await.map_err(not_backfilled)
    }

    /// The logical dates that a backfill would have.
    pub(crate) async fn backfill_dry_run(
        &self,
        wanted: &Backfill,
    ) -> Result<Vec<DateTime<Utc>>, ApiError> {
        self.engine.backfill_dry_run(wanted).await.map_err(not_backfilled)
    }

    /// Starts no more runs of a backfill, or goes on with it.
    pub(crate) async fn backfill_pause(&self, id: i64, paused: bool) -> Result<(), ApiError> {
        self.engine.backfill_pause(id, paused).await.map_err(not_backfilled)
    }

    /// Ends a backfill; what runs goes on.
    pub(crate) async fn backfill_cancel(&self, id: i64, user: &str) -> Result<(), ApiError> {
        self.engine.backfill_cancel(id, user).await.map_err(not_backfilled)
    }

    /// Pauses a DAG or lets it go on; false if there is none.
    pub(crate) async fn dag_pause(&self, dag: &DagId, paused: bool) -> Result<bool, ApiError> {
        self.engine.dag_pause(dag, paused).await.map_err(|cause| internal(&cause))
    }

    /// Cancels a run.
    pub(crate) async fn run_cancel(&self, run: RunKey, user: &str) -> Result<(), ApiError> {
        let done = self.engine.run_cancel(run, &format!("cancelled by {user}")).await;
        done.map_err(|error| match error {
            CancelError::NotFound => ApiError::NotFound("the run".to_owned()),
            CancelError::Ended(state) => ApiError::Refused(Problem::RunEnded(state)),
            CancelError::Internal(cause) => internal(&cause),
        })
    }

    /// Marks tasks of a run as ended. `None`: all but teardowns.
    pub(crate) async fn tasks_mark(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
        mark: Mark,
        user: &str,
    ) -> Result<Marked, ApiError> {
        self.engine.tasks_mark(run, tasks, mark, user).await.map_err(not_marked)
    }

    /// Marks task instances of a run as ended: of mapped tasks these alone.
    pub(crate) async fn instances_mark(
        &self,
        run: RunKey,
        instances: &[Instance],
        mark: Mark,
        user: &str,
    ) -> Result<Marked, ApiError> {
        self.engine.instances_mark(run, instances, mark, user).await.map_err(not_marked)
    }

    /// Makes a pool, or changes it.
    pub(crate) async fn pool_put(
        &self,
        name: &str,
        slots: i32,
        include_deferred: bool,
        description: Option<&str>,
    ) -> Result<(), ApiError> {
        if let Some((field, problem)) = pool_problem(name, slots) {
            return Err(ApiError::Invalid(vec![FieldProblem::of(field, problem)]));
        }
        let done = self.engine.pool_put(name, slots, Some(include_deferred), description).await;
        done.map_err(|cause| internal(&cause))
    }

    /// Removes a pool that nobody is in or waits for.
    pub(crate) async fn pool_remove(&self, name: &str) -> Result<(), ApiError> {
        self.engine.pool_remove(name).await.map_err(|error| match error {
            PoolError::NotFound(name) => ApiError::NotFound(format!("pool {name}")),
            PoolError::InUse { .. } => ApiError::Conflict(error.to_string()),
            PoolError::Internal(cause) => internal(&cause),
        })
    }

    /// Lets a worker take no more tasks; false if none of this name is joined.
    pub(crate) async fn worker_drain(&self, worker: &str) -> Result<bool, ApiError> {
        let drained = self.engine.worker_drain(worker).await.map_err(|cause| internal(&cause))?;
        Ok(drained > 0)
    }

    /// Fails a run: one that goes on is cancelled.
    pub(crate) async fn run_fail(&self, run: RunKey, user: &str) -> Result<(), ApiError> {
        if self.engine.run_fail(run, user).await.map_err(|cause| internal(&cause))? {
            return Ok(());
        }
        self.run_cancel(run, user).await
    }

    /// Deletes a run that has ended.
    pub(crate) async fn run_delete(&self, run: RunKey, user: &str) -> Result<(), ApiError> {
        self.engine.run_delete(run, user).await.map_err(|error| match error {
            DeleteError::NotFound => ApiError::NotFound("the run".to_owned()),
            DeleteError::Active(state) => ApiError::Refused(Problem::RunActive(state)),
            DeleteError::Internal(cause) => internal(&cause),
        })
    }

    /// Clears tasks of a run: they run again. `None`: all of them.
    pub(crate) async fn tasks_clear(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
    ) -> Result<(), ApiError> {
        cleared(self.engine.tasks_clear(run, tasks).await)
    }

    /// Clears all tasks of runs; says of each what came of it.
    pub(crate) async fn runs_clear(
        &self,
        runs: &[RunKey],
    ) -> BTreeMap<RunKey, Result<(), ApiError>> {
        let done = self.engine.runs_clear(runs).await;
        done.into_iter().map(|(run, done)| (run, cleared(done))).collect()
    }

    /// Clears task instances of a run: of mapped tasks these alone.
    pub(crate) async fn instances_clear(
        &self,
        run: RunKey,
        instances: &[Instance],
        load_again: bool,
    ) -> Result<(), ApiError> {
        cleared(self.engine.instances_clear(run, instances, load_again).await)
    }

    /// The same, and rows that they have appended are to be appended once more.
    pub(crate) async fn tasks_clear_and_load_again(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
    ) -> Result<(), ApiError> {
        cleared(self.engine.tasks_clear_and_load_again(run, tasks).await)
    }
}

/// What is wrong with a pool: the field, and why.
fn pool_problem(name: &str, slots: i32) -> Option<(&'static str, Problem)> {
    if !is_pool_name(name) {
        return Some(("name", Problem::PoolName { most: POOL_NAME_MOST }));
    }
    if name == DEFAULT_POOL {
        return Some(("name", Problem::NoLimit { pool: DEFAULT_POOL.to_owned() }));
    }
    (slots < -1).then_some(("slots", Problem::Slots))
}

fn not_marked(error: MarkError) -> ApiError {
    match error {
        MarkError::NotFound => ApiError::NotFound("the run".to_owned()),
        MarkError::NoTask(task) => ApiError::TaskNotFound(task),
        MarkError::NoInstance(task, index) => ApiError::TaskNotFound(format!("{task}[{index}]")),
        MarkError::HistoryGone => ApiError::Refused(Problem::NotMarked),
        MarkError::Cancelled => ApiError::Refused(Problem::RunCancelled),
        MarkError::NotBegun(_) => ApiError::Conflict(error.to_string()),
        MarkError::Internal(cause) => internal(&cause),
    }
}

fn refused(error: TriggerError) -> ApiError {
    match error {
        TriggerError::DagNotFound(dag) => ApiError::DagNotFound(dag.0),
        TriggerError::DagStale(_) | TriggerError::Exists(_) => {
            ApiError::Conflict(error.to_string())
        }
        TriggerError::Conf(problem) => ApiError::Invalid(vec![FieldProblem::body("conf", problem)]),
        TriggerError::Field { field, problem } => {
            ApiError::Invalid(vec![FieldProblem::body(field, problem)])
        }
        TriggerError::Internal(cause) => internal(&cause),
    }
}

fn not_backfilled(error: BackfillError) -> ApiError {
    match error {
        BackfillError::DagNotFound(dag) => ApiError::DagNotFound(dag.0),
        BackfillError::NotFound => ApiError::NotFound("the backfill".to_owned()),
        BackfillError::DagStale(_) | BackfillError::Unfinished(_) | BackfillError::Completed => {
            ApiError::Conflict(error.to_string())
        }
        BackfillError::Field { field, problem } => {
            ApiError::Invalid(vec![FieldProblem::body(field, problem)])
        }
        BackfillError::Internal(cause) => internal(&cause),
    }
}

fn cleared<T>(done: Result<T, ClearError>) -> Result<(), ApiError> {
    done.map(drop).map_err(|error| match error {
        ClearError::NotFound => ApiError::NotFound("the run".to_owned()),
        ClearError::NoTask(task) => ApiError::TaskNotFound(task),
        ClearError::NoInstance(task, index) => ApiError::TaskNotFound(format!("{task}[{index}]")),
        ClearError::HistoryGone => ApiError::Refused(Problem::NotCleared),
        ClearError::Internal(cause) => internal(&cause),
    })
}

fn internal(cause: &anyhow::Error) -> ApiError {
    error!(error = format!("{cause:#}"), "request failed");
    ApiError::Internal
}

fn not_replayed(error: ReplayError) -> ApiError {
    match error {
        ReplayError::Nothing(why) | ReplayError::Refused(why) => ApiError::Conflict(why),
        ReplayError::Trigger(error) => refused(error),
        ReplayError::Store(error) => error.into(),
    }
}
