//! Which mapped tasks of a run are expanded, and what the mappings below them are made of.
//!
//! A mapped task has one instance without map index until its length is known; then it has as many as
//! that. Tasks inside a mapped group follow each other index by index.

use std::collections::BTreeMap;

use super::{Factor, Plan, PlanTask, UpstreamCounts};
use crate::ids::{Instance, MapIndex, TaskNo};

/// Instances that a mapped task has at most.
pub const MAP_MOST: i32 = 10_000;

/// The mapped tasks of one run, and the tasks that feed them. Empty for a DAG without mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    tasks: BTreeMap<TaskNo, Mapped>,
}

/// What is known of one mapped or feeding task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Instances, once it is expanded.
    pub instances: Option<i32>,
    /// Instances of it that have ended.
    pub ended: i32,
    /// Of a task that is not expanded: how many items it returned. Of one that is: how many of its
    /// instances returned something.
    pub returned: Option<i32>,
}

impl Shape {
    /// The shape of a run that starts: what is mapped over literals is expanded at once.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let mut shape = Self::default();
        for task in plan.tasks().filter(|task| task.is_mapped()) {
            if let Some(count) = shape.length(plan, task).filter(|count| *count > 0) {
                shape.expand(task.no, count);
            }
        }
        shape
    }

    /// What is known of a task.
    #[must_use]
    pub fn of(&self, task: TaskNo) -> Mapped {
        self.tasks.get(&task).copied().unwrap_or_default()
    }

    /// Every task of which something is known.
    pub fn known(&self) -> impl Iterator<Item = (TaskNo, Mapped)> + '_ {
        self.tasks.iter().map(|(task, mapped)| (*task, *mapped))
    }

    /// Changes what is known of a task.
    pub fn set(&mut self, task: TaskNo, mapped: Mapped) {
        self.tasks.insert(task, mapped);
    }

    /// Into how many instances a task is expanded; `None`: it is not.
    #[must_use]
    pub fn instances(&self, task: TaskNo) -> Option<i32> {
        self.tasks.get(&task).and_then(|mapped| mapped.instances)
    }

    /// How many instances all tasks of a plan have now.
    #[must_use]
    pub fn size(&self, plan: &Plan) -> i32 {
        let more: i32 =
            self.tasks.values().filter_map(|task| task.instances).map(|count| count - 1).sum();
        i32::try_from(plan.len()).unwrap_or(i32::MAX).saturating_add(more)
    }

    /// Whether there is such an instance now. A try may go on of one that there is no more: its task was
    /// cleared, and is not expanded anew yet, or into fewer.
    #[must_use]
    pub fn has(&self, at: Instance) -> bool {
        match self.instances(at.task) {
            Some(count) => (0..count).contains(&at.map_index.0),
            None => at.map_index.is_none(),
        }
    }

    /// All instances that a task has now.
    pub fn all(&self, task: TaskNo) -> impl Iterator<Item = Instance> + use<> {
        let range = self.instances(task).map_or(-1..0, |count| 0..count);
        range.map(move |index| Instance::mapped(task, index))
    }

    /// The instances of `to` whose counters change when `from` ends.
    pub(super) fn below(
        &self,
        plan: &Plan,
        from: Instance,
        to: &PlanTask,
    ) -> impl Iterator<Item = Instance> + use<> {
        let instances = self.instances(to.no);
        let own =
            (!from.map_index.is_none() && plan.by_index(from.task, to)).then_some(from.map_index.0);
        let indexes = match (own, instances) {
            (Some(index), _) => index..index + 1,
            (None, Some(count)) if to.counts_each_index() => 0..count,
            _ => -1..0,
        };
        // Guards are only waited for index by index.
        let gathers = || to.gathers && to.upstream.contains(&from.task);
        let summary = own.is_some() && instances.is_none() && gathers();
        let task = to.no;
        indexes.chain(summary.then_some(-1)).map(move |index| Instance::mapped(task, index))
    }

    /// A task has this many instances from now on.
    pub fn expand(&mut self, task: TaskNo, count: i32) {
        self.set(task, Mapped { instances: Some(count), ended: 0, returned: None });
    }

    /// An instance has ended.
    pub fn ended(&mut self, at: Instance) {
        if let Some(mapped) = self.tasks.get_mut(&at.task).filter(|m| m.instances.is_some()) {
            mapped.ended += 1;
        }
    }

    /// An instance has succeeded and returned this many items.
    pub fn returned(&mut self, plan: &Plan, at: Instance, items: Option<i32>) {
        let feeds = |task: &&PlanTask| !task.feeds.is_empty() && self.has(at);
        let Some(task) = plan.task(at.task).filter(feeds) else { return };
        let mut mapped = self.of(task.no);
        mapped.returned = match mapped.instances {
            None => items,
            Some(_) => Some(mapped.returned.unwrap_or(0) + i32::from(items.is_some())),
        };
        self.set(task.no, mapped);
    }

    /// Into how many instances a mapped task is to be expanded; `None`: it is not known yet.
    #[must_use]
    pub fn length(&self, plan: &Plan, task: &PlanTask) -> Option<i32> {
        let factors = plan.mapping(task)?.factors.iter();
        factors
            .map(|factor| self.items(factor))
            .try_fold(1, |all, items| Some(i32::saturating_mul(all, items?)))
    }

    /// How many items a factor of a mapping has.
    fn items(&self, factor: &Factor) -> Option<i32> {
        match factor {
            Factor::Literal(count) => Some(*count),
            Factor::Task(task) => self.handed_on(*task),
            Factor::Zip { of, longest } => {
                let items = of.iter().map(|factor| self.items(factor));
                let items = items.collect::<Option<Vec<i32>>>()?.into_iter();
                if *longest { items.max() } else { items.min() }
            }
        }
    }

    /// How many items a task hands on: those that it returned, or one for each instance that returned
    /// something once all have ended.
    fn handed_on(&self, task: TaskNo) -> Option<i32> {
        let mapped = self.of(task);
        match mapped.instances {
            Some(count) if mapped.ended < count => None,
            Some(_) => Some(mapped.returned.unwrap_or(0)),
            None => mapped.returned,
        }
    }

    /// Counters with what the plan and this shape know.
    #[must_use]
    pub fn complete(
        &self,
        plan: &Plan,
        task: &PlanTask,
        map_index: MapIndex,
        counts: UpstreamCounts,
    ) -> UpstreamCounts {
        let needed = self.needed(plan, task, map_index);
        let setups = self.setups(plan, task, map_index);
        let guards = self.guards(plan, task, map_index);
        UpstreamCounts { needed, setups, guards, ..counts }
    }

    /// How many of the upstreams that an instance waits for are setups.
    fn setups(&self, plan: &Plan, task: &PlanTask, map_index: MapIndex) -> i32 {
        if self.tasks.is_empty() || task.setups == 0 {
            return task.setups;
        }
        let is_setup = |up: &&TaskNo| plan.task(**up).is_some_and(|up| up.is_setup);
        let setups = task.upstream.iter().filter(is_setup);
        setups.map(|&up| self.above(plan, task, map_index, up)).sum()
    }

    /// How many instances an instance watches: of a task in its mapped group the one of its own index.
    fn guards(&self, plan: &Plan, task: &PlanTask, map_index: MapIndex) -> i32 {
        if self.tasks.is_empty() {
            return task.guards;
        }
        let of = |&no: &TaskNo| match self.instances(no) {
            // Before the task is expanded none of them is its own.
            Some(_) if plan.by_index(no, task) => i32::from(!map_index.is_none()),
            Some(count) => count,
            None => 1,
        };
        task.watches.iter().map(of).sum()
    }

    /// Whether an instance has counters before it is there: its task is not expanded yet.
    pub(super) fn is_ahead(&self, at: Instance) -> bool {
        !at.map_index.is_none() && self.instances(at.task).is_none()
    }

    /// How many upstreams an instance waits for.
    pub(super) fn needed(&self, plan: &Plan, task: &PlanTask, map_index: MapIndex) -> i32 {
        if self.tasks.is_empty() {
            return task.needed;
        }
        task.upstream.iter().map(|&up| self.above(plan, task, map_index, up)).sum()
    }

    /// How many instances of one upstream an instance waits for.
    fn above(&self, plan: &Plan, task: &PlanTask, map_index: MapIndex, up: TaskNo) -> i32 {
        match self.instances(up) {
            Some(_) if plan.by_index(up, task) && !map_index.is_none() => 1,
            // Once it is expanded, each of its instances has its own below it.
            Some(_) if plan.by_index(up, task) && !task.gathers => 0,
            Some(count) => count,
            None => 1,
        }
    }
}
