//! Makes runs: triggers and ticks, in batches that form by themselves, and starts those that waited.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use subak_core::decide::Plan;
use subak_core::ids::{DagId, RunKey, run_id};
use subak_core::state::{RunState, RunType};
use subak_store::RunFacts;
use subak_store::engine::{EngineSession, EngineTx, LockedRun, NewRun};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::work::{After, Work};
use super::{Core, Engine};

/// Runs that one transaction makes at most.
const BATCH_MOST: usize = 200;

/// Requests that may wait; callers wait beyond it.
const WAITING_MOST: usize = 10_000;

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
    /// Left out: now.
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
    #[error("a run `{run_id}` of DAG `{dag_id}`, or one with its logical date, already exists")]
    Exists { dag_id: DagId, run_id: String },
    /// The message names the param, what is wrong and what is allowed.
    #[error("{0}")]
    Conf(String),
    #[error("the run could not be made")]
    Internal(#[source] anyhow::Error),
}

/// Where runs are asked for.
#[derive(Clone)]
pub(super) struct Creations {
    sender: mpsc::Sender<Pending>,
}

/// A DAG's number, its newest version and that version's plan.
type Newest = (i32, i32, Arc<Plan>);

struct Pending {
    trigger: Trigger,
    /// The run's, known before it is made.
    uuid: Uuid,
    version: Option<(i32, i32)>,
    reply: oneshot::Sender<Result<Triggered, TriggerError>>,
}

