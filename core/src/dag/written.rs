//! The tasks of a DAG as they stand in its file: a map or a list, their ids, their groups.

use std::collections::HashMap;

use super::diagnostic::{At, Report};
use super::groups::Groups;
use super::load::check_id;
use super::page::Page;
use super::suggest::did_you_mean;
use super::yaml::{Kind, Node};
use crate::operators::{self, Operator};

/// More tasks than this make no DAG.
const MAX_TASKS: usize = 20_000;

/// A task as it stands in the file.
pub(super) struct Written<'a> {
    /// With the ids of its groups before it.
    pub(super) id: &'a str,
    pub(super) at: At,
    pub(super) node: &'a Node,
    /// The full id of its group.
    pub(super) group: Option<&'a str>,
}

/// The tasks of a map or a list, without those that have no usable id.
pub(super) fn written<'a>(dag: &'a Node, report: &Report<'_>) -> Option<Vec<Written<'a>>> {
    let Some(node) = dag.get("tasks") else {
        report.error(Page::Keys, dag.at, "the DAG: \"tasks\" is missing");
        return None;
    };
    let tasks: Vec<Written<'a>> = match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .filter_map(|(key, node)| named(&key.text, key.at, node, report))
            .collect(),
        Kind::List(items) => items.iter().filter_map(|node| listed(node, report)).collect(),
        _ => {
            report.error(
                Page::Values,
                node.at,
                "\"tasks\" is a map of task id to task, or a list of tasks",
            );
            return None;
        }
    };
    if tasks.len() > MAX_TASKS {
        let count = tasks.len();
        report.error(
            Page::Size,
            node.at,
            format!("{count} tasks: a DAG may have {MAX_TASKS} at most"),
        );
        return None;
    }
    Some(tasks)
}

fn named<'a>(id: &'a str, at: At, node: &'a Node, report: &Report<'_>) -> Option<Written<'a>> {
    if let Some(own) = node.get("task_id").filter(|own| own.text() != Some(id)) {
        report.error(
            Page::Ids,
            own.at,
            format!("\"task_id\" differs from the task's key {id:?}: leave it out"),
        );
    }
    check_id(id, "task", at, report).then_some(Written { id, at, node, group: None })
}

fn listed<'a>(node: &'a Node, report: &Report<'_>) -> Option<Written<'a>> {
    let Some(id) = node.get("task_id") else {
        report.error(Page::Ids, node.at, "a task of a list needs a \"task_id\"");
        return None;
    };
    let Some(text) = id.text() else {
        report.error(Page::Ids, id.at, "\"task_id\" must be text: write it in quotes");
        return None;
    };
    check_id(text, "task", id.at, report).then_some(Written {
        id: text,
        at: id.at,
        node,
        group: None,
    })
}

/// The full id of a task, and that of its group.
pub(super) fn place<'a>(
    task: &Written<'_>,
    groups: &'a Groups<'_>,
    report: &Report<'_>,
) -> (String, Option<&'a str>) {
    let named = task.node.get("task_group");
    let Some((id, at)) = named.and_then(|node| Some((node.text()?, node.at))) else {
        return (task.id.to_owned(), None);
    };
    let Some(group) = groups.get(id) else {
        let near = did_you_mean(id, groups.ids());
        report.error(
            Page::Groups,
            at,
            format!("task {:?}: unknown task group {id:?}{near}", task.id),
        );
        return (task.id.to_owned(), None);
    };
    let prefix = format!("{}.", group.full_id);
    let full = if task.id.starts_with(&prefix) { task.id.to_owned() } else { prefix + task.id };
    (full, Some(&group.full_id))
}

/// Reports an id that two tasks have.
pub(super) fn check_twice(tasks: &[Written<'_>], report: &Report<'_>) {
    let mut lines = HashMap::new();
    for task in tasks {
        if let Some(line) = lines.insert(task.id, task.at.line) {
            let message = format!("task {:?} is there twice, first in line {line}", task.id);
            report.error(Page::Ids, task.at, message);
        }
    }
}

impl Written<'_> {
    pub(super) fn operator(&self) -> Option<&'static Operator> {
        operators::find(self.node.get("operator")?.text()?)
    }
}
