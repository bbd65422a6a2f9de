//! Mapped tasks and groups: what gives their length, and who follows whom index by index.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Factor, Mapping, MappingNo, Plan, PlanError};
use crate::dag::model::{Expand, Source, Task};
use crate::decide::TriggerRule;
use crate::ids::TaskNo;

impl Plan {
    /// Finds what is mapped over what.
    pub(super) fn map(&mut self) -> Result<(), PlanError> {
        let dag = self.dag.clone();
        let mut of_group: BTreeMap<&str, MappingNo> = BTreeMap::new();
        for (id, group) in &dag.task_groups {
            if let Some(expand) = &group.expand {
                let mapping = self.add_mapping(expand, true)?;
                of_group.insert(id, mapping);
            }
        }
        let mapped_group = |task: &Task| {
            let groups = std::iter::successors(task.task_group.as_deref(), |id| outer(id));
            groups.into_iter().find_map(|id| of_group.get(id).copied())
        };
        let mut mappings = BTreeMap::new();
        for (no, task) in self.tasks.iter().map(|(no, task)| (*no, &dag.tasks[task.index])) {
            mappings.insert(no, (mapped_group(task), task.expand.as_ref()));
        }
        for (no, (group, expand)) in mappings {
            // The tasks of a mapped group have its `expand`, too.
            let mapping = match (group, expand) {
                (Some(group), _) => Some(group),
                (None, Some(expand)) => Some(self.add_mapping(expand, false)?),
                (None, None) => None,
            };
            if let Some(task) = self.tasks.get_mut(&no) {
                task.mapping = mapping;
            }
        }
        self.connect();
        Ok(())
    }

    fn add_mapping(&mut self, expand: &Expand, is_group: bool) -> Result<MappingNo, PlanError> {
        let factors = expand.arguments.iter().map(|(_, source)| self.factor(source));
        let factors = factors.collect::<Result<_, _>>()?;
        self.mappings.push(Mapping { factors, is_group });
        Ok(MappingNo(self.mappings.len() - 1))
    }

    fn factor(&self, source: &Source) -> Result<Factor, PlanError> {
        let missing = |task| PlanError { dag: self.dag.dag_id.to_string(), task };
        Ok(match source {
            Source::Literal(value) => Factor::Literal(items(value).unwrap_or(0)),
            Source::Task { task_id, .. } => {
                Factor::Task(self.number(task_id).ok_or_else(|| missing(task_id.clone()))?)
            }
            Source::Zip { of, fill } => Factor::Zip {
                of: of.iter().map(|source| self.factor(source)).collect::<Result<_, _>>()?,
                longest: fill.is_some(),
            },
        })
    }

    /// Tells sources whom they feed, and members of a group whom they follow.
    fn connect(&mut self) {
        let mapped: Vec<(TaskNo, MappingNo)> =
            self.tasks().filter_map(|task| Some((task.no, task.mapping?))).collect();
        let groups: BTreeMap<TaskNo, MappingNo> =
            mapped.iter().copied().filter(|(_, no)| self.mappings[no.0].is_group).collect();
        for (no, mapping) in mapped {
            let sources: BTreeSet<TaskNo> =
                self.mappings[mapping.0].factors.iter().flat_map(Factor::tasks).collect();
            for source in sources {
                if let Some(source) = self.tasks.get_mut(&source) {
                    source.feeds.push(no);
                }
            }
            let Some(task) = self.tasks.get_mut(&no) else { continue };
            if groups.contains_key(&no) {
                let inside = |up: &&TaskNo| groups.get(up) == Some(&mapping);
                let above = task.upstream.iter().chain(&task.watches);
                task.by_index = above.filter(inside).copied().collect();
                task.gathers = waits_for_one(task.rule);
            }
        }
    }
}

impl Factor {
    /// The tasks whose results it needs.
    fn tasks(&self) -> Vec<TaskNo> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Task(task) => vec![*task],
            Self::Zip { of, .. } => of.iter().flat_map(Self::tasks).collect(),
        }
    }
}

/// Rules that would be decided at once, over nothing, by a task that is not expanded yet.
fn waits_for_one(rule: TriggerRule) -> bool {
    use TriggerRule::{NoneFailedMinOneSuccess, OneDone, OneFailed, OneSuccess};
    matches!(rule, OneSuccess | OneFailed | OneDone | NoneFailedMinOneSuccess)
}

/// The group around a group.
fn outer(id: &str) -> Option<&str> {
    id.rsplit_once('.').map(|(outer, _)| outer)
}

/// How many items a value has, if it can be mapped over.
pub(in crate::decide) fn items(value: &Value) -> Option<i32> {
    let count = match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => return None,
    };
    Some(i32::try_from(count).unwrap_or(i32::MAX))
}
