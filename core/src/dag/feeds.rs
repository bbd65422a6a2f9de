//! Tasks without an end: they stand alone in their `@continuous` DAG, on slots of their own.

use super::diagnostic::{At, Report};
use super::model::{DEFAULT_QUEUE, FEEDS, Schedule, Task};
use super::page::Page;
use super::sinks::CONSUME;
use super::yaml::Node;

/// The name of an operator that may be one without an end.
const GENERATE: &str = "generate";
const POLL: &str = "http.poll";

/// Marks what may wait or run for ever, gives tasks without an end their queue, and reports those that
/// have no place here.
pub(super) fn settle(
    tasks: &mut [Task],
    schedule: Option<&Schedule>,
    dag: &Node,
    report: &Report<'_>,
) {
    let is_continuous = schedule == Some(&Schedule::Continuous);
    let is_alone = tasks.len() == 1;
    for task in tasks {
        if task.operator == GENERATE && !has(task, "topic") && !has(task, "count") {
            let what = "a dataset needs \"count\": how many rows it has";
            report.error(
                Page::Continuous,
                place(dag, task),
                format!("task {:?}: {what}", task.task_id.0),
            );
        }
        if !is_endless(task) {
            task.continuous = is_continuous && task.operator == CONSUME;
            continue;
        }
        task.continuous = true;
        let at = place(dag, task);
        if !is_continuous || !is_alone {
            refuse(task, is_continuous, at, report);
        }
        if task.expand.is_some() {
            let what = "it runs until it is stopped, and cannot be mapped";
            report.error(Page::Continuous, at, format!("task {:?}: {what}", task.task_id.0));
        }
        if task.queue == DEFAULT_QUEUE {
            FEEDS.clone_into(&mut task.queue);
        }
    }
}

/// Whether the task runs until it is stopped.
fn is_endless(task: &Task) -> bool {
    task.operator == POLL || task.operator == GENERATE && has(task, "topic") && !has(task, "count")
}

/// Whether an argument is given, be it a template.
fn has(task: &Task, key: &str) -> bool {
    task.with.get(key).is_some_and(|value| !value.is_null())
}

/// Where the task stands, if tasks are a map; else where the DAG does.
fn place(dag: &Node, task: &Task) -> At {
    let written = dag.get("tasks").and_then(|tasks| tasks.get(&task.task_id.0));
    written.map_or(dag.at, |node| node.at)
}

fn refuse(task: &Task, is_continuous: bool, at: At, report: &Report<'_>) {
    let id = &task.task_id.0;
    let what = match is_continuous {
        true => "needs a DAG of its own: what comes after it would never run",
        false => "needs a DAG of its own with schedule: \"@continuous\"",
    };
    let or = if task.operator == GENERATE { "; with \"count\" it ends" } else { "" };
    report.error(
        Page::Continuous,
        at,
        format!("task {id:?} runs until it is stopped and {what}{or}"),
    );
}
