//! I7: no more tasks of a run are at work at any instant than `max_active_tasks`, by the database's clock.

use chrono::{DateTime, Utc};

use super::Findings;
use super::rows::RunView;

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    let Some(limit) = run.graph.most_active else { return };
    let mut changes: Vec<(DateTime<Utc>, i64)> = Vec::new();
    for row in run.all_ended() {
        changes.extend(row.started_at.iter().flat_map(|start| [(*start, 1), (row.ended_at, -1)]));
    }
    let at_work = |state: &str| ["running", "restarting"].contains(&state);
    let live = run.all_live().filter(|live| at_work(&live.state));
    changes.extend(live.filter_map(|live| Some((live.started_at?, 1))));
    // At the same instant an end comes before a start.
    changes.sort_unstable();
    let (mut active, mut most) = (0, 0);
    for (_, change) in changes {
        active += change;
        most = most.max(active);
    }
    found.add_if(most > limit, "I7", || {
        format!("{run} may have {limit} tasks active, {most} were at work at once")
    });
}
