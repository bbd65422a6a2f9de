//! Works a run's counters out anew from what its tasks are: after a clear, and when a run starts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Deltas, Ended, MAP_MOST, Plan, PlanTask, Shape, UpstreamCounts, Verdict};
use crate::ids::{Instance, TaskNo};
use crate::state::FinalState;

/// What a task instance of the run is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// It has a live row: ready, running or waiting on a timer.
    Live,
    Ended(FinalState),
}

/// What a run is now.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    pub plan: &'a Plan,
    pub shape: &'a Shape,
    /// An instance that is not listed has no state yet.
    pub current: &'a BTreeMap<Instance, Current>,
    /// Mapped tasks that are expanded, and of whose instances is known what becomes of them.
    pub decided: &'a BTreeSet<TaskNo>,
    /// Tasks that branches decided against: these are skipped again.
    pub against: &'a BTreeSet<TaskNo>,
}

/// A run's counters, and what follows from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Counters of instances with several upstreams, not all of which have ended; the flag: decided.
    pub joins: Vec<(Instance, UpstreamCounts, bool)>,
    /// Tasks, and instances of mapped groups, that may run now; a mapped task that waits for the run
    /// before as a whole.
    pub ready: Vec<Instance>,
    /// Mapped tasks that may run now, with their number of instances.
    pub expanded: Vec<(TaskNo, i32)>,
    /// Mapped tasks that are expanded already, and none of whose instances will run.
    pub refused: Vec<(TaskNo, FinalState)>,
    /// What ends without running, level by level; `empty` tasks among them.
    pub settled: Vec<(Instance, FinalState)>,
    /// Instances without a final state after this.
    pub open: i32,
    /// Instances of leaves that failed, after this.
    pub leaves_failed: i32,
    /// More tasks end without running: it is to be rebuilt once more, from what the tasks are then.
    pub is_partial: bool,
}

/// Rebuilds a run from the states of its tasks. At most `most` instances are settled.
#[must_use]
pub fn rebuild(standing: Standing<'_>, most: usize) -> Rebuilt {
    let plan = standing.plan;
    let mut rebuilding = Rebuilding {
        plan,
        against: standing.against,
        shape: standing.shape.clone(),
        decided: standing.decided.clone(),
        states: standing.current.clone(),
        counts: BTreeMap::new(),
        settled: Vec::new(),
        next: BTreeSet::new(),
        most,
        rebuilt: Rebuilt::default(),
    };
    let ended: Vec<_> = rebuilding
        .states
        .iter()
        .filter(|(at, _)| rebuilding.shape.has(**at))
        .filter_map(|(at, state)| match state {
            Current::Ended(end) => Some((*at, *end)),
            Current::Live => None,
        })
        .collect();
    rebuilding.gain(ended);
    rebuilding.next.clear();
    // The first look judges everything; a later one what gained something.
    let mut look: BTreeSet<Instance> =
        plan.tasks().flat_map(|task| rebuilding.shape.judged(task)).collect();
    while !look.is_empty() && !rebuilding.rebuilt.is_partial {
        for at in look {
            rebuilding.judge(at);
        }
        look = rebuilding.end_look();
    }
    rebuilding.finish()
}

/// What is worked out so far.
struct Rebuilding<'a> {
    plan: &'a Plan,
    against: &'a BTreeSet<TaskNo>,
    shape: Shape,
    decided: BTreeSet<TaskNo>,
    states: BTreeMap<Instance, Current>,
    counts: BTreeMap<Instance, UpstreamCounts>,
    /// In this look.
    settled: Vec<(Instance, FinalState)>,
    /// For the next one.
    next: BTreeSet<Instance>,
    most: usize,
    rebuilt: Rebuilt,
}

impl Shape {
    /// Into how many instances a mapped task that may run is expanded, or how it ends because it can't
    /// be.
    pub fn may_expand(&self, plan: &Plan, task: &PlanTask) -> Result<i32, FinalState> {
        match self.instances(task.no).or_else(|| self.length(plan, task)) {
            Some(0) => Err(FinalState::Skipped),
            Some(count) if count <= MAP_MOST => Ok(count),
            // Too many; or it was not to wait for what it is mapped over.
            Some(_) | None => Err(FinalState::UpstreamFailed),
        }
    }

    /// Whether each instance of a task is judged by itself: it is expanded, and follows others index by
    /// index.
    #[must_use]
    pub fn judges_each(&self, task: &PlanTask) -> bool {
        task.counts_each_index() && self.instances(task.no).is_some()
    }

    /// What is judged for an instance: itself, or all of its task at once.
    #[must_use]
    pub fn judged_for(&self, task: &PlanTask, at: Instance) -> Instance {
        match self.judges_each(task) {
            true => at,
            false => Instance::single(task.no),
        }
    }

    /// What of a task is judged: itself, or each of its instances.
    fn judged(&self, task: &PlanTask) -> Vec<Instance> {
        match self.judges_each(task) {
            true => self.all(task.no).collect(),
            false => vec![Instance::single(task.no)],
        }
    }
}

