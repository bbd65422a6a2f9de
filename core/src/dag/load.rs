//! From a file's nodes to DAGs: everything of a DAG but its tasks.

use std::collections::{BTreeMap, HashMap};

use super::diagnostic::{At, Report};
use super::groups::Groups;
use super::model::{Dag, Notices, Param, Task};
use super::page::Page;
use super::raw::{Controls, DAG_NOT_YET, HEAD_KEYS, RawDag};
use super::yaml::{Key, Kind, Node, Read, check_keys, documents, read};
use super::{feeds, params, tasks, timing};
use crate::ids::DagId;

/// Airflow's limit of runs and of tasks of a run that are active at once.
const ACTIVE: u32 = 16;

/// Airflow's longest id.
const LONGEST_ID: usize = 250;

/// Returns the DAGs of a file.
pub(super) fn file(text: &str, report: &Report<'_>) -> Vec<Dag> {
    let mut documents = documents(text, report);
    if documents.is_empty() && report.len() == 0 {
        report.error(
            Page::Yaml,
            At { line: 1, column: 1, ..At::default() },
            "the file holds no DAG",
        );
    }
    let mut lines = HashMap::new();
    documents.iter_mut().filter_map(|document| dag(document, &mut lines, report)).collect()
}

/// Reads one document; `lines` keeps where the ids of earlier ones stand.
fn dag(node: &mut Node, lines: &mut HashMap<String, u32>, report: &Report<'_>) -> Option<Dag> {
    let before = report.len();
    check_keys(node, report);
    if !matches!(node.kind, Kind::Map(_)) {
        report.error(Page::Yaml, node.at, "expected a DAG: a map with dag_id and tasks");
        return None;
    }
    let how = Read { not_yet: DAG_NOT_YET, ..Read::new(report, "the DAG") };
    let raw: Option<RawDag> = read(node, &how);
    let dag_id = dag_id(node, report);
    if let (Some(id), Some(at)) = (&dag_id, node.get("dag_id").map(|node| node.at))
        && let Some(line) = lines.insert(id.clone(), at.line)
    {
        report.error(
            Page::Ids,
            at,
            format!("DAG {id:?} is in this file twice, first in line {line}"),
        );
    }
    let defaults = controls(node, "\"default_args\"", report);
    let groups = Groups::read(node, &defaults, report);
    let params = read_params(node, report);
    let tasks = tasks::tasks(node, &defaults, &params, &groups, report);
    let raw = raw?;
    let timing = timing::timing(node, &raw, report);
    let (dag_id, (mut tasks, expand), timing) = (dag_id?, tasks?, timing?);
    feeds::settle(&mut tasks, timing.schedule.as_ref(), node, report);
    if timing.schedule.is_some() {
        check_scheduled_params(node, &params, report);
    }
    if report.len() > before {
        return None;
    }
    Some(Dag {
        dag_id: DagId(dag_id),
        description: raw.description,
        doc_md: raw.doc_md,
        max_active_runs: timing.active_runs(ACTIVE),
        schedule: timing.schedule,
        timezone: timing.timezone,
        data_interval: timing.data_interval,
        start_date: timing.start_date,
        end_date: timing.end_date,
        catchup: timing.catchup,
        on_overlap: timing.on_overlap,
        max_active_tasks: raw.max_active_tasks.map_or(ACTIVE, |number| number.0),
        dagrun_timeout: raw.dagrun_timeout.map(|limit| limit.0),
        fail_fast: raw.fail_fast.unwrap_or(false),
        max_consecutive_failed_dag_runs: raw.max_consecutive_failed_dag_runs.unwrap_or(0),
        is_paused_upon_creation: raw.is_paused_upon_creation.unwrap_or(false),
        notices: Notices {
            on_failure: raw.on_failure.unwrap_or_default().0,
            on_success: raw.on_success.unwrap_or_default().0,
            on_retry: Vec::new(),
        },
        tags: raw.tags,
        params,
        param_order: param_order(node),
        task_groups: groups.into_model(expand),
        // What a task itself tells is not told twice: versions from before stay the same.
        says_weights: says_weights(node) && !tasks.iter().any(Task::says_weight),
        tasks,
    })
}

