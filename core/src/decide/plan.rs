//! The compiled graph of one DAG version: what the engine keeps in memory of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{RetryPolicy, TriggerRule};
use crate::dag::model::{Dag, Task};
use crate::ids::{TaskId, TaskNo};

/// A DAG version, its tasks by number.
#[derive(Debug)]
pub struct Plan {
    pub dag: Arc<Dag>,
    tasks: BTreeMap<TaskNo, PlanTask>,
    numbers: HashMap<TaskId, TaskNo>,
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
    /// Direct upstreams; a mapped one grows this when it is expanded.
    pub needed: i32,
    pub setups: i32,
    pub is_setup: bool,
    /// Its end counts for the run's: nothing comes after it.
    pub is_leaf: bool,
    pub retry: RetryPolicy,
    pub execution_timeout: Option<Duration>,
    /// Larger first: its own weight and that of all downstream tasks (Airflow's `downstream`).
    pub priority: i32,
    pub queue: Arc<str>,
    /// Settled by the server without a worker.
    pub is_empty: bool,
}

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
            tasks.insert(no, PlanTask::new(no, index, task, upstream));
        }
        let edges: Vec<_> =
            tasks.values().flat_map(|task| task.upstream.iter().map(|&up| (up, task.no))).collect();
        for (up, down) in edges {
            if let Some(task) = tasks.get_mut(&up) {
                task.downstream.push(down);
                task.is_leaf = false;
            }
        }
        let mut plan = Self { dag, tasks, numbers };
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

    /// All tasks, by number.
    pub fn tasks(&self) -> impl Iterator<Item = &PlanTask> {
        self.tasks.values()
    }

    /// How many tasks a run has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether the DAG has no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Adds the weights of all downstream tasks, each counted once.
    fn weigh(&mut self) {
        // Reachable sets are quadratic: beyond this many tasks the longest path's weight stands in.
        const EXACT_TASKS: usize = 2_000;
        let order: Vec<TaskNo> = {
            let mut by_index: Vec<_> = self.tasks.values().map(|t| (t.index, t.no)).collect();
            by_index.sort_unstable();
            by_index.into_iter().rev().map(|(_, no)| no).collect()
        };
        let own: HashMap<TaskNo, i32> =
            self.tasks.values().map(|t| (t.no, self.dag.tasks[t.index].priority_weight)).collect();
        let mut total: HashMap<TaskNo, i32> = HashMap::with_capacity(own.len());
        for no in order {
            let weight = if own.len() <= EXACT_TASKS {
                self.reachable(no).iter().map(|task| own[task]).fold(0, i32::saturating_add)
            } else {
                let below = &self.tasks[&no].downstream;
                let heaviest = below.iter().filter_map(|task| total.get(task)).max();
                own[&no].saturating_add(heaviest.copied().unwrap_or(0))
            };
            total.insert(no, weight);
        }
        for task in self.tasks.values_mut() {
            task.priority = total[&task.no];
        }
    }

    /// The task and everything downstream of it.
    #[must_use]
    pub fn reachable(&self, from: TaskNo) -> std::collections::BTreeSet<TaskNo> {
        let mut seen = std::collections::BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(no) = next.pop() {
            let Some(task) = self.tasks.get(&no) else { continue };
            next.extend(task.downstream.iter().copied().filter(|down| seen.insert(*down)));
        }
        seen
    }
}

impl PlanTask {
    fn new(no: TaskNo, index: usize, task: &Task, upstream: Vec<TaskNo>) -> Self {
        Self {
            no,
            index,
            needed: i32::try_from(upstream.len()).expect("a DAG has at most 20,000 tasks"),
            upstream,
            downstream: Vec::new(),
            rule: task.trigger_rule,
            setups: 0,
            is_setup: false,
            is_leaf: true,
            retry: RetryPolicy::of(task),
            execution_timeout: task.execution_timeout,
            priority: task.priority_weight,
            queue: task.queue.as_str().into(),
            is_empty: task.operator == "empty",
        }
    }
}

#[cfg(test)]
mod tests;
