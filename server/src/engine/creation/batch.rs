//! Makes the runs of one batch in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use chrono::TimeDelta;
use serde_json::Value;
use subak_core::decide::Plan;
use subak_core::ids::{DagId, RunKey, check_run_id};
use subak_core::state::RunState;
use subak_core::text;
use subak_store::engine::{EngineSession, EngineTx, NewRun};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::row::Made;
use super::{Trigger, TriggerError, Triggered};
use crate::engine::Core;
use crate::engine::work::{After, Work};

/// The largest conf of a run.
const CONF_BYTES: usize = 256 * 1_024;

/// The longest note, as of one that is changed later.
const NOTE_CHARS_MOST: usize = 1_000;

/// A DAG's number, its newest version and that version's plan.
type Newest = (i32, i32, Arc<Plan>);

/// A request, and whom to answer.
pub(super) struct Pending {
    pub(super) trigger: Trigger,
    /// The run's, known before it is made.
    pub(super) uuid: Uuid,
    pub(super) version: Option<(i32, i32)>,
    pub(super) reply: oneshot::Sender<Result<Triggered, TriggerError>>,
}

/// Makes the runs of a batch and answers each request.
pub(super) async fn create(core: &Core, session: &mut EngineSession, batch: Vec<Pending>) {
    let mut plans: HashMap<DagId, Result<Newest, TriggerError>> = HashMap::new();
    let mut runs = Vec::new();
    for mut pending in batch {
        let dag_id = &pending.trigger.dag_id;
        if !plans.contains_key(dag_id) {
            plans.insert(dag_id.clone(), newest(core, dag_id).await);
        }
        match &plans[dag_id] {
            Ok((dag, version, plan)) => match check(plan, &mut pending.trigger) {
                Ok(()) => {
                    pending.version = Some((*dag, *version));
                    runs.push((pending, plan.clone()));
                }
                Err(error) => drop(pending.reply.send(Err(error))),
            },
            Err(error) => drop(pending.reply.send(Err(error.again()))),
        }
    }
    if runs.is_empty() {
        return;
    }
    insert_and_answer(core, session, runs).await;
}

async fn insert_and_answer(
    core: &Core,
    session: &mut EngineSession,
    runs: Vec<(Pending, Arc<Plan>)>,
) {
    // Two tries: the connection may have been lost between batches.
    let mut made = core.within(insert(core, session, &runs)).await;
    if made.is_err() {
        session.reset();
        made = core.within(insert(core, session, &runs)).await;
    }
    match made {
        Ok((mut made, after)) => {
            core.committed(after).await;
            let mut again = Vec::new();
            for (mut pending, plan) in runs {
                match made.remove(&pending.uuid) {
                    Some(made) => drop(pending.reply.send(Ok(made))),
                    // Another server named a run after the same microsecond.
                    None if pending.trigger.is_unnamed() => {
                        pending.trigger.name_at_random();
                        again.push((pending, plan));
                    }
                    None => {
                        let error = pending.exists();
                        drop(pending.reply.send(Err(error)));
                    }
                }
            }
            if !again.is_empty() {
                Box::pin(insert_and_answer(core, session, again)).await;
            }
        }
        Err(error) => {
            session.reset();
            let text = format!("{error:#}");
            tracing::error!(error = text, "runs could not be made");
            for (pending, _) in runs {
                let error = anyhow::anyhow!("{text}");
                let _ = pending.reply.send(Err(TriggerError::Internal(error)));
            }
        }
    }
}

async fn newest(core: &Core, dag_id: &DagId) -> Result<Newest, TriggerError> {
    let internal = |error: anyhow::Error| TriggerError::Internal(error);
    let head = core.asked(core.store.dag_head(dag_id)).await.map_err(internal)?;
    let head = head.ok_or_else(|| TriggerError::DagNotFound(dag_id.clone()))?;
    if head.is_stale {
        return Err(TriggerError::DagStale(dag_id.clone()));
    }
    let plan = core.within(core.caches.plan(head.dag, head.version)).await.map_err(internal)?;
    Ok((head.dag, head.version, plan))
}

