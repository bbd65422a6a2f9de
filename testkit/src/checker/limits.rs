//! I7: no more is at work at any instant than there may be: tasks of a run (`max_active_tasks`), instances
//! of a task in one run (`max_active_tis_per_dagrun`) and in all runs of its DAG (`max_active_tis_per_dag`).
//! By the database's clock, and by the workers' own.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use super::PLACES;
use super::graph::Node;
use super::journal::Noted;
use super::rows::{Ended, Live, RunView, Snapshot};

/// An instant, by whichever clock, and how many more are at work from then on.
type Change = (i64, i64);

/// What a limit is of: the task of a DAG, in one run or (`None`) in all.
type Of = (i32, Option<i64>, i32);

/// A task's limit, and what became of its instances.
struct Limited<'a> {
    id: &'a str,
    limit: i64,
    changes: Vec<Change>,
}

/// Holds `max_active_tasks` against the history of a run.
pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    let Some(limit) = run.graph.most_active else { return };
    let most = most_at_once(changes(run.all_ended(), run.all_live()));
    found.add_if(most > limit, "I7", || {
        format!("{run} may have {limit} tasks active, {most} were at work at once")
    });
}

/// Holds the limits of single tasks against the history.
pub(super) fn check_tasks(snapshot: &Snapshot, found: &mut Findings) {
    let at_work = |run: &RunView<'_>, task: i32| changes(run.history(task), run.live(task));
    judge(snapshot, "at work", at_work, found);
}

/// Holds the limits of single tasks against the workers' notes.
pub(super) fn replay(
    snapshot: &Snapshot,
    notes: &HashMap<(i64, i32), BTreeMap<i64, Noted>>,
    found: &mut Findings,
) {
    let noted = |run: &RunView<'_>, task: i32| {
        let tokens = notes.get(&(run.row.run_key, task)).into_iter().flatten();
        let mut changes = Vec::new();
        for (token, noted) in tokens {
            let row = snapshot.ended(run.row.run_key, task, *token);
            // Its place is free as soon as another task's failure stops it.
            let was_stopped = row.is_some_and(|row| row.cause.as_deref() == Some("fail_fast"));
            if let (Some(start), Some(end), false) = (noted.started, noted.ended, was_stopped) {
                changes.extend([(start, 1), (end, -1)]);
            }
        }
        changes
    };
    judge(snapshot, "noted by workers", noted, found);
}

/// When tries were at work, by the database's clock.
fn changes<'a>(
    ended: impl IntoIterator<Item = &'a Ended>,
    live: impl IntoIterator<Item = &'a Live>,
) -> Vec<Change> {
    let ended = ended.into_iter().filter_map(|row| Some((row.started_at?, row.ended_at)));
    let mut changes: Vec<Change> = ended
        .flat_map(|(start, end)| [(start.timestamp_micros(), 1), (end.timestamp_micros(), -1)])
        .collect();
    let at_work = |state: &str| ["running", "restarting"].contains(&state);
    let live = live.into_iter().filter(|live| at_work(&live.state));
    changes.extend(live.filter_map(|live| Some((live.started_at?.timestamp_micros(), 1))));
    changes
}

fn judge(
    snapshot: &Snapshot,
    what: &str,
    at_work: impl Fn(&RunView<'_>, i32) -> Vec<Change>,
    found: &mut Findings,
) {
    let mut limits: BTreeMap<Of, Limited<'_>> = BTreeMap::new();
    let runs: Vec<RunView<'_>> = snapshot.runs().collect();
    for run in &runs {
        for (task, node) in run.tasks().filter(|(_, node)| node.is_limited()) {
            let changes = at_work(run, task);
            let (dag, base) = (run.row.dag, task % PLACES);
            note(&mut limits, (dag, Some(run.row.run_key), base), node, node.most_of_run, &changes);
            note(&mut limits, (dag, None, base), node, node.most_of_dag, &changes);
        }
    }
    for ((dag, run, _), Limited { id, limit, changes }) in limits {
        let most = most_at_once(changes);
        found.add_if(most > limit, "I7", || {
            let of = run.map_or_else(|| format!("DAG {dag}, all runs"), |run| format!("run {run}"));
            format!("{of}: {id} may have {limit} instances active, {most} were {what} at once")
        });
    }
}

/// Adds to what is known of a limit; of versions that differ the widest counts.
fn note<'a>(
    limits: &mut BTreeMap<Of, Limited<'a>>,
    of: Of,
    node: &'a Node,
    limit: Option<i64>,
    changes: &[Change],
) {
    let Some(limit) = limit else { return };
    let fresh = || Limited { id: &node.id, limit, changes: Vec::new() };
    let known = limits.entry(of).or_insert_with(fresh);
    known.limit = known.limit.max(limit);
    known.changes.extend_from_slice(changes);
}

/// At the same instant an end comes before a start.
fn most_at_once(mut changes: Vec<Change>) -> i64 {
    changes.sort_unstable();
    let (mut active, mut most) = (0, 0);
    for (_, change) in changes {
        active += change;
        most = most.max(active);
    }
    most
}
