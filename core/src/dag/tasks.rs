//! The tasks of a DAG: operators, templates, edges.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::diagnostic::{At, Report};
use super::expand::Arguments;
use super::graph::Graph;
use super::groups::Groups;
use super::model::{Expand, Notices, Param, Task};
use super::page::Page;
use super::raw::{CONTROL_KEYS, Controls, HEAD_KEYS, TaskHead};
use super::sinks;
use super::suggest::did_you_mean;
use super::written::{Written, check_twice, place, written};
use super::yaml::{Kind, Node, Read, read};
use crate::decide::TriggerRule;
use crate::ids::TaskId;
use crate::operators::letters::LetterCopies;
use crate::operators::{self, Operator};
use crate::template;

/// The arguments of operators that name a connection.
const CONNECTIONS: [&str; 2] = ["connection", "api"];

/// What the checks of all tasks share.
pub(super) struct Tasks<'a> {
    pub(super) written: Vec<Written<'a>>,
    pub(super) names: HashSet<&'a str>,
    /// Those that are mapped.
    pub(super) mapped: HashSet<&'a str>,
    /// Those over whose rows others are mapped.
    pub(super) rows_of: RefCell<BTreeSet<String>>,
    pub(super) operators: HashMap<&'a str, &'static Operator>,
    pub(super) params: &'a BTreeMap<String, Param>,
    pub(super) groups: &'a Groups<'a>,
    pub(super) report: &'a Report<'a>,
}

/// Returns the tasks of a DAG in topological order, and what its groups are mapped over; `None` if an
/// error stands in the way.
pub(super) fn tasks(
    dag: &Node,
    defaults: &Controls,
    params: &BTreeMap<String, Param>,
    groups: &Groups<'_>,
    report: &Report<'_>,
) -> Option<(Vec<Task>, BTreeMap<String, Expand>)> {
    let found = written(dag, report)?;
    let places: Vec<(String, Option<&str>)> =
        found.iter().map(|task| place(task, groups, report)).collect();
    let written: Vec<Written<'_>> = found
        .iter()
        .zip(&places)
        .map(|(task, (id, group))| Written { id, group: *group, at: task.at, node: task.node })
        .collect();
    check_twice(&written, report);
    let names = written.iter().map(|task| task.id).collect();
    let operators = written.iter().filter_map(|task| Some((task.id, task.operator()?))).collect();
    let is_mapped = |task: &&Written<'_>| {
        task.node.get("expand").is_some() || groups.mapped(task.group).next().is_some()
    };
    let mapped = written.iter().filter(is_mapped).map(|task| task.id).collect();
    let rows_of = RefCell::default();
    let all = Tasks { written, names, mapped, rows_of, operators, params, groups, report };
    let tasks: Vec<Option<Task>> =
        all.written.iter().map(|written| all.task(written, defaults)).collect();
    let mut tasks = tasks;
    all.connect(&mut tasks);
    let expand = all.mapped_groups();
    all.map_groups(&expand, &mut tasks);
    for task in tasks.iter_mut().flatten() {
        task.returns_rows = all.rows_of.borrow().contains(&task.task_id.0);
    }
    let order = all.order(&tasks)?;
    let tasks = order.into_iter().map(|index| tasks[index].take()).collect::<Option<Vec<_>>>()?;
    let mut tasks = tasks;
    for (id, problem) in sinks::connect(&mut tasks) {
        let at = all.written.iter().find(|written| written.id == id).map_or(dag.at, |it| it.at);
        report.error(Page::Topics, at, format!("task {id:?}: {problem}"));
    }
    all.check_flow(dag, &tasks);
    Some((tasks, expand.into_iter().map(|(id, mapped)| (id, mapped.expand)).collect()))
}