impl Engine {
    /// Makes a run; it starts at once unless its DAG is paused or has `max_active_runs` already.
    pub async fn run_trigger(&self, trigger: Trigger) -> Result<Triggered, TriggerError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || TriggerError::Internal(anyhow::anyhow!("the server is stopping"));
        self.creations
            .sender
            .send(Pending { trigger, uuid: Uuid::now_v7(), version: None, reply })
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

pub(super) fn start(
    core: Arc<Core>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
) -> Creations {
    let (sender, waiting) = mpsc::channel(WAITING_MOST);
    tasks.spawn(collect(core, waiting, stop));
    Creations { sender }
}

/// One connection: while a batch commits, the next one collects.
async fn collect(
    core: Arc<Core>,
    mut waiting: mpsc::Receiver<Pending>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut session = EngineSession::new(core.store.clone());
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            got = waiting.recv_many(&mut batch, BATCH_MOST) => if got == 0 { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
        create(&core, &mut session, batch).await;
    }
}

/// Makes the runs of a batch and answers each request.
async fn create(core: &Core, session: &mut EngineSession, batch: Vec<Pending>) {
    let mut plans: HashMap<DagId, Result<Newest, TriggerError>> = HashMap::new();
    let mut runs = Vec::new();
    for mut pending in batch {
        let dag_id = &pending.trigger.dag_id;
        if !plans.contains_key(dag_id) {
            plans.insert(dag_id.clone(), newest(core, dag_id).await);
        }
        match &plans[dag_id] {
            Ok((dag, version, plan)) => match check_conf(plan, &mut pending.trigger.conf) {
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
    let mut made = insert(core, session, &runs).await;
    if made.is_err() {
        session.reset();
        made = insert(core, session, &runs).await;
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

async fn newest(core: &Core, dag_id: &DagId) -> Result<(i32, i32, Arc<Plan>), TriggerError> {
    let internal = |error: anyhow::Error| TriggerError::Internal(error);
    let head = core.store.dag_head(dag_id).await.map_err(|error| internal(error.into()))?;
    let head = head.ok_or_else(|| TriggerError::DagNotFound(dag_id.clone()))?;
    if head.is_stale {
        return Err(TriggerError::DagStale(dag_id.clone()));
    }
    let plan = core.caches.plan(head.dag, head.version).await.map_err(internal)?;
    Ok((head.dag, head.version, plan))
}

/// A run needs every param that has no default; conf may hold more than params.
fn check_conf(plan: &Plan, conf: &mut Value) -> Result<(), TriggerError> {
    if conf.is_null() {
        *conf = Value::Object(serde_json::Map::new());
    }
    if !conf.is_object() {
        return Err(TriggerError::Conf("conf must be a JSON object, such as {\"day\": 3}".into()));
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
    let mut room: BTreeMap<i32, i32> = tx
        .dag_loads_lock(&dags)
        .await?
        .into_iter()
        .map(|load| {
            let free = load.max_active_runs - load.runs_active;
            (load.dag, if load.is_paused || load.runs_queued > 0 { 0 } else { free })
        })
        .collect();
    let mut now = tx.now().await?;
    let mut new = Vec::new();
    for (pending, plan) in runs {
        // Runs without a name are named after their instant: each gets one of its own.
        now += TimeDelta::microseconds(1);
        let (dag, version) = pending.version.expect("set with the plan");
        let left = room.entry(dag).or_default();
        let starts = *left > 0;
        *left -= i32::from(starts);
        new.push(pending.new_run(dag, version, plan, starts, now));
    }
    let inserted: HashMap<Uuid, RunKey> = tx.runs_insert(&new).await?.into_iter().collect();
    let mut loads: BTreeMap<i32, (i32, i32)> = BTreeMap::new();
    let (mut locked, mut made) = (Vec::new(), HashMap::new());
    for (run, (_, plan)) in new.iter().zip(runs) {
        let Some(key) = inserted.get(&run.uuid) else { continue };
        let load = loads.entry(run.dag).or_default();
        if run.state == RunState::Running {
            load.0 += 1;
            locked.push(run.locked(*key));
        } else {
            load.1 += 1;
        }
        core.caches.remember(run.facts(*key), plan.clone());
        let triggered = Triggered { run: *key, run_id: run.run_id.clone(), state: run.state };
        made.insert(run.uuid, triggered);
    }
    loads_add(&mut tx, loads).await?;
    let started: Vec<RunKey> = locked.iter().map(|run| run.key).collect();
    let mut work = Work::new(core, locked).await?;
    let settled = settle_started(&mut work, &mut tx, &started).await;
    work.after.timer = new.iter().any(|run| run.timeout_micros.is_some());
    finish(tx, work, settled).await.map(|after| (made, after))
}

/// Counts runs before they start: one that ends at once is taken off in the same transaction.
async fn loads_add(tx: &mut EngineTx<'_>, loads: BTreeMap<i32, (i32, i32)>) -> anyhow::Result<()> {
    let loads: Vec<_> = loads.into_iter().map(|(dag, (a, q))| (dag, a, q)).collect();
    tx.dag_loads_add(&loads).await?;
    Ok(())
}

async fn settle_started(
    work: &mut Work<'_>,
    tx: &mut EngineTx<'_>,
    started: &[RunKey],
) -> anyhow::Result<()> {
    for run in started {
        work.start(*run)?;
    }
    work.settle(tx).await
}

async fn finish(
    tx: EngineTx<'_>,
    mut work: Work<'_>,
    settled: anyhow::Result<()>,
) -> anyhow::Result<After> {
    let committed: anyhow::Result<()> = async {
        settled?;
        Ok(tx.commit().await?)
    }
    .await;
    match committed {
        Ok(()) => Ok(work.into_after()),
        Err(error) => {
            work.after.handed.clear();
            work.abandon();
            Err(error)
        }
    }
}

/// Starts the oldest queued runs of a DAG, as many as `max_active_runs` allows.
pub(super) async fn start_queued(core: &Core, dag: i32) -> anyhow::Result<()> {
    let mut tx = core.store.engine_begin().await?;
    let Some(load) = tx.dag_loads_lock(&[dag]).await?.pop() else { return Ok(()) };
    let room = (load.max_active_runs - load.runs_active).min(load.runs_queued).min(100);
    if load.is_paused || room <= 0 {
        return Ok(());
    }
    let queued = tx.runs_queued_lock(dag, room).await?;
    let keys: Vec<RunKey> = queued.iter().map(|run| run.key).collect();
    let locked = tx.runs_lock(&keys).await?;
    let mut starting = Vec::new();
    let mut deadlines = Vec::new();
    for mut run in locked {
        let plan = core.caches.plan(run.dag, run.version).await?;
        deadlines.push((run.key, timeout_micros(&plan)));
        run.state = RunState::Running;
        starting.push(run);
    }
    tx.runs_start(&deadlines).await?;
    let count = i32::try_from(starting.len()).unwrap_or(i32::MAX);
    loads_add(&mut tx, BTreeMap::from([(dag, (count, -count))])).await?;
    let fresh: Vec<RunKey> = starting.iter().filter(|r| !r.has_resets).map(|r| r.key).collect();
    let cleared: Vec<RunKey> = starting.iter().filter(|r| r.has_resets).map(|r| r.key).collect();
    let mut work = Work::new(core, starting).await?;
    for run in cleared {
        work.rebuild(run);
    }
    let settled = settle_started(&mut work, &mut tx, &fresh).await;
    // Its deadline may be the earliest timer.
    work.after.timer = true;
    let after = finish(tx, work, settled).await?;
    core.committed(after).await;
    Ok(())
}

fn timeout_micros(plan: &Plan) -> Option<i64> {
    plan.dag.dagrun_timeout.and_then(|timeout| i64::try_from(timeout.as_micros()).ok())
}

impl Pending {
    fn exists(&self) -> TriggerError {
        let trigger = &self.trigger;
        let run_id = trigger.run_id.clone().unwrap_or_else(|| {
            let date = trigger.logical_date.or(trigger.run_after).unwrap_or_default();
            run_id(trigger.run_type.as_str(), date)
        });
        TriggerError::Exists { dag_id: trigger.dag_id.clone(), run_id }
    }

    fn new_run(
        &self,
        dag: i32,
        version: i32,
        plan: &Plan,
        starts: bool,
        now: DateTime<Utc>,
    ) -> NewRun {
        let trigger = &self.trigger;
        let run_after = trigger.run_after.unwrap_or(now);
        let named = match trigger.run_type {
            RunType::Manual => trigger.logical_date.unwrap_or(run_after),
            RunType::Scheduled => run_after,
        };
        let interval =
            trigger.data_interval.or_else(|| trigger.logical_date.map(|date| (date, date)));
        NewRun {
            uuid: self.uuid,
            dag,
            version,
            run_id: trigger
                .run_id
                .clone()
                .unwrap_or_else(|| run_id(trigger.run_type.as_str(), named)),
            run_type: trigger.run_type,
            triggered_by: trigger.triggered_by.clone(),
            triggered_user: trigger.user.clone(),
            state: if starts { RunState::Running } else { RunState::Queued },
            logical_date: trigger.logical_date,
            data_interval_start: interval.map(|(start, _)| start),
            data_interval_end: interval.map(|(_, end)| end),
            run_after,
            conf: trigger.conf.clone(),
            note: trigger.note.clone(),
            timeout_micros: timeout_micros(plan),
            tasks_open: i32::try_from(plan.len()).unwrap_or(i32::MAX),
            tasks_active: 0,
            tasks_held: 0,
        }
    }
}

impl TriggerError {
    /// The same error for another request of the batch.
    fn again(&self) -> Self {
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

    fn is_unnamed(&self) -> bool {
        self.run_id.is_none() && self.logical_date.is_none() && self.run_after.is_none()
    }

    fn name_at_random(&mut self) {
        let id = Uuid::now_v7().simple().to_string();
        self.run_id = Some(format!("{}__{}", self.run_type.as_str(), &id));
    }
}

/// Views of a run that was just made.
trait Made {
    fn locked(&self, key: RunKey) -> LockedRun;
    fn facts(&self, key: RunKey) -> RunFacts;
}

impl Made for NewRun {
    /// Nobody else can see the row yet: it is as good as locked.
    fn locked(&self, key: RunKey) -> LockedRun {
        LockedRun {
            key,
            dag: self.dag,
            version: self.version,
            state: self.state,
            cancelled: false,
            tasks_open: self.tasks_open,
            tasks_active: self.tasks_active,
            tasks_held: self.tasks_held,
            leaves_failed: 0,
            has_resets: false,
        }
    }

    fn facts(&self, key: RunKey) -> RunFacts {
        RunFacts {
            run_key: key.0,
            uuid: self.uuid,
            dag: self.dag,
            version: self.version,
            run_id: self.run_id.clone(),
            run_type: self.run_type.as_str().to_owned(),
            logical_date: self.logical_date,
            data_interval_start: self.data_interval_start,
            data_interval_end: self.data_interval_end,
            run_after: self.run_after,
            conf: self.conf.clone(),
        }
    }
}
