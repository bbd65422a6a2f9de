//! I1: no task is lost. I4: a run has ended exactly when all its tasks have. I14: nothing starts
//! after a cancel but teardowns.

use super::Findings;
use super::rows::{Live, RunView};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    let open = open_tasks(run, found);
    let row = run.row;
    // The counters of a run that waits for its turn are worked out when it starts.
    if row.state == "queued" {
        return;
    }
    found.add_if(row.tasks_open != open, "I4", || {
        format!("{run} counts {} open tasks, {open} are", row.tasks_open)
    });
    found.add_if(row.is_final() != (open == 0), "I4", || {
        format!("{run} is {} with {open} open tasks", row.state)
    });
    check_limits(run, found);
    if row.is_final() {
        check_ended(run, found);
    }
    check_cancel(run, found);
}

/// Counts tasks without a final state, and complains of those that nothing will ever continue.
fn open_tasks(run: &RunView<'_>, found: &mut Findings) -> i32 {
    let mut open = 0;
    for (task, node) in run.tasks() {
        let ends = run.current(task).count();
        let is_live = run.live(task).is_some();
        open += i32::from(ends == 0);
        found.add_if(ends > 1, "I1", || {
            format!("{run}, {}: {ends} final rows since its last clear", node.id)
        });
        found.add_if(ends > 0 && is_live, "I1", || {
            format!("{run}, {}: has ended, and is live", node.id)
        });
        let is_root = node.upstream.is_empty() || node.rule == "always";
        // Instances of mapped tasks are made a few at a time.
        let waits = node.is_instance();
        let forgotten = ends == 0 && !is_live && !waits && is_root && row_is_going(run);
        found.add_if(forgotten, "I1", || format!("{run}, {}: nobody will start it", node.id));
    }
    open
}

fn row_is_going(run: &RunView<'_>) -> bool {
    run.row.state == "running" && run.row.cancelled_at.is_none() && !run.is_cascading
}

fn check_limits(run: &RunView<'_>, found: &mut Findings) {
    let count = |states: &[&str]| {
        let counts = |live: &&Live| !live.waits_pool && states.contains(&live.state.as_str());
        run.all_live().filter(counts).count()
    };
    // What waits for its pool has its place in the run already.
    let waiting = run.all_live().filter(|live| live.waits_pool).count();
    let active = count(&["queued", "running", "restarting"]) + waiting;
    found.add_if(i64::from(run.row.tasks_active) != active as i64, "I4", || {
        format!("{run} counts {} active tasks, {active} are", run.row.tasks_active)
    });
    let held = count(&["scheduled"]);
    found.add_if(i64::from(run.row.tasks_held) != held as i64, "I4", || {
        format!("{run} counts {} held tasks, {held} are", run.row.tasks_held)
    });
}

fn check_ended(run: &RunView<'_>, found: &mut Findings) {
    found.add_if(run.has_joins(), "I11", || format!("{run} has ended and keeps counters"));
    let broken = run
        .tasks()
        .filter(|(_, node)| node.is_leaf)
        .flat_map(|(task, _)| run.current(task))
        .filter(|row| matches!(row.state.as_str(), "failed" | "upstream_failed"))
        .count();
    found.add_if(i64::from(run.row.leaves_failed) != broken as i64, "I4", || {
        format!("{run} counts {} failed leaves, {broken} are", run.row.leaves_failed)
    });
    let failed = broken > 0 || run.row.cancelled_at.is_some();
    let expected = if failed { "failed" } else { "success" };
    found.add_if(run.row.state != expected, "I4", || {
        format!("{run} is {}, by its leaves {expected}", run.row.state)
    });
}

fn check_cancel(run: &RunView<'_>, found: &mut Findings) {
    let Some(cancelled) = run.row.cancelled_at else { return };
    for (task, node) in run.tasks().filter(|(_, node)| !node.cleans_up) {
        let ended = run.history(task).iter().filter_map(|row| row.started_at);
        let running = run.live(task).and_then(|live| live.started_at);
        let late = ended.chain(running).any(|started| started > cancelled);
        found.add_if(late, "I14", || {
            format!("{run}, {}: started after the cancel at {cancelled}", node.id)
        });
    }
}
