//! Setups and teardowns: who waits for whom beside the direct upstreams, and which ends count.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Plan, PlanTask};
use crate::dag::model::Task;
use crate::ids::TaskNo;

impl Plan {
    /// A task is a leaf if no other comes after it but teardowns; those count only where they say so.
    pub(super) fn find_leaves(&mut self) {
        let counts = |task: &PlanTask| {
            let teardown = self.spec(task).teardown.as_ref();
            teardown.is_none_or(|teardown| teardown.on_failure_fail_dagrun)
        };
        let is_last = |task: &PlanTask| {
            let mut below = task.downstream.iter().filter_map(|down| self.task(*down));
            counts(task) && !below.any(counts)
        };
        let mut leaves: BTreeSet<TaskNo> =
            self.tasks().filter(|task| is_last(task)).map(|task| task.no).collect();
        if leaves.is_empty() {
            // Nothing but teardowns.
            let ends = self.tasks().filter(|task| task.downstream.is_empty());
            leaves = ends.map(|task| task.no).collect();
        }
        for task in self.tasks.values_mut() {
            task.is_leaf = leaves.contains(&task.no);
        }
    }

    /// Finds what each task watches beside its direct upstreams.
    pub(super) fn guard(&mut self) {
        if self.tasks().all(|task| !task.is_setup && !task.is_teardown) {
            return;
        }
        let guards: BTreeMap<TaskNo, BTreeSet<TaskNo>> =
            self.tasks().map(|task| (task.no, self.guards_of(task))).collect();
        for (no, guards) in guards {
            for guard in &guards {
                let guard = self.tasks.get_mut(guard).expect("a guard is a task of the plan");
                guard.watchers.push(no);
            }
            let setups = self.setups_above(&self.tasks[&no]).len();
            let task = self.tasks.get_mut(&no).expect("it is a task of the plan");
            task.guards = count(guards.len());
            task.watches = guards.into_iter().collect();
            task.setups = count(setups);
        }
    }

    fn guards_of(&self, task: &PlanTask) -> BTreeSet<TaskNo> {
        let mut guards = match task.is_teardown {
            true => self.scope_of(task),
            false => self.setups_for(task),
        };
        guards.remove(&task.no);
        guards.retain(|guard| !task.upstream.contains(guard));
        guards
    }

    /// Setups above a task that are meant for it: they have no teardown, or one below the task.
    fn setups_for(&self, task: &PlanTask) -> BTreeSet<TaskNo> {
        let mut above = self.reaching(task.no);
        above.retain(|no| self.tasks[no].is_setup);
        if above.is_empty() {
            return above;
        }
        let below = self.reachable(task.no);
        above.retain(|setup| {
            let mut teardowns =
                self.tasks[setup].downstream.iter().filter(|no| self.tasks[no].is_teardown);
            let has_none = teardowns.clone().next().is_none();
            has_none || teardowns.any(|teardown| *teardown != task.no && below.contains(teardown))
        });
        above
    }

    /// Everything between a teardown's direct setups and itself.
    fn scope_of(&self, teardown: &PlanTask) -> BTreeSet<TaskNo> {
        let above = self.reaching(teardown.no);
        let setups = self.setups_above(teardown);
        setups.iter().flat_map(|setup| &self.reachable(*setup) & &above).collect()
    }

    fn setups_above(&self, task: &PlanTask) -> Vec<TaskNo> {
        task.upstream.iter().copied().filter(|up| self.tasks[up].is_setup).collect()
    }
}

impl Kind {
    pub(super) fn of(task: &Task) -> Self {
        match task.operator.as_str() {
            "branch" => Self::Branch,
            "short_circuit" => {
                let ignore = task.with.get("ignore_downstream_trigger_rules");
                let everything = ignore.and_then(serde_json::Value::as_bool).unwrap_or(true);
                Self::ShortCircuit { everything }
            }
            "latest_only" => Self::LatestOnly,
            _ => Self::Plain,
        }
    }
}

fn count(len: usize) -> i32 {
    i32::try_from(len).expect("a DAG has at most 20,000 tasks")
}
