//! One locked run in a transaction: its counters, and what of it is still to be followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use subak_core::decide::{Ended, Plan, PlanTask, Skips};
use subak_core::ids::{Instance, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::engine::{LockedRun, RunUpdate};

use super::effects::{Doubt, Part};
use super::look::Look;
use super::maps::Maps;
use super::pending::Pending;

/// The work on one run.
pub(super) struct RunWork {
    pub(super) locked: LockedRun,
    pub(super) before: LockedRun,
    pub(super) plan: Arc<Plan>,
    /// The look that is being followed.
    pub(super) look: Look,
    /// Ended since: for the next look.
    pub(super) ended: Vec<Ended>,
    /// What results of this transaction decided about tasks below.
    pub(super) decisions: Vec<(TaskNo, Skips)>,
    /// Tasks that failed in a DAG that fails fast.
    pub(super) failed: Vec<TaskNo>,
    /// Retries that a branch may have decided against.
    pub(super) doubts: Vec<Doubt>,
    /// Tasks to skip before anything is followed.
    pub(super) effects: Vec<Part>,
    /// What transactions before this one have left to others.
    pub(super) pending: Pending,
    pub(super) ready: Vec<Ready>,
    /// May run, and wait for the run before.
    pub(super) past: Vec<Ready>,
    /// A task ended that the next run may wait for.
    pub(super) is_past: bool,
    /// Its mapped tasks.
    pub(super) maps: Maps,
    /// Active instances of mapped tasks that have a limit of their own.
    pub(super) own: BTreeMap<TaskNo, i32>,
    /// Restarting tries ended: counters and frontier are worked out anew.
    pub(super) rebuild: bool,
    /// It had ended: its row is written whatever comes out.
    pub(super) reopened: bool,
}

/// An instance that may run.
pub(super) struct Ready {
    pub(super) at: Instance,
    pub(super) tries: i32,
    pub(super) resets: i32,
}

impl RunWork {
    pub(super) fn new(locked: LockedRun, plan: Arc<Plan>) -> Self {
        let before = locked.clone();
        let maps = Maps::of(&plan);
        Self {
            maps,
            own: BTreeMap::new(),
            locked,
            before,
            plan,
            look: Look::default(),
            ended: Vec::new(),
            decisions: Vec::new(),
            failed: Vec::new(),
            doubts: Vec::new(),
            effects: Vec::new(),
            pending: Pending::default(),
            ready: Vec::new(),
            past: Vec::new(),
            is_past: false,
            rebuild: false,
            reopened: false,
        }
    }

    pub(super) fn end(&mut self, at: Instance, state: FinalState) {
        self.locked.tasks_open -= 1;
        // Its task was cleared above a mark, and it went on: what it did counts once the task is expanded
        // anew, and is not the end of all of it.
        if !self.maps.shape.has(at) {
            return;
        }
        self.maps.shape.ended(at);
        let failed = matches!(state, FinalState::Failed | FinalState::UpstreamFailed);
        let planned = self.plan.task(at.task);
        if failed && planned.is_some_and(|task| task.is_leaf) {
            self.locked.leaves_failed += 1;
        }
        // Of a mapped task all have to end; which are left is counted anew after a clear.
        let map = self.maps.shape.of(at.task);
        let all = self.locked.has_resets || map.instances.is_none_or(|count| map.ended >= count);
        self.is_past |= all && self.tells_of(at.task);
        self.ended.push(Ended::new(at, state));
    }

    /// Whether the next run may wait for the end of a task.
    pub(super) fn tells_of(&self, task: TaskNo) -> bool {
        self.locked.awaited || self.plan.task(task).is_some_and(|task| task.is_past)
    }

    /// Whether the next run may wait for something of this one.
    pub(super) fn tells_the_next(&self) -> bool {
        self.locked.awaited || self.plan.waits_for_past()
    }

    /// Whether the DAG has teardowns that a cancel lets go on.
    pub(super) fn cleans_up(&self) -> bool {
        self.plan.tasks().any(PlanTask::cleans_up)
    }

    /// Whether nothing follows an end any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.locked.cancelled && !self.cleans_up()
    }

    /// Whether the ends so far do something to other tasks at once.
    pub(super) fn has_effects(&self) -> bool {
        let decides = !self.decisions.is_empty() || !self.failed.is_empty();
        decides || !self.doubts.is_empty() || !self.effects.is_empty()
    }

    /// Whether ends are to be followed.
    pub(super) fn has_ends(&self) -> bool {
        !self.ended.is_empty() || !self.look.is_through()
    }

    /// Follows nothing of what has ended.
    pub(super) fn forget_ends(&mut self) {
        self.ended.clear();
        self.look = Look::default();
    }

    /// Places left under `max_active_tasks`; none while the DAG is paused.
    pub(super) fn room(&self) -> i32 {
        if self.locked.is_paused {
            return 0;
        }
        let most = i32::try_from(self.plan.dag.max_active_tasks).unwrap_or(i32::MAX);
        (most - self.locked.tasks_active).max(0)
    }

    /// How many more instances of a task its own limit allows.
    pub(super) fn room_of(&self, task: TaskNo) -> i32 {
        let most = self.plan.task(task).and_then(|task| task.most_of_run);
        let active = self.own.get(&task);
        most.zip(active).map_or(i32::MAX, |(most, active)| (most - active).max(0))
    }

    /// Whether one more instance of a task may be ready, or is held back.
    pub(super) fn admit(&self, task: TaskNo) -> TaskState {
        let room = self.room().min(self.room_of(task));
        if room > 0 { TaskState::Queued } else { TaskState::Scheduled }
    }

    /// So many more instances of a task are active.
    pub(super) fn activate(&mut self, task: TaskNo, more: i32) {
        self.locked.tasks_active += more;
        if let Some(active) = self.own.get_mut(&task) {
            *active += more;
        }
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
            (
                run.state,
                run.tasks_open,
                run.tasks_active,
                run.tasks_held,
                run.leaves_failed,
                run.has_resets,
            )
        };
        (self.reopened || facts(&self.before) != facts(&self.locked)).then_some(RunUpdate {
            key: self.locked.key,
            state: self.locked.state,
            tasks_open: self.locked.tasks_open,
            tasks_active: self.locked.tasks_active,
            tasks_held: self.locked.tasks_held,
            leaves_failed: self.locked.leaves_failed,
            has_resets: self.locked.has_resets,
        })
    }
}
