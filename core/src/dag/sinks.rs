//! Which loads a task that reads a topic ends in: they keep how far the pipeline is.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::Value;

use super::model::{Sink, Task};
use crate::operators;
use crate::operators::data::OnSkip;
use crate::template::references;

/// The operator that reads a topic.
pub(super) const CONSUME: &str = "kafka.consume";
/// Operators that keep a ledger.
pub(super) const PRODUCE: &str = "kafka.produce";
pub(super) const LOAD: &str = "postgres.load";

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
        let source = tasks[place].with.get("connection").and_then(Value::as_str).map(str::to_owned);
        let sinks: Vec<Sink> =
            below.iter().filter_map(|task| sink(task, source.as_deref())).collect();
        let ledger = tasks[place].with.get("ledger").and_then(Value::as_str).map(str::to_owned);
        let sinks = match ledger {
            None if sinks.is_empty() => {
                let what = "no load follows: the ledger of a postgres.load or a kafka.produce, which \
                            takes the task's output or what was made of it, keeps how far the topic was \
                            read; or name a PostgreSQL connection that does by `ledger`";
                problems.push((id, what.to_owned()));
                sinks
            }
            None => sinks,
            // The task itself: whatever follows is done with a range once the run has succeeded.
            Some(connection) if sinks.is_empty() => {
                vec![Sink { task_id: id, connection, on_skip: OnSkip::Keep }]
            }
            Some(_) => {
                let what = format!(
                    "`ledger` is for pipelines without a load: `{}` keeps a ledger itself",
                    sinks[0].task_id
                );
                problems.push((id, what));
                sinks
            }
        };
        for sink in &sinks {
            // It reads the sink's ledger, and the sink may have to reach what it is kept in.
            let keepers = [place].into_iter().chain(place_of(tasks, &sink.task_id));
            for place in keepers {
                let connections = &mut tasks[place].connections;
                if !connections.contains(&sink.connection) {
                    connections.push(sink.connection.clone());
                }
            }
        }
        tasks[place].sinks = sinks;
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

fn place_of(tasks: &[Task], task_id: &str) -> Option<usize> {
    tasks.iter().position(|task| task.task_id.0 == task_id)
}

/// What a load's ledger is known by; `None` for any other task. That of a topic is kept in the cluster
/// which is read, `source`.
pub(super) fn sink(task: &Task, source: Option<&str>) -> Option<Sink> {
    let connection = match task.operator.as_str() {
        PRODUCE => source?,
        LOAD => task.with.get("connection")?.as_str()?,
        _ => return None,
    };
    let on_skip = task.with.get("on_skip").and_then(|choice| OnSkip::deserialize(choice).ok());
    Some(Sink {
        task_id: task.task_id.0.clone(),
        connection: connection.to_owned(),
        on_skip: on_skip.unwrap_or_default(),
    })
}
