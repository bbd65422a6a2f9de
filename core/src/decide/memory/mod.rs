//! A run in memory: the decisions of this module without a database.
//!
//! `dags test` runs a DAG by it, and the tests hold it against a naive model and against Airflow's
//! own runs. The caller starts what it is told to start and reports how that ended; this keeps the
//! states, the counters and the limit. It knows no clock: the caller waits out retry delays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Ended, Plan, PlanTask, Says, Shape, TryEnd, UpstreamCounts};
use crate::ids::{Instance, TaskNo};
use crate::state::{FinalState, RunState, TaskEvent, TaskState};

mod ends;
mod looks;

/// One run of a plan.
#[derive(Debug)]
pub struct MemoryRun {
    plan: Arc<Plan>,
    shape: Shape,
    instances: BTreeMap<Instance, Standing>,
    joins: BTreeMap<Instance, Join>,
    /// Held back by `max_active_tasks`: the heaviest first, then the one that waits longest.
    held: BTreeSet<(Reverse<i32>, u64, Instance)>,
    held_ever: u64,
    active: u32,
    open: usize,
    leaves_failed: usize,
    /// Mapped tasks that may be expanded now that what they follow index by index was.
    rejudged: Vec<TaskNo>,
    /// Tasks that a branch right above them decided against.
    against: BTreeSet<TaskNo>,
    /// Those of them whose try has failed: they are skipped instead of tried again.
    not_retried: Vec<Instance>,
    /// Nothing starts any more but teardowns of setups.
    cancelled: bool,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOutcome {
    Success,
    /// The task itself asked to be skipped.
    Skipped,
    Failed(TryEnd),
}

/// The end of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub at: Instance,
    pub outcome: TryOutcome,
    /// What the result of a successful one says.
    pub says: Says,
    /// Of a process that failed.
    pub exit_code: Option<i32>,
}

/// What follows from a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Tasks that ended at once, before any look: a branch skips, a failure stops the rest.
    pub effects: Vec<(Instance, FinalState)>,
    /// Those of them that were running: their tries are to be stopped.
    pub stopped: Vec<Instance>,
    /// One entry a level: every task in it was judged by the states before it.
    pub looks: Vec<Look>,
    /// Tasks to hand back to [`MemoryRun::retry_due`] after this delay.
    pub retries: Vec<(Instance, Duration)>,
    /// How the run ended, once no task is open.
    pub run: Option<RunState>,
}

/// What one level started, settled and expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub started: Vec<Start>,
    pub settled: Vec<(Instance, FinalState)>,
    /// Mapped tasks whose length became known, with it.
    pub expanded: Vec<(TaskNo, i32)>,
}

/// A try that the caller is to start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub at: Instance,
    pub try_number: u32,
}

#[derive(Debug, Default)]
struct Standing {
    state: Option<TaskState>,
    tries: u32,
    failed: u32,
    lost: u32,
}

#[derive(Debug, Default)]
struct Join {
    counts: UpstreamCounts,
    decided: bool,
}

impl Report {
    /// The end of a try whose result says nothing about other tasks.
    #[must_use]
    pub fn plain(at: impl Into<Instance>, outcome: TryOutcome) -> Self {
        Self { at: at.into(), outcome, says: Says::default(), exit_code: None }
    }
}

impl Step {
    /// All tries to start, in order.
    pub fn started(&self) -> impl Iterator<Item = Start> + '_ {
        self.looks.iter().flat_map(|look| look.started.iter().copied())
    }

    /// All tasks that rules settled, in order.
    pub fn settled(&self) -> impl Iterator<Item = (Instance, FinalState)> + '_ {
        self.looks.iter().flat_map(|look| look.settled.iter().copied())
    }
}

impl MemoryRun {
    /// Starts a run: every task without upstreams, or with the rule `always`.
    #[must_use]
    pub fn start(plan: Arc<Plan>) -> (Self, Step) {
        let shape = Shape::of_plan(&plan);
        let instances: BTreeMap<Instance, Standing> = plan
            .tasks()
            .flat_map(|task| shape.all(task.no))
            .map(|at| (at, Standing::default()))
            .collect();
        let mut run = Self {
            open: instances.len(),
            plan: plan.clone(),
            shape,
            instances,
            joins: BTreeMap::new(),
            held: BTreeSet::new(),
            held_ever: 0,
            active: 0,
            leaves_failed: 0,
            rejudged: Vec::new(),
            against: BTreeSet::new(),
            not_retried: Vec::new(),
            cancelled: false,
        };
        let look = run.first_look();
        let step = run.follow(look, Step::default());
        (run, step)
    }