/// Whether a task, or the defaults of a group or of the DAG, say a weight or a rule.
fn says_weights(dag: &Node) -> bool {
    let says = |node: &Node| {
        let said = ["priority_weight", "weight_rule"].map(|key| node.get(key));
        said.into_iter().flatten().any(|value| value.kind != Kind::Null)
    };
    let groups = dag.get("task_groups").into_iter().flat_map(inside);
    let defaults = groups.chain([dag]).filter_map(|node| node.get("default_args"));
    let tasks = dag.get("tasks").into_iter().flat_map(inside);
    defaults.chain(tasks).any(says)
}

/// What is in a map or a list.
fn inside(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => node.entries().iter().map(|(_, value)| value).collect(),
    }
}

/// Nobody gives a scheduled run its params.
fn check_scheduled_params(node: &Node, params: &BTreeMap<String, Param>, report: &Report<'_>) {
    let Some(written) = node.get("params") else { return };
    for (key, _) in written.entries() {
        if params.get(&key.text).is_some_and(|param| param.default.is_none()) {
            let message =
                format!("param {:?} needs a default: scheduled runs are given none", key.text);
            report.error(Page::Params, key.at, message);
        }
    }
}

fn dag_id(node: &Node, report: &Report<'_>) -> Option<String> {
    let Some(id) = node.get("dag_id") else {
        report.error(Page::Keys, node.at, "the DAG: \"dag_id\" is missing");
        return None;
    };
    // Anything but text is reported with the other keys.
    check_id(id.text()?, "DAG", id.at, report).then(|| id.text().unwrap_or_default().to_owned())
}

/// Whether an id is one that Airflow would take; reports it otherwise.
pub(super) fn check_id(id: &str, what: &str, at: At, report: &Report<'_>) -> bool {
    let wrong = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if id.is_empty() {
        report.error(Page::Ids, at, format!("the {what}'s id is empty"));
    } else if id.chars().all(|c| c == '.') {
        // A name of a folder, somewhere.
        report.error(Page::Ids, at, format!("the {what}'s id {id:?} consists of dots only"));
    } else if id.chars().count() > LONGEST_ID {
        report.error(
            Page::Ids,
            at,
            format!("the {what}'s id is longer than {LONGEST_ID} characters"),
        );
    } else if let Some(c) = id.chars().find(|c| wrong(*c)) {
        let allowed = "letters, digits, -, . and _";
        report.error(
            Page::Ids,
            at,
            format!("the {what}'s id {id:?} holds {c:?}: only {allowed} may stand there"),
        );
    } else {
        return true;
    }
    false
}

/// Reads the `default_args` of a DAG or a group.
pub(super) fn controls(node: &Node, what: &str, report: &Report<'_>) -> Controls {
    let Some(defaults) = node.get("default_args") else { return Controls::default() };
    for (key, _) in defaults.entries() {
        if HEAD_KEYS.contains(&key.text.as_str()) {
            let message = format!("{:?} belongs to a task, not to {what}", key.text);
            report.error(Page::Keys, key.at, message);
        }
    }
    let how = Read { others: HEAD_KEYS, ..Read::new(report, what) };
    read(defaults, &how).unwrap_or_default()
}

/// The names of the params as they are written, unless they are sorted.
fn param_order(node: &Node) -> Vec<String> {
    let Some(found) = node.get("params") else { return Vec::new() };
    let names: Vec<String> = found.entries().iter().map(|(key, _)| key.text.clone()).collect();
    if names.is_sorted() { Vec::new() } else { names }
}

fn read_params(node: &Node, report: &Report<'_>) -> BTreeMap<String, Param> {
    let Some(found) = node.get("params") else { return BTreeMap::new() };
    if !matches!(found.kind, Kind::Map(_) | Kind::Null) {
        report.error(
            Page::Params,
            found.at,
            "\"params\" is a map: name to default, or to {type, default, …}",
        );
    }
    let read_one = |(key, value): &(Key, Node)| {
        let what = format!("param {:?}", key.text);
        let how = Read { page: Some(Page::Params), ..Read::new(report, &what) };
        // A wrong param still is a known one to the templates.
        let param = params::param(value, &how);
        (key.text.clone(), param.unwrap_or(Param { schema: serde_json::json!({}), default: None }))
    };
    found.entries().iter().map(read_one).collect()
}
