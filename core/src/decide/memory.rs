//! A run in memory: the decisions of this module without a database.
//!
//! `dags test` runs a DAG by it, and the tests hold it against a naive model and against Airflow's
//! own runs. The caller starts what it is told to start and reports how that ended; this keeps the
//! states, the counters and the limit. It knows no clock: the caller waits out retry delays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Deltas, Plan, TryEnd, UpstreamCounts, Verdict, after_failure, judge};
use crate::ids::TaskNo;
use crate::state::{FinalState, RunState, TaskEvent, TaskState};

/// One run of a plan.
#[derive(Debug)]
pub struct MemoryRun {
    plan: Arc<Plan>,
    tasks: BTreeMap<TaskNo, Instance>,
    joins: BTreeMap<TaskNo, Join>,
    /// Held back by `max_active_tasks`: the heaviest first, then the one that waits longest.
    held: BTreeSet<(Reverse<i32>, u64, TaskNo)>,
    held_ever: u64,
    active: u32,
    open: usize,
    leaf_failed: bool,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOutcome {
    Success,
    /// The task itself asked to be skipped.
    Skipped,
    Failed(TryEnd),
}

/// What follows from a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// One entry a level: every task in it was judged by the states before it.
    pub looks: Vec<Look>,
    /// Tasks to hand back to [`MemoryRun::retry_due`] after this delay.
    pub retries: Vec<(TaskNo, Duration)>,
    /// How the run ended, once no task is open.
    pub run: Option<RunState>,
}

/// What one level started and settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub started: Vec<Start>,
    pub settled: Vec<(TaskNo, FinalState)>,
}

/// A try that the caller is to start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub task: TaskNo,
    pub try_number: u32,
}

#[derive(Debug, Default)]
struct Instance {
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

impl Step {
    /// All tries to start, in order.
    pub fn started(&self) -> impl Iterator<Item = Start> + '_ {
        self.looks.iter().flat_map(|look| look.started.iter().copied())
    }

    /// All tasks that rules settled, in order.
    pub fn settled(&self) -> impl Iterator<Item = (TaskNo, FinalState)> + '_ {
        self.looks.iter().flat_map(|look| look.settled.iter().copied())
    }
}

impl MemoryRun {
    /// Starts a run: every task without upstreams, or with the rule `always`.
    #[must_use]
    pub fn start(plan: Arc<Plan>) -> (Self, Step) {
        let tasks = plan.tasks().map(|task| (task.no, Instance::default())).collect();
        let mut run = Self {
            open: plan.len(),
            plan: plan.clone(),
            tasks,
            joins: BTreeMap::new(),
            held: BTreeSet::new(),
            held_ever: 0,
            active: 0,
            leaf_failed: false,
        };
        let mut look = Look::default();
        for task in plan.tasks().filter(|task| task.starts_with_run()) {
            run.ready(task.no, &mut look);
        }
        let step = run.follow(look, Vec::new());
        (run, step)
    }

    /// Takes note of tries that ended together. `chance`, from 0 to 1, is the jitter of retries.
    ///
    /// # Panics
    /// If one of the tasks is not running.
    pub fn ended(&mut self, tries: &[(TaskNo, TryOutcome)], chance: f64) -> Step {
        let (mut ends, mut retries) = (Vec::new(), Vec::new());
        for &(task, outcome) in tries {
            self.active -= 1;
            match self.end_of(task, outcome, chance) {
                Ok(end) => ends.push((task, end)),
                Err(delay) => retries.push((task, delay)),
            }
        }
        for &(task, end) in &ends {
            self.settle(task, end);
        }
        let look = self.judge_after(&ends);
        self.follow(look, retries)
    }

    /// Starts the next try of a task whose retry delay is over.
    ///
    /// # Panics
    /// If the task does not wait for a retry.
    pub fn retry_due(&mut self, task: TaskNo) -> Step {
        let mut look = Look::default();
        self.ready(task, &mut look);
        self.follow(look, Vec::new())
    }

    /// The task's state; `None`: no status yet.
    #[must_use]
    pub fn state(&self, task: TaskNo) -> Option<TaskState> {
        self.tasks.get(&task).and_then(|instance| instance.state)
    }

    /// How many tries the task has had.
    #[must_use]
    pub fn tries(&self, task: TaskNo) -> u32 {
        self.tasks.get(&task).map_or(0, |instance| instance.tries)
    }

    /// The counters of a task's upstreams, for an explanation of why it waits.
    #[must_use]
    pub fn upstreams(&self, task: TaskNo) -> UpstreamCounts {
        let spec = self.plan.task(task);
        self.joins.get(&task).map_or_else(
            || UpstreamCounts {
                needed: spec.map_or(0, |spec| spec.needed),
                setups: spec.map_or(0, |spec| spec.setups),
                ..UpstreamCounts::default()
            },
            |join| join.counts,
        )
    }

