//! Tasks that wait for the run before theirs (`depends_on_past`, `wait_for_downstream`). A run is never
//! locked for another one: whoever ends a task that the next run may wait for leaves a row in the outbox,
//! and so does whoever begins to wait. The later of the two commits finds both.
//!
//! A mapped task waits as a whole, for all of its instances in the run before, and is expanded then; one
//! that follows others in its group waits index by index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use subak_core::decide::{Past, Plan};
use subak_core::ids::{Instance, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState};
use subak_store::engine::{CurrentTask, EngineTx, PastWait};

use super::maps::begun;
use super::run::Ready;
use super::{Work, key};

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
            Some(before) => {
                let had = self.core.caches.plan(dag, before.version).await?;
                let good = ended_well(tx, before.key, &needed(&plan, &waits)).await?;
                let firsts = self.firsts(tx, run, &had, &waits).await?;
                Some(Standing { good, had, firsts })
            }
            None => None,
        };
        let needed = needed(&plan, &waits);
        let asked: BTreeSet<TaskNo> = waits.iter().map(|wait| wait.key.task).collect();
        let now = tx.tasks_current(run, Some(&Vec::from_iter(asked))).await?;
        let over: BTreeSet<Instance> = now
            .iter()
            .filter(|task| task.ended.is_some() || task.live.is_some())
            .map(|task| task.key.instance())
            .collect();
        let pending = self.pending(tx, run).await?;
        if pending.holds {
            // Whoever works the run out anew lets them wait again.
            return Ok(());
        }
        let (count, mut gone) = (waits.len(), Vec::new());
        for wait in waits.into_iter().filter(|wait| !pending.skips.contains(&wait.key.task)) {
            let (at, tries, resets) = (wait.key.instance(), wait.tries, wait.resets);
            let may_run = past.as_ref().is_none_or(|past| lets_run(&plan, at.task, past));
            if over.contains(&at) || self.run(run).maps.is_decided(at.task) {
                gone.push(at);
            } else if may_run {
                gone.push(at);
                let is_whole = at.map_index.is_none();
                match plan.task(at.task).is_some_and(|task| task.is_mapped() && is_whole) {
                    true => {
                        let begun = begun(at.task, &now);
                        self.map_runs(wait.key, tries, resets, &begun)?;
                    }
                    false => self.task_runs(run, Ready { at, tries, resets })?,
                }
            }
        }
        if let (Some(before), Some(past)) = (before, &past)
            && gone.len() < count
            && !before.awaited
            && !needed.iter().all(|no| past.tells_of(*no))
        {
            // By its own version it would not tell of these ends: it is marked, in a transaction that
            // locks it, and then looked at once more.
            let payload = json!({ "run": run.0, "awaits": before.key.0 });
            tx.outbox_put("past", None, Some(dag), &payload).await?;
            self.after.timer = true;
        }
        Ok(tx.past_gone(dag, run, &gone).await?)
    }

    /// Tasks that wait, do not want to where they are the first, and were in no run before.
    async fn firsts(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        had: &Plan,
        waits: &[PastWait],
    ) -> anyhow::Result<BTreeSet<TaskNo>> {
        let work = self.run(run);
        let (dag, plan) = (work.locked.dag, work.plan.clone());
        let ignores = |no: &TaskNo| {
            had.task(*no).is_none() && plan.task(*no).is_some_and(|task| task.ignores_first)
        };
        let mut firsts: BTreeSet<TaskNo> =
            waits.iter().map(|wait| wait.key.task).filter(ignores).collect();
        if !firsts.is_empty() {
            for version in tx.versions_before(run).await? {
                let had = self.core.caches.plan(dag, version).await?;
                firsts.retain(|no| had.task(*no).is_none());
            }
        }
        Ok(firsts)
    }
}

impl Ready {
    fn of(&self, run: RunKey) -> PastWait {
        PastWait { key: key(run, self.at), tries: self.tries, resets: self.resets }
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

/// Those of some tasks of a run that have ended well: all of their instances, where they are mapped.
async fn ended_well(
    tx: &mut EngineTx<'_>,
    run: RunKey,
    tasks: &[TaskNo],
) -> anyhow::Result<BTreeSet<TaskNo>> {
    let maps = tx.mapped_of(&[run]).await?;
    let counts: BTreeMap<TaskNo, i32> =
        maps.into_iter().filter_map(|(_, task, row)| Some((task, row.instances?))).collect();
    let mut good: BTreeMap<TaskNo, i32> = BTreeMap::new();
    for CurrentTask { key, ended, live, .. } in tx.tasks_current(run, Some(tasks)).await? {
        let is_there = match counts.get(&key.task) {
            Some(count) => (0..*count).contains(&key.map_index.0),
            None => key.map_index.is_none(),
        };
        let is_good = matches!(ended, Some(FinalState::Success | FinalState::Skipped));
        if is_there && is_good && live.is_none() {
            *good.entry(key.task).or_default() += 1;
        }
    }
    let all = |(task, count): &(TaskNo, i32)| counts.get(task).is_none_or(|all| count == all);
    Ok(good.into_iter().filter(all).map(|(task, _)| task).collect())
}

/// How the run before stands.
struct Standing {
    /// Those of the tasks that are asked for which have ended well.
    good: BTreeSet<TaskNo>,
    /// Its version.
    had: Arc<Plan>,
    /// Tasks that no run before had, and that do not wait then.
    firsts: BTreeSet<TaskNo>,
}

impl Standing {
    /// Whether its own version has the end of a task told; one that it does not have never ends.
    fn tells_of(&self, task: TaskNo) -> bool {
        self.had.task(task).is_none_or(|task| task.is_past)
    }
}

/// Whether the run before lets a task run. A task that it did not have does not run, as in Airflow, unless
/// it says so (`ignore_first_depends_on_past`) and no run at all had it; one below it that the run before did
/// not have does not count.
fn lets_run(plan: &Plan, task: TaskNo, before: &Standing) -> bool {
    let Some(task) = plan.task(task) else { return false };
    if before.firsts.contains(&task.no) {
        return true;
    }
    let below = match task.past {
        Past::WithDownstream => task.downstream.as_slice(),
        Past::Itself | Past::Nothing => &[],
    };
    let lets = |task: &TaskNo| before.good.contains(task) || before.had.task(*task).is_none();
    before.good.contains(&task.no) && below.iter().all(lets)
}
