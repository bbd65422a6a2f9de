//! Mapped task groups: what a group is mapped over, and what its tasks may be.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::At;
use super::expand::Place;
use super::groups::is_inside;
use super::model::{Expand, Task};
use super::page::Page;
use super::tasks::Tasks;
use super::written::Written;
use super::yaml::{Kind, Node};
use crate::decide::{MAP_MOST, TriggerRule};
use crate::ids::TaskId;
use crate::operators::flow;

/// A mapped group.
pub(super) struct MappedGroup {
    pub(super) expand: Expand,
    /// Tasks whose results it is mapped over: they come before all of it.
    pub(super) above: BTreeSet<String>,
    pub(super) at: At,
}

impl<'a> Tasks<'a> {
    /// What groups are mapped over, by their full ids.
    pub(super) fn mapped_groups(&self) -> BTreeMap<String, MappedGroup> {
        let mapped = self.groups.all().filter_map(|group| Some((group, group.expand?)));
        let read = |(group, node): (&super::groups::Group<'_>, &Node)| {
            let what = format!("task group {:?}", group.full_id);
            let outer = group.full_id.rsplit_once('.').map(|(outer, _)| outer);
            if let Some(outer) = self.groups.mapped(outer).next() {
                let message =
                    format!("{what} lies in {:?}, which is mapped already", outer.full_id);
                self.report.error(Page::Mapped, node.at, message);
            }
            let (expand, above) = self.group_expand(&what, node);
            (group.full_id.clone(), MappedGroup { expand, above, at: node.at })
        };
        mapped.map(read).collect()
    }

    fn group_expand(&self, what: &str, node: &Node) -> (Expand, BTreeSet<String>) {
        let (mut arguments, mut above) = (Vec::new(), BTreeSet::new());
        if !matches!(&node.kind, Kind::Map(entries) if !entries.is_empty()) {
            let message = "\"expand\" is a map of argument to a list, or to what a task returns";
            self.report.error(Page::Mapped, node.at, format!("{what}: {message}"));
        }
        for (key, node) in node.entries() {
            let place = Place { what: what.to_owned(), written: None, code_of: None };
            let source = self.source(&place, node, &mut above);
            arguments.extend(source.map(|source| (key.text.clone(), source)));
        }
        let expand = Expand { arguments };
        let literal = expand.arguments.iter().map(|(_, source)| source.literal_length());
        let all = literal.fold(1_usize, |all, count| all.saturating_mul(count.unwrap_or(1)));
        if all > MAP_MOST as usize {
            let message = format!("{what} is mapped over {all} items: {MAP_MOST} is the most");
            self.report.error(Page::Mapped, node.at, message);
        }
        (expand, above)
    }

    /// Gives the tasks of mapped groups what they are mapped over, and says what cannot be.
    pub(super) fn map_groups(
        &self,
        groups: &BTreeMap<String, MappedGroup>,
        tasks: &mut [Option<Task>],
    ) {
        for (id, group) in groups {
            for above in &group.above {
                let inside = self.written.iter().find(|task| task.id == above);
                if inside.is_some_and(|task| is_inside(task.group, id)) {
                    let message =
                        format!("task group {id:?} is mapped over its own task {above:?}");
                    self.report.error(Page::Mapped, group.at, message);
                }
            }
            let members: BTreeSet<TaskId> = tasks
                .iter()
                .flatten()
                .filter(|task| is_inside(task.task_group.as_deref(), id))
                .map(|task| task.task_id.clone())
                .collect();
            for task in tasks.iter_mut().flatten().filter(|task| members.contains(&task.task_id)) {
                self.check_member(task, id);
                task.expand = Some(group.expand.clone());
                if !task.upstream.iter().any(|up| members.contains(up)) {
                    task.upstream.extend(group.above.iter().map(|id| TaskId(id.clone())));
                    task.upstream.sort();
                    task.upstream.dedup();
                }
            }
        }
    }

    /// What a task of a mapped group cannot be.
    fn check_member(&self, task: &Task, group: &str) {
        let why = if task.expand.is_some() {
            "a task with an \"expand\" of its own is not supported there yet"
        } else if task.trigger_rule == TriggerRule::Always {
            "trigger rule \"always\" is not allowed there, as in Airflow: it would not wait for the items"
        } else if flow::DECIDES.contains(&task.operator.as_str()) {
            "what decides about tasks below it decides once, and can't be mapped"
        } else {
            return;
        };
        let Some(written) = self.written.iter().find(|it| it.id == task.task_id.0) else { return };
        let message = format!("task {:?} is in mapped group {group:?}: {why}", written.id);
        self.report.error(Page::Mapped, written.at, message);
    }

    /// The arguments of the mapped group that a task is in.
    pub(super) fn group_arguments(&self, written: &Written<'_>) -> Vec<&'a str> {
        let group = self.groups.mapped(written.group).next();
        let entries = group.and_then(|group| group.expand).map_or(&[][..], Node::entries);
        entries.iter().map(|(key, _)| key.text.as_str()).collect()
    }

    /// Whether a task is in the mapped group of another one, and so has one instance for each of its.
    pub(super) fn in_one_group(&self, written: &Written<'_>, other: &str) -> bool {
        let group = |written: &Written<'_>| {
            self.groups.mapped(written.group).next().map(|group| group.full_id.clone())
        };
        let other = self.written.iter().find(|task| task.id == other).and_then(group);
        other.is_some() && other == group(written)
    }
}
