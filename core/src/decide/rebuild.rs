//! Works a run's counters out anew from what its tasks are: after a clear, and when a run starts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Deltas, Ended, Plan, PlanTask, Shape, UpstreamCounts, Verdict};
use crate::ids::{MapIndex, TaskNo};
use crate::state::FinalState;

/// What a task of the run is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// It has a live row: ready, running or waiting on a timer.
    Live,
    Ended(FinalState),
}

/// A run's counters, and what follows from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Counters of tasks with several upstreams, not all of which have ended; the flag: decided.
    pub joins: Vec<(TaskNo, UpstreamCounts, bool)>,
    /// Tasks that may run now.
    pub ready: Vec<TaskNo>,
    /// Tasks that end without running, level by level; `empty` ones among them.
    pub settled: Vec<(TaskNo, FinalState)>,
    /// Tasks without a final state after this.
    pub open: i32,
    /// Leaves that failed, after this.
    pub leaves_failed: i32,
    /// More tasks end without running: it is to be rebuilt once more, from what the tasks are then.
    pub is_partial: bool,
}

/// Rebuilds a run from the states of its tasks; a task that is not listed has none yet. Branches
/// decided `against` some: these are skipped again. At most `most` tasks are settled.
#[must_use]
pub fn rebuild(
    plan: &Plan,
    current: &BTreeMap<TaskNo, Current>,
    against: &BTreeSet<TaskNo>,
    most: usize,
) -> Rebuilt {
    let mut states = current.clone();
    let mut counts: BTreeMap<TaskNo, UpstreamCounts> = BTreeMap::new();
    let ended = states.iter().filter_map(|(task, state)| match state {
        Current::Ended(end) => Some((*task, *end)),
        Current::Live => None,
    });
    gain(plan, ended, &mut counts);

    let mut rebuilt = Rebuilt::default();
    // The first look judges every task; a later one those that gained something.
    let mut look: Vec<TaskNo> = plan.tasks().map(|task| task.no).collect();
    while !look.is_empty() && !rebuilt.is_partial {
        let mut settled = Vec::new();
        for no in look {
            let Some(task) = plan.task(no).filter(|_| !states.contains_key(&no)) else { continue };
            let known = counts.get(&no).copied().unwrap_or_default();
            let verdict = if against.contains(&no) {
                Verdict::Settle(FinalState::Skipped)
            } else if task.starts_with_run() {
                Verdict::Run
            } else {
                task.judge(&complete(plan, task, known))
            };
            let end = match verdict {
                Verdict::Wait => continue,
                Verdict::Run if task.is_empty => FinalState::Success,
                Verdict::Run => {
                    rebuilt.ready.push(no);
                    states.insert(no, Current::Live);
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
        states.extend(settled.iter().map(|(task, end)| (*task, Current::Ended(*end))));
        look = gain(plan, settled.iter().copied(), &mut counts);
        rebuilt.settled.append(&mut settled);
    }
    rebuilt.count(plan, &states, &counts);
    rebuilt
}

/// Adds what ended tasks mean for their downstreams; returns these.
fn gain(
    plan: &Plan,
    ended: impl IntoIterator<Item = (TaskNo, FinalState)>,
    counts: &mut BTreeMap<TaskNo, UpstreamCounts>,
) -> Vec<TaskNo> {
    let ended = ended.into_iter().map(|(task, end)| Ended::new(task, end));
    let deltas = Deltas::of(plan, &Shape::default(), ended);
    let gained: Vec<_> = deltas.joins.into_iter().chain(deltas.singles).collect();
    for delta in &gained {
        counts.entry(delta.at.task).or_default().merge(&delta.counts);
    }
    gained.into_iter().map(|delta| delta.at.task).collect()
}

impl Rebuilt {
    fn count(
        &mut self,
        plan: &Plan,
        states: &BTreeMap<TaskNo, Current>,
        counts: &BTreeMap<TaskNo, UpstreamCounts>,
    ) {
        for task in plan.tasks() {
            let state = states.get(&task.no);
            match state {
                Some(Current::Ended(FinalState::Failed | FinalState::UpstreamFailed))
                    if task.is_leaf =>
                {
                    self.leaves_failed += 1;
                }
                Some(Current::Ended(_)) => {}
                _ => self.open += 1,
            }
            let known = counts.get(&task.no).copied().unwrap_or_default();
            let upstreams = complete(plan, task, known);
            let waits = task.waits_for_several() && !upstreams.is_complete();
            let counts_any = known.seen() > 0 || known.guards_seen > 0;
            if waits && !task.starts_with_run() && (counts_any || state.is_some()) {
                self.joins.push((task.no, upstreams, state.is_some()));
            }
        }
    }
}

fn complete(plan: &Plan, task: &PlanTask, known: UpstreamCounts) -> UpstreamCounts {
    Shape::default().complete(plan, task, MapIndex::NONE, known)
}
