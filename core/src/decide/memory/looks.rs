//! One look after another: who may run now, who never will, and what is expanded.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Look, MemoryRun, Start, Step};
use crate::decide::{Deltas, Ended, MAP_MOST, PlanTask, Verdict};
use crate::ids::Instance;
use crate::state::{FinalState, TaskEvent, TaskState};

impl MemoryRun {
    /// Starts what waits for nothing.
    pub(super) fn first_look(&mut self) -> Look {
        let mut look = Look::default();
        let plan = self.plan.clone();
        for task in plan.tasks().filter(|task| task.starts_with_run()) {
            self.decided(task, Instance::single(task.no), Verdict::Run, &mut look);
        }
        look
    }

    /// Settles level after level, then lets held tasks go and sees whether the run has ended.
    pub(super) fn follow(&mut self, first: Look, mut step: Step) -> Step {
        let mut look = first;
        while look != Look::default() {
            let settled = look.settled.clone();
            let ends: Vec<Ended> =
                settled.into_iter().filter_map(|(at, end)| self.settle(at, end)).collect();
            let next = self.judge_after(&ends);
            step.looks.push(std::mem::replace(&mut look, next));
        }
        self.let_go(&mut step);
        step.run = Some(self.run_state()).filter(|state| state.is_final());
        step
    }

    /// Judges what is downstream of tasks that have just ended.
    pub(super) fn judge_after(&mut self, ended: &[Ended]) -> Look {
        let plan = self.plan.clone();
        let deltas = Deltas::of(&plan, &self.shape, ended.iter().copied());
        let mut gained: Vec<Instance> =
            std::mem::take(&mut self.rejudged).into_iter().map(Instance::single).collect();
        for gain in deltas.joins.iter().chain(&deltas.singles) {
            if gain.overruled && !self.joins.contains_key(&gain.at) {
                continue;
            }
            self.joins.entry(gain.at).or_default().counts.merge(&gain.counts);
            gained.push(gain.at);
        }
        let mut look = Look::default();
        let refused = std::mem::take(&mut self.not_retried).into_iter();
        look.settled.extend(refused.map(|at| (at, FinalState::Skipped)));
        for at in gained {
            let Some(task) = plan.task(at.task) else { continue };
            self.judge(task, at, &mut look);
        }
        self.tell_fed(&mut look);
        look
    }

    /// What is mapped over something that ends without a result ends in the same look, by a rule that
    /// has not seen that end.
    fn tell_fed(&mut self, look: &mut Look) {
        let plan = self.plan.clone();
        let mut told = 0;
        while told < look.settled.len() {
            let mut all = BTreeSet::new();
            for &(at, end) in &look.settled[told..] {
                let Some(task) = plan.task(at.task).filter(|_| at.map_index.is_none()) else {
                    continue;
                };
                if end == FinalState::Success {
                    continue;
                }
                for fed in &task.feeds {
                    let fed = Instance::single(*fed);
                    self.joins.entry(fed).or_default().counts.add_source(&Ended::new(at, end));
                    all.insert(fed);
                }
            }
            told = look.settled.len();
            // By all of them at once: that one of two failed counts, whichever comes first.
            for at in all {
                let Some(task) = plan.task(at.task) else { continue };
                self.judge(task, at, look);
            }
        }
    }

    /// Judges an instance, or all instances of a task that share their counters.
    fn judge(&mut self, task: &PlanTask, at: Instance, look: &mut Look) {
        let is_there = match self.shape.instances(at.task) {
            Some(count) if task.counts_each_index() => (0..count).contains(&at.map_index.0),
            _ => at.map_index.is_none(),
        };
        let join = self.joins.entry(at).or_default();
        if !is_there || join.decided || self.instances.get(&at).is_some_and(|i| i.state.is_some()) {
            return;
        }
        join.counts = self.shape.complete(&self.plan, task, at.map_index, join.counts);
        let verdict = task.judge(&join.counts);
        join.decided = verdict != Verdict::Wait;
        self.decided(task, at, verdict, look);
    }