fn check(plan: &Plan, trigger: &mut Trigger) -> Result<(), TriggerError> {
    if let Some(id) = &trigger.run_id {
        let field = |problem| TriggerError::Field { field: "dag_run_id", problem };
        check_run_id(id).map_err(field)?;
    }
    let bad_note =
        |problem: &str| TriggerError::Field { field: "note", problem: problem.to_owned() };
    let note = trigger.note.as_deref().unwrap_or_default();
    if note.contains('\0') {
        return Err(bad_note("the note holds the character NUL, which cannot be kept"));
    }
    if note.chars().count() > NOTE_CHARS_MOST {
        // Every list of runs shows it.
        return Err(bad_note("the note holds more than 1,000 characters"));
    }
    check_conf(plan, &mut trigger.conf)
}

/// A run needs every param that has no default; conf may hold more than params.
pub(in crate::engine) fn check_conf(plan: &Plan, conf: &mut Value) -> Result<(), TriggerError> {
    if conf.is_null() {
        *conf = Value::Object(serde_json::Map::new());
    }
    if !conf.is_object() {
        return Err(TriggerError::Conf("conf must be a JSON object, such as {\"day\": 3}".into()));
    }
    if text::json_has_nul(conf) {
        let problem = "conf holds the character NUL (\\u0000), which cannot be kept";
        return Err(TriggerError::Conf(problem.to_owned()));
    }
    // It travels with every task of the run.
    let bytes = conf.to_string().len();
    if bytes > CONF_BYTES {
        return Err(TriggerError::Conf(format!(
            "conf has {bytes} bytes, more than {} KiB: pass large data by reference, such as a path",
            CONF_BYTES / 1_024
        )));
    }
    match plan.dag.params_with(conf) {
        Ok(_) => Ok(()),
        Err(problems) => Err(TriggerError::Conf(problems.join("; "))),
    }
}

/// Inserts the runs and readies their first tasks.
async fn insert(
    core: &Core,
    session: &mut EngineSession,
    runs: &[(Pending, Arc<Plan>)],
) -> anyhow::Result<(HashMap<Uuid, Triggered>, After)> {
    let mut tx = session.begin().await?;
    let dags: Vec<i32> = runs.iter().filter_map(|(p, _)| p.version).map(|(dag, _)| dag).collect();
    let loads = tx.dag_loads_lock(&dags).await?;
    let mut now = loads.first().context("its DAG was deleted meanwhile")?.now;
    let mut room: BTreeMap<i32, i32> = loads
        .into_iter()
        .map(|load| {
            let free = load.max_active_runs - load.runs_active;
            (load.dag, if load.is_paused || load.runs_queued > 0 { 0 } else { free })
        })
        .collect();
    let mut new = Vec::new();
    for (pending, plan) in runs {
        // Runs without a name are named after their instant: each gets one of its own.
        now += TimeDelta::microseconds(1);
        let (dag, version) = pending.version.expect("set with the plan");
        let left = room.entry(dag).or_default();
        let starts = *left > 0 && pending.trigger.waits_until(now).is_none();
        *left -= i32::from(starts);
        new.push(pending.new_run(dag, version, plan, starts, now));
    }
    let inserted: HashMap<Uuid, RunKey> = tx.runs_insert(&new).await?.into_iter().collect();
    let (mut locked, mut made) = (Vec::new(), HashMap::new());
    for (run, (_, plan)) in new.iter().zip(runs) {
        let Some(key) = inserted.get(&run.uuid) else { continue };
        if run.state == RunState::Running {
            locked.push(run.locked(*key));
        }
        core.caches.remember(run.facts(*key), plan.clone());
        let triggered = Triggered { run: *key, run_id: run.run_id.clone(), state: run.state };
        made.insert(run.uuid, triggered);
    }
    let started: Vec<RunKey> = locked.iter().map(|run| run.key).collect();
    let mut work = Work::new(core, &mut tx, locked).await?;
    settle_started(&mut work, &mut tx, &started).await?;
    let timed = |run: &NewRun| run.timeout_micros.is_some() || run.waits_until.is_some();
    work.after.timer |= new.iter().any(timed);
    Ok((made, finish(tx, work).await?))
}

pub(super) async fn settle_started(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    started: &[RunKey],
) -> anyhow::Result<()> {
    for run in started {
        work.start(*run)?;
    }
    work.settle(tx).await
}

pub(super) async fn finish(tx: EngineTx<'_>, work: Work<'_>) -> anyhow::Result<After> {
    tx.commit().await?;
    Ok(work.into_after())
}