    /// Takes note of tries that ended together. `chance`, from 0 to 1, is the jitter of retries. A
    /// report of a try that is no longer running is left alone.
    pub fn ended(&mut self, tries: &[Report], chance: f64) -> Step {
        let mut step = Step::default();
        let mut ends = Vec::new();
        for report in tries {
            self.take_end(report, chance, &mut step, &mut ends);
        }
        let look = self.judge_after(&ends);
        self.follow(look, step)
    }

    /// Starts the next try of a task whose retry delay is over. One that has ended since, because it was
    /// skipped, is left alone.
    pub fn retry_due(&mut self, at: Instance) -> Step {
        let mut look = Look::default();
        if self.state(at) == Some(TaskState::UpForRetry) {
            self.ready(at, &mut look);
        }
        self.follow(look, Step::default())
    }

    /// Lets nothing start any more but teardowns of setups, and skips what does not run, as a cancel of a
    /// run does. What runs is for the caller to stop, but for such teardowns; the run has failed once all
    /// of it has ended.
    pub fn cancel(&mut self) -> Step {
        self.cancelled = true;
        let is_open = |state: Option<TaskState>| {
            state != Some(TaskState::Running) && state.and_then(TaskState::to_final).is_none()
        };
        let idle: Vec<Instance> = self
            .instances()
            .filter(|at| is_open(self.state(*at)) && !self.cleans_up(*at))
            .collect();
        let skipped = FinalState::Skipped;
        let ends: Vec<Ended> = idle.into_iter().filter_map(|at| self.settle(at, skipped)).collect();
        let effects = ends.iter().map(|ended| (ended.at, ended.end)).collect();
        let look = self.judge_after(&ends);
        self.follow(look, Step { effects, ..Step::default() })
    }

    /// The instance's state; `None`: no status yet.
    #[must_use]
    pub fn state(&self, at: impl Into<Instance>) -> Option<TaskState> {
        self.instances.get(&at.into()).and_then(|instance| instance.state)
    }

    /// How many tries the instance has had.
    #[must_use]
    pub fn tries(&self, at: impl Into<Instance>) -> u32 {
        self.instances.get(&at.into()).map_or(0, |instance| instance.tries)
    }

    /// All instances that there are now.
    pub fn instances(&self) -> impl Iterator<Item = Instance> + '_ {
        self.instances.keys().copied()
    }

    /// Which mapped tasks are expanded.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The counters of an instance's upstreams, for an explanation of why it waits.
    #[must_use]
    pub fn upstreams(&self, at: impl Into<Instance>) -> UpstreamCounts {
        let at = at.into();
        let known = self.joins.get(&at).map(|join| join.counts).unwrap_or_default();
        let Some(spec) = self.plan.task(at.task) else { return known };
        self.shape.complete(&self.plan, spec, at.map_index, known)
    }

    /// Whether the run goes on, and if not, how it ended.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        match (self.open, self.leaves_failed) {
            (0, 0) if !self.cancelled => RunState::Success,
            (0, _) => RunState::Failed,
            _ => RunState::Running,
        }
    }

    /// Ends an instance; `None` if it ended so before.
    fn settle(&mut self, at: Instance, end: FinalState) -> Option<Ended> {
        let before = self.state(at).and_then(TaskState::to_final);
        if before == Some(end) {
            return None;
        }
        let overruled = before.is_some();
        if self.state(at) == Some(TaskState::Scheduled) {
            self.held.retain(|(.., held)| *held != at);
        }
        self.standing(at).take(match overruled {
            true => TaskEvent::Overruled,
            false => TaskEvent::Settled(end),
        });
        let failed = |end| matches!(end, FinalState::Failed | FinalState::UpstreamFailed);
        if self.plan.task(at.task).is_some_and(|spec| spec.is_leaf) {
            self.leaves_failed += usize::from(failed(end));
            self.leaves_failed -= usize::from(before.is_some_and(failed));
        }
        if !overruled {
            self.open -= 1;
            self.shape.ended(at);
        }
        Some(Ended { at, end, overruled })
    }

    /// Whether it is a teardown of setups, which a cancel lets go on.
    fn cleans_up(&self, at: Instance) -> bool {
        self.plan.task(at.task).is_some_and(PlanTask::cleans_up)
    }

    fn standing(&mut self, at: Instance) -> &mut Standing {
        self.instances.get_mut(&at).expect("only instances of the run are touched")
    }
}

impl Standing {
    fn take(&mut self, event: TaskEvent) {
        self.state = TaskState::on(self.state, event).expect("the caller keeps to the states");
    }
}

#[cfg(test)]
mod tests;
