//! Follows ends through the graph, one level after another, as Airflow's looks do.

use std::collections::BTreeMap;

use anyhow::Context;
use subak_core::decide::{Ended, Past, PlanTask, UpstreamCounts, Verdict};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{FinalState, TaskEvent, TaskState};
use subak_store::engine::{CurrentTask, EngineTx, HistoryRow, JoinAdd, JoinRow};

use super::maps::begun;
use super::run::Ready;
use super::{Work, instance};

/// Tasks that one transaction settles by rules; the rest of a cascade it leaves in the outbox.
pub(super) const SETTLED_MOST: usize = 1_000;

impl Work<'_> {
    /// One look after another, until nothing changes or enough was settled.
    pub(super) async fn cascade(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        self.find_pending(tx).await?;
        for work in self.runs.values_mut() {
            if work.rebuild || work.is_given_up() || work.pending.holds {
                work.forget_ends();
            }
        }
        loop {
            self.settle_maps(tx).await?;
            let mut room = SETTLED_MOST.saturating_sub(self.settled);
            if room == 0 {
                return self.leave_rest(tx).await;
            }
            let (mut joins, mut overruled) = (Vec::new(), Vec::new());
            let mut judged = Vec::new();
            for (run, work) in &mut self.runs {
                for below in work.look.take(&work.plan, &work.maps.shape, &mut work.ended, room) {
                    let at = below.delta.at;
                    let key = InstanceKey { map_index: at.map_index, ..instance(*run, at.task) };
                    let gained = (key, below.delta.counts);
                    match below.joins {
                        true if below.delta.overruled => overruled.push(gained),
                        true => joins.push(gained),
                        false => judged.push(gained),
                    }
                    room = room.saturating_sub(1);
                }
            }
            if joins.is_empty() && judged.is_empty() && overruled.is_empty() {
                return Ok(());
            }
            // First: what gains something as well is judged by all of it.
            judged.extend(self.count_overruled(tx, overruled, &joins).await?);
            judged.extend(self.count(tx, joins).await?);
            let seeds = self.seeds(tx, &judged).await?;
            for (key, counts) in judged {
                self.judge(key, &counts, &seeds)?;
            }
            self.tell_fed(tx).await?;
        }
    }

    /// What is mapped over a task that ends without a result ends in the same look, by a rule that has
    /// not seen that end.
    async fn tell_fed(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        while !self.unreturned.is_empty() {
            let mut joins: BTreeMap<InstanceKey, UpstreamCounts> = BTreeMap::new();
            let mut judged = Vec::new();
            for (key, end) in std::mem::take(&mut self.unreturned) {
                let work = &self.runs[&key.run];
                let feeds = work.plan.task(key.task).map_or(&[][..], |task| &task.feeds);
                let feeds = feeds.iter().filter_map(|fed| work.plan.task(*fed));
                for fed in feeds.filter(|fed| !fed.starts_with_run()) {
                    let to = instance(key.run, fed.no);
                    if work.maps.is_decided(fed.no) || self.touched.contains(&to) {
                        continue;
                    }
                    let gained = joins.entry(to).or_default();
                    gained.add_source(&Ended::new(key.instance(), end));
                    *gained = work.maps.shape.complete(&work.plan, fed, to.map_index, *gained);
                }
            }
            let several = |key: &InstanceKey, counts: &UpstreamCounts| {
                let task = self.runs[&key.run].plan.task(key.task);
                counts.needed > 1 || task.is_some_and(PlanTask::waits_for_several)
            };
            let (joins, singles): (Vec<_>, Vec<_>) =
                joins.into_iter().partition(|(key, counts)| several(key, counts));
            judged.extend(singles);
            judged.extend(self.count(tx, joins).await?);
            let seeds = self.seeds(tx, &judged).await?;
            for (key, counts) in judged {
                self.judge(key, &counts, &seeds)?;
            }
        }
        Ok(())
    }

    /// Leaves what is left of every look to transactions of their own.
    async fn leave_rest(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        for (run, work) in &mut self.runs {
            if let Some(rest) = work.look.rest(&mut work.ended) {
                tx.outbox_put("cascade", Some(*run), None, &serde_json::to_value(rest)?).await?;
                self.after.timer = true;
            }
        }
        Ok(())
    }

    /// Adds to the counters of joins; returns those that may still be decided.
    async fn count(
        &mut self,
        tx: &mut EngineTx<'_>,
        joins: Vec<(InstanceKey, UpstreamCounts)>,
    ) -> anyhow::Result<Vec<(InstanceKey, UpstreamCounts)>> {
        if joins.is_empty() {
            return Ok(Vec::new());
        }
        let adds: Vec<_> = joins.into_iter().map(|(key, counts)| JoinAdd { key, counts }).collect();
        let rows = tx.joins_add(&adds).await?;
        Ok(self.undecided(rows))
    }

    /// Changes counters by ends that were overruled; returns those that may still be decided.
    async fn count_overruled(
        &mut self,
        tx: &mut EngineTx<'_>,
        changes: Vec<(InstanceKey, UpstreamCounts)>,
        gaining: &[(InstanceKey, UpstreamCounts)],
    ) -> anyhow::Result<Vec<(InstanceKey, UpstreamCounts)>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Vec<_> =
            changes.into_iter().map(|(key, counts)| JoinAdd { key, counts }).collect();
        let mut rows = tx.joins_overrule(&changes).await?;
        rows.retain(|row| !gaining.iter().any(|(key, _)| *key == row.key));
        Ok(self.undecided(rows))
    }

    /// Counters that decide something now.
    fn undecided(&mut self, rows: Vec<JoinRow>) -> Vec<(InstanceKey, UpstreamCounts)> {
        let mut open = Vec::new();
        for row in rows {
            let complete = row.counts.is_complete();
            if complete {
                self.apply.joins_gone.push(row.key);
            }
            if row.decided || self.decided.contains(&row.key) {
                continue;
            }
            let task = self.runs[&row.key.run].plan.task(row.key.task);
            let waits = task.is_none_or(|task| task.judge(&row.counts) == Verdict::Wait);
            if !waits {
                self.decided.insert(row.key);
                if !complete {
                    self.apply.joins_decided.push(row.key);
                }
                open.push((row.key, row.counts));
            }
        }
        open
    }

    /// In runs of which something was cleared, and of tasks in mapped groups: what the tasks about to be
    /// judged are already, and the try numbers they go on from.
    async fn seeds(
        &mut self,
        tx: &mut EngineTx<'_>,
        judged: &[(InstanceKey, UpstreamCounts)],
    ) -> anyhow::Result<BTreeMap<InstanceKey, CurrentTask>> {
        let mut tasks: BTreeMap<RunKey, Vec<TaskNo>> = BTreeMap::new();
        for (key, _) in judged {
            let work = &self.runs[&key.run];
            // What its group is mapped over tells a task more than once, and not by its counters.
            let is_told = work.plan.task(key.task).is_some_and(PlanTask::counts_each_index)
                && key.map_index.is_none();
            if (work.locked.has_resets || is_told) && !work.maps.is_decided(key.task) {
                tasks.entry(key.run).or_default().push(key.task);
            }
        }
        let mut seeds = BTreeMap::new();
        for (run, tasks) in tasks {
            let current = tx.tasks_current(run, Some(&tasks)).await?;
            seeds.extend(current.into_iter().map(|task| (task.key, task)));
        }
        Ok(seeds)
    }

    fn judge(
        &mut self,
        key: InstanceKey,
        counts: &UpstreamCounts,
        seeds: &BTreeMap<InstanceKey, CurrentTask>,
    ) -> anyhow::Result<()> {
        if self.touched.contains(&key) || self.runs[&key.run].maps.is_decided(key.task) {
            return Ok(());
        }
        let seed = seeds.get(&key);
        // A clear of its upstream alone does not start it again.
        if seed.is_some_and(|task| task.ended.is_some() || task.live.is_some()) {
            return Ok(());
        }
        let (tries, resets) = seed.map_or((0, 0), |task| (task.tries, task.resets));
        let work = &self.runs[&key.run];
        let Some(task) = work.plan.task(key.task) else { return Ok(()) };
        // It is to be skipped, by a transaction of its own; or nothing starts here but teardowns.
        if work.pending.skips.contains(&key.task) || work.locked.cancelled && !task.cleans_up() {
            return Ok(());
        }
        let each = work.maps.shape.judges_each(task);
        if each == key.map_index.is_none() {
            // Of instances that are not there yet, or of all of them that are.
            return Ok(());
        }
        let index = |index| InstanceKey { map_index: MapIndex(index), ..key };
        let begun = match !each && task.is_mapped() {
            true => begun(key.task, seeds.range(index(0)..=index(i32::MAX)).map(|(_, it)| it)),
            false => Vec::new(),
        };
        match task.judge(counts) {
            Verdict::Wait => Ok(()),
            Verdict::Run if !each && task.is_mapped() => self.map_ready(key, tries, resets, &begun),
            Verdict::Run => self.task_ready(key, tries, resets),
            Verdict::Settle(state) if !each && work.maps.shape.instances(key.task).is_some() => {
                self.map_settles(key, state, &begun);
                Ok(())
            }
            Verdict::Settle(state) => self.task_settled(key, state, tries, resets),
        }
    }

    /// A task may run; `empty` ones end at once.
    pub(super) fn task_ready(
        &mut self,
        key: InstanceKey,
        tries: i32,
        resets: i32,
    ) -> anyhow::Result<()> {
        let ready = Ready { at: key.instance(), tries, resets };
        let work = self.run(key.run);
        if work.plan.task(key.task).is_some_and(|task| task.past != Past::Nothing) {
            work.past.push(ready);
            self.touched.insert(key);
            return Ok(());
        }
        self.task_runs(key.run, ready)
    }

    /// Nothing of another run holds the task back.
    pub(super) fn task_runs(&mut self, run: RunKey, ready: Ready) -> anyhow::Result<()> {
        let at = ready.at;
        let key = InstanceKey { map_index: at.map_index, ..instance(run, at.task) };
        let work = self.run(run);
        if work.plan.task(at.task).is_some_and(|task| task.is_empty) {
            let (tries, resets) = (ready.tries, ready.resets);
            return self.task_settled(key, FinalState::Success, tries, resets);
        }
        work.ready.push(ready);
        self.touched.insert(key);
        self.after.changed.insert(run);
        Ok(())
    }

    /// A task ends without running.
    pub(super) fn task_settled(
        &mut self,
        key: InstanceKey,
        state: FinalState,
        tries: i32,
        resets: i32,
    ) -> anyhow::Result<()> {
        let state_now = TaskState::on(None, TaskEvent::Settled(state))?
            .context("a settled task has a state")?;
        self.apply.history.push(HistoryRow::without_try(key, state_now, tries, resets));
        self.settled += 1;
        self.ended(key, state);
        let task = self.runs[&key.run].plan.task(key.task);
        let feeds = task.is_some_and(|task| !task.feeds.is_empty());
        if feeds && key.map_index.is_none() && state != FinalState::Success {
            self.unreturned.push((key, state));
        }
        Ok(())
    }
}