    /// Applies a verdict to an instance, or to all that share it.
    fn decided(&mut self, task: &PlanTask, at: Instance, verdict: Verdict, look: &mut Look) {
        let is_expanded = self.shape.instances(task.no).is_some();
        if verdict == Verdict::Run && task.is_mapped() && !is_expanded {
            return self.expand(task, look);
        }
        let all: Vec<Instance> = match is_expanded && at.map_index.is_none() {
            true => self.shape.all(task.no).filter(|at| self.state(*at).is_none()).collect(),
            false => vec![at],
        };
        for at in all {
            match verdict {
                Verdict::Wait => {}
                Verdict::Run => self.ready(at, look),
                Verdict::Settle(end) => look.settled.push((at, end)),
            }
        }
    }

    /// Makes the instances of a mapped task that may run.
    fn expand(&mut self, task: &PlanTask, look: &mut Look) {
        let single = Instance::single(task.no);
        let count = match self.shape.length(&self.plan, task) {
            // It was not to wait for what it is mapped over.
            None => return look.settled.push((single, FinalState::UpstreamFailed)),
            Some(0) => return look.settled.push((single, FinalState::Skipped)),
            Some(count) if count > MAP_MOST => {
                return look.settled.push((single, FinalState::UpstreamFailed));
            }
            Some(count) => count,
        };
        self.shape.expand(task.no, count);
        self.instances.remove(&single);
        self.instances.extend(self.shape.all(task.no).map(|at| (at, Default::default())));
        self.open += usize::try_from(count).expect("a length is not negative") - 1;
        look.expanded.push((task.no, count));
        let plan = self.plan.clone();
        let below = task.downstream.iter().chain(&task.watchers);
        let below = below.filter_map(|no| plan.task(*no));
        self.rejudged.extend(below.filter(|to| plan.by_index(task.no, to)).map(|to| to.no));
        let mut shared = self.joins.get(&single).map(|join| join.counts).unwrap_or_default();
        if task.gathers {
            // These were counted twice, here and index by index.
            let own = self.shape.all(task.no).filter_map(|at| self.joins.get(&at));
            shared = own.fold(shared, |rest, join| rest.without(&join.counts));
        }
        for at in self.shape.all(task.no) {
            if task.counts_each_index() {
                self.joins.entry(at).or_default().counts.merge(&shared);
                self.judge(task, at, look);
            } else {
                self.ready(at, look);
            }
        }
    }

    /// Starts an instance whose rule holds, or holds it back.
    pub(super) fn ready(&mut self, at: Instance, look: &mut Look) {
        let spec = self.plan.task(at.task).expect("only tasks of the plan are readied");
        if spec.is_empty {
            look.settled.push((at, FinalState::Success));
        } else if self.held.is_empty() && self.active < self.plan.dag.max_active_tasks {
            look.started.push(self.hand_over(at));
        } else {
            self.held.insert((Reverse(spec.priority), self.held_ever, at));
            self.held_ever += 1;
            self.standing(at).take(TaskEvent::HeldBack);
        }
    }

    fn hand_over(&mut self, at: Instance) -> Start {
        self.active += 1;
        let instance = self.standing(at);
        instance.take(TaskEvent::Readied);
        instance.take(TaskEvent::HandedOver);
        instance.tries += 1;
        Start { at, try_number: instance.tries }
    }

    /// Starts held tasks while the limit allows it.
    fn let_go(&mut self, step: &mut Step) {
        while self.active < self.plan.dag.max_active_tasks {
            let Some((.., at)) = self.held.pop_first() else { return };
            debug_assert_eq!(self.state(at), Some(TaskState::Scheduled));
            let start = self.hand_over(at);
            match step.looks.first_mut() {
                Some(look) => look.started.push(start),
                None => step.looks.push(Look { started: vec![start], ..Look::default() }),
            }
        }
    }
}