    /// Whether the run goes on, and if not, how it ended.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        match (self.open, self.leaf_failed) {
            (0, false) => RunState::Success,
            (0, true) => RunState::Failed,
            _ => RunState::Running,
        }
    }

    /// The final state that an ended try gives its task, or the delay before the next try.
    fn end_of(
        &mut self,
        task: TaskNo,
        outcome: TryOutcome,
        chance: f64,
    ) -> Result<FinalState, Duration> {
        let end = match outcome {
            TryOutcome::Success => return Ok(FinalState::Success),
            TryOutcome::Skipped => return Ok(FinalState::Skipped),
            TryOutcome::Failed(end) => end,
        };
        let policy = &self.plan.task(task).expect("a running task is of the plan").retry;
        let instance = self.tasks.get_mut(&task).expect("a running task is of the plan");
        match end {
            TryEnd::WorkerLost => instance.lost += 1,
            TryEnd::Transient | TryEnd::Permanent => instance.failed += 1,
        }
        match after_failure(policy, end, instance.failed, instance.lost, chance) {
            Some(delay) => {
                instance.take(TaskEvent::RetryLater);
                Err(delay)
            }
            None => Ok(FinalState::Failed),
        }
    }

    /// Settles level after level, then lets held tasks go and sees whether the run has ended.
    fn follow(&mut self, first: Look, retries: Vec<(TaskNo, Duration)>) -> Step {
        let mut step = Step { retries, ..Step::default() };
        let mut look = first;
        while look != Look::default() {
            for &(task, end) in &look.settled {
                self.settle(task, end);
            }
            let next = self.judge_after(&look.settled);
            step.looks.push(std::mem::replace(&mut look, next));
        }
        self.let_go(&mut step);
        step.run = Some(self.run_state()).filter(|state| state.is_final());
        step
    }

    /// Judges what is downstream of tasks that have just ended.
    fn judge_after(&mut self, ended: &[(TaskNo, FinalState)]) -> Look {
        let deltas = Deltas::of(&self.plan, ended.iter().copied());
        let mut look = Look::default();
        for gain in deltas.joins.iter().chain(&deltas.singles) {
            let task = gain.task;
            let rule = self.plan.task(task).expect("deltas name tasks of the plan").rule;
            let join = self.joins.entry(task).or_default();
            join.counts.merge(&gain.counts);
            if join.decided {
                continue;
            }
            let verdict = judge(rule, &join.counts);
            join.decided = verdict != Verdict::Wait;
            match verdict {
                Verdict::Wait => {}
                Verdict::Run => self.ready(task, &mut look),
                Verdict::Settle(end) => look.settled.push((task, end)),
            }
        }
        look
    }

    /// Starts a task whose rule holds, or holds it back.
    fn ready(&mut self, task: TaskNo, look: &mut Look) {
        let spec = self.plan.task(task).expect("only tasks of the plan are readied");
        if spec.is_empty {
            look.settled.push((task, FinalState::Success));
        } else if self.held.is_empty() && self.active < self.plan.dag.max_active_tasks {
            look.started.push(self.hand_over(task));
        } else {
            self.held.insert((Reverse(spec.priority), self.held_ever, task));
            self.held_ever += 1;
            self.instance(task).take(TaskEvent::HeldBack);
        }
    }

    fn hand_over(&mut self, task: TaskNo) -> Start {
        self.active += 1;
        let instance = self.instance(task);
        instance.take(TaskEvent::Readied);
        instance.take(TaskEvent::HandedOver);
        instance.tries += 1;
        Start { task, try_number: instance.tries }
    }

    /// Starts held tasks while the limit allows it.
    fn let_go(&mut self, step: &mut Step) {
        while self.active < self.plan.dag.max_active_tasks {
            let Some((.., task)) = self.held.pop_first() else { return };
            let start = self.hand_over(task);
            match step.looks.first_mut() {
                Some(look) => look.started.push(start),
                None => step.looks.push(Look { started: vec![start], ..Look::default() }),
            }
        }
    }

    fn settle(&mut self, task: TaskNo, end: FinalState) {
        self.instance(task).take(TaskEvent::Settled(end));
        self.open -= 1;
        let is_leaf = self.plan.task(task).is_some_and(|spec| spec.is_leaf);
        self.leaf_failed |=
            is_leaf && matches!(end, FinalState::Failed | FinalState::UpstreamFailed);
    }

    fn instance(&mut self, task: TaskNo) -> &mut Instance {
        self.tasks.get_mut(&task).expect("only tasks of the plan are touched")
    }
}

impl Instance {
    fn take(&mut self, event: TaskEvent) {
        self.state = TaskState::on(self.state, event).expect("the caller keeps to the states");
    }
}

#[cfg(test)]
mod tests;
