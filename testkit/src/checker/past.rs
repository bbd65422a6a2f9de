//! I16: a task that waits for the run before starts after it had ended well there (`depends_on_past`), and
//! with `wait_for_downstream` after those right below it had.
//!
//! A clear of the run before takes back nothing that has started: that the tasks had once ended well is
//! what is asked. A run that was made later than the one that started says nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::graph::Node;
use super::rows::{Ended, RunView, Snapshot};
use super::{Findings, PLACES};

pub(super) fn check(snapshot: &Snapshot, found: &mut Findings) {
    let mut of_dag: BTreeMap<i32, Vec<RunView<'_>>> = BTreeMap::new();
    for run in snapshot.runs().filter(|run| run.row.logical_date.is_some()) {
        of_dag.entry(run.row.dag).or_default().push(run);
    }
    for runs in of_dag.values_mut() {
        runs.sort_unstable_by_key(|run| run.row.logical_date);
        for (place, run) in runs.iter().enumerate() {
            let counts = |before: &&RunView<'_>| {
                before.row.logical_date < run.row.logical_date
                    && (!run.graph.catchup || before.row.run_type != "manual")
            };
            let before = runs[..place].iter().rev().find(counts);
            if let Some(before) = before.filter(|it| it.row.run_key < run.row.run_key) {
                check_run(run, before, found);
            }
        }
    }
}

fn check_run(run: &RunView<'_>, before: &RunView<'_>, found: &mut Findings) {
    for (task, node) in run.tasks().filter(|(_, node)| node.waits_for_past()) {
        let base = task % PLACES;
        for start in starts(run, task) {
            for needed in needed(run, node, base) {
                found.add_if(!ended_well(before, needed, start), "I16", || {
                    format!(
                        "{run}, {}: started at {start}, before task {needed} of {before} had ended well",
                        node.id
                    )
                });
            }
        }
    }
}

/// When an instance started first, and first after each clear: a retry waits for nobody.
fn starts(run: &RunView<'_>, task: i32) -> Vec<DateTime<Utc>> {
    let mut first: BTreeMap<i32, DateTime<Utc>> = BTreeMap::new();
    for row in run.history(task) {
        if let Some(started) = row.started_at {
            let known = first.entry(row.resets).or_insert(started);
            *known = started.min(*known);
        }
    }
    first.into_values().collect()
}

/// The tasks of the run before that it waits for, by their own numbers.
fn needed(run: &RunView<'_>, node: &Node, base: i32) -> Vec<i32> {
    let follows = |other: &Node| other.upstream.iter().any(|up| up % PLACES == base);
    let below = run.tasks().filter(|(_, other)| node.with_downstream && follows(other));
    let mut all: Vec<i32> = below.map(|(task, _)| task % PLACES).chain([base]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a task of a run had ended well by an instant; one that the run does not have says nothing.
fn ended_well(run: &RunView<'_>, base: i32, by: DateTime<Utc>) -> bool {
    let is_good =
        |row: &Ended| ["success", "skipped"].contains(&row.state.as_str()) && row.ended_at <= by;
    let had = |task: i32| run.history(task).iter().any(is_good);
    let mut all = run.tasks().map(|(task, _)| task).filter(|task| task % PLACES == base);
    // Before a clear it may have ended as a whole, or have had other instances.
    had(base) || all.all(had) || run.row.has_resets && run.ever(base).any(is_good)
}
