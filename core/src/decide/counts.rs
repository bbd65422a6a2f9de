//! Counters of a task's direct upstreams, and how ended tasks add to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Plan, PlanTask, Shape};
use crate::ids::{Instance, TaskNo};
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
    /// Tasks that are no direct upstreams and must be waited for all the same: setups further up,
    /// or, for a teardown, what lies between its setups and itself. How they ended is counted for
    /// setups only.
    #[serde(default)]
    pub guards: i32,
    #[serde(default)]
    pub guards_seen: i32,
    #[serde(default)]
    pub guards_failed: i32,
    #[serde(default)]
    pub guards_skipped: i32,
    /// Tasks whose results this one is mapped over, and that ended without one.
    #[serde(default)]
    pub sources_failed: i32,
    #[serde(default)]
    pub sources_skipped: i32,
}

/// A task instance that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ended {
    pub at: Instance,
    pub end: FinalState,
    /// It was `upstream_failed` until a branch, or a failure that stops everything, skipped it.
    #[serde(default)]
    pub overruled: bool,
}

/// What ended tasks add to the counters of one downstream instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinDelta {
    pub at: Instance,
    /// `needed`, `setups` and `guards` are the plan's; the rest is to be added.
    pub counts: UpstreamCounts,
    /// Only counters that are there already change: an end was overruled.
    pub overruled: bool,
}

/// What a set of tasks of one run, ended in the same look, means for their downstreams.
#[derive(Debug, Clone, Default)]
pub struct Deltas {
    /// Instances that wait for several: their stored counters decide.
    pub joins: Vec<JoinDelta>,
    /// Instances with one upstream: these counts are complete.
    pub singles: Vec<JoinDelta>,
}

impl UpstreamCounts {
    /// Upstreams that have ended.
    #[must_use]
    pub fn seen(&self) -> i32 {
        self.success + self.failed + self.skipped + self.upstream_failed + self.removed
    }

    /// Whether nothing more will be counted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.seen() >= self.needed && self.guards_seen >= self.guards
    }

    /// Adds what `gain` counted; `needed`, `setups` and `guards` become its own.
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
            guards: gain.guards,
            guards_seen: self.guards_seen + gain.guards_seen,
            guards_failed: self.guards_failed + gain.guards_failed,
            guards_skipped: self.guards_skipped + gain.guards_skipped,
            sources_failed: self.sources_failed + gain.sources_failed,
            sources_skipped: self.sources_skipped + gain.sources_skipped,
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

    /// What is left of these counts without those of `part`.
    #[must_use]
    pub fn without(mut self, part: &Self) -> Self {
        self.success -= part.success;
        self.failed -= part.failed;
        self.skipped -= part.skipped;
        self.upstream_failed -= part.upstream_failed;
        self.removed -= part.removed;
        self.setup_success -= part.setup_success;
        self.setup_skipped -= part.setup_skipped;
        self
    }

    /// An upstream that was counted as `upstream_failed` is skipped.
    fn overrule(&mut self, is_setup: bool) {
        self.upstream_failed -= 1;
        self.add(FinalState::Skipped, is_setup);
    }

    /// Adds a guard that ended; only a teardown does not care how.
    fn add_guard(&mut self, ended: &Ended, watcher: &PlanTask) {
        self.guards_seen += i32::from(!ended.overruled);
        if !watcher.is_teardown {
            let broken = matches!(ended.end, FinalState::Failed | FinalState::UpstreamFailed);
            self.guards_failed += i32::from(broken) - i32::from(ended.overruled);
            self.guards_skipped += i32::from(ended.end == FinalState::Skipped);
        }
    }

    /// Adds a source of a mapping that ended.
    pub fn add_source(&mut self, ended: &Ended) {
        let broken = matches!(ended.end, FinalState::Failed | FinalState::UpstreamFailed);
        self.sources_failed += i32::from(broken) - i32::from(ended.overruled);
        self.sources_skipped += i32::from(ended.end == FinalState::Skipped);
    }
}

impl Ended {
    /// An instance that had no final state before.
    #[must_use]
    pub fn new(at: impl Into<Instance>, end: FinalState) -> Self {
        Self { at: at.into(), end, overruled: false }
    }
}

impl Deltas {
    /// Gathers, for every direct downstream of `ended`, what it gains. A task whose rule is `always`
    /// started with the run and gains nothing.
    #[must_use]
    pub fn of(plan: &Plan, shape: &Shape, ended: impl IntoIterator<Item = Ended>) -> Self {
        let mut gained: BTreeMap<(Instance, bool), UpstreamCounts> = BTreeMap::new();
        for ended in ended {
            let Some(task) = plan.task(ended.at.task) else { continue };
            let mut add = |to: TaskNo, count: &dyn Fn(&mut UpstreamCounts, &PlanTask)| {
                let Some(spec) = plan.task(to).filter(|spec| !spec.starts_with_run()) else {
                    return;
                };
                for at in shape.below(plan, ended.at, spec) {
                    count(gained.entry((at, ended.overruled)).or_default(), spec);
                }
            };
            for &to in &task.downstream {
                add(to, &|counts, _| match ended.overruled {
                    true => counts.overrule(task.is_setup),
                    false => counts.add(ended.end, task.is_setup),
                });
            }
            for &to in &task.watchers {
                add(to, &|counts, watcher| counts.add_guard(&ended, watcher));
            }
            if ended.at.map_index.is_none() {
                for &to in &task.feeds {
                    add(to, &|counts, _| counts.add_source(&ended));
                }
            }
        }
        let mut deltas = Self::default();
        for ((at, overruled), counts) in gained {
            let Some(spec) = plan.task(at.task) else { continue };
            let counts = shape.complete(plan, spec, at.map_index, counts);
            let several = spec.waits_for_several() || counts.needed > 1;
            let joins = overruled || several || shape.is_ahead(at);
            let target = if joins { &mut deltas.joins } else { &mut deltas.singles };
            target.push(JoinDelta { at, counts, overruled });
        }
        deltas
    }
}

#[cfg(test)]
mod tests;
