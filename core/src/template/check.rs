//! Finds templates that can't be right while their file is read.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use super::connections::FIELDS;
use super::datetime::MEMBERS;
use super::environment::ENVIRONMENT;
use super::macros::MACROS;
use super::references::PREVIOUS;
use super::uses::{Use, uses};
use crate::dag::did_you_mean;
use crate::dag::model::Param;

/// What a template of a DAG may name.
pub(crate) struct Known<'a> {
    pub params: &'a BTreeMap<String, Param>,
    pub tasks: &'a HashSet<&'a str>,
    /// Arguments of a mapped task that `task.<name>` gives.
    pub arguments: &'a [&'a str],
    /// Arguments of the task's mapped group, that `group.<name>` gives.
    pub group: &'a [&'a str],
}

/// What is wrong with a template, and the part of it that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub part: String,
    pub message: String,
}

/// What a template was found to use.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub problems: Vec<Problem>,
    /// Tasks whose dataset is used, with the part that names it.
    pub outputs: Vec<(String, String)>,
    /// Parts that bring in values from outside the DAG file: params, conf, XComs, connections.
    pub values: Vec<String>,
}

/// Checks one template.
pub(crate) fn check(text: &str, known: &Known<'_>) -> Checked {
    let mut checked = Checked::default();
    let found = match uses(text) {
        Ok(found) => found,
        Err(error) => {
            checked.problems.push(syntax(text, &error));
            return checked;
        }
    };
    for (used, part) in found {
        if let Some(message) = wrong(&used, known) {
            checked.problems.push(Problem { part: part.to_owned(), message });
        }
        match used {
            Use::Output(task) => {
                checked.values.push(part.to_owned());
                checked.outputs.push((task, part.to_owned()));
            }
            Use::Param(_)
            | Use::Conf
            | Use::XComs(_)
            | Use::Variable { .. }
            | Use::Connection { .. }
            | Use::Group(_) => {
                checked.values.push(part.to_owned());
            }
            _ => {}
        }
    }
    checked
}

fn syntax(text: &str, error: &minijinja::Error) -> Problem {
    let part = error.range().and_then(|range| text.get(range)).unwrap_or(text);
    let reason = error.detail().unwrap_or("it can't be read");
    Problem { part: part.to_owned(), message: format!("this is not a valid template: {reason}") }
}

/// Variables of Airflow 2 that Airflow 3 took away, and what to write instead.
pub(super) const REMOVED: &[(&str, &str)] = &[
    ("execution_date", "logical_date"),
    ("next_execution_date", "data_interval_end"),
    ("prev_execution_date", "data_interval_start"),
    ("next_ds", "data_interval_end | ds"),
    ("next_ds_nodash", "data_interval_end | ds_nodash"),
    ("prev_ds", "data_interval_start | ds"),
    ("prev_ds_nodash", "data_interval_start | ds_nodash"),
    ("yesterday_ds", "macros.ds_add(ds, -1)"),
    ("tomorrow_ds", "macros.ds_add(ds, 1)"),
    ("conf", "dag_run.conf"),
];

const VARIABLES: &[&str] = &[
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_id",
    "params",
    "dag_run",
    "dag",
    "task",
    "ti",
    "task_instance",
    "task_instance_key_str",
    "tasks",
    "macros",
    "var",
    "conn",
    "group",
];

/// Variables of Airflow that need what is not built yet.
const NOT_YET: &[&str] = &[
    "map_index_template",
    "expanded_ti_count",
    "inlets",
    "outlets",
    "inlet_events",
    "outlet_events",
    "triggering_asset_events",
    "partition_key",
    "partition_date",
    "exception",
    "reason",
    "try_number",
    "task_reschedule_count",
    "templates_dict",
    "task_state_store",
    "asset_state_store",
];

const MACROS_NOT_YET: &[&str] =
    &["time", "uuid", "yaml", "random", "dateutil", "datetime_diff_for_humans", "ds_format_locale"];

const DATES: &[&str] = &["logical_date", "data_interval_start", "data_interval_end", "run_after"];
const DAG_RUN: &[&str] = &[
    "conf",
    "dag_id",
    "run_id",
    "run_type",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_after",
];
const TI: &[&str] = &["dag_id", "task_id", "run_id", "try_number", "map_index", "xcom_pull"];