impl Tasks<'_> {
    /// Reads and checks one task.
    fn task(&self, written: &Written<'_>, defaults: &Controls) -> Option<Task> {
        let what = format!("task {:?}", written.id);
        let node = written.node;
        if !matches!(node.kind, Kind::Map(_)) {
            self.report.error(
                Page::Values,
                written.at,
                format!("{what}: expected a map with its \"operator\""),
            );
            return None;
        }
        let how = Read {
            hint: ": an operator's arguments stand under \"with\"",
            ..Read::new(self.report, &what)
        };
        // Both structs read the same map; the keys of the one are others to the other.
        let head: Option<TaskHead> = read(node, &Read { others: CONTROL_KEYS, ..how });
        let controls: Option<Controls> = read(node, &Read { others: HEAD_KEYS, ..how });
        let operator = self.operator(written, &what)?;
        let mut upstream = self.depends_on(written, &what);
        self.check_when(written, &mut upstream);
        let arguments = self.arguments(written, operator, &mut upstream);
        let connections = self.check_with(written, operator, &what, &arguments, &mut upstream);
        let head = head?;
        let defaults = self.groups.defaults(written.group).unwrap_or(defaults);
        let upstream = upstream.into_iter().map(TaskId).collect();
        let with = match &arguments.same.kind {
            Kind::Null => Value::Object(serde_json::Map::new()),
            _ => arguments.same.to_json(),
        };
        let task = task(written.id, operator, with, upstream, connections, controls?.or(defaults));
        let teardown = head.teardown.filter(|teardown| teardown.is_one);
        let mut task = Task {
            trigger_rule: match teardown {
                Some(_) => TriggerRule::AllDoneSetupSuccess,
                None => task.trigger_rule,
            },
            setup: head.setup.unwrap_or(false),
            teardown: teardown.map(|teardown| teardown.special.into()),
            when: head.when,
            task_group: written.group.map(str::to_owned),
            expand: arguments.expand,
            map_index_template: head.map_index_template,
            inlets: head.inlets.unwrap_or_default().0,
            outlets: head.outlets.unwrap_or_default().0,
            ..task
        };
        // What its templates name is sent along with what its operator uses.
        for id in template::references_of(&task).connections {
            if !task.connections.contains(&id) {
                task.connections.push(id);
            }
        }
        Some(task)
    }

    fn operator(&self, written: &Written<'_>, what: &str) -> Option<&'static Operator> {
        let Some(node) = written.node.get("operator") else {
            self.report.error(Page::Keys, written.at, format!("{what}: \"operator\" is missing"));
            return None;
        };
        let name = node.text()?;
        if operators::NOT_YET.contains(&name) {
            self.report.error(
                Page::Arguments,
                node.at,
                format!("operator {name:?} is not supported yet"),
            );
        } else if operators::find(name).is_none() {
            let names = operators::OPERATORS.iter().map(|operator| operator.name);
            let near = did_you_mean(name, names.chain(operators::NOT_YET.iter().copied()));
            self.report.error(Page::Arguments, node.at, format!("unknown operator {name:?}{near}"));
        }
        operators::find(name)
    }

    /// The upstreams that the task names.
    fn depends_on(&self, written: &Written<'_>, what: &str) -> BTreeSet<String> {
        let mut upstream = BTreeSet::new();
        let keys = ["depends_on", "dependencies"].map(|key| written.node.get(key));
        if let [Some(_), Some(again)] = keys {
            let message = "\"dependencies\" is another name of \"depends_on\": give one of them";
            self.report.error(Page::Dependencies, again.at, format!("{what}: {message}"));
        }
        for node in keys.into_iter().flatten() {
            let Kind::List(items) = &node.kind else { continue };
            for item in items {
                let Some(id) = item.text() else { continue };
                let Some(id) = self.upstream_task(written, id, item.at) else { continue };
                if !upstream.insert(id.clone()) {
                    self.report.error(
                        Page::Dependencies,
                        item.at,
                        format!("{what} depends on {id:?} twice"),
                    );
                }
            }
        }
        upstream
    }

    /// The full id of a task named in `depends_on`; groups are connected later.
    pub(super) fn upstream_task(&self, written: &Written<'_>, id: &str, at: At) -> Option<String> {
        if self.names.contains(id) {
            return self.check_upstream(written, id, at).then(|| id.to_owned());
        }
        if self.groups.get(id).is_some() {
            return None;
        }
        let around = std::iter::successors(written.group, |group| Some(group.rsplit_once('.')?.0));
        let mut inside = around.map(|group| format!("{group}.{id}"));
        let full = inside.find(|full| self.names.contains(full.as_str()));
        let id = full.as_deref().unwrap_or(id);
        self.check_upstream(written, id, at).then(|| id.to_owned())
    }

    pub(super) fn check_upstream(&self, written: &Written<'_>, id: &str, at: At) -> bool {
        let what = format!("task {:?}", written.id);
        if id == written.id {
            self.report.error(Page::Dependencies, at, format!("{what} depends on itself"));
        } else if !self.names.contains(id) {
            let others = self.names.iter().copied().filter(|name| *name != written.id);
            let near = did_you_mean(id, others);
            self.report.error(
                Page::Dependencies,
                at,
                format!("{what} depends on unknown task {id:?}{near}"),
            );
        } else {
            return true;
        }
        false
    }

    /// Checks `with`: keys and types, templates, edges. Returns the connections that it names.
    fn check_with(
        &self,
        written: &Written<'_>,
        operator: &'static Operator,
        what: &str,
        arguments: &Arguments<'_>,
        upstream: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let with = arguments.same.as_ref();
        let what_with = format!("\"with\" of {what} ({})", operator.name);
        let page = Some(Page::Arguments);
        let how = Read { templates: true, page, ..Read::new(self.report, &what_with) };
        let before = self.report.len();
        operator.check(&arguments.sample, &how);
        if arguments.expand.is_some() && self.report.len() == before {
            self.check_items(written, operator, &how, &arguments.sample);
        }
        for (key, value) in with.entries() {
            let is_code = operator.code.contains(&key.text.as_str());
            let is_connection = CONNECTIONS.contains(&key.text.as_str());
            value.walk(&mut |node| {
                let Some(text) = node.text().filter(|text| template::is_template(text)) else {
                    return;
                };
                if is_connection {
                    let why = "it must be known before the task runs";
                    self.report.error(
                        Page::Arguments,
                        node.at,
                        format!("a connection can't be a template: {why}"),
                    );
                }
                self.check_template(written, node.at, text, is_code.then_some(operator), upstream);
            });
        }
        let mut connections = Vec::new();
        for key in CONNECTIONS {
            let Some((name, at)) = with.get(key).and_then(|node| Some((node.text()?, node.at)))
            else {
                continue;
            };
            if name.trim().is_empty() {
                self.report.error(Page::Arguments, at, format!("{key:?} in {what_with} is empty"));
            }
            connections.push(name.to_owned());
        }
        let copies = with.get("dead_letter").and_then(|node| node.text()?.parse().ok());
        if let Some(LetterCopies { connection, .. }) = copies
            && !connections.contains(&connection)
        {
            connections.push(connection);
        }
        connections
    }

    /// The tasks in topological order, or none if there are cycles.
    fn order(&self, tasks: &[Option<Task>]) -> Option<Vec<usize>> {
        let index: HashMap<&str, usize> =
            self.written.iter().enumerate().map(|(i, task)| (task.id, i)).collect();
        let upstream_of = |task: &Option<Task>| -> Vec<usize> {
            let upstream = task.iter().flat_map(|task| &task.upstream);
            upstream.filter_map(|id| index.get(id.0.as_str()).copied()).collect()
        };
        let graph = Graph { upstream: tasks.iter().map(upstream_of).collect() };
        let cycles = match graph.order() {
            Ok(order) => return Some(order),
            Err(cycles) => cycles,
        };
        for cycle in cycles {
            let ids = cycle.iter().chain(cycle.first()).map(|&i| self.written[i].id);
            let path = ids.collect::<Vec<_>>().join(" → ");
            self.report.error(
                Page::Dependencies,
                self.written[cycle[0]].at,
                format!("tasks wait for each other: {path}"),
            );
        }
        None
    }
}

