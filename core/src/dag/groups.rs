//! Task groups: full ids, defaults, and edges to and from whole groups.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{At, Report};
use super::load::{check_id, controls};
use super::model::{Expand, Task, TaskGroup};
use super::page::Page;
use super::raw::{Controls, RawGroup};
use super::suggest::did_you_mean;
use super::yaml::{Kind, Node, Read, read};

/// The groups of a DAG, by the ids under which they stand in the file.
pub(super) struct Groups<'a> {
    written: BTreeMap<&'a str, Group<'a>>,
}

/// One group.
pub(super) struct Group<'a> {
    /// With the ids of the groups around it: `outer.inner`.
    pub(super) full_id: String,
    parent: Option<&'a str>,
    defaults: Controls,
    tooltip: Option<String>,
    /// Tasks and groups that come before every task of it.
    pub(super) depends_on: Vec<(&'a str, At)>,
    /// What it is mapped over, as written.
    pub(super) expand: Option<&'a Node>,
    pub(super) at: At,
}

impl<'a> Groups<'a> {
    /// Reads `task_groups`; `defaults` are the DAG's.
    pub(super) fn read(dag: &'a Node, defaults: &Controls, report: &Report<'_>) -> Self {
        let mut groups = Self { written: BTreeMap::new() };
        let Some(node) = dag.get("task_groups") else { return groups };
        if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
            report.error(Page::Groups, node.at, "\"task_groups\" is a map of group id to group");
        }
        for (key, node) in node.entries() {
            if let Some(group) = Group::read(&key.text, key.at, node, report) {
                groups.written.insert(&key.text, group);
            }
        }
        groups.nest(defaults, report);
        groups
    }

    /// Gives every group its full id, and the defaults of those around it.
    fn nest(&mut self, defaults: &Controls, report: &Report<'_>) {
        let mut found = BTreeMap::new();
        for (id, group) in &self.written {
            let Some(around) = self.around(id, report) else {
                found.insert(*id, ((*id).to_owned(), group.defaults.clone().or(defaults)));
                continue;
            };
            let inner_first = around.iter().filter_map(|id| self.written.get(id));
            let all = inner_first.fold(Controls::default(), |all, group| all.or(&group.defaults));
            let path: Vec<&str> = around.iter().rev().copied().collect();
            found.insert(*id, (path.join("."), all.or(defaults)));
        }
        for (id, (full_id, defaults)) in found {
            if let Some(group) = self.written.get_mut(id) {
                (group.full_id, group.defaults) = (full_id, defaults);
            }
        }
    }

    /// The group and those around it, from the inside; `None` if they are wrong.
    fn around(&self, id: &'a str, report: &Report<'_>) -> Option<Vec<&'a str>> {
        let mut path = vec![id];
        let mut group = self.written.get(id)?;
        while let Some(parent) = group.parent {
            if path.contains(&parent) {
                let round = path.iter().chain([&parent]).copied().collect::<Vec<_>>().join(" → ");
                report.error(
                    Page::Groups,
                    group.at,
                    format!("task groups lie in each other: {round}"),
                );
                return None;
            }
            let Some(outer) = self.written.get(parent) else {
                let near = did_you_mean(parent, self.written.keys().copied());
                let message =
                    format!("the parent of task group {id:?} is unknown: {parent:?}{near}");
                report.error(Page::Groups, group.at, message);
                return None;
            };
            path.push(parent);
            group = outer;
        }
        Some(path)
    }

    /// The group of this id, as written or in full.
    pub(super) fn get(&self, id: &str) -> Option<&Group<'a>> {
        let in_full = || self.written.values().find(|group| group.full_id == id);
        self.written.get(id).or_else(in_full)
    }

    /// Every group.
    pub(super) fn all(&self) -> impl Iterator<Item = &Group<'a>> {
        self.written.values()
    }

    /// The ids as written.
    pub(super) fn ids(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.written.keys().copied()
    }

    /// The defaults of a task in this group.
    pub(super) fn defaults(&self, group: Option<&str>) -> Option<&Controls> {
        Some(&self.get(group?)?.defaults)
    }

    /// The mapped groups around a task, the innermost first.
    pub(super) fn mapped(&self, group: Option<&str>) -> impl Iterator<Item = &Group<'a>> {
        let around = std::iter::successors(group, |id| Some(id.rsplit_once('.')?.0));
        around.filter_map(|id| self.get(id)).filter(|group| group.expand.is_some())
    }

    /// What the model keeps, by full id; `expand`: what groups are mapped over.
    pub(super) fn into_model(
        self,
        mut expand: BTreeMap<String, Expand>,
    ) -> BTreeMap<String, TaskGroup> {
        let model = |group: Group<'_>| {
            let expand = expand.remove(&group.full_id);
            (group.full_id, TaskGroup { tooltip: group.tooltip, expand })
        };
        self.written.into_values().map(model).collect()
    }
}

impl<'a> Group<'a> {
    fn read(id: &'a str, at: At, node: &'a Node, report: &Report<'_>) -> Option<Self> {
        if !check_id(id, "task group", at, report) {
            return None;
        }
        if id.contains('.') {
            report.error(
                Page::Groups,
                at,
                format!("a task group's id holds no dot: {id:?} (use \"parent\")"),
            );
            return None;
        }
        let what = format!("task group {id:?}");
        let raw: RawGroup = read(node, &Read::new(report, &what))?;
        let defaults = controls(node, &format!("\"default_args\" of {what}"), report);
        let text = |key: &str| node.get(key).and_then(Node::text);
        let before = match node.get("depends_on").map(|node| &node.kind) {
            Some(Kind::List(items)) => items.as_slice(),
            _ => &[],
        };
        Some(Self {
            full_id: id.to_owned(),
            parent: text("parent"),
            defaults,
            tooltip: raw.tooltip,
            depends_on: before.iter().filter_map(|item| Some((item.text()?, item.at))).collect(),
            expand: node.get("expand").filter(|expand| expand.kind != Kind::Null),
            at,
        })
    }
}

/// Whether a group is another one, or lies in it.
pub(super) fn is_inside(group: Option<&str>, outer: &str) -> bool {
    let Some(group) = group else { return false };
    group == outer || group.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

/// The tasks of a group that no other of its tasks comes before.
pub(super) fn roots<'t>(tasks: &'t [Task], group: &str) -> Vec<&'t Task> {
    let members: Vec<&Task> = members(tasks, group);
    let ids: BTreeSet<_> = members.iter().map(|task| &task.task_id).collect();
    members.into_iter().filter(|task| !task.upstream.iter().any(|up| ids.contains(up))).collect()
}

/// The tasks of a group that none of its tasks but teardowns comes after.
pub(super) fn leaves<'t>(tasks: &'t [Task], group: &str) -> Vec<&'t Task> {
    let members = members(tasks, group);
    let goes_on = |task: &Task| {
        let mut below = members.iter().filter(|other| other.upstream.contains(&task.task_id));
        below.any(|other| other.teardown.is_none())
    };
    let last = |task: &&Task| task.teardown.is_none() && !goes_on(task);
    members.iter().copied().filter(|task| last(task)).collect()
}

fn members<'t>(tasks: &'t [Task], group: &str) -> Vec<&'t Task> {
    tasks.iter().filter(|task| is_inside(task.task_group.as_deref(), group)).collect()
}
