//! Whether the dead letters of a task can go through its DAG again, and into which loads.

use std::collections::BTreeSet;

use super::model::{Dag, Task};
use super::sinks::{LOAD, PRODUCE, below};
use crate::ids::TaskId;
use crate::template::references;

/// Operators that take records of dead letters in the place of their input.
const TAKE: [&str; 4] = ["csv.read", super::sinks::CONSUME, "validate", LOAD];

/// Returns the loads that keep in their ledgers which replays they have; or why there can be none.
pub fn sinks(dag: &Dag, task_id: &str) -> Result<Vec<String>, String> {
    let place = dag.tasks.iter().position(|task| task.task_id.0 == task_id);
    let place = place.ok_or_else(|| {
        format!("DAG `{}` has no task `{task_id}` any more: put it back to replay", dag.dag_id)
    })?;
    let task = &dag.tasks[place];
    if !TAKE.contains(&task.operator.as_str()) {
        return Err(format!(
            "task `{task_id}` is a `{}` now: only {} take dead letters again",
            task.operator,
            TAKE.map(|name| format!("`{name}`")).join(", ")
        ));
    }
    if let Some(replaces) = dag.tasks.iter().find(|task| replaces(task)) {
        let TaskId(name) = &replaces.task_id;
        return Err(format!(
            "task `{name}` replaces all that it wrote before: after a replay only the replayed \
             records would be there. Mend what is wrong and run the DAG again instead"
        ));
    }
    let outputs: Vec<BTreeSet<String>> =
        dag.tasks.iter().map(|task| references(&task.with).outputs).collect();
    let below = below(&dag.tasks, &outputs, place);
    if let Some(mapped) = [task].into_iter().chain(below.iter().copied()).find(is_mapped) {
        return Err(format!("task `{}` is mapped: that cannot be replayed yet", mapped.task_id));
    }
    let sinks: Vec<String> = [task]
        .into_iter()
        .chain(below)
        .filter(|it| it.operator == LOAD || it.operator == PRODUCE)
        .map(|it| it.task_id.0.clone())
        .collect();
    if sinks.is_empty() {
        return Err(format!(
            "no load takes what task `{task_id}` hands on: a replay needs the ledger of a \
             `postgres.load` or a `kafka.produce`, so that nothing is loaded twice"
        ));
    }
    Ok(sinks)
}

/// Returns the loads that a range of a topic can be loaded into once more; or why there can be none.
pub fn range_sinks(dag: &Dag, task_id: &str) -> Result<Vec<String>, String> {
    let place = dag.tasks.iter().position(|task| task.task_id.0 == task_id);
    let place = place.filter(|place| dag.tasks[*place].operator == super::sinks::CONSUME);
    let place = place.ok_or_else(|| {
        format!("DAG `{}` has no task `{task_id}` any more that reads a topic", dag.dag_id)
    })?;
    let outputs: Vec<BTreeSet<String>> =
        dag.tasks.iter().map(|task| references(&task.with).outputs).collect();
    let below = below(&dag.tasks, &outputs, place);
    if let Some(twice) = below.iter().find(|task| adds(task)) {
        return Err(format!(
            "task `{}` adds rows to those that are there: the range would be there twice. Only loads \
             with `mode: upsert` or `mode: replace` can take a range once more",
            twice.task_id
        ));
    }
    let loads = below.iter().filter(|task| task.operator == LOAD);
    Ok(loads.map(|task| task.task_id.0.clone()).collect())
}

/// Whether rows that are loaded again would be there twice.
fn adds(task: &Task) -> bool {
    match task.operator.as_str() {
        PRODUCE => true,
        LOAD => !matches!(task.with["mode"].as_str(), Some("upsert" | "replace")),
        _ => false,
    }
}

fn is_mapped(task: &&Task) -> bool {
    task.expand.is_some()
}

fn replaces(task: &Task) -> bool {
    match task.operator.as_str() {
        "csv.write" | "parquet.write" => true,
        "postgres.load" => task.with["mode"] == "replace",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::parse;

    const READ: &str = "
dag_id: users
tasks:
  read: {operator: csv.read, with: {path: users.csv, on_bad_row: dead_letter}}
  check:
    operator: validate
    with: {input: '{{ tasks.read.output }}', rules: [{column: email, matches: email}]}
";

    fn check(more: &str, task: &str, expected: Result<&[&str], &str>) {
        let parsed = parse("users.yaml", &format!("{READ}{more}"));
        assert_eq!(parsed.diagnostics, []);
        match (sinks(&parsed.dags[0], task), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_replay_needs_loads_that_add_rows() {
        const LOAD: &str = "  load: {operator: postgres.load, with: {connection: c, table: t, \
                            input: '{{ tasks.check.output }}'}}\n";
        check(LOAD, "check", Ok(&["load"]));
        check(LOAD, "read", Ok(&["load"]));
        check("", "check", Err("no load takes what task `check` hands on"));
        check(LOAD, "gone", Err("has no task `gone` any more"));
        check(LOAD, "load", Ok(&["load"]));
        let rest = "  rest: {operator: noop}\n";
        check(&format!("{LOAD}{rest}"), "rest", Err("task `rest` is a `noop` now"));
        let replace = LOAD.replace("table: t,", "table: t, mode: replace,");
        check(&replace, "check", Err("task `load` replaces all that it wrote before"));
        let file = "  file: {operator: csv.write, with: {path: o.csv, \
                    input: '{{ tasks.read.output }}'}}\n";
        check(&format!("{LOAD}{file}"), "check", Err("task `file` replaces"));
        let topic = "  topic: {operator: kafka.produce, with: {connection: c, topic: t, \
                     input: '{{ tasks.check.output }}'}}\n";
        check(&format!("{LOAD}{topic}"), "check", Ok(&["load", "topic"]));
    }
}
