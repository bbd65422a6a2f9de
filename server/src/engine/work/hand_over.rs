//! Makes rows of what became ready, and hands over what finds a free slot.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use subak_core::ids::{InstanceKey, RunKey, TaskNo};
use subak_core::state::TaskState;
use subak_store::engine::{EngineTx, LiveNew, Promoted};

use super::run::Ready;
use super::{Work, instance};

/// Ready rows that one transaction claims from the backlog.
const CLAIM_MOST: usize = 100;

impl Work<'_> {
    /// Lets held-back tasks take the places that became free, before new ones do.
    pub(super) async fn promote(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let most: Vec<(RunKey, i32, i32)> = self
            .runs
            .iter()
            .filter(|(_, work)| work.locked.tasks_held > 0)
            .map(|(run, work)| (run, work.room().min(work.locked.tasks_held), &work.locked))
            .filter(|(_, room, _)| *room > 0)
            .map(|(run, room, locked)| (*run, room, locked.tasks_active))
            .collect();
        if most.is_empty() {
            return Ok(());
        }
        let limited = |run: &RunKey| {
            let run = *run;
            let tasks = self.runs[&run].plan.limited().iter();
            Vec::from_iter(tasks.map(move |task| (run, *task)))
        };
        let limited: Vec<(RunKey, TaskNo)> =
            most.iter().flat_map(|(run, ..)| limited(run)).collect();
        let promoted = tx.tasks_promote(&most, &limited).await?;
        self.promoted(promoted);
        for (run, task) in limited {
            let work = self.run(run);
            let room = work.room().min(work.room_of(task)).min(work.locked.tasks_held);
            let active = work.locked.tasks_active;
            if room > 0 {
                let promoted = tx.task_promote(run, task, room, active).await?;
                self.promoted(promoted);
            }
        }
        Ok(())
    }

    /// Held-back tasks became ready.
    fn promoted(&mut self, promoted: Vec<Promoted>) {
        for Promoted { run, task, queue, pool } in promoted {
            let work = self.run(run);
            work.locked.tasks_held -= 1;
            work.activate(task, 1);
            match pool {
                Some(pool) => self.deal(&pool),
                None => drop(self.after.backlog.insert(queue)),
            }
        }
    }

    /// Makes rows of what became ready, heaviest first: handed over at once while a slot here is free
    /// and nothing may be waiting before it.
    pub(super) fn hand_over(&mut self) {
        let mut ready: Vec<(i32, RunKey, Ready)> = Vec::new();
        for (run, work) in &mut self.runs {
            for task in std::mem::take(&mut work.ready) {
                let priority = work.plan.task(task.at.task).map_or(0, |task| task.priority);
                ready.push((priority, *run, task));
            }
        }
        ready.sort_by_key(|(priority, run, task)| (Reverse(*priority), *run, task.at));
        for (priority, run, task) in ready {
            let plan = self.runs[&run].plan.clone();
            let Some(planned) = plan.task(task.at.task) else { continue };
            let pool = planned.pool.as_deref();
            let ahead = self.ahead(run);
            let (state, waits_pool) = self.admit(run, task.at.task, pool);
            let queue = planned.queue.as_ref().to_owned();
            let session = (state == TaskState::Queued).then(|| self.reserve(&queue)).flatten();
            if state == TaskState::Queued && session.is_none() {
                self.after.backlog.insert(queue.clone());
            }
            self.apply.live_new.push(LiveNew {
                key: InstanceKey { map_index: task.at.map_index, ..instance(run, task.at.task) },
                state: if session.is_some() { TaskState::Running } else { state },
                priority,
                queue,
                try_number: task.tries + i32::from(session.is_some()),
                resets: task.resets,
                session,
                pool: pool.map(str::to_owned),
                pool_slots: planned.pool_slots,
                own_pool: planned.own_pool.as_deref().map(str::to_owned),
                waits_pool,
                ahead,
            });
        }
    }

    fn reserve(&mut self, queue: &str) -> Option<i64> {
        if self.after.backlog.contains(queue) || self.core.backlog.is_raised(queue) {
            return None;
        }
        self.slots.take(queue)
    }

    /// Fills free slots from the backlog.
    pub(super) async fn claim(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut queues: BTreeMap<String, Option<u64>> =
            self.after.backlog.iter().map(|queue| (queue.clone(), None)).collect();
        queues.extend(
            self.core.backlog.raised().into_iter().map(|(queue, gen_)| (queue, Some(gen_))),
        );
        for (queue, generation) in queues {
            let slots = &mut self.slots;
            let handed = self.core.claim(tx, &queue, generation, CLAIM_MOST, slots).await?;
            self.after.handed.extend(handed);
        }
        Ok(())
    }
}
