//! I5: a task starts after the upstreams have ended that its rule waited for.

use chrono::{DateTime, Utc};

use super::graph::Node;
use super::rows::{Ended, RunView};
use super::{Findings, PLACES};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    for (task, node) in run.tasks() {
        if node.rule == "always" || node.upstream.is_empty() {
            continue;
        }
        let ended = run.history(task).iter().filter_map(|row| row.started_at);
        let running = run.live(task).and_then(|live| live.started_at);
        let Some(first) = ended.chain(running).min() else { continue };
        let may_start = may_start(run, node, first) && is_let(run, node, first);
        found.add_if(!may_start, "I5", || {
            format!("{run}, {}: started at {first}, before its upstreams let it", node.id)
        });
    }
}

/// Whether, by `instant`, everything had ended that guards a task: for all but a teardown, well. A run
/// that was cleared may have more instances than it had then.
fn is_let(run: &RunView<'_>, node: &Node, instant: DateTime<Utc>) -> bool {
    let had_ended = |guard: &i32| {
        let mut ends = run.current(*guard).filter(|row| row.ended_at <= instant);
        ends.any(|row| node.is_teardown || row.state == "success")
    };
    run.is_cleared() || node.guards.iter().all(had_ended)
}

/// How it ended first: a branch may have overruled that.
fn ended_as(row: &Ended) -> &str {
    match row.cause.as_deref() {
        Some("overruled") => "upstream_failed",
        _ => &row.state,
    }
}

/// Whether, by `instant`, enough upstreams had ended once. A clear keeps the old rows.
fn may_start(run: &RunView<'_>, node: &Node, instant: DateTime<Utc>) -> bool {
    let had_ended = |up: &i32, states: &[&str]| {
        let has = |row: &Ended| {
            row.is_final()
                && row.ended_at <= instant
                && (states.is_empty() || states.contains(&ended_as(row)))
        };
        // Before a clear a mapped upstream may have ended as a whole, or have had instances that are gone.
        let whole = *up % PLACES;
        let mut ends = run.history(*up).iter().chain(run.history(whole));
        ends.any(has) || *up == whole && run.is_cleared() && run.ever(whole).any(has)
    };
    let any = |states: &[&str]| node.upstream.iter().any(|up| had_ended(up, states));
    match node.rule.as_str() {
        "one_success" => any(&["success"]),
        "one_failed" => any(&["failed", "upstream_failed"]),
        "one_done" => any(&["success", "failed"]),
        _ => node.upstream.iter().all(|up| had_ended(up, &[])),
    }
}
