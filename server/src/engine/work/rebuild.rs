//! Works a run out anew from what its tasks are now: after a clear.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use subak_core::decide::{Current, Mapped, Past, Standing, rebuild};
use subak_core::ids::{Instance, RunKey, TaskNo};
use subak_core::state::TaskState;
use subak_store::engine::{CurrentTask, EngineTx, HistoryRow, JoinRow};

use super::cascade::SETTLED_MOST;
use super::run::Ready;
use super::{Work, key};

impl Work<'_> {
    /// Runs of which a cleared try ended: everything is worked out from what the tasks are now.
    pub(super) async fn rebuild_runs(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let runs: Vec<RunKey> =
            self.runs.iter().filter(|(_, work)| work.rebuild).map(|(run, _)| *run).collect();
        if runs.is_empty() {
            return Ok(());
        }
        self.tell_of_tasks(tx).await?;
        // What was gathered so far must be seen by the queries below.
        let apply = std::mem::take(&mut self.apply);
        self.after.ends.add(&apply.history);
        tx.apply(&apply).await?;
        for run in runs {
            self.rebuild_run(tx, run).await?;
        }
        Ok(())
    }

    async fn rebuild_run(&mut self, tx: &mut EngineTx<'_>, run: RunKey) -> anyhow::Result<()> {
        tx.cascade_drop(run).await?;
        if self.rebuilds_later(tx, run).await? {
            return Ok(());
        }
        // Worked out anew, too, where it was found in this transaction.
        let work = self.run(run);
        work.ready.clear();
        work.past.clear();
        let work = &self.runs[&run];
        if work.plan.waits_for_past() {
            tx.past_drop(work.locked.dag, run).await?;
        }
        let tasks = tx.tasks_current(run, None).await?;
        let seeds: HashMap<Instance, (i32, i32)> =
            tasks.iter().map(|task| (task.key.instance(), (task.tries, task.resets))).collect();
        let states: BTreeMap<Instance, Current> = tasks
            .iter()
            .filter_map(|task| {
                let state = match (task.live, task.ended) {
                    (Some(_), _) => Current::Live,
                    (None, Some(end)) => Current::Ended(end),
                    (None, None) => return None,
                };
                Some((task.key.instance(), state))
            })
            .collect();
        let live = |states: &[TaskState]| {
            let count =
                tasks.iter().filter(|t| t.live.is_some_and(|s| states.contains(&s))).count();
            i32::try_from(count).unwrap_or(i32::MAX)
        };
        let room = SETTLED_MOST.saturating_sub(self.settled);
        let against: BTreeSet<TaskNo> = tx.against(run).await?.into_iter().collect();
        self.recount_maps(tx, run, &states).await?;
        let work = self.run(run);
        let plan = work.plan.clone();
        plan.tasks().filter(|it| it.waits_as_one()).for_each(|it| work.maps.wait_again(it.no));
        let apart = plan.tasks().filter(|it| it.counts_each_index());
        apart.for_each(|it| work.maps.judge_again(it.no));
        // What is settled here the next run may wait for.
        work.is_past |= work.tells_the_next();
        let work = &self.runs[&run];
        let decided = work.maps.decided();
        let standing = Standing {
            plan: &work.plan,
            shape: &work.maps.shape,
            current: &states,
            decided: &decided,
            against: &against,
        };
        let rebuilt = rebuild(standing, room);
        self.settled += rebuilt.settled.len();
        if rebuilt.is_partial {
            // From what the tasks are then: nothing of this need be remembered.
            tx.outbox_put("rebuild", Some(run), None, &json!({})).await?;
            self.after.timer = true;
        }
        let joins: Vec<_> = rebuilt
            .joins
            .iter()
            .map(|(at, counts, decided)| JoinRow {
                key: key(run, *at),
                counts: *counts,
                decided: *decided,
            })
            .collect();
        tx.joins_replace(run, &joins).await?;
        let work = self.run(run);
        for (task, count) in &rebuilt.expanded {
            plan.task(*task).iter().for_each(|task| work.maps.let_run(task, *count));
        }
        rebuilt.refused.iter().for_each(|(task, end)| work.maps.refuse(*task, *end));
        work.maps.recount(&states);
        rebuilt.settled.iter().for_each(|(at, _)| work.maps.shape.ended(*at));
        work.locked.tasks_open = rebuilt.open;
        work.locked.leaves_failed = rebuilt.leaves_failed;
        work.locked.tasks_active =
            live(&[TaskState::Queued, TaskState::Running, TaskState::Restarting]);
        work.locked.tasks_held = live(&[TaskState::Scheduled]);
        for (task, active) in &mut work.own {
            let is_active = |other: &&CurrentTask| {
                let held = [TaskState::Queued, TaskState::Running, TaskState::Restarting];
                other.key.task == *task && other.live.is_some_and(|state| held.contains(&state))
            };
            let count = tasks.iter().filter(is_active).count();
            *active = i32::try_from(count).unwrap_or(i32::MAX);
        }
        for (at, state) in rebuilt.settled {
            let (tries, resets) = seeds.get(&at).copied().unwrap_or_default();
            let mut row = HistoryRow::without_try(key(run, at), state.into(), tries, resets);
            row.cause = against.contains(&at.task).then(|| "branch".to_owned());
            self.apply.history.push(row);
        }
        for at in rebuilt.ready {
            let (tries, resets) = seeds.get(&at).copied().unwrap_or_default();
            let ready = Ready { at, tries, resets };
            let work = self.run(run);
            match work.plan.task(at.task).map(|task| task.past) {
                Some(Past::Itself | Past::WithDownstream) => work.past.push(ready),
                Some(Past::Nothing) | None => work.ready.push(ready),
            }
        }
        Ok(())
    }

    /// Counts the instances of mapped tasks anew, and what of them others are mapped over.
    async fn recount_maps(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        states: &BTreeMap<Instance, Current>,
    ) -> anyhow::Result<()> {
        let work = self.run(run);
        work.maps.recount(states);
        let plan = work.plan.clone();
        for task in plan.tasks().filter(|task| task.is_mapped() && !task.feeds.is_empty()) {
            let known = self.run(run).maps.shape.of(task.no);
            if let Some(instances) = known.instances {
                let returned = Some(tx.returned(run, task.no, instances).await?);
                self.run(run).maps.shape.set(task.no, Mapped { returned, ..known });
            }
        }
        Ok(())
    }
}