/// What is wrong with one use, if anything.
fn wrong(used: &Use, known: &Known<'_>) -> Option<String> {
    match used {
        Use::Param(name) => {
            let is_known = name == "*" || known.params.contains_key(name);
            let near = did_you_mean(name, known.params.keys().map(String::as_str));
            let near = if near.is_empty() { ": add it to \"params\"".to_owned() } else { near };
            (!is_known).then(|| format!("unknown param {name:?}{near}"))
        }
        Use::Output(task) => unknown_task(task, known),
        Use::Group(_) if known.group.is_empty() => {
            Some("\"group\" is the item of a task group with \"expand\"".to_owned())
        }
        Use::Group(name) => unknown_of_few("argument of the group", name, known.group),
        Use::Connection { field, .. } => unknown_of_few("field of a connection", field, FIELDS),
        Use::XComs(keys) => keys.iter().find_map(|key| unknown_task(&key.task_id, known)),
        Use::Path(path) => {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            wrong_path(&names, known)
        }
        Use::Filter(name) if FILTERS_NOT_YET.contains(&name.as_str()) => {
            Some(format!("the filter {name:?} is not supported yet"))
        }
        Use::Filter(name) => unknown("filter", name, FILTERS),
        Use::Test(name) => unknown("test", name, TESTS),
        Use::Wrong(message) => Some(message.clone()),
        Use::Conf | Use::Variable { .. } => None,
    }
}

fn unknown_task(task: &str, known: &Known<'_>) -> Option<String> {
    let near = || did_you_mean(task, known.tasks.iter().copied());
    (!known.tasks.contains(task)).then(|| format!("unknown task {task:?}{}", near()))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Option<String> {
    let near = || did_you_mean(name, known.iter().copied());
    (!known.contains(&name)).then(|| format!("unknown {what} {name:?}{}", near()))
}

/// The same, with all that there are if none is near: they are few.
fn unknown_of_few(what: &str, name: &str, known: &[&str]) -> Option<String> {
    let message = unknown(what, name, known)?;
    let is_near = !did_you_mean(name, known.iter().copied()).is_empty();
    Some(if is_near { message } else { format!("{message}: use {}", known.join(", ")) })
}

fn wrong_path(path: &[&str], known: &Known<'_>) -> Option<String> {
    match path {
        ["macros", "json", ..] => {
            let instead = "write {{ value | tojson }}, or {{ var.json.name }} for a variable";
            Some(format!("macros.json is not supported yet: {instead}"))
        }
        ["macros", name, ..] if MACROS_NOT_YET.contains(name) => {
            Some(format!("macros.{name} is not supported yet"))
        }
        ["macros", name, ..] => unknown_of_few("macro", name, MACROS),
        ["dag_run", date, member, ..] if DATES.contains(date) => member_of_date(member),
        ["dag_run", name, ..] => unknown_of_few("attribute of dag_run", name, DAG_RUN),
        ["ti" | "task_instance", name, ..] => unknown_of_few("attribute of ti", name, TI),
        ["dag", name, ..] => unknown_of_few("attribute of dag", name, &["dag_id"]),
        ["task", name, ..] if known.arguments.contains(name) => None,
        ["task", name, ..] => {
            let names = [&["task_id"], known.arguments].concat();
            unknown_of_few("attribute of task", name, &names)
        }
        ["tasks", task, ..] => Some(unknown_task(task, known).unwrap_or_else(|| {
            format!("a task has its dataset only: {{{{ tasks.{task}.output }}}}")
        })),
        ["tasks"] => Some("name a task: {{ tasks.<task id>.output }}".to_owned()),
        [date, member, ..] if DATES.contains(date) || PREVIOUS.contains(date) => {
            member_of_date(member)
        }
        [name, ..] => unknown_variable(name),
        [] => None,
    }
}

fn member_of_date(member: &str) -> Option<String> {
    unknown("attribute of a date", member, MEMBERS)
}

fn unknown_variable(name: &str) -> Option<String> {
    static GLOBALS: LazyLock<HashSet<String>> =
        LazyLock::new(|| ENVIRONMENT.globals().map(|(name, _)| name.to_owned()).collect());
    if VARIABLES.contains(&name) || PREVIOUS.contains(&name) || GLOBALS.contains(name) {
        return None;
    }
    if let Some((_, instead)) = REMOVED.iter().find(|(removed, _)| *removed == name) {
        return Some(format!("{name:?} was removed in Airflow 3: write {{{{ {instead} }}}}"));
    }
    if NOT_YET.contains(&name) {
        return Some(format!("the variable {name:?} is not supported yet"));
    }
    Some(format!("unknown variable {name:?}{}", did_you_mean(name, VARIABLES.iter().copied())))
}

/// Filters of Jinja that are not built.
const FILTERS_NOT_YET: &[&str] =
    &["forceescape", "random", "striptags", "urlize", "wordwrap", "xmlattr"];

/// Filters of the environment: minijinja's own, Jinja's and Airflow's.
pub(super) const FILTERS: &[&str] = &[
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "center",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "zip",
];

/// Tests of the environment.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
    "==",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
];