impl Rebuilding<'_> {
    /// Adds what ended instances mean for their downstreams, which are judged in the next look.
    fn gain(&mut self, ended: impl IntoIterator<Item = (Instance, FinalState)>) {
        let ended = ended.into_iter().map(|(at, end)| Ended::new(at, end));
        let deltas = Deltas::of(self.plan, &self.shape, ended);
        for delta in deltas.joins.into_iter().chain(deltas.singles) {
            self.counts.entry(delta.at).or_default().merge(&delta.counts);
            self.next.insert(delta.at);
        }
    }

    /// What an instance's upstreams are.
    fn upstreams(&self, task: &PlanTask, at: Instance) -> UpstreamCounts {
        let known = self.counts.get(&at).copied().unwrap_or_default();
        self.shape.complete(self.plan, task, at.map_index, known)
    }

    fn judge(&mut self, at: Instance) {
        let is_new = !self.states.contains_key(&at) && !self.decided.contains(&at.task);
        let Some(task) = self.plan.task(at.task).filter(|_| is_new) else { return };
        let each = self.shape.judges_each(task);
        let is_judged = if each { self.shape.has(at) } else { at.map_index.is_none() };
        if !is_judged {
            return;
        }
        let verdict = if self.against.contains(&at.task) {
            Verdict::Settle(FinalState::Skipped)
        } else if task.starts_with_run() {
            Verdict::Run
        } else {
            task.judge(&self.upstreams(task, at))
        };
        match verdict {
            Verdict::Wait => {}
            Verdict::Settle(end) if !each && self.shape.instances(at.task).is_some() => {
                self.rebuilt.refused.push((at.task, end));
                self.decided.insert(at.task);
            }
            Verdict::Run if !each && task.waits_as_one() => {
                self.rebuilt.ready.push(at);
                self.decided.insert(at.task);
            }
            Verdict::Run if !each && task.is_mapped() => {
                match self.shape.may_expand(self.plan, task) {
                    Ok(count) => self.expand(task, count),
                    Err(end) => self.settle(at, end),
                }
            }
            Verdict::Run if task.is_empty => self.settle(at, FinalState::Success),
            Verdict::Run => {
                self.rebuilt.ready.push(at);
                self.states.insert(at, Current::Live);
            }
            Verdict::Settle(end) => self.settle(at, end),
        }
    }

    fn settle(&mut self, at: Instance, end: FinalState) {
        if self.rebuilt.settled.len() + self.settled.len() < self.most {
            self.settled.push((at, end));
        } else {
            self.rebuilt.is_partial = true;
        }
    }

    /// A mapped task has instances from now on. Those of one that follows others are judged at once.
    fn expand(&mut self, task: &PlanTask, count: i32) {
        self.shape.expand(task.no, count);
        self.rebuilt.expanded.push((task.no, count));
        let below = task.downstream.iter().chain(&task.watchers);
        let below = below.filter_map(|no| self.plan.task(*no));
        let followers = below.filter(|to| self.plan.by_index(task.no, to));
        self.next.extend(followers.map(|to| Instance::single(to.no)));
        if !task.counts_each_index() {
            self.decided.insert(task.no);
            return;
        }
        let all: Vec<Instance> = self.shape.all(task.no).collect();
        let mut shared = self.counts.remove(&Instance::single(task.no)).unwrap_or_default();
        if task.gathers {
            // These were counted twice, here and index by index.
            let own = all.iter().filter_map(|at| self.counts.get(at));
            shared = own.fold(shared, |rest, counts| rest.without(counts));
        }
        for at in all {
            self.counts.entry(at).or_default().merge(&shared);
            self.judge(at);
        }
    }

    /// What ended in this look counts; returns what is judged in the next one.
    fn end_look(&mut self) -> BTreeSet<Instance> {
        let mut settled = std::mem::take(&mut self.settled);
        self.states.extend(settled.iter().map(|(at, end)| (*at, Current::Ended(*end))));
        self.gain(settled.iter().copied());
        self.rebuilt.settled.append(&mut settled);
        std::mem::take(&mut self.next)
    }

    fn finish(mut self) -> Rebuilt {
        let mut rebuilt = std::mem::take(&mut self.rebuilt);
        rebuilt.open = self.shape.size(self.plan);
        for (at, state) in &self.states {
            let is_there = self.shape.has(*at);
            match state {
                // A try of an instance that there is no more: the run goes on until it has ended.
                Current::Live if !is_there => rebuilt.open += 1,
                Current::Ended(end) if is_there => {
                    rebuilt.open -= 1;
                    let failed = matches!(end, FinalState::Failed | FinalState::UpstreamFailed);
                    let is_leaf = self.plan.task(at.task).is_some_and(|task| task.is_leaf);
                    rebuilt.leaves_failed += i32::from(failed && is_leaf);
                }
                Current::Live | Current::Ended(_) => {}
            }
        }
        for task in self.plan.tasks() {
            // Instances of a group's task that is not expanded yet may have counters already.
            let ahead = Instance::mapped(task.no, 0)..=Instance::mapped(task.no, i32::MAX);
            let ahead = self.counts.range(ahead).map(|(at, _)| *at);
            let judged = self.shape.judged(task).into_iter();
            let all: BTreeSet<Instance> = judged.chain(ahead).collect();
            rebuilt.joins.extend(all.into_iter().filter_map(|at| self.join(task, at)));
        }
        rebuilt
    }

    /// The counters of an instance that are to be kept.
    fn join(&self, task: &PlanTask, at: Instance) -> Option<(Instance, UpstreamCounts, bool)> {
        let is_decided = self.states.contains_key(&at) || self.decided.contains(&task.no);
        let known = self.counts.get(&at).copied().unwrap_or_default();
        let upstreams = self.upstreams(task, at);
        let several = task.waits_for_several() || upstreams.needed > 1 || self.shape.is_ahead(at);
        let counts_any = known.seen() > 0 || known.guards_seen > 0;
        let waits = several && !upstreams.is_complete() && !task.starts_with_run();
        (waits && (counts_any || is_decided)).then_some((at, upstreams, is_decided))
    }
}
