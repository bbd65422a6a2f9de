//! Tasks that wait for the run before theirs (`depends_on_past`, `wait_for_downstream`). A run is never
//! locked for another one: whoever ends a task that the next run may wait for leaves a row in the outbox,
//! and so does whoever begins to wait. The later of the two commits finds both.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use subak_core::decide::{Past, Plan};
use subak_core::ids::{RunKey, TaskNo};
use subak_core::state::{FinalState, RunState};
use subak_store::engine::{EngineTx, PastWait};

use super::run::Ready;
use super::{Work, instance};

impl Work<'_> {
    /// Keeps what waits for the run before, and has it looked at; has what may wait for the ends of this
    /// transaction looked at.
    pub(super) async fn keep_past(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let touched = self.runs.values().filter(|work| work.is_past || !work.past.is_empty());
        let runs: Vec<RunKey> = touched.map(|work| work.locked.key).collect();
        for run in runs {
            let work = self.run(run);
            let (dag, waits, is_past) =
                (work.locked.dag, std::mem::take(&mut work.past), work.is_past);
            if !waits.is_empty() {
                tx.past_put(dag, &waits.iter().map(|wait| wait.of(run)).collect::<Vec<_>>())
                    .await?;
                tx.outbox_put("past", None, Some(dag), &json!({ "run": run.0 })).await?;
            }
            if is_past {
                tx.outbox_put("past", None, Some(dag), &json!({})).await?;
            }
            self.after.timer = true;
        }
        Ok(())
    }

    /// Looks at what waits in a run: some of it may run now.
    pub(in crate::engine) async fn look_at_past(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
    ) -> anyhow::Result<()> {
        let work = self.run(run);
        let (dag, plan) = (work.locked.dag, work.plan.clone());
        if work.locked.state != RunState::Running || work.is_given_up() {
            return Ok(tx.past_drop(dag, run).await?);
        }
        let waits = tx.past_of(dag, run).await?;
        if waits.is_empty() {
            return Ok(());
        }
        // With catchup Airflow reckons by the schedule's runs only.
        let before = tx.run_before(run, !plan.dag.catchup).await?;
        let past = match before {
            Some(before) => Some(ended(tx, before, &needed(&plan, &waits)).await?),
            None => None,
        };
        let asked: Vec<TaskNo> = waits.iter().map(|wait| wait.key.task).collect();
        let now = tx.tasks_current(run, Some(&asked)).await?;
        let is_over = |task: TaskNo| {
            now.iter().any(|t| t.key.task == task && (t.ended.is_some() || t.live.is_some()))
        };
        let pending = self.pending(tx, run).await?;
        if pending.holds {
            // Whoever works the run out anew lets them wait again.
            return Ok(());
        }
        let mut gone = Vec::new();
        for wait in waits.into_iter().filter(|wait| !pending.skips.contains(&wait.key.task)) {
            let task = wait.key.task;
            let may_run = past.as_ref().is_none_or(|past| lets_run(&plan, task, past));
            if is_over(task) {
                gone.push(task);
            } else if may_run {
                gone.push(task);
                let ready = Ready { at: task.into(), tries: wait.tries, resets: wait.resets };
                self.task_runs(run, ready)?;
            }
        }
        Ok(tx.past_gone(dag, run, &gone).await?)
    }
}

impl Ready {
    fn of(&self, run: RunKey) -> PastWait {
        PastWait { key: instance(run, self.at.task), tries: self.tries, resets: self.resets }
    }
}

/// Every task of the run before whose end somebody waits for.
fn needed(plan: &Plan, waits: &[PastWait]) -> Vec<TaskNo> {
    let tasks = waits.iter().filter_map(|wait| plan.task(wait.key.task));
    let mut needed = BTreeSet::new();
    for task in tasks {
        needed.insert(task.no);
        if task.past == Past::WithDownstream {
            needed.extend(&task.downstream);
        }
    }
    Vec::from_iter(needed)
}

async fn ended(
    tx: &mut EngineTx<'_>,
    run: RunKey,
    tasks: &[TaskNo],
) -> anyhow::Result<BTreeMap<TaskNo, FinalState>> {
    let current = tx.tasks_current(run, Some(tasks)).await?;
    Ok(current.into_iter().filter_map(|task| Some((task.key.task, task.ended?))).collect())
}

/// Whether the run before lets a task run. One that it did not have lets nothing run, as in Airflow.
fn lets_run(plan: &Plan, task: TaskNo, past: &BTreeMap<TaskNo, FinalState>) -> bool {
    let is_good =
        |task: &TaskNo| matches!(past.get(task), Some(FinalState::Success | FinalState::Skipped));
    let Some(task) = plan.task(task) else { return false };
    let below = match task.past {
        Past::WithDownstream => task.downstream.as_slice(),
        Past::Itself | Past::Nothing => &[],
    };
    is_good(&task.no) && below.iter().all(is_good)
}
