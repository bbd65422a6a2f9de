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
    /// Counters of tasks with several upstreams, not all of which have ended; the flag: decided.
    pub joins: Vec<(TaskNo, UpstreamCounts, bool)>,
    /// Tasks that may run now.
    pub ready: Vec<TaskNo>,
    /// Mapped tasks that may run now, with their number of instances.
    pub expanded: Vec<(TaskNo, i32)>,
    /// Mapped tasks that are expanded already, and none of whose instances will run.
    pub refused: Vec<(TaskNo, FinalState)>,
    /// Tasks that end without running, level by level; `empty` ones among them.
    pub settled: Vec<(TaskNo, FinalState)>,
    /// Instances without a final state after this.
    pub open: i32,
    /// Instances of leaves that failed, after this.
    pub leaves_failed: i32,
    /// More tasks end without running: it is to be rebuilt once more, from what the tasks are then.
    pub is_partial: bool,
}

/// Rebuilds a run from the states of its tasks. At most `most` tasks are settled.
#[must_use]
pub fn rebuild(standing: Standing<'_>, most: usize) -> Rebuilt {
    let Standing { plan, decided, against, .. } = standing;
    let mut shape = standing.shape.clone();
    let mut decided = decided.clone();
    let mut states = standing.current.clone();
    let mut counts: BTreeMap<Instance, UpstreamCounts> = BTreeMap::new();
    let is_of_run = |at: &Instance| match shape.instances(at.task) {
        Some(count) => (0..count).contains(&at.map_index.0),
        None => at.map_index.is_none(),
    };
    let ended =
        states.iter().filter(|(at, _)| is_of_run(at)).filter_map(|(at, state)| match state {
            Current::Ended(end) => Some((*at, *end)),
            Current::Live => None,
        });
    gain(plan, &shape, ended, &mut counts);

    let mut rebuilt = Rebuilt::default();
    // The first look judges every task; a later one those that gained something.
    let mut look: Vec<TaskNo> = plan.tasks().map(|task| task.no).collect();
    while !look.is_empty() && !rebuilt.is_partial {
        let mut settled: Vec<(TaskNo, FinalState)> = Vec::new();
        for no in look {
            let single = Instance::single(no);
            let is_new = !states.contains_key(&single) && !decided.contains(&no);
            let Some(task) = plan.task(no).filter(|_| is_new) else { continue };
            let known = counts.get(&single).copied().unwrap_or_default();
            let verdict = if against.contains(&no) {
                Verdict::Settle(FinalState::Skipped)
            } else if task.starts_with_run() {
                Verdict::Run
            } else {
                task.judge(&complete(plan, &shape, task, known))
            };
            let end = match verdict {
                Verdict::Wait => continue,
                Verdict::Settle(end) if shape.instances(no).is_some() => {
                    rebuilt.refused.push((no, end));
                    decided.insert(no);
                    continue;
                }
                Verdict::Run if task.is_mapped() => match shape.may_expand(plan, task) {
                    Ok(count) => {
                        shape.expand(no, count);
                        rebuilt.expanded.push((no, count));
                        decided.insert(no);
                        continue;
                    }
                    Err(end) => end,
                },
                Verdict::Run if task.is_empty => FinalState::Success,
                Verdict::Run => {
                    rebuilt.ready.push(no);
                    states.insert(single, Current::Live);
                    continue;
                }
                Verdict::Settle(end) => end,
            };
            if rebuilt.settled.len() + settled.len() < most {
                settled.push((no, end));
            } else {
                rebuilt.is_partial = true;
            }
        }
        let ended: Vec<_> =
            settled.iter().map(|(task, end)| (Instance::single(*task), *end)).collect();
        states.extend(ended.iter().map(|(at, end)| (*at, Current::Ended(*end))));
        look = gain(plan, &shape, ended, &mut counts);
        rebuilt.settled.append(&mut settled);
    }
    rebuilt.count(plan, &shape, &states, &counts, &decided);
    rebuilt
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
}

/// Adds what ended instances mean for their downstreams; returns these.
fn gain(
    plan: &Plan,
    shape: &Shape,
    ended: impl IntoIterator<Item = (Instance, FinalState)>,
    counts: &mut BTreeMap<Instance, UpstreamCounts>,
) -> Vec<TaskNo> {
    let ended = ended.into_iter().map(|(at, end)| Ended::new(at, end));
    let deltas = Deltas::of(plan, shape, ended);
    let gained: Vec<_> = deltas.joins.into_iter().chain(deltas.singles).collect();
    for delta in &gained {
        counts.entry(delta.at).or_default().merge(&delta.counts);
    }
    gained.into_iter().map(|delta| delta.at.task).collect()
}

impl Rebuilt {
    fn count(
        &mut self,
        plan: &Plan,
        shape: &Shape,
        states: &BTreeMap<Instance, Current>,
        counts: &BTreeMap<Instance, UpstreamCounts>,
        decided: &BTreeSet<TaskNo>,
    ) {
        self.open = shape.size(plan);
        for (at, state) in states {
            let is_there = match shape.instances(at.task) {
                Some(count) => (0..count).contains(&at.map_index.0),
                None => at.map_index.is_none(),
            };
            match state {
                // A try of an instance that there is no more: the run goes on until it has ended.
                Current::Live if !is_there => self.open += 1,
                Current::Ended(end) if is_there => {
                    self.open -= 1;
                    let failed = matches!(end, FinalState::Failed | FinalState::UpstreamFailed);
                    let is_leaf = plan.task(at.task).is_some_and(|task| task.is_leaf);
                    self.leaves_failed += i32::from(failed && is_leaf);
                }
                Current::Live | Current::Ended(_) => {}
            }
        }
        for task in plan.tasks() {
            let single = Instance::single(task.no);
            let is_decided = states.contains_key(&single) || decided.contains(&task.no);
            let known = counts.get(&single).copied().unwrap_or_default();
            let upstreams = complete(plan, shape, task, known);
            let several = task.waits_for_several() || upstreams.needed > 1;
            let counts_any = known.seen() > 0 || known.guards_seen > 0;
            let waits = several && !upstreams.is_complete() && !task.starts_with_run();
            if waits && (counts_any || is_decided) {
                self.joins.push((task.no, upstreams, is_decided));
            }
        }
    }
}

fn complete(plan: &Plan, shape: &Shape, task: &PlanTask, known: UpstreamCounts) -> UpstreamCounts {
    shape.complete(plan, task, crate::ids::MapIndex::NONE, known)
}
