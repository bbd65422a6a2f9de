//! The compiled graph of one DAG version: what the engine keeps in memory of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{RetryPolicy, TriggerRule, UpstreamCounts, Verdict, judge};
use crate::dag::model::{Dag, Task};
use crate::ids::{DagId, TaskId, TaskNo};
use crate::state::FinalState;

/// A DAG version, its tasks by number.
#[derive(Debug)]
pub struct Plan {
    pub dag: Arc<Dag>,
    tasks: BTreeMap<TaskNo, PlanTask>,
    numbers: HashMap<TaskId, TaskNo>,
    /// What tasks and groups are mapped over.
    mappings: Vec<Mapping>,
    /// Mapped tasks of which one run has only so many instances at once.
    limited: Vec<TaskNo>,
    /// Whether somebody is told of an end.
    pub tells: bool,
    /// Whether a task makes assets.
    pub has_outlets: bool,
}

/// What a task, or a group of tasks, is mapped over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Each is crossed with the others.
    pub factors: Vec<Factor>,
    /// Of a group: its tasks follow each other index by index.
    pub is_group: bool,
}

/// Something with a number of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    Literal(i32),
    /// What this task returns.
    Task(TaskNo),
    /// One item of each at a time, until the shortest or the longest ends.
    Zip {
        of: Vec<Factor>,
        longest: bool,
    },
}

/// What the engine needs of one task.
#[derive(Debug)]
pub struct PlanTask {
    pub no: TaskNo,
    /// Index into [`Dag::tasks`].
    pub index: usize,
    pub upstream: Vec<TaskNo>,
    pub downstream: Vec<TaskNo>,
    pub rule: TriggerRule,
    /// Direct upstreams, and the setups among them; a mapped one grows this when it is expanded.
    pub needed: i32,
    pub setups: i32,
    pub is_setup: bool,
    pub is_teardown: bool,
    /// Tasks that wait for this one without being direct downstreams, see
    /// [`super::UpstreamCounts::guards`].
    pub watchers: Vec<TaskNo>,
    /// The tasks that it watches.
    pub watches: Vec<TaskNo>,
    /// How many these are; a mapped one grows this, too.
    pub guards: i32,
    /// Its end counts for the run's: nothing comes after it but teardowns that don't count.
    pub is_leaf: bool,
    /// What its result decides about the tasks below it.
    pub kind: Kind,
    /// Mapped tasks whose length its result gives.
    pub feeds: Vec<TaskNo>,
    /// What it, or its group, is mapped over.
    pub mapping: Option<MappingNo>,
    /// Upstreams and guards that it follows index by index: they are in the same mapped group.
    pub by_index: Vec<TaskNo>,
    /// Until it is expanded it waits for one of all their instances.
    pub gathers: bool,
    pub retry: RetryPolicy,
    pub execution_timeout: Option<Duration>,
    /// Larger first: its own weight and, if the DAG weighs, by its rule that of all tasks below or above
    /// it.
    pub priority: i32,
    pub queue: Arc<str>,
    /// The pool whose slots it takes; `None`: `default_pool`, which has no limit.
    pub pool: Option<Arc<str>>,
    pub pool_slots: i32,
    /// The pool that it has to itself besides, for `max_active_tis_per_dag`: one slot each.
    pub own_pool: Option<Arc<str>>,
    /// Instances of it that one run has at once, if it is mapped.
    pub most_of_run: Option<i32>,
    /// Settled by the server without a worker.
    pub is_empty: bool,
    /// What of the run before it waits for.
    pub past: Past,
    /// It waits for nothing where no run before had it.
    pub ignores_first: bool,
    /// In the next run something may wait for its end.
    pub is_past: bool,
}

/// What of the run before a task waits for, once its own upstreams let it run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    Nothing,
    /// The task itself: it succeeded or was skipped.
    Itself,
    /// Also the tasks right below it.
    WithDownstream,
}

/// What a task's result decides about the tasks below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Its result names the tasks to follow.
    Branch,
    /// Without a true result it skips what is below: everything, or, if rules below are to decide,
    /// the direct downstreams.
    ShortCircuit {
        everything: bool,
    },
    /// Its result says whether the run is the newest of its schedule.
    LatestOnly,
}

/// A place in the plan's list of mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingNo(usize);

/// A DAG version that cannot be compiled: a task has no number, or an edge leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("DAG `{dag}` has no task `{task}`")]
pub struct PlanError {
    pub dag: String,
    pub task: TaskId,
}

