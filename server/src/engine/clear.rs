//! Clears task instances: what they did no longer counts, and they run again.

use std::collections::BTreeSet;

use subak_core::decide::{Mapped, Plan, PlanTask, Shape};
use subak_core::ids::{Instance, InstanceKey, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::News;
use subak_store::engine::{CurrentTask, EngineTx, Fence, LiveRow, LockedRun, MappedRow, Reset};
use tokio::sync::mpsc::error::TrySendError;

use super::work::{After, Work};
use super::{Core, Engine};

/// Why nothing was cleared.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    #[error("the run does not exist")]
    NotFound,
    #[error("the run has no task `{0}`")]
    NoTask(String),
    #[error("task `{0}` has no instance {1}")]
    NoInstance(String, i32),
    /// Its history was dropped by retention.
    #[error("the history of the run is gone: it cannot be cleared")]
    HistoryGone,
    #[error("the run could not be cleared")]
    Internal(#[from] anyhow::Error),
}

/// What was cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    pub tasks: Vec<TaskNo>,
}

impl Engine {
    /// Clears these tasks of a run (`None`: all of them), together with whatever became
    /// `upstream_failed` below them. An ended run waits for its turn again.
    pub async fn tasks_clear(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
    ) -> Result<Cleared, ClearError> {
        let tasks: Option<Vec<Instance>> = tasks.map(whole);
        self.clear(run, tasks.as_deref(), false).await
    }

    /// Clears these task instances of a run. One with a map index is cleared by itself, and the others
    /// of its task keep what they did.
    pub async fn instances_clear(
        &self,
        run: RunKey,
        instances: &[Instance],
        load_again: bool,
    ) -> Result<Cleared, ClearError> {
        self.clear(run, Some(instances), load_again).await
    }

    /// The same, and rows that these tasks have appended to tables are to be appended once more.
    pub async fn tasks_clear_and_load_again(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
    ) -> Result<Cleared, ClearError> {
        let tasks: Option<Vec<Instance>> = tasks.map(whole);
        self.clear(run, tasks.as_deref(), true).await
    }

    async fn clear(
        &self,
        run: RunKey,
        tasks: Option<&[Instance]>,
        load_again: bool,
    ) -> Result<Cleared, ClearError> {
        let core = &self.core;
        let done = core.within(async { Ok(clear(core, run, tasks, load_again).await) }).await?;
        let Done { cleared, waiting, after, stops } = done?;
        core.committed(after).await;
        core.stop_everywhere(run, &stops, "cleared").await;
        if let Some(dag) = waiting
            && let Err(TrySendError::Closed(_)) = core.starts.try_send(dag)
        {
            core.tell(vec![News::Starts(dag)]).await;
        }
        Ok(cleared)
    }
}

/// Tasks as a whole.
pub(super) fn whole(tasks: &[TaskNo]) -> Vec<Instance> {
    tasks.iter().copied().map(Instance::single).collect()
}

/// Which mapped tasks of a run are expanded.
pub(super) fn shape(plan: &Plan, maps: &[(RunKey, TaskNo, MappedRow)]) -> Shape {
    let mut shape = Shape::of_plan(plan);
    for (_, task, row) in maps {
        let known = shape.of(*task);
        shape.set(*task, Mapped { instances: row.instances, ..known });
    }
    shape
}

/// What is to be cleared.
#[derive(Debug, Default)]
struct Chosen {
    tasks: BTreeSet<TaskNo>,
    /// Of mapped tasks that are not cleared as a whole.
    instances: BTreeSet<Instance>,
}

impl Chosen {
    fn has(&self, key: InstanceKey) -> bool {
        self.tasks.contains(&key.task) || self.instances.contains(&key.instance())
    }

    fn into_tasks(self) -> Vec<TaskNo> {
        let of_instances = self.instances.into_iter().map(|at| at.task);
        let all: BTreeSet<TaskNo> = self.tasks.into_iter().chain(of_instances).collect();
        all.into_iter().collect()
    }
}

/// What is left to be done once a clear is committed.
struct Done {
    cleared: Cleared,
    /// The run's DAG, if the run waits for its turn now.
    waiting: Option<i32>,
    after: After,
    stops: Vec<Fence>,
}

