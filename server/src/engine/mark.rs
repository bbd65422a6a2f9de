//! Marks task instances as ended, whatever they are now: for people who know better. What runs is
//! stopped, what had ended otherwise is cleared first, and what failed for want of it goes on, as in
//! Airflow.

use std::collections::{BTreeMap, BTreeSet};

use subak_core::decide::Plan;
use subak_core::ids::{RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::News;
use subak_store::engine::{CurrentTask, EngineTx, Fence, LiveRow, Reset};
use tokio::sync::mpsc::error::TrySendError;

use super::work::{After, Work, instance};
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
    #[error("task `{0}` is mapped: mapped tasks cannot be marked yet, clear them instead")]
    Mapped(String),
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
        let core = &self.core;
        let cause = format!("marked as {} by {by}", mark.as_str());
        let done =
            core.within(async { Ok(begun(core, run, tasks, mark.state(), &cause).await) }).await?;
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
    marked: BTreeSet<TaskNo>,
    cleared: BTreeSet<TaskNo>,
    /// Nothing of the run is open any more.
    ends: bool,
}

async fn begun(
    core: &Core,
    run: RunKey,
    tasks: Option<&[TaskNo]>,
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
    let chosen = choose(&plan, tasks, &current, state)?;
    let marked = Marked {
        tasks: chosen.marked.iter().copied().collect(),
        cleared: chosen.cleared.iter().copied().collect(),
    };
    // One that was failed by hand, or cancelled, may be marked though its tasks need not be.
    let overrules =
        was_final && before.cancelled && tasks.is_none() && state == FinalState::Success;
    if chosen.marked.is_empty() && !overrules {
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
        let mut stops = Vec::new();
        for row in &live {
            if chosen.marked.contains(&row.key.task) {
                stops.extend(work.mark_live(row, state, cause)?);
            } else if let Some(pool) = &row.pool {
                // Whoever dealt out slots may have passed over it while this held its lock.
                work.deal(pool);
            }
        }
        for task in rest(run, &chosen, &current) {
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
            tx.dag_loads_add(&[(before.dag, 0, 1)]).await?;
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
    plan: &Plan,
    tasks: Option<&[TaskNo]>,
    current: &[CurrentTask],
    state: FinalState,
) -> Result<Chosen, MarkError> {
    let wanted: BTreeSet<TaskNo> = match tasks {
        Some(tasks) => tasks.iter().copied().collect(),
        None => plan.tasks().filter(|task| !task.is_teardown).map(|task| task.no).collect(),
    };
    if let Some(unknown) = wanted.iter().find(|task| plan.task(**task).is_none()) {
        return Err(MarkError::NoTask(unknown.0.to_string()));
    }
    let mut of_task: BTreeMap<TaskNo, Vec<&CurrentTask>> = BTreeMap::new();
    for task in current {
        of_task.entry(task.key.task).or_default().push(task);
    }
    let is_open = |task: &TaskNo| {
        of_task
            .get(task)
            .is_none_or(|all| all.iter().any(|task| task.live.is_some() || task.ended.is_none()))
    };
    let is_it = |task: &TaskNo| {
        !is_open(task) && of_task[task].iter().all(|task| task.ended == Some(state))
    };
    let marked: BTreeSet<TaskNo> = wanted.iter().copied().filter(|task| !is_it(task)).collect();
    let mapped = marked.iter().filter_map(|no| plan.task(*no)).find(|task| task.is_mapped());
    if let Some(task) = mapped {
        return Err(MarkError::Mapped(plan.spec(task).task_id.to_string()));
    }
    let has_failed = |task: &TaskNo| {
        let failed = |task: &&CurrentTask| {
            matches!(task.ended, Some(FinalState::Failed | FinalState::UpstreamFailed))
        };
        of_task.get(task).is_some_and(|all| all.iter().any(failed))
    };
    let below = marked.iter().flat_map(|task| plan.reachable(*task));
    let cleared: BTreeSet<TaskNo> =
        below.filter(|task| !wanted.contains(task) && has_failed(task)).collect();
    let ends = cleared.is_empty()
        && plan.tasks().all(|task| marked.contains(&task.no) || !is_open(&task.no));
    Ok(Chosen { marked, cleared, ends })
}

/// What had ended counts no more. What a marked task has handed on stays.
async fn reset(
    tx: &mut EngineTx<'_>,
    chosen: &Chosen,
    current: &[CurrentTask],
) -> anyhow::Result<()> {
    let of = |tasks: &BTreeSet<TaskNo>| -> Vec<Reset> {
        let ended = current.iter().filter(|task| task.ended.is_some() && task.live.is_none());
        ended
            .filter(|task| tasks.contains(&task.key.task))
            .map(|task| Reset {
                key: task.key,
                tries: task.tries,
                resets: task.resets + 1,
                load_again: false,
            })
            .collect()
    };
    tx.tasks_reset(&of(&chosen.cleared)).await?;
    tx.tasks_reset_marked(&of(&chosen.marked)).await?;
    Ok(())
}

/// Marked instances as they stand after their reset; those of which nothing is known too.
fn rest(run: RunKey, chosen: &Chosen, current: &[CurrentTask]) -> Vec<CurrentTask> {
    let mut all = Vec::new();
    for no in &chosen.marked {
        let mut known = current.iter().filter(|task| task.key.task == *no).peekable();
        if known.peek().is_none() {
            let key = instance(run, *no);
            all.push(CurrentTask { key, ended: None, live: None, tries: 0, resets: 0 });
        }
        all.extend(known.filter(|task| task.live.is_none()).map(|task| CurrentTask {
            resets: task.resets + i32::from(task.ended.is_some()),
            ..*task
        }));
    }
    all
}

/// A try to stop, if a session holds the row.
pub(super) fn fence(row: &LiveRow) -> Option<Fence> {
    Some(Fence { instance: row.key, session: row.session?, token: row.token? })
}