impl PlanTask {
    /// Whether it is ready as soon as the run starts.
    #[must_use]
    pub fn starts_with_run(&self) -> bool {
        self.upstream.is_empty() || self.rule == TriggerRule::Always
    }

    /// Whether it puts away what setups made: then a cancel of its run does not keep it from running.
    #[must_use]
    pub fn cleans_up(&self) -> bool {
        self.is_teardown && self.setups > 0
    }

    /// Judges it by its rule.
    #[must_use]
    pub fn judge(&self, counts: &UpstreamCounts) -> Verdict {
        let needs_one = self.rule == TriggerRule::AllDoneMinOneSuccess;
        if needs_one
            && counts.needed == 0
            && counts.sources_failed == 0
            && !self.upstream.is_empty()
        {
            // A member of a mapped group that is not expanded has nothing above it: Airflow finds no
            // success there.
            return Verdict::Settle(FinalState::UpstreamFailed);
        }
        judge(self.rule, counts)
    }

    /// Whether it has one instance for each item of something.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.mapping.is_some()
    }

    /// Whether its counters must be kept: one ended task alone does not complete them.
    #[must_use]
    pub fn waits_for_several(&self) -> bool {
        self.upstream.len() > 1 || self.guards > 0
    }

    /// Whether it is mapped and waits for the run before as a whole: before any instance of it is made.
    #[must_use]
    pub fn waits_as_one(&self) -> bool {
        self.past != Past::Nothing && self.is_mapped() && !self.counts_each_index()
    }

    /// Whether its instances have counters of their own, once it is expanded.
    #[must_use]
    pub fn counts_each_index(&self) -> bool {
        !self.by_index.is_empty()
    }
}

impl Plan {
    /// Compiles a DAG; `numbers` gives each task's number, stable across versions.
    pub fn new(dag: Arc<Dag>, numbers: HashMap<TaskId, TaskNo>) -> Result<Self, PlanError> {
        let number = |task: &TaskId| {
            numbers
                .get(task)
                .copied()
                .ok_or_else(|| PlanError { dag: dag.dag_id.to_string(), task: task.clone() })
        };
        let mut tasks = BTreeMap::new();
        for (index, task) in dag.tasks.iter().enumerate() {
            let upstream = task.upstream.iter().map(number).collect::<Result<Vec<_>, _>>()?;
            let no = number(&task.task_id)?;
            tasks.insert(no, PlanTask::new(no, index, &dag.dag_id, task, upstream));
        }
        let edges: Vec<_> =
            tasks.values().flat_map(|task| task.upstream.iter().map(|&up| (up, task.no))).collect();
        for (up, down) in edges {
            if let Some(task) = tasks.get_mut(&up) {
                task.downstream.push(down);
            }
        }
        let tells =
            !dag.notices.is_empty() || dag.tasks.iter().any(|task| !task.notices.is_empty());
        let has_outlets = dag.tasks.iter().any(|task| !task.outlets.is_empty());
        let (mappings, limited) = (Vec::new(), Vec::new());
        let mut plan = Self { dag, tasks, numbers, mappings, limited, tells, has_outlets };
        plan.find_past();
        plan.find_leaves();
        plan.guard();
        plan.map()?;
        plan.limited = plan
            .tasks()
            .filter(|task| task.is_mapped() && task.most_of_run.is_some())
            .map(|task| task.no)
            .collect();
        plan.weigh();
        Ok(plan)
    }

    /// A plan whose numbers are the tasks' places in the file, for runs that have no database.
    pub fn numbered_in_order(dag: Arc<Dag>) -> Result<Self, PlanError> {
        let numbers =
            dag.tasks.iter().map(|task| task.task_id.clone()).zip((0..).map(TaskNo)).collect();
        Self::new(dag, numbers)
    }

    /// Returns the task of this number, unless this version has none.
    #[must_use]
    pub fn task(&self, no: TaskNo) -> Option<&PlanTask> {
        self.tasks.get(&no)
    }

    /// Returns the number of a task.
    #[must_use]
    pub fn number(&self, task: &TaskId) -> Option<TaskNo> {
        self.numbers.get(task).copied().filter(|no| self.tasks.contains_key(no))
    }

    /// Returns the task as the DAG file has it.
    #[must_use]
    pub fn spec(&self, task: &PlanTask) -> &Task {
        &self.dag.tasks[task.index]
    }

    /// What a task is mapped over.
    #[must_use]
    pub fn mapping(&self, task: &PlanTask) -> Option<&Mapping> {
        task.mapping.map(|no| &self.mappings[no.0])
    }

