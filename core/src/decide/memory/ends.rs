//! How tries end, and what that does at once, before any look.

use std::time::Duration;

use super::{MemoryRun, Report, Step, TryOutcome};
use crate::decide::{Ended, TryEnd, after_failure};
use crate::ids::Instance;
use crate::state::{FinalState, TaskEvent, TaskState};

impl MemoryRun {
    /// Notes the end of one try, and what it does to other tasks at once.
    pub(super) fn take_end(
        &mut self,
        report: &Report,
        chance: f64,
        step: &mut Step,
        ends: &mut Vec<Ended>,
    ) {
        let at = report.at;
        if self.state(at) != Some(TaskState::Running) {
            return;
        }
        self.active -= 1;
        let end = match self.end_of(at, report.outcome, report.exit_code, chance) {
            Ok(end) => end,
            Err(_) if self.against.contains(&at.task) => return self.not_retried.push(at),
            Err(delay) => return step.retries.push((at, delay)),
        };
        ends.extend(self.settle(at, end));
        if end == FinalState::Success {
            self.shape.returned(&self.plan, at, report.says.returned);
            let skipped = self.plan.skipped_by(at.task, &report.says.skips);
            let below = self.plan.task(at.task).map_or(&[][..], |task| &task.downstream);
            self.against.extend(below.iter().filter(|down| skipped.contains(down)));
            for task in skipped {
                let instances: Vec<Instance> = self.shape.all(task).collect();
                instances.into_iter().for_each(|at| self.skip(at, step, ends));
            }
        }
        if end == FinalState::Failed && self.plan.dag.fail_fast {
            self.stop_all_but(at, step, ends);
        }
    }

    /// The final state that an ended try gives its task, or the delay before the next try.
    fn end_of(
        &mut self,
        at: Instance,
        outcome: TryOutcome,
        exit_code: Option<i32>,
        chance: f64,
    ) -> Result<FinalState, Duration> {
        let end = match outcome {
            TryOutcome::Success => return Ok(FinalState::Success),
            TryOutcome::Skipped => return Ok(FinalState::Skipped),
            TryOutcome::Failed(end) => end,
        };
        if self.cancelled && !self.cleans_up(at) {
            return Ok(FinalState::Failed);
        }
        let plan = self.plan.clone();
        let policy = &plan.task(at.task).expect("a running task is of the plan").retry;
        let instance = self.standing(at);
        match end {
            TryEnd::WorkerLost => instance.lost += 1,
            TryEnd::Transient | TryEnd::Permanent => instance.failed += 1,
        }
        let (policy, end) = policy.of_failure(end, exit_code);
        match after_failure(&policy, end, instance.failed, instance.lost, chance) {
            Some(delay) => {
                instance.take(TaskEvent::RetryLater);
                Err(delay)
            }
            None => Ok(FinalState::Failed),
        }
    }

    /// A branch decided against the task: unless it runs or has run, it is skipped.
    fn skip(&mut self, at: Instance, step: &mut Step, ends: &mut Vec<Ended>) {
        let spared = [TaskState::Running, TaskState::Success, TaskState::Failed];
        if self.state(at).is_some_and(|state| spared.contains(&state)) {
            return;
        }
        if let Some(ended) = self.settle(at, FinalState::Skipped) {
            step.retries.retain(|(retried, _)| *retried != at);
            step.effects.push((at, FinalState::Skipped));
            ends.push(ended);
        }
    }

    /// A task of a DAG that fails fast failed: what runs fails with it, the rest is skipped.
    /// Teardowns go on.
    fn stop_all_but(&mut self, failed: Instance, step: &mut Step, ends: &mut Vec<Ended>) {
        let plan = self.plan.clone();
        let all: Vec<Instance> = self.instances.keys().copied().collect();
        for at in all {
            let spared = plan.task(at.task).is_some_and(|task| task.is_teardown);
            if at.task == failed.task || spared {
                continue;
            }
            if self.state(at) != Some(TaskState::Running) {
                self.skip(at, step, ends);
            } else if let Some(ended) = self.settle(at, FinalState::Failed) {
                self.active -= 1;
                step.stopped.push(at);
                step.effects.push((at, FinalState::Failed));
                ends.push(ended);
            }
        }
    }
}
