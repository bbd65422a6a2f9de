//! Which loads a task that reads a topic ends in: they keep how far the pipeline is.

use std::collections::BTreeSet;

use super::model::{Sink, Task};
use crate::operators;
use crate::template::references;

/// The operator that reads a topic.
pub(super) const CONSUME: &str = "kafka.consume";
/// Operators that keep a ledger.
const LOADS: [&str; 2] = ["kafka.produce", "postgres.load"];

/// Gives each task that reads a topic its sinks, and their connections; returns what stands in the
/// way, by task id. The tasks are in topological order.
pub(super) fn connect(tasks: &mut [Task]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let outputs: Vec<BTreeSet<String>> =
        tasks.iter().map(|task| references(&task.with).outputs).collect();
    for place in 0..tasks.len() {
        if tasks[place].operator != CONSUME {
            continue;
        }
        let id = tasks[place].task_id.0.clone();
        if tasks[place].expand.is_some() {
            problems.push((id, "a task that reads a topic cannot be mapped".to_owned()));
            continue;
        }
        let below = below(tasks, &outputs, place);
        if let Some(mapped) = below.iter().find(|task| task.expand.is_some() || task.returns_rows) {
            let what = "a task that a range of a topic flows through cannot be mapped yet";
            problems.push((mapped.task_id.0.clone(), what.to_owned()));
        }
        let sinks: Vec<Sink> = below.iter().filter_map(|task| sink(task)).collect();
        if sinks.is_empty() {
            let what = "no load follows: the ledger of a postgres.load or a kafka.produce, which takes \
                        the task's output or what was made of it, keeps how far the topic was read";
            problems.push((id, what.to_owned()));
        }
        let task = &mut tasks[place];
        for sink in &sinks {
            if !task.connections.contains(&sink.connection) {
                task.connections.push(sink.connection.clone());
            }
        }
        task.sinks = sinks;
    }
    problems
}

/// The tasks that its dataset flows into.
pub(super) fn below<'t>(
    tasks: &'t [Task],
    outputs: &[BTreeSet<String>],
    place: usize,
) -> Vec<&'t Task> {
    let mut carry: BTreeSet<&str> = BTreeSet::from([tasks[place].task_id.0.as_str()]);
    let mut below = Vec::new();
    for (task, taken) in tasks.iter().zip(outputs) {
        if taken.iter().any(|input| carry.contains(input.as_str())) {
            below.push(task);
            if operators::find(&task.operator).is_some_and(|operator| operator.has_output) {
                carry.insert(&task.task_id.0);
            }
        }
    }
    below
}

/// What a load's ledger is known by; `None` for any other task.
pub(super) fn sink(task: &Task) -> Option<Sink> {
    if !LOADS.contains(&task.operator.as_str()) {
        return None;
    }
    let connection = task.with.get("connection")?.as_str()?.to_owned();
    Some(Sink { task_id: task.task_id.0.clone(), connection })
}
