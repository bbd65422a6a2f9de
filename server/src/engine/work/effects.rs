//! What an end does to other tasks at once, before any look: a branch skips what it does not follow,
//! and in a DAG that fails fast a failure stops everything but teardowns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use subak_core::decide::{Ended, Kind, Says, Skips};
use subak_core::ids::{Instance, InstanceKey, RunKey, TaskNo};
use subak_core::state::{FinalState, TaskEvent, TaskState};
use subak_store::engine::{CurrentTask, EngineTx, Fence, HistoryRow, LiveRow};

use super::cascade::SETTLED_MOST;
use super::{Work, instance};

/// Tasks that are skipped, if they have not ended or started by themselves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) tasks: Vec<TaskNo>,
    cause: Cause,
}

/// Why tasks are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Branch,
    /// What runs is stopped, too.
    FailFast,
}

/// What became of a task with a live row that is to be skipped.
enum Way {
    /// It runs, and goes on.
    Runs,
    /// It has ended, and its row goes.
    Ended,
    /// Its row goes: it is skipped like one that has none.
    Free,
}

/// A try that failed and would be tried again, if no branch has decided against its task.
#[derive(Debug)]
pub(super) struct Doubt {
    key: InstanceKey,
    ctid: String,
    resets: i32,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::FailFast => "fail_fast",
        }
    }
}

