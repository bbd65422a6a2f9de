//! Backfills: the runs of a DAG's schedule over a span of time that people ask for.
//!
//! The backfill and its new runs are made in one transaction. Runs that there are already and that are to
//! run again are cleared one by one, each in a transaction of the outbox; they count as queued from the
//! beginning, so that the backfill is completed once nothing of it is left. Its runs start in their
//! order, `max_active_runs` of the backfill at a time, beside those of the DAG.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subak_core::decide::Plan;
use subak_core::ids::{DagId, RunKey};
use subak_core::schedule::{Tick, Timetable};
use subak_core::state::{RunState, RunType};
use subak_store::engine::{EngineTx, LockedRun, NewBackfill, NewRun, RunAt};
use subak_store::{News, StoreError};
use tokio::sync::mpsc::error::TrySendError;

use super::creation::{check_conf, new_run};
use super::work::Work;
use super::{CancelError, Core, Engine, Trigger, TriggerError, cancel, clear};

/// Runs that one backfill has at most.
const RUNS_MOST: usize = 10_000;

/// The kind of the outbox's rows that let a run go again.
pub(super) const AGAIN: &str = "backfill";

/// A backfill that is asked for.
#[derive(Debug, Clone)]
pub struct Backfill {
    pub dag_id: DagId,
    /// The first logical date.
    pub from_date: DateTime<Utc>,
    /// The last one.
    pub to_date: DateTime<Utc>,
    /// The latest run first.
    pub run_backwards: bool,
    /// Of its runs: a JSON object.
    pub conf: Option<Value>,
    pub reprocess: Reprocess,
    pub max_active_runs: i32,
    pub user: Option<String>,
}

/// Which runs that there are already, and have ended, run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reprocess {
    None,
    Failed,
    Completed,
}

