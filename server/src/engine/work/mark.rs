//! Ends task instances as somebody says who knows better.

use subak_core::ids::{RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskEvent, TaskState};
use subak_store::engine::{CurrentTask, Fence, HistoryRow, LiveRow};

use super::Work;
use crate::engine::mark::fence;

impl Work<'_> {
    /// An instance with a locked live row ends; returns its try, if one is to be stopped.
    pub(in crate::engine) fn mark_live(
        &mut self,
        row: &LiveRow,
        state: FinalState,
        cause: &str,
    ) -> anyhow::Result<Option<Fence>> {
        TaskState::on(Some(row.state), TaskEvent::Settled(state))?;
        let (run, task) = (row.key.run, row.key.task);
        self.gone(row);
        let ended = HistoryRow::without_try(row.key, state.into(), row.try_number, row.resets);
        match row.state {
            TaskState::Restarting => {
                // The try's own row is from before the clear: the mark is one of its own.
                self.apply.history.push(of_try(row, TaskState::Restarting, "cleared"));
                let resets = row.resets + 1;
                self.apply.history.push(HistoryRow { resets, ..caused(ended, cause) });
            }
            TaskState::Running => {
                self.apply.history.push(of_try(row, state.into(), cause));
            }
            _ => self.apply.history.push(caused(ended, cause)),
        }
        match row.state {
            TaskState::Running | TaskState::Restarting | TaskState::Queued => {
                self.deactivate(run, row.key.task);
            }
            TaskState::Scheduled if row.waits_pool => self.deactivate(run, row.key.task),
            TaskState::Scheduled => self.run(run).locked.tasks_held -= 1,
            _ => {}
        }
        self.marked(run, task, state, None);
        Ok(fence(row))
    }

    /// An instance that has no live row ends; one that had ended was cleared before.
    pub(in crate::engine) fn mark_idle(
        &mut self,
        task: &CurrentTask,
        state: FinalState,
        cause: &str,
    ) {
        let row = HistoryRow::without_try(task.key, state.into(), task.tries, task.resets);
        self.apply.history.push(caused(row, cause));
        self.marked(task.key.run, task.key.task, state, task.ended);
    }

    /// No instance of a mapped task is made any more: all of them are marked.
    pub(in crate::engine) fn give_up_map(&mut self, run: RunKey, task: TaskNo) {
        self.run(run).maps.give_up(task);
    }

    /// A run that has ended is worked out anew, and ends again in this transaction: it never counts as
    /// active.
    pub(in crate::engine) fn reopen(&mut self, run: RunKey) {
        let work = self.run(run);
        work.locked.state = RunState::Running;
        work.reopened = true;
    }

    /// The run's counters, until it is worked out anew.
    fn marked(&mut self, run: RunKey, task: TaskNo, state: FinalState, before: Option<FinalState>) {
        let failed = |end: FinalState| {
            i32::from(matches!(end, FinalState::Failed | FinalState::UpstreamFailed))
        };
        let work = self.run(run);
        work.locked.tasks_open -= i32::from(before.is_none());
        if work.plan.task(task).is_some_and(|task| task.is_leaf) {
            work.locked.leaves_failed += failed(state) - before.map_or(0, failed);
        }
        work.is_past |= work.tells_of(task);
        self.after.changed.insert(run);
    }
}

fn caused(row: HistoryRow, cause: &str) -> HistoryRow {
    HistoryRow { cause: Some(cause.to_owned()), ..row }
}

/// The end of a try that somebody ended.
fn of_try(row: &LiveRow, state: TaskState, cause: &str) -> HistoryRow {
    HistoryRow {
        token: row.token,
        session: row.session,
        queued_at: Some(row.queued_at),
        started_at: row.started_at,
        ..caused(HistoryRow::without_try(row.key, state, row.try_number, row.resets), cause)
    }
}