    /// Whether a task is in a mapped group: its item is the group's.
    #[must_use]
    pub fn is_in_group(&self, task: &PlanTask) -> bool {
        self.mapping(task).is_some_and(|mapping| mapping.is_group)
    }

    /// Whether two tasks are in the same mapped group: an instance of the one sees those of the other that
    /// have its index.
    #[must_use]
    pub fn in_one_group(&self, one: &PlanTask, other: &PlanTask) -> bool {
        self.is_in_group(one) && one.mapping == other.mapping
    }

    /// Whether `to` follows `from` index by index.
    pub(super) fn by_index(&self, from: TaskNo, to: &PlanTask) -> bool {
        to.by_index.contains(&from)
    }

    /// All tasks, by number.
    pub fn tasks(&self) -> impl Iterator<Item = &PlanTask> {
        self.tasks.values()
    }

    /// How many tasks a run has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Mapped tasks of which one run has only so many instances at once.
    #[must_use]
    pub fn limited(&self) -> &[TaskNo] {
        &self.limited
    }

    /// Whether some task is mapped.
    #[must_use]
    pub fn has_maps(&self) -> bool {
        !self.mappings.is_empty()
    }

    /// Whether some group of tasks is mapped.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        self.mappings.iter().any(|mapping| mapping.is_group)
    }

    /// Whether the DAG has no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Finds the tasks whose ends the next run may wait for.
    fn find_past(&mut self) {
        let waits = |no: &TaskNo| self.tasks[no].past == Past::WithDownstream;
        let of_others = |task: &PlanTask| task.upstream.iter().any(waits);
        let past: Vec<TaskNo> = self
            .tasks()
            .filter(|task| task.past != Past::Nothing || of_others(task))
            .map(|task| task.no)
            .collect();
        for no in past {
            if let Some(task) = self.tasks.get_mut(&no) {
                task.is_past = true;
            }
        }
    }

    /// Whether some task waits for the run before.
    #[must_use]
    pub fn waits_for_past(&self) -> bool {
        self.tasks().any(|task| task.past != Past::Nothing)
    }

    /// The task and everything downstream of it.
    #[must_use]
    pub fn reachable(&self, from: TaskNo) -> BTreeSet<TaskNo> {
        self.closure(from, |task| &task.downstream)
    }

    /// The task and everything upstream of it.
    #[must_use]
    pub fn reaching(&self, to: TaskNo) -> BTreeSet<TaskNo> {
        self.closure(to, |task| &task.upstream)
    }

    fn closure(&self, from: TaskNo, step: impl Fn(&PlanTask) -> &Vec<TaskNo>) -> BTreeSet<TaskNo> {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(no) = next.pop() {
            let Some(task) = self.tasks.get(&no) else { continue };
            next.extend(step(task).iter().copied().filter(|other| seen.insert(*other)));
        }
        seen
    }
}

impl PlanTask {
    fn new(no: TaskNo, index: usize, dag: &DagId, task: &Task, upstream: Vec<TaskNo>) -> Self {
        Self {
            no,
            index,
            needed: i32::try_from(upstream.len()).expect("a DAG has at most 20,000 tasks"),
            upstream,
            downstream: Vec::new(),
            rule: task.trigger_rule,
            setups: 0,
            is_setup: task.setup,
            is_teardown: task.teardown.is_some(),
            watchers: Vec::new(),
            watches: Vec::new(),
            guards: 0,
            is_leaf: true,
            kind: Kind::of(task),
            feeds: Vec::new(),
            mapping: None,
            by_index: Vec::new(),
            gathers: false,
            retry: RetryPolicy::of(task),
            execution_timeout: task.execution_timeout,
            priority: task.priority_weight,
            queue: task.queue.as_str().into(),
            pool: task.taken_pool(dag).map(Into::into),
            pool_slots: i32::try_from(task.taken_slots()).unwrap_or(i32::MAX),
            own_pool: task.own_pool_beside(dag).map(Into::into),
            most_of_run: task
                .max_active_tis_per_dagrun
                .map(|most| i32::try_from(most).unwrap_or(i32::MAX)),
            is_empty: task.operator == "empty",
            past: match (task.wait_for_downstream, task.depends_on_past) {
                (true, _) => Past::WithDownstream,
                (false, true) => Past::Itself,
                (false, false) => Past::Nothing,
            },
            ignores_first: task.ignore_first_depends_on_past,
            is_past: false,
        }
    }
}

mod guards;
mod mapping;
mod weights;

pub(in crate::decide) use mapping::items;
#[cfg(test)]
mod tests;
