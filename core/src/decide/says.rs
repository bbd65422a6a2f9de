//! What a successful try says about the tasks below it: which to follow, and how many instances to
//! make of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::plan::items;
use super::{Kind, MAP_MOST, Plan, PlanTask};
use crate::ids::{TaskId, TaskNo};
use crate::template::is_true;

/// What a result means beyond that the task succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Says {
    pub skips: Skips,
    /// How many items it returned; `None`: nothing that can be mapped over.
    pub returned: Option<i32>,
}

/// Which tasks below are skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Skips {
    #[default]
    None,
    /// Direct downstreams, but for these and whatever is below these.
    AllBut(Vec<TaskNo>),
    /// What is below, teardowns left out.
    Below,
}

impl Says {
    /// Reads a task's result; an error says what is wrong with it.
    pub fn of(plan: &Plan, task: &PlanTask, result: Option<&Value>) -> Result<Self, String> {
        let skips = match task.kind {
            Kind::Plain => Skips::None,
            Kind::Branch => Skips::AllBut(plan.followed(result)?),
            Kind::ShortCircuit { .. } if result.is_some_and(is_true) => Skips::None,
            Kind::ShortCircuit { .. } => Skips::Below,
            Kind::LatestOnly if result.is_some_and(is_true) => Skips::None,
            Kind::LatestOnly => Skips::AllBut(Vec::new()),
        };
        Ok(Self { skips, returned: plan.items(task, result)? })
    }
}

impl Plan {
    /// The tasks that a task skips by what it says.
    #[must_use]
    pub fn skipped_by(&self, task: TaskNo, skips: &Skips) -> BTreeSet<TaskNo> {
        let Some(task) = self.task(task) else { return BTreeSet::new() };
        match skips {
            Skips::None => BTreeSet::new(),
            Skips::AllBut(followed) => {
                let kept: BTreeSet<TaskNo> =
                    followed.iter().flat_map(|no| self.reachable(*no)).collect();
                task.downstream.iter().copied().filter(|down| !kept.contains(down)).collect()
            }
            Skips::Below => {
                let mut below = match task.kind {
                    Kind::ShortCircuit { everything: true } => self.reachable(task.no),
                    _ => task.downstream.iter().copied().collect(),
                };
                below.remove(&task.no);
                below.retain(|no| !self.task(*no).is_some_and(|task| task.is_teardown));
                below
            }
        }
    }

    /// How many items a result has that tasks below are mapped over. An instance of a mapped task gives
    /// one item, whatever it is.
    fn items(&self, task: &PlanTask, result: Option<&Value>) -> Result<Option<i32>, String> {
        let Some(fed) = task.feeds.first().and_then(|no| self.task(*no)) else { return Ok(None) };
        let result = result.filter(|result| !result.is_null());
        if task.is_mapped() {
            return Ok(result.map(|_| 1));
        }
        let fed = &self.spec(fed).task_id;
        let why = format!("task `{fed}` is mapped over what this task returns");
        match result.and_then(items) {
            Some(count) if count > MAP_MOST => {
                Err(format!("{why}: it has {count} items, and {MAP_MOST} is the most"))
            }
            Some(count) => Ok(Some(count)),
            None => {
                let what = result.map_or("nothing", kind_of);
                Err(format!("{why}: it must be a list or a map, and it is {what}"))
            }
        }
    }

    /// The tasks that a branch's result names: an id, a list of ids, or nothing.
    fn followed(&self, result: Option<&Value>) -> Result<Vec<TaskNo>, String> {
        let named = match result {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(one) => vec![one],
        };
        let followed: Result<Vec<_>, _> =
            named.into_iter().map(|id| self.followed_one(id)).collect();
        Ok(followed?.concat())
    }

    /// A task, or all tasks of a group.
    fn followed_one(&self, id: &Value) -> Result<Vec<TaskNo>, String> {
        let Some(text) = id.as_str() else {
            return Err(format!("a branch follows task ids, and its result holds {id}"));
        };
        if self.dag.task_groups.contains_key(text) {
            let prefix = format!("{text}.");
            let is_inside = |group: &str| group == text || group.starts_with(&prefix);
            let inside = self
                .tasks()
                .filter(|task| self.spec(task).task_group.as_deref().is_some_and(is_inside));
            return Ok(inside.map(|task| task.no).collect());
        }
        self.number(&TaskId(text.to_owned())).map(|no| vec![no]).ok_or_else(|| {
            format!("the branch is to follow {text:?}, and the DAG has no such task")
        })
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
