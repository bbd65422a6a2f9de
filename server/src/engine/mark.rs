//! Marks task instances as ended, whatever they are now: for people who know better. What runs is
//! stopped, what had ended otherwise is cleared first, and what failed for want of it goes on, as in
//! Airflow.

use std::collections::{BTreeMap, BTreeSet};

use subak_core::decide::{Plan, Shape};
use subak_core::ids::{Instance, InstanceKey, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::News;
use subak_store::engine::{CurrentTask, EngineTx, Fence, LiveRow, MappedRow, Reset};
use tokio::sync::mpsc::error::TrySendError;

use super::clear::{shape, whole};
use super::work::{After, Work};
use super::{Core, Engine};

/// What people may mark a task instance as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Success,
    Failed,
    Skipped,
}

/// Why nothing was marked.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error("the run does not exist")]
    NotFound,
    #[error("the run has no task `{0}`")]
    NoTask(String),
    /// Its history was dropped by retention.
    #[error("the history of the run is gone: its tasks cannot be marked")]
    HistoryGone,
    #[error("the run is being cancelled: mark its tasks once it has ended")]
    Cancelled,
    #[error("task `{0}` has no instance {1}")]
    NoInstance(String, i32),
    /// What becomes of its instances is not known yet: one alone would be forgotten.
    #[error("the instances of task `{0}` have not begun: mark the whole task, or wait")]
    NotBegun(String),
    #[error("the tasks could not be marked")]
    Internal(#[from] anyhow::Error),
}

/// What a mark changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// Tasks that were not that already.
    pub tasks: Vec<TaskNo>,
    /// Tasks below them that had failed, and are judged again.
    pub cleared: Vec<TaskNo>,
}

impl Mark {
    /// The state that it gives.
    #[must_use]
    pub fn state(self) -> FinalState {
        match self {
            Self::Success => FinalState::Success,
            Self::Failed => FinalState::Failed,
            Self::Skipped => FinalState::Skipped,
        }
    }

    /// Returns the mark of this spelling, Airflow's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Failed, Self::Skipped].into_iter().find(|mark| mark.as_str() == text)
    }

    /// Airflow's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        TaskState::from(self.state()).as_str()
    }
}

impl Engine {
    /// Marks these tasks of a run (`None`: all but teardowns). `by` is shown: who did it.
    pub async fn tasks_mark(
        &self,
        run: RunKey,
        tasks: Option<&[TaskNo]>,
        mark: Mark,
        by: &str,
    ) -> Result<Marked, MarkError> {
        let instances: Option<Vec<Instance>> = tasks.map(whole);
        self.mark(run, instances.as_deref(), mark, by).await
    }

    /// Marks these task instances of a run. One with a map index is marked by itself; without one, all
    /// instances of its task are.
    pub async fn instances_mark(
        &self,
        run: RunKey,
        instances: &[Instance],
        mark: Mark,
        by: &str,
    ) -> Result<Marked, MarkError> {
        self.mark(run, Some(instances), mark, by).await
    }

    async fn mark(
        &self,
        run: RunKey,
        asked: Option<&[Instance]>,
        mark: Mark,
        by: &str,
    ) -> Result<Marked, MarkError> {
        let core = &self.core;
        let cause = format!("marked as {} by {by}", mark.as_str());
        let done =
            core.within(async { Ok(begun(core, run, asked, mark.state(), &cause).await) }).await?;
        let Done { marked, waiting, after, stops } = done?;
        core.committed(after).await;
        core.stop_everywhere(run, &stops, &cause).await;
        if let Some(dag) = waiting
            && let Err(TrySendError::Closed(_)) = core.starts.try_send(dag)
        {
            core.tell(vec![News::Starts(dag)]).await;
        }
        if !marked.tasks.is_empty() {
            tracing::info!(run.key = run.0, tasks = marked.tasks.len(), "{cause}");
        }
        Ok(marked)
    }
}

impl Engine {
    /// Marks a run that has ended as failed; false if it has not ended: then it is to be cancelled.
    pub async fn run_fail(&self, run: RunKey, by: &str) -> anyhow::Result<bool> {
        let core = &self.core;
        let cause = format!("marked as failed by {by}");
        let done = core
            .within(async {
                let mut tx = core.store.engine_begin().await?;
                let locked = tx.runs_lock(&[run]).await?;
                let ended = locked.first().is_some_and(|run| run.state.is_final());
                if ended {
                    tx.run_fail(run, &cause).await?;
                }
                tx.commit().await?;
                Ok(ended)
            })
            .await?;
        core.changed(run);
        Ok(done)
    }
}

/// What is left to be done once a mark is committed.
struct Done {
    marked: Marked,
    /// The run's DAG, if the run waits for its turn now.
    waiting: Option<i32>,
    after: After,
    stops: Vec<Fence>,
}

/// What is to become of a run's tasks.
struct Chosen {
    /// Tasks as a whole, and instances of mapped tasks by themselves.
    marked: BTreeSet<TaskNo>,
    apart: BTreeSet<Instance>,
    cleared: BTreeSet<TaskNo>,
    /// Nothing of the run is open any more.
    ends: bool,
}