fn task(
    id: &str,
    operator: &Operator,
    with: Value,
    upstream: Vec<TaskId>,
    connections: Vec<String>,
    controls: Controls,
) -> Task {
    let plain = Task::new(id, operator.name);
    let backoff = controls.retry_exponential_backoff.unwrap_or_default();
    Task {
        with,
        upstream,
        connections,
        trigger_rule: controls.trigger_rule.unwrap_or_default(),
        retries: controls.retries.unwrap_or(plain.retries),
        retry_delay: controls.retry_delay.map_or(plain.retry_delay, |span| span.0),
        retry_exponential_backoff: backoff.grows,
        retry_backoff_factor: backoff.factor,
        max_retry_delay: controls.max_retry_delay.map(|span| span.0),
        retry_jitter: controls.retry_jitter.map_or(0.0, |share| share.0),
        retry_policy: controls
            .retry_policy
            .map_or_else(Vec::new, |rules| rules.into_iter().map(|rule| rule.0).collect()),
        notices: Notices {
            on_failure: controls.on_failure.unwrap_or_default().0,
            on_success: controls.on_success.unwrap_or_default().0,
            on_retry: controls.on_retry.unwrap_or_default().0,
        },
        execution_timeout: controls.execution_timeout.map(|limit| limit.0),
        queue: controls.queue.map_or(plain.queue, |queue| queue.0),
        priority_weight: controls.priority_weight.unwrap_or(plain.priority_weight),
        weight_rule: controls.weight_rule.unwrap_or_default(),
        pool: controls.pool.map_or(plain.pool, |pool| pool.0),
        pool_slots: controls.pool_slots.map_or(plain.pool_slots, |slots| slots.0),
        max_active_tis_per_dag: controls.max_active_tis_per_dag.map(|most| most.0),
        max_active_tis_per_dagrun: controls.max_active_tis_per_dagrun.map(|most| most.0),
        owner: controls.owner.unwrap_or(plain.owner),
        do_xcom_push: controls.do_xcom_push.unwrap_or(true),
        depends_on_past: controls.depends_on_past.unwrap_or(false),
        wait_for_downstream: controls.wait_for_downstream.unwrap_or(false),
        ignore_first_depends_on_past: controls.ignore_first_depends_on_past.unwrap_or(false),
        ..plain
    }
}