async fn clear(
    core: &Core,
    run: RunKey,
    tasks: Option<&[Instance]>,
    load_again: bool,
) -> Result<Done, ClearError> {
    let internal = |error: subak_store::StoreError| ClearError::Internal(error.into());
    core.caches.warm(&[run]).await?;
    let mut tx = core.store.engine_begin().await.map_err(internal)?;
    // The DAG's load comes last in the order of locks: find its DAG by the run's lock first.
    let mut locked = tx.runs_lock(&[run]).await.map_err(internal)?;
    let Some(before) = locked.first().cloned() else { return Err(ClearError::NotFound) };
    let plan = core.caches.plan(before.dag, before.version).await?;
    let live = tx.live_lock(run).await.map_err(internal)?;
    let current = tx.tasks_current(run, None).await.map_err(internal)?;
    if before.state.is_final() && current.is_empty() && !plan.is_empty() {
        return Err(ClearError::HistoryGone);
    }
    let maps = tx.mapped_of(&[run]).await.map_err(internal)?;
    let runs_apart = |task: &TaskNo| {
        let row = maps.iter().find(|(_, mapped, _)| mapped == task);
        let each = plan.task(*task).is_some_and(PlanTask::counts_each_index);
        row.is_some_and(|(.., row)| match each {
            true => row.instances.is_some(),
            // Without a verdict, but made: cleared ones wait for the run before.
            false => {
                row.verdict == Some(TaskState::Running) || row.verdict.is_none() && row.made > 0
            }
        })
    };
    let shape = shape(&plan, &maps);
    // One may go on of which there is none any more, since its task is expanded anew.
    let is_there = |at: Instance| {
        let named = at.map_index.is_none() || shape.has(at);
        named || current.iter().any(|task| task.key.instance() == at)
    };
    let chosen = choose(&plan, tasks, &current, is_there, runs_apart)?;
    // An ended run is queued again; a running one goes on at once.
    let state = if before.state.is_final() { RunState::Queued } else { before.state };
    let cleared = async {
        let stops = reset(&mut tx, &chosen, &live, &current, load_again).await?;
        let all = Vec::from_iter(chosen.tasks.iter().copied());
        tx.against_drop(run, &all).await?;
        tx.mapped_drop(run, &all).await?;
        if let Some(run) = locked.first_mut() {
            run.has_resets = true;
            run.cancelled = false;
            run.state = state;
        }
        tx.run_reopen(run, state).await?;
        let mut work = Work::new(core, &mut tx, locked).await?;
        work.spare(&mut tx, run, &chosen.tasks).await?;
        for row in &live {
            match chosen.has(row.key) && row.session.is_none() {
                true => work.give_up_slots(row),
                // Whoever dealt out slots may have passed over it while this held its lock.
                false => row.pool.iter().for_each(|pool| work.deal(pool)),
            }
        }
        if state == RunState::Running {
            work.rebuild(run);
        } else {
            // Its counters are worked out anew when it starts.
            work.waits(run, i32::try_from(plan.len()).unwrap_or(i32::MAX));
        }
        work.settle(&mut tx).await?;
        if before.state.is_final() {
            tx.run_waits_again(before.dag, before.backfill).await?;
        }
        tx.commit().await?;
        anyhow::Ok((work.into_after(), stops))
    };
    let (after, stops) = cleared.await?;
    let waiting = (state == RunState::Queued).then_some(before.dag);
    Ok(Done { cleared: Cleared { tasks: chosen.into_tasks() }, waiting, after, stops })
}

/// Clears every task of a locked run that has ended, which waits for its turn then; whose turn it counts
/// against is for the caller. `None`: its history is gone.
pub(super) async fn clear_ended<'c>(
    core: &'c Core,
    tx: &mut EngineTx<'_>,
    mut ended: LockedRun,
) -> anyhow::Result<Option<Work<'c>>> {
    let run = ended.key;
    let plan = core.caches.plan(ended.dag, ended.version).await?;
    let current = tx.tasks_current(run, None).await?;
    if current.is_empty() && !plan.is_empty() {
        return Ok(None);
    }
    let chosen = Chosen { tasks: plan.tasks().map(|task| task.no).collect(), ..Chosen::default() };
    let all = Vec::from_iter(chosen.tasks.iter().copied());
    reset(tx, &chosen, &[], &current, false).await?;
    tx.against_drop(run, &all).await?;
    tx.mapped_drop(run, &all).await?;
    ended.has_resets = true;
    ended.cancelled = false;
    ended.state = RunState::Queued;
    tx.run_reopen(run, RunState::Queued).await?;
    let mut work = Work::new(core, tx, vec![ended]).await?;
    work.spare(tx, run, &chosen.tasks).await?;
    work.waits(run, i32::try_from(plan.len()).unwrap_or(i32::MAX));
    Ok(Some(work))
}