impl Chosen {
    fn marks(&self, key: InstanceKey) -> bool {
        self.marked.contains(&key.task) || self.apart.contains(&key.instance())
    }

    /// Tasks of which something is marked.
    fn tasks(&self) -> BTreeSet<TaskNo> {
        self.marked.iter().copied().chain(self.apart.iter().map(|at| at.task)).collect()
    }
}

/// What there is to mark.
struct Before<'a> {
    plan: &'a Plan,
    shape: Shape,
    /// Mapped tasks of whose instances is known what becomes of them.
    begun: BTreeSet<TaskNo>,
    current: BTreeMap<Instance, &'a CurrentTask>,
}

impl<'a> Before<'a> {
    fn new(
        plan: &'a Plan,
        maps: &[(RunKey, TaskNo, MappedRow)],
        current: &'a [CurrentTask],
    ) -> Self {
        let begun = maps.iter().filter(|(.., row)| row.verdict.is_some());
        Self {
            plan,
            shape: shape(plan, maps),
            begun: begun.map(|(_, task, _)| *task).collect(),
            current: current.iter().map(|task| (task.key.instance(), task)).collect(),
        }
    }

    fn is_open(&self, at: Instance) -> bool {
        self.current.get(&at).is_none_or(|task| task.live.is_some() || task.ended.is_none())
    }

    fn is_it(&self, at: Instance, state: FinalState) -> bool {
        !self.is_open(at) && self.current[&at].ended == Some(state)
    }

    fn has_failed(&self, task: TaskNo) -> bool {
        self.shape
            .all(task)
            .filter_map(|at| self.current.get(&at))
            .any(|task| matches!(task.ended, Some(FinalState::Failed | FinalState::UpstreamFailed)))
    }
}

async fn begun(
    core: &Core,
    run: RunKey,
    asked: Option<&[Instance]>,
    state: FinalState,
    cause: &str,
) -> Result<Done, MarkError> {
    let internal = |error: subak_store::StoreError| MarkError::Internal(error.into());
    core.caches.warm(&[run]).await?;
    let mut tx = core.store.engine_begin().await.map_err(internal)?;
    let mut locked = tx.runs_lock(&[run]).await.map_err(internal)?;
    let Some(before) = locked.first().cloned() else { return Err(MarkError::NotFound) };
    let was_final = before.state.is_final();
    if before.cancelled && !was_final {
        return Err(MarkError::Cancelled);
    }
    let plan = core.caches.plan(before.dag, before.version).await?;
    let live = tx.live_lock(run).await.map_err(internal)?;
    let current = tx.tasks_current(run, None).await.map_err(internal)?;
    if was_final && current.is_empty() && !plan.is_empty() {
        return Err(MarkError::HistoryGone);
    }
    let maps = tx.mapped_of(&[run]).await.map_err(internal)?;
    let standing = Before::new(&plan, &maps, &current);
    let chosen = choose(&standing, asked, state)?;
    let marked = Marked {
        tasks: chosen.tasks().into_iter().collect(),
        cleared: chosen.cleared.iter().copied().collect(),
    };
    // One that was failed by hand, or cancelled, may be marked though its tasks need not be.
    let overrules =
        was_final && before.cancelled && asked.is_none() && state == FinalState::Success;
    if marked.tasks.is_empty() && !overrules {
        return Ok(Done { marked, waiting: None, after: After::default(), stops: Vec::new() });
    }
    // An ended run of which something is open again waits for its turn, as after a clear.
    let now = match (was_final, chosen.ends) {
        (true, false) => RunState::Queued,
        (true, true) => RunState::Running,
        (false, _) => before.state,
    };
    let write = async {
        reset(&mut tx, &chosen, &current).await?;
        let cleared = Vec::from_iter(chosen.cleared.iter().copied());
        tx.against_drop(run, &cleared).await?;
        tx.mapped_drop(run, &cleared).await?;
        if let Some(run) = locked.first_mut() {
            run.has_resets = true;
            run.cancelled = false;
            if now == RunState::Queued {
                run.state = now;
            }
        }
        if was_final {
            tx.run_reopen(run, now).await?;
        }
        let mut work = Work::new(core, &mut tx, locked).await?;
        if was_final && now == RunState::Running {
            work.reopen(run);
        }
        let touched: BTreeSet<TaskNo> = chosen.marked.union(&chosen.cleared).copied().collect();
        work.spare(&mut tx, run, &touched).await?;
        for task in chosen.marked.iter().filter(|task| standing.shape.instances(**task).is_some()) {
            work.give_up_map(run, *task);
        }
        let mut stops = Vec::new();
        for row in &live {
            if chosen.marks(row.key) {
                stops.extend(work.mark_live(row, state, cause)?);
            } else if let Some(pool) = &row.pool {
                // Whoever dealt out slots may have passed over it while this held its lock.
                work.deal(pool);
            }
        }
        for task in rest(run, &chosen, &standing) {
            work.mark_idle(&task, state, cause);
        }
        match now {
            RunState::Running => work.rebuild(run),
            // Its counters are worked out anew when it starts.
            _ if was_final => work.waits(run, i32::try_from(plan.len()).unwrap_or(i32::MAX)),
            _ => {}
        }
        work.settle(&mut tx).await?;
        let has_ended = work.locked(run).is_some_and(|run| run.state.is_final());
        anyhow::ensure!(
            has_ended || !was_final || now == RunState::Queued,
            "the run would go on, and was to end"
        );
        if was_final && now == RunState::Queued {
            tx.run_waits_again(before.dag, before.backfill).await?;
        }
        tx.commit().await?;
        anyhow::Ok((work.into_after(), stops))
    };
    let (after, stops) = write.await?;
    let waiting = (now == RunState::Queued).then_some(before.dag);
    Ok(Done { marked, waiting, after, stops })
}