impl Work<'_> {
    /// An instance has succeeded, and its result may decide about tasks below it.
    pub(in crate::engine) fn says(&mut self, key: InstanceKey, says: Says) {
        let work = self.run(key.run);
        work.maps.shape.returned(&work.plan, key.instance(), says.returned);
        if says.skips != Skips::None {
            work.decisions.push((key.task, says.skips));
        }
    }

    /// A task has failed: in a DAG that fails fast that stops the others.
    pub(in crate::engine) fn fails(&mut self, run: RunKey, task: TaskNo) {
        let work = self.run(run);
        if work.plan.dag.fail_fast {
            work.failed.push(task);
        }
    }

    /// A failed try is to be followed by another one. A branch above may have decided against it.
    pub(in crate::engine) fn retries(&mut self, live: &LiveRow) {
        let work = self.run(live.key.run);
        let decides = |up: &TaskNo| work.plan.task(*up).is_some_and(|up| up.kind != Kind::Plain);
        let task = work.plan.task(live.key.task);
        if work.locked.has_resets && task.is_some_and(|task| task.upstream.iter().any(decides)) {
            let (key, ctid, resets) = (live.key, live.ctid.clone(), live.resets);
            work.doubts.push(Doubt { key, ctid, resets });
        }
    }

    /// Does what the ends of this transaction do to other tasks at once, and goes on with what another
    /// one left of that.
    pub(super) async fn take_effect(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let touched = self.runs.iter().filter(|(_, work)| work.has_effects());
        let runs: Vec<RunKey> = touched.map(|(run, _)| *run).collect();
        for run in runs {
            let work = self.run(run);
            let (doubts, decisions) =
                (std::mem::take(&mut work.doubts), std::mem::take(&mut work.decisions));
            let failed = std::mem::take(&mut work.failed);
            let is_cancelled = work.locked.cancelled;
            self.give_up(tx, run, doubts).await?;
            if is_cancelled {
                continue;
            }
            for (task, skips) in decisions {
                let plan = self.run(run).plan.clone();
                let skipped = plan.skipped_by(task, &skips);
                let below = plan.task(task).map_or(&[][..], |task| &task.downstream);
                let against: Vec<TaskNo> =
                    below.iter().copied().filter(|down| skipped.contains(down)).collect();
                tx.against_put(run, task, &against).await?;
                self.make_way(tx, run, skipped, Cause::Branch).await?;
            }
            if let Some(failed) = failed.first() {
                let plan = self.run(run).plan.clone();
                let rest = plan.tasks().filter(|task| task.no != *failed && !task.is_teardown);
                self.make_way(tx, run, rest.map(|task| task.no).collect(), Cause::FailFast).await?;
            }
            self.skip_some(tx, run).await?;
        }
        Ok(())
    }

    /// Skips tasks whose try failed after a branch had decided against them.
    async fn give_up(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        doubts: Vec<Doubt>,
    ) -> anyhow::Result<()> {
        if doubts.is_empty() {
            return Ok(());
        }
        let against: BTreeSet<TaskNo> = tx.against(run).await?.into_iter().collect();
        for doubt in doubts.into_iter().filter(|doubt| against.contains(&doubt.key.task)) {
            if let Some(tries) = self.take_retry(run, &doubt.ctid) {
                self.apply.live_gone.push(doubt.ctid);
                self.skip_one(doubt.key, tries, doubt.resets, Cause::Branch)?;
            }
        }
        Ok(())
    }

    /// Decides that tasks are skipped, whatever they wait for: none of them starts any more. Those that
    /// run are spared, or stopped.
    async fn make_way(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        tasks: BTreeSet<TaskNo>,
        cause: Cause,
    ) -> anyhow::Result<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut tasks = Vec::from_iter(tasks);
        // Claims take no run lock: this waits for them, and then sees what they took.
        let live = tx.live_lock_tasks(run, &tasks).await?;
        let mut known: BTreeSet<Instance> =
            self.run(run).ended.iter().map(|ended| ended.at).collect();
        // At once: places that become free are given to rows that are held back.
        let mut gone = Vec::new();
        for row in live {
            let at = row.key.instance();
            if known.contains(&at) {
                continue;
            }
            let ctid = row.ctid.clone();
            match self.make_way_of(run, &row, cause)? {
                Way::Runs => drop(known.insert(at)),
                Way::Ended => {
                    known.insert(at);
                    gone.push(ctid);
                }
                Way::Free => gone.push(ctid),
            }
        }
        tx.live_drop(&gone).await?;
        tasks.retain(|task| !known.contains(&Instance::single(*task)));
        let work = self.run(run);
        tasks.iter().for_each(|task| work.maps.give_up(*task));
        // From now on what is to be judged may have ended before.
        work.locked.has_resets = true;
        work.effects.push(Part { tasks, cause });
        Ok(())
    }

    /// Takes an instance with a live row back, unless it runs.
    fn make_way_of(&mut self, run: RunKey, row: &LiveRow, cause: Cause) -> anyhow::Result<Way> {
        if let Some(tries) = self.take_retry(run, &row.ctid) {
            // Its slots were given up with the try.
            self.skip_one(row.key, tries, row.resets, cause)?;
            return Ok(Way::Ended);
        }
        match row.state {
            TaskState::Running if cause == Cause::FailFast => {
                self.stop(run, row, cause)?;
                return Ok(Way::Ended);
            }
            TaskState::Running | TaskState::Restarting => return Ok(Way::Runs),
            TaskState::Queued => self.deactivate(run, row.key.task),
            TaskState::Scheduled if row.waits_pool => self.deactivate(run, row.key.task),
            TaskState::Scheduled => self.run(run).locked.tasks_held -= 1,
            _ => {}
        }
        self.give_up_slots(row);
        Ok(Way::Free)
    }

    /// Skips as many of these tasks as this transaction may settle.
    async fn skip_some(&mut self, tx: &mut EngineTx<'_>, run: RunKey) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        for Part { tasks, cause } in std::mem::take(&mut self.run(run).effects) {
            let tasks = self.skip(tx, run, tasks, cause).await?;
            if !tasks.is_empty() {
                rest.push(Part { tasks, cause });
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.leave_effects(tx, run, rest).await
    }

    /// Skips tasks that have not ended; returns those that are too many.
    async fn skip(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        tasks: Vec<TaskNo>,
        cause: Cause,
    ) -> anyhow::Result<Vec<TaskNo>> {
        let current = tx.tasks_current(run, Some(&tasks)).await?;
        let current: BTreeMap<Instance, CurrentTask> =
            current.into_iter().map(|task| (task.key.instance(), task)).collect();
        let work = self.run(run);
        let ended: BTreeSet<Instance> = work.ended.iter().map(|ended| ended.at).collect();
        let all: Vec<Instance> =
            tasks.into_iter().flat_map(|task| work.maps.shape.all(task)).collect();
        let mut rest: Vec<TaskNo> = Vec::new();
        for at in all.into_iter().filter(|at| !ended.contains(at)) {
            let key = InstanceKey { map_index: at.map_index, ..instance(run, at.task) };
            let task = current.get(&at);
            let end = task.and_then(|task| task.ended);
            let stands = task.is_some_and(|task| task.live.is_some())
                || end.is_some_and(|end| end != FinalState::UpstreamFailed);
            if stands {
                continue;
            }
            if self.settled >= SETTLED_MOST {
                if rest.last() != Some(&at.task) {
                    rest.push(at.task);
                }
                continue;
            }
            self.settled += 1;
            if end.is_some() {
                self.overrule(key)?;
            } else {
                let (tries, resets) = task.map_or((0, 0), |task| (task.tries, task.resets));
                self.skip_one(key, tries, resets, cause)?;
            }
        }
        Ok(rest)
    }

    /// A running try fails at once; its worker is told to end it, and what it reports comes late.
    fn stop(&mut self, run: RunKey, row: &LiveRow, cause: Cause) -> anyhow::Result<()> {
        TaskState::on(Some(row.state), TaskEvent::Settled(FinalState::Failed))?;
        self.give_up_slots(row);
        if let (Some(session), Some(token)) = (row.session, row.token) {
            let fence = Fence { instance: row.key, session, token };
            self.after.stops.entry(run).or_default().push(fence);
        }
        self.apply.history.push(HistoryRow {
            token: row.token,
            session: row.session,
            queued_at: Some(row.queued_at),
            started_at: row.started_at,
            cause: Some(cause.as_str().to_owned()),
            error: Some("stopped: another task failed, and the DAG fails fast".to_owned()),
            ..HistoryRow::without_try(row.key, TaskState::Failed, row.try_number, row.resets)
        });
        self.deactivate(run, row.key.task);
        self.ended(row.key, FinalState::Failed);
        Ok(())
    }

    fn skip_one(
        &mut self,
        key: InstanceKey,
        tries: i32,
        resets: i32,
        cause: Cause,
    ) -> anyhow::Result<()> {
        let mut row = HistoryRow::without_try(key, TaskState::Skipped, tries, resets);
        row.cause = Some(cause.as_str().to_owned());
        self.apply.history.push(row);
        self.ended(key, FinalState::Skipped);
        Ok(())
    }

    /// What an upstream had failed is skipped after all.
    fn overrule(&mut self, key: InstanceKey) -> anyhow::Result<()> {
        TaskState::on(Some(TaskState::UpstreamFailed), TaskEvent::Overruled)?;
        self.apply.overruled.push(key);
        let work = self.run(key.run);
        if work.plan.task(key.task).is_some_and(|task| task.is_leaf) {
            work.locked.leaves_failed -= 1;
        }
        // A skip lets the next run go on.
        work.is_past |= work.tells_of(key.task);
        let ended = Ended::new(key.instance(), FinalState::Skipped);
        work.ended.push(Ended { overruled: true, ..ended });
        self.touched.insert(key);
        Ok(())
    }

    /// Takes a retry of this transaction back; returns the number of its last try.
    fn take_retry(&mut self, run: RunKey, ctid: &str) -> Option<i32> {
        let place = self.apply.live_retry.iter().position(|retry| retry.ctid == ctid)?;
        let retry = self.apply.live_retry.swap_remove(place);
        let work = self.run(run);
        match retry.state {
            TaskState::Queued => work.activate(retry.task, -1),
            TaskState::Scheduled if retry.waits_pool => work.activate(retry.task, -1),
            TaskState::Scheduled => work.locked.tasks_held -= 1,
            _ => {}
        }
        Some(retry.try_number)
    }
}
