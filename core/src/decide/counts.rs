//! Counters of a task's direct upstreams, and how ended tasks add to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::ids::TaskNo;
use crate::state::FinalState;

/// How a task's direct upstreams stand. Kept until every upstream has been seen, so that a rule
/// which decided early never decides again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpstreamCounts {
    /// Upstreams, a mapped one counted with all its instances.
    pub needed: i32,
    pub success: i32,
    pub failed: i32,
    pub skipped: i32,
    pub upstream_failed: i32,
    pub removed: i32,
    /// Setups among the upstreams, and how they ended.
    pub setups: i32,
    pub setup_success: i32,
    pub setup_skipped: i32,
}

impl UpstreamCounts {
    /// Upstreams that have ended.
    #[must_use]
    pub fn seen(&self) -> i32 {
        self.success + self.failed + self.skipped + self.upstream_failed + self.removed
    }

    /// Adds what `gain` counted; `needed` and `setups` become its own.
    pub fn merge(&mut self, gain: &Self) {
        *self = Self {
            needed: gain.needed,
            success: self.success + gain.success,
            failed: self.failed + gain.failed,
            skipped: self.skipped + gain.skipped,
            upstream_failed: self.upstream_failed + gain.upstream_failed,
            removed: self.removed + gain.removed,
            setups: gain.setups,
            setup_success: self.setup_success + gain.setup_success,
            setup_skipped: self.setup_skipped + gain.setup_skipped,
        };
    }

    /// Adds one upstream that ended in `state`.
    pub fn add(&mut self, state: FinalState, is_setup: bool) {
        match state {
            FinalState::Success => self.success += 1,
            FinalState::Failed => self.failed += 1,
            FinalState::Skipped => self.skipped += 1,
            FinalState::UpstreamFailed => self.upstream_failed += 1,
            FinalState::Removed => self.removed += 1,
        }
        if is_setup {
            match state {
                FinalState::Success => self.setup_success += 1,
                FinalState::Skipped => self.setup_skipped += 1,
                _ => {}
            }
        }
    }
}

/// What ended tasks add to one downstream task's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinDelta {
    pub task: TaskNo,
    /// `needed` and `setups` are the plan's; the rest is to be added.
    pub counts: UpstreamCounts,
}

/// What a set of tasks of one run, ended in the same look, means for their downstreams.
#[derive(Debug, Clone, Default)]
pub struct Deltas {
    /// Tasks with several upstreams: their stored counters decide.
    pub joins: Vec<JoinDelta>,
    /// Tasks with one upstream: these counts are complete.
    pub singles: Vec<JoinDelta>,
}

impl Deltas {
    /// Gathers, for every direct downstream of `ended`, what it gains. A task whose rule is `always`
    /// started with the run and gains nothing.
    #[must_use]
    pub fn of(plan: &Plan, ended: impl IntoIterator<Item = (TaskNo, FinalState)>) -> Self {
        let mut gained: BTreeMap<TaskNo, UpstreamCounts> = BTreeMap::new();
        for (task, state) in ended {
            let Some(upstream) = plan.task(task) else { continue };
            for &downstream in &upstream.downstream {
                gained.entry(downstream).or_default().add(state, upstream.is_setup);
            }
        }
        let mut deltas = Self::default();
        for (task, mut counts) in gained {
            let Some(spec) = plan.task(task).filter(|spec| !spec.starts_with_run()) else {
                continue;
            };
            counts.needed = spec.needed;
            counts.setups = spec.setups;
            let target = if spec.needed > 1 { &mut deltas.joins } else { &mut deltas.singles };
            target.push(JoinDelta { task, counts });
        }
        deltas
    }
}

#[cfg(test)]
mod tests;
