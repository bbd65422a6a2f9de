//! One locked run in a transaction: its counters, and what of it is still to be followed.

use std::sync::Arc;

use subak_core::decide::{Ended, Plan};
use subak_core::ids::TaskNo;
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::engine::{LockedRun, RunUpdate};

use super::look::Look;

/// The work on one run.
pub(super) struct RunWork {
    pub(super) locked: LockedRun,
    pub(super) before: LockedRun,
    pub(super) plan: Arc<Plan>,
    /// The look that is being followed.
    pub(super) look: Look,
    /// Ended since: for the next look.
    pub(super) ended: Vec<Ended>,
    pub(super) ready: Vec<Ready>,
    /// Restarting tries ended: counters and frontier are worked out anew.
    pub(super) rebuild: bool,
}

/// A task that may run.
pub(super) struct Ready {
    pub(super) task: TaskNo,
    pub(super) tries: i32,
    pub(super) resets: i32,
}

impl RunWork {
    pub(super) fn new(locked: LockedRun, plan: Arc<Plan>) -> Self {
        let before = locked.clone();
        let look = Look::default();
        Self { locked, before, plan, look, ended: Vec::new(), ready: Vec::new(), rebuild: false }
    }

    pub(super) fn end(&mut self, task: TaskNo, state: FinalState) {
        self.locked.tasks_open -= 1;
        let failed = matches!(state, FinalState::Failed | FinalState::UpstreamFailed);
        if failed && self.plan.task(task).is_some_and(|task| task.is_leaf) {
            self.locked.leaves_failed += 1;
        }
        self.ended.push(Ended::new(task, state));
    }

    /// Places left under `max_active_tasks`.
    pub(super) fn room(&self) -> i32 {
        let most = i32::try_from(self.plan.dag.max_active_tasks).unwrap_or(i32::MAX);
        (most - self.locked.tasks_active).max(0)
    }

    /// Whether one more task may be ready, or is held back.
    pub(super) fn admit(&self) -> TaskState {
        if self.room() > 0 { TaskState::Queued } else { TaskState::Scheduled }
    }

    pub(super) fn finish(&mut self) {
        let run = &mut self.locked;
        let is_going = run.state == RunState::Running || run.cancelled && !run.state.is_final();
        if is_going && run.tasks_open == 0 {
            let failed = run.cancelled || run.leaves_failed > 0;
            run.state = if failed { RunState::Failed } else { RunState::Success };
        }
    }

    pub(super) fn update(&self) -> Option<RunUpdate> {
        let facts = |run: &LockedRun| {
            (run.state, run.tasks_open, run.tasks_active, run.tasks_held, run.leaves_failed)
        };
        (facts(&self.before) != facts(&self.locked)).then_some(RunUpdate {
            key: self.locked.key,
            state: self.locked.state,
            tasks_open: self.locked.tasks_open,
            tasks_active: self.locked.tasks_active,
            tasks_held: self.locked.tasks_held,
            leaves_failed: self.locked.leaves_failed,
        })
    }
}
