//! What tasks are to each other beyond their edges: groups, setups, teardowns, branches.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::At;
use super::groups::{is_inside, leaves, roots};
use super::model::{Task, Teardown};
use super::page::Page;
use super::raw::TeardownKeys;
use super::suggest::did_you_mean;
use super::tasks::Tasks;
use super::written::Written;
use super::yaml::{Kind, Node};
use crate::decide::TriggerRule;
use crate::ids::TaskId;
use crate::template;

impl From<TeardownKeys> for Teardown {
    fn from(keys: TeardownKeys) -> Self {
        Self { on_failure_fail_dagrun: keys.on_failure_fail_dagrun }
    }
}

impl Tasks<'_> {
    /// Adds the edges that groups and teardowns make. Tasks with an error are left out.
    pub(super) fn connect(&self, tasks: &mut [Option<Task>]) {
        let mut edges: BTreeMap<String, Vec<TaskId>> = BTreeMap::new();
        if self.groups.all().next().is_some() {
            self.connect_groups(tasks, &mut edges);
        }
        let mut setups = BTreeSet::new();
        for written in &self.written {
            for (id, at) in written.setups() {
                if let Some(id) = self.upstream_task(written, id, at) {
                    edges.entry(written.id.to_owned()).or_default().push(TaskId(id.clone()));
                    setups.insert(id);
                }
            }
        }
        for task in tasks.iter_mut().flatten() {
            task.setup |= setups.contains(&task.task_id.0);
            if let Some(above) = edges.remove(&task.task_id.0) {
                task.upstream.extend(above);
                task.upstream.sort();
                task.upstream.dedup();
            }
        }
    }

    fn connect_groups(&self, tasks: &[Option<Task>], edges: &mut BTreeMap<String, Vec<TaskId>>) {
        let known: Vec<Task> = tasks.iter().flatten().cloned().collect();
        for written in &self.written {
            for (id, at) in written.depends_on() {
                let above = self.leaves(written, &known, id, at).unwrap_or_default();
                edges.entry(written.id.to_owned()).or_default().extend(above);
            }
        }
        for group in self.groups.all() {
            for (id, at) in &group.depends_on {
                let above = self.above_group(&known, &group.full_id, id, *at);
                for root in roots(&known, &group.full_id) {
                    edges.entry(root.task_id.0.clone()).or_default().extend(above.iter().cloned());
                }
            }
        }
    }

    /// The last tasks of a group that a task depends on; `None`: the id names no group.
    fn leaves(
        &self,
        written: &Written<'_>,
        known: &[Task],
        id: &str,
        at: At,
    ) -> Option<Vec<TaskId>> {
        if self.is_task(written, id) {
            return None;
        }
        let group = &self.groups.get(id)?.full_id;
        let own = known.iter().find(|task| task.task_id.0 == written.id)?;
        if is_inside(own.task_group.as_deref(), group) {
            let message = format!("task {:?} depends on group {id:?}, which it is in", written.id);
            self.report.error(Page::Groups, at, message);
            return None;
        }
        Some(leaves(known, group).into_iter().map(|task| task.task_id.clone()).collect())
    }

    fn above_group(&self, known: &[Task], group: &str, id: &str, at: At) -> Vec<TaskId> {
        if let Some(task) = known.iter().find(|task| task.task_id.0 == id) {
            if is_inside(task.task_group.as_deref(), group) {
                self.report.error(
                    Page::Groups,
                    at,
                    format!("group {group:?} depends on its own task {id:?}"),
                );
                return Vec::new();
            }
            return vec![task.task_id.clone()];
        }
        match self.groups.get(id) {
            Some(above) if is_inside(Some(group), &above.full_id) => {
                self.report.error(
                    Page::Groups,
                    at,
                    format!("group {group:?} depends on {id:?}, which it is in"),
                );
                Vec::new()
            }
            Some(above) => {
                leaves(known, &above.full_id).into_iter().map(|task| task.task_id.clone()).collect()
            }
            None => {
                let names = self.written.iter().map(|task| task.id).chain(self.groups.ids());
                let near = did_you_mean(id, names);
                let message =
                    format!("group {group:?} depends on unknown task or group {id:?}{near}");
                self.report.error(Page::Groups, at, message);
                Vec::new()
            }
        }
    }

    fn is_task(&self, written: &Written<'_>, id: &str) -> bool {
        id != written.id && self.names.contains(id)
    }

    /// What Airflow refuses when a DAG is read.
    pub(super) fn check_flow(&self, dag: &Node, tasks: &[Task]) {
        let by_id: BTreeMap<&TaskId, &Task> =
            tasks.iter().map(|task| (&task.task_id, task)).collect();
        let fails_fast =
            matches!(dag.get("fail_fast").map(|node| &node.kind), Some(Kind::Bool(true)));
        for written in &self.written {
            let Some(task) = by_id.get(&TaskId(written.id.to_owned())) else { continue };
            let what = format!("task {:?}", written.id);
            let rule_at = written.node.get("trigger_rule").map_or(written.at, |node| node.at);
            if task.setup && task.teardown.is_some() {
                self.report.error(
                    Page::Setups,
                    written.at,
                    format!("{what} is a setup and a teardown at once"),
                );
            }
            if task.teardown.is_some() {
                if written.node.get("trigger_rule").is_some() {
                    let why = "it runs once all before it has ended, if a setup succeeded";
                    let message =
                        format!("{what}: a teardown has no trigger rule of its own: {why}");
                    self.report.error(Page::Setups, rule_at, message);
                }
                continue;
            }
            if task.trigger_rule == TriggerRule::AllSuccess {
                continue;
            }
            let mut above = task.upstream.iter().filter_map(|up| by_id.get(up));
            if let Some(setup) = above.find(|up| up.setup) {
                let setup = &setup.task_id;
                let message = format!(
                    "{what} comes right after setup \"{setup}\": its trigger rule must be all_success"
                );
                self.report.error(Page::Setups, rule_at, message);
            }
            if fails_fast {
                let message =
                    format!("{what}: with fail_fast every trigger rule must be all_success");
                self.report.error(Page::Setups, rule_at, message);
            }
        }
        self.check_branches(tasks);
    }

    /// What a branch has labels for are tasks right below it, and so is what it follows, where that is
    /// written out: tasks, or groups of them.
    fn check_branches(&self, tasks: &[Task]) {
        let is_branch = |written: &&Written<'_>| {
            written.node.get("operator").and_then(Node::text) == Some("branch")
        };
        for written in self.written.iter().filter(is_branch) {
            let is_below = |task: &&Task| task.upstream.iter().any(|up| up.0 == written.id);
            let below: Vec<&Task> = tasks.iter().filter(is_below).collect();
            let is_task = |id: &str| below.iter().any(|task| task.task_id.0 == id);
            let is_group = |id: &str| {
                self.groups.get(id).is_some_and(|group| group.full_id == id)
                    && below.iter().any(|task| is_inside(task.task_group.as_deref(), id))
            };
            let report = |what: &str, id: &str, at: At| {
                let near = did_you_mean(id, below.iter().map(|task| task.task_id.0.as_str()));
                let message =
                    format!("branch {:?} has no {what} {id:?} right below it", written.id);
                self.report.error(Page::Branches, at, message + &near);
            };
            let Some(with) = written.node.get("with") else { continue };
            for (key, _) in with.get("labels").map_or(&[][..], Node::entries) {
                if !is_task(&key.text) {
                    report("task", &key.text, key.at);
                }
            }
            let Some(choose) = with.get("choose") else { continue };
            let one = choose.text().map(|text| (text, choose.at));
            for (id, at) in one.into_iter().chain(texts(choose)) {
                if !template::is_template(id) && !is_task(id) && !is_group(id) {
                    report("task or group", id, at);
                }
            }
        }
    }
}

impl Written<'_> {
    /// What `depends_on` names.
    fn depends_on(&self) -> impl Iterator<Item = (&str, At)> {
        let nodes = ["depends_on", "dependencies"].into_iter().filter_map(|key| self.node.get(key));
        nodes.flat_map(texts)
    }

    /// The setups that its `teardown` names.
    fn setups(&self) -> impl Iterator<Item = (&str, At)> {
        let node = self.node.get("teardown").and_then(|node| node.get("setups"));
        node.into_iter().flat_map(texts)
    }
}

fn texts(node: &Node) -> impl Iterator<Item = (&str, At)> {
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(|item| Some((item.text()?, item.at)))
}