/// The tasks to mark, and those below them that are to be judged again.
fn choose(
    before: &Before<'_>,
    asked: Option<&[Instance]>,
    state: FinalState,
) -> Result<Chosen, MarkError> {
    let plan = before.plan;
    let mut wanted: BTreeSet<TaskNo> = BTreeSet::new();
    let mut apart: BTreeSet<Instance> = BTreeSet::new();
    match asked {
        Some(asked) => asked.iter().for_each(|at| match at.map_index.is_none() {
            true => drop(wanted.insert(at.task)),
            false => drop(apart.insert(*at)),
        }),
        None => wanted.extend(plan.tasks().filter(|task| !task.is_teardown).map(|task| task.no)),
    }
    apart.retain(|at| !wanted.contains(&at.task));
    for no in wanted.iter().copied().chain(apart.iter().map(|at| at.task)) {
        plan.task(no).ok_or_else(|| MarkError::NoTask(no.0.to_string()))?;
    }
    for at in &apart {
        let name =
            || plan.task(at.task).map_or_else(String::new, |it| plan.spec(it).task_id.0.clone());
        let indexes = 0..before.shape.instances(at.task).unwrap_or(0);
        if !indexes.contains(&at.map_index.0) {
            return Err(MarkError::NoInstance(name(), at.map_index.0));
        }
        if !before.begun.contains(&at.task) {
            return Err(MarkError::NotBegun(name()));
        }
    }
    let all = |task: &TaskNo| before.shape.all(*task);
    let marked: BTreeSet<TaskNo> = wanted
        .iter()
        .copied()
        .filter(|task| !all(task).all(|at| before.is_it(at, state)))
        .collect();
    let mapped: BTreeSet<TaskNo> = apart.iter().map(|at| at.task).collect();
    apart.retain(|at| !before.is_it(*at, state));
    let changed = marked.iter().copied().chain(apart.iter().map(|at| at.task));
    let below: BTreeSet<TaskNo> = changed.flat_map(|task| plan.reachable(task)).collect();
    let cleared: BTreeSet<TaskNo> = below
        .into_iter()
        .filter(|task| !wanted.contains(task) && !mapped.contains(task))
        .filter(|task| before.has_failed(*task))
        .collect();
    let has_ended = |at: Instance| apart.contains(&at) || !before.is_open(at);
    let ends = cleared.is_empty()
        && plan.tasks().all(|task| marked.contains(&task.no) || all(&task.no).all(has_ended));
    Ok(Chosen { marked, apart, cleared, ends })
}

/// What had ended counts no more. What a marked task has handed on stays.
async fn reset(
    tx: &mut EngineTx<'_>,
    chosen: &Chosen,
    current: &[CurrentTask],
) -> anyhow::Result<()> {
    let of = |wanted: &dyn Fn(InstanceKey) -> bool| -> Vec<Reset> {
        let ended = current.iter().filter(|task| task.ended.is_some() && task.live.is_none());
        ended
            .filter(|task| wanted(task.key))
            .map(|task| Reset {
                key: task.key,
                tries: task.tries,
                resets: task.resets + 1,
                load_again: false,
            })
            .collect()
    };
    tx.tasks_reset(&of(&|key| chosen.cleared.contains(&key.task))).await?;
    tx.tasks_reset_marked(&of(&|key| chosen.marks(key))).await?;
    Ok(())
}

/// Marked instances as they stand after their reset; those of which nothing is known too.
fn rest(run: RunKey, chosen: &Chosen, before: &Before<'_>) -> Vec<CurrentTask> {
    let whole = chosen.marked.iter().flat_map(|task| before.shape.all(*task));
    let all = whole.chain(chosen.apart.iter().copied());
    let stands = |at: Instance| match before.current.get(&at) {
        None => {
            let key = InstanceKey { run, task: at.task, map_index: at.map_index };
            Some(CurrentTask { key, ended: None, live: None, tries: 0, resets: 0 })
        }
        Some(task) if task.live.is_some() => None,
        Some(task) => {
            Some(CurrentTask { resets: task.resets + i32::from(task.ended.is_some()), ..**task })
        }
    };
    all.filter_map(stands).collect()
}

/// A try to stop, if a session holds the row.
pub(super) fn fence(row: &LiveRow) -> Option<Fence> {
    Some(Fence { instance: row.key, session: row.session?, token: row.token? })
}