/// The tasks asked for, and those below them that failed only because of an upstream.
fn choose(
    plan: &Plan,
    asked: Option<&[Instance]>,
    current: &[CurrentTask],
    is_there: impl Fn(Instance) -> bool,
    runs_apart: impl Fn(&TaskNo) -> bool,
) -> Result<Chosen, ClearError> {
    let mut chosen = Chosen::default();
    let Some(asked) = asked else {
        chosen.tasks.extend(plan.tasks().map(|task| task.no));
        return Ok(chosen);
    };
    let fell: BTreeSet<Instance> = current
        .iter()
        .filter(|task| task.ended == Some(FinalState::UpstreamFailed))
        .map(|task| task.key.instance())
        .collect();
    let failed_above: BTreeSet<TaskNo> = fell.iter().map(|at| at.task).collect();
    let (mut next, mut apart) = (Vec::new(), Vec::new());
    for at in asked {
        let task = plan.task(at.task).ok_or_else(|| ClearError::NoTask(at.task.0.to_string()))?;
        if !is_there(*at) {
            let task_id = plan.spec(task).task_id.0.clone();
            return Err(ClearError::NoInstance(task_id, at.map_index.0));
        }
        // What a rule settled without a try is judged again as a whole.
        if at.map_index.is_none() || !runs_apart(&at.task) {
            next.push(task.no);
        } else {
            apart.push(*at);
        }
    }
    while let Some(at) = apart.pop() {
        let Some(task) = plan.task(at.task).filter(|_| chosen.instances.insert(at)) else {
            continue;
        };
        for down in judged_by(task).filter(|down| failed_above.contains(down)) {
            let follows = plan.task(*down).is_some_and(|down| down.by_index.contains(&at.task));
            match follows && runs_apart(down) {
                true => apart.extend(fell.get(&Instance { task: *down, ..at })),
                false => next.push(*down),
            }
        }
    }
    while let Some(no) = next.pop() {
        if chosen.tasks.insert(no) {
            let below = plan.task(no).into_iter().flat_map(judged_by);
            next.extend(below.filter(|task| failed_above.contains(task)));
        }
    }
    chosen.instances.retain(|at| !chosen.tasks.contains(&at.task));
    Ok(chosen)
}

/// The tasks that may have failed for want of one: those right below it, those that it guards from further
/// up, and those of a group that is mapped over what it returns.
fn judged_by(task: &PlanTask) -> impl Iterator<Item = &TaskNo> {
    task.downstream.iter().chain(&task.watchers).chain(&task.feeds)
}

/// Writes the marks; returns the tries to stop.
async fn reset(
    tx: &mut EngineTx<'_>,
    chosen: &Chosen,
    live: &[LiveRow],
    current: &[CurrentTask],
    load_again: bool,
) -> anyhow::Result<Vec<Fence>> {
    let resets: Vec<Reset> = current
        .iter()
        .filter(|task| chosen.has(task.key))
        .map(|task| Reset { key: task.key, tries: task.tries, resets: task.resets + 1, load_again })
        .collect();
    tx.tasks_reset(&resets).await?;
    let (mut stops, mut restart, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for row in live.iter().filter(|row| chosen.has(row.key)) {
        if let (Some(session), Some(token)) = (row.session, row.token) {
            restart.push(row.ctid.clone());
            stops.push(Fence { instance: row.key, session, token });
        } else {
            gone.push(row.ctid.clone());
        }
    }
    tx.live_restart(&restart).await?;
    tx.live_drop(&gone).await?;
    Ok(stops)
}