/// Why a backfill was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("DAG `{0}` does not exist")]
    DagNotFound(DagId),
    /// Its file is gone.
    #[error("the file of DAG `{0}` is gone: it cannot be backfilled")]
    DagStale(DagId),
    #[error("a backfill of DAG `{0}` is not completed: wait for its end, or cancel it")]
    Unfinished(DagId),
    #[error("{problem}")]
    Field { field: &'static str, problem: String },
    #[error("the backfill does not exist")]
    NotFound,
    #[error("the backfill is completed already")]
    Completed,
    #[error("the backfill could not be done")]
    Internal(#[from] anyhow::Error),
}

impl From<StoreError> for BackfillError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl Reprocess {
    /// Airflow's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }

    fn takes(self, state: RunState) -> bool {
        match self {
            Self::None => false,
            Self::Failed => state == RunState::Failed,
            Self::Completed => state.is_final(),
        }
    }
}

/// What a row of the outbox says: this run is to go again.
#[derive(Serialize, Deserialize)]
struct Again {
    run: i64,
    backfill: i64,
    place: i32,
}

/// What a backfill would do.
struct Planned {
    dag: i32,
    version: i32,
    plan: Arc<Plan>,
    conf: Value,
    now: DateTime<Utc>,
    /// In the order in which they start; the run that is there, if it goes again.
    runs: Vec<(Tick, Option<RunAt>)>,
}

impl Engine {
    /// Makes a backfill and its runs, which wait for their turn: where the DAG is paused, until it goes
    /// on. Returns its number.
    pub async fn backfill_create(&self, wanted: &Backfill) -> Result<i64, BackfillError> {
        let core = &self.core;
        let (dag, backfill) = core.within(async { Ok(create(core, wanted).await) }).await??;
        starts(core, dag).await;
        Ok(backfill)
    }

    /// The logical dates of the runs that a backfill would make, or let go again.
    pub async fn backfill_dry_run(
        &self,
        wanted: &Backfill,
    ) -> Result<Vec<DateTime<Utc>>, BackfillError> {
        let core = &self.core;
        let planned = core.within(async {
            let mut tx = core.store.engine_begin().await?;
            Ok(plan(core, &mut tx, wanted).await)
        });
        Ok(planned.await??.runs.iter().map(|(tick, _)| tick.logical_date).collect())
    }

    /// Starts no more runs of a backfill, or goes on with it.
    pub async fn backfill_pause(&self, id: i64, paused: bool) -> Result<(), BackfillError> {
        let Some(dag) = self.core.store.backfill_pause(id, paused).await? else {
            let known = self.core.store.backfill_get(id).await?;
            return Err(known.map_or(BackfillError::NotFound, |_| BackfillError::Completed));
        };
        if !paused {
            starts(&self.core, dag).await;
        }
        Ok(())
    }

    /// Ends a backfill: its runs that have not started are cancelled, those that run go on.
    pub async fn backfill_cancel(&self, id: i64, user: &str) -> Result<(), BackfillError> {
        // Paused, nothing of it starts any more, wherever this ends.
        self.backfill_pause(id, true).await?;
        let cause = format!("backfill cancelled by {user}");
        cancel_queued(&self.core, id, &cause).await?;
        self.core.store.backfill_complete(id).await?;
        // One that was cleared to go again may have come in between; none does any more.
        cancel_queued(&self.core, id, &cause).await
    }
}

/// Runs of the DAG may start, and some may have to be cleared first.
async fn starts(core: &Core, dag: i32) {
    core.timers.notify_one();
    if let Err(TrySendError::Closed(_)) = core.starts.try_send(dag) {
        core.tell(vec![News::Starts(dag)]).await;
    }
}

async fn cancel_queued(core: &Core, id: i64, cause: &str) -> Result<(), BackfillError> {
    loop {
        let queued = core.store.backfill_runs_queued(id).await?;
        if queued.is_empty() {
            return Ok(());
        }
        for run in queued {
            match cancel::cancel(core, run, cause).await {
                Ok(()) | Err(CancelError::Ended(_) | CancelError::NotFound) => {}
                Err(CancelError::Internal(error)) => return Err(error.into()),
            }
        }
    }
}

/// Returns the DAG's and the backfill's number.
async fn create(core: &Core, wanted: &Backfill) -> Result<(i32, i64), BackfillError> {
    let mut tx = core.store.engine_begin().await?;
    let planned = plan(core, &mut tx, wanted).await?;
    let row = NewBackfill {
        dag: planned.dag,
        from_date: wanted.from_date,
        to_date: wanted.to_date,
        conf: wanted.conf.clone(),
        reprocess: wanted.reprocess.as_str(),
        max_active_runs: wanted.max_active_runs,
        triggered_user: wanted.user.clone(),
    };
    let Some(backfill) = tx.backfill_insert(&row).await? else {
        return Err(BackfillError::Unfinished(wanted.dag_id.clone()));
    };
    let (new, again) = rows(wanted, &planned, backfill);
    // One that was made meanwhile is left to whoever made it.
    let made = tx.runs_insert(&new).await?.len();
    tx.outbox_put_all(AGAIN, planned.dag, &again).await?;
    let count = i32::try_from(made + again.len()).unwrap_or(i32::MAX);
    tx.backfills_add(&[(backfill, 0, count)]).await?;
    tx.commit().await?;
    Ok((planned.dag, backfill))
}

/// The runs to make, and what the outbox is to do.
fn rows(wanted: &Backfill, planned: &Planned, backfill: i64) -> (Vec<NewRun>, Vec<Value>) {
    let (mut new, mut again) = (Vec::new(), Vec::new());
    for ((tick, there), place) in planned.runs.iter().zip(1..) {
        if let Some(there) = there {
            again.push(json!(Again { run: there.key.0, backfill, place }));
            continue;
        }
        let trigger = Trigger {
            run_type: RunType::Backfill,
            user: wanted.user.clone(),
            logical_date: Some(tick.logical_date),
            data_interval: Some(tick.interval()),
            run_after: Some(tick.run_after),
            ..Trigger::manual(wanted.dag_id.clone(), "backfill", planned.conf.clone())
        };
        let version = (planned.dag, planned.version);
        let run = new_run(&trigger, version, &planned.plan, planned.now);
        new.push(NewRun { backfill: Some((backfill, place)), ..run });
    }
    (new, again)
}

/// Checks what is asked for, and finds the runs.
async fn plan(
    core: &Core,
    tx: &mut EngineTx<'_>,
    wanted: &Backfill,
) -> Result<Planned, BackfillError> {
    let head = core.store.dag_head(&wanted.dag_id).await?;
    let head = head.ok_or_else(|| BackfillError::DagNotFound(wanted.dag_id.clone()))?;
    if head.is_stale {
        return Err(BackfillError::DagStale(wanted.dag_id.clone()));
    }
    let plan = core.caches.plan(head.dag, head.version).await?;
    let now = tx.now().await?;
    let mut conf = wanted.conf.clone().unwrap_or(Value::Null);
    if let Err(TriggerError::Conf(problem)) = check_conf(&plan, &mut conf) {
        return Err(refused("dag_run_conf", problem));
    }
    check(wanted, &plan, now)?;
    let ticks = ticks(wanted, &plan, head.version_at, now)?;
    let dates: Vec<DateTime<Utc>> = ticks.iter().map(|tick| tick.logical_date).collect();
    let known = tx.runs_at(head.dag, &dates).await?;
    let mut known: HashMap<_, _> = known.into_iter().map(|run| (run.logical_date, run)).collect();
    let mut runs = Vec::new();
    for tick in ticks {
        match known.remove(&tick.logical_date) {
            Some(there) if !wanted.reprocess.takes(there.state) => {}
            there => runs.push((tick, there)),
        }
    }
    if wanted.run_backwards {
        runs.reverse();
    }
    Ok(Planned { dag: head.dag, version: head.version, plan, conf, now, runs })
}

fn check(wanted: &Backfill, plan: &Plan, now: DateTime<Utc>) -> Result<(), BackfillError> {
    if wanted.max_active_runs < 1 {
        return Err(refused("max_active_runs", "is at least 1"));
    }
    if wanted.from_date > wanted.to_date {
        return Err(refused("from_date", "is after `to_date`"));
    }
    if wanted.from_date >= now {
        return Err(refused("from_date", "lies in the future: there is nothing to make up for"));
    }
    if !plan.waits_for_past() {
        return Ok(());
    }
    if wanted.run_backwards {
        let why = "cannot be: the DAG has tasks that wait for the run before (`depends_on_past`)";
        return Err(refused("run_backwards", why));
    }
    if wanted.reprocess == Reprocess::None {
        let why = "is `failed` or `completed` for this DAG: it has tasks that wait for the run \
                   before (`depends_on_past`), and a run that is left out would hold them up";
        return Err(refused("reprocess_behavior", why));
    }
    Ok(())
}

/// The runs of the schedule, the earliest first.
fn ticks(
    wanted: &Backfill,
    plan: &Plan,
    saved: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Tick>, BackfillError> {
    let timetable = Timetable::of(&plan.dag, saved).map_err(anyhow::Error::from)?;
    let span = timetable.as_ref().and_then(|it| it.between(wanted.from_date, wanted.to_date, now));
    let Some(span) = span else {
        let why = format!("`{}` has no schedule of which runs could be made", wanted.dag_id);
        return Err(refused("dag_id", why));
    };
    let ticks: Vec<Tick> = span.take(RUNS_MOST + 1).collect();
    if ticks.is_empty() {
        return Err(refused("to_date", "no run of the schedule lies between the dates and is due"));
    }
    if ticks.len() > RUNS_MOST {
        let why = format!("more than {RUNS_MOST} runs lie between the dates: take a shorter span");
        return Err(refused("to_date", why));
    }
    Ok(ticks)
}

fn refused(field: &'static str, problem: impl Into<String>) -> BackfillError {
    BackfillError::Field { field, problem: problem.into() }
}

/// The run that a row of the outbox is about.
pub(super) fn run_of(payload: &Value) -> anyhow::Result<RunKey> {
    let again = Again::deserialize(payload).context("a backfill names no run")?;
    Ok(RunKey(again.run))
}

/// Lets a locked run that has ended go again for its backfill. If it is gone, or goes already, or the
/// backfill was cancelled, it no longer counts as queued.
pub(super) async fn run_again<'c>(
    core: &'c Core,
    tx: &mut EngineTx<'_>,
    locked: Vec<LockedRun>,
    payload: Value,
) -> anyhow::Result<Work<'c>> {
    let Again { backfill, place, .. } = serde_json::from_value(payload)?;
    let goes_on = tx.backfill_lock(backfill).await?.is_some_and(|load| !load.is_completed);
    if let Some(run) = locked.into_iter().find(|run| goes_on && run.state.is_final()) {
        let (key, dag) = (run.key, run.dag);
        let taken = LockedRun { backfill: Some(backfill), ..run };
        if let Some(mut work) = clear::clear_ended(core, tx, taken).await? {
            tx.run_take(key, backfill, place).await?;
            work.after.dags_waiting.push(dag);
            return Ok(work);
        }
    }
    tx.backfills_add(&[(backfill, 0, -1)]).await?;
    Work::new(core, tx, Vec::new()).await
}
