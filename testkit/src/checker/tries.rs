//! I2: one accepted end a try, tokens rise. I3: no two tries of a task at once. I4: a try's instants
//! are in order. I13: a task that is done is not started again.

use super::Findings;
use super::graph::Node;
use super::rows::{Ended, RunView};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    for (task, node) in run.tasks() {
        let tries: Vec<&Ended> =
            run.history(task).iter().filter(|row| row.session.is_some()).collect();
        for pair in tries.windows(2) {
            check_pair(run, node, pair[0], pair[1], found);
        }
        for row in &tries {
            let backwards = row.started_at.is_none_or(|started| started > row.ended_at);
            found.add_if(backwards, "I4", || {
                format!("{run}, {}: try {} ended before it started", node.id, row.try_number)
            });
        }
        check_live(run, task, node, tries.last().copied(), found);
        check_done(run, task, node, found);
    }
}

/// Two tries that follow each other in the order of tokens.
fn check_pair(run: &RunView<'_>, node: &Node, first: &Ended, next: &Ended, found: &mut Findings) {
    found.add_if(first.try_number >= next.try_number, "I2", || {
        format!(
            "{run}, {}: try {} has token {}, try {} the later {}",
            node.id, first.try_number, first.token, next.try_number, next.token
        )
    });
    let overlap = next.started_at.is_some_and(|started| started < first.ended_at);
    found.add_if(overlap, "I3", || {
        format!(
            "{run}, {}: try {} started before try {} had ended",
            node.id, next.try_number, first.try_number
        )
    });
}

fn check_live(
    run: &RunView<'_>,
    task: i32,
    node: &Node,
    last: Option<&Ended>,
    found: &mut Findings,
) {
    let (Some(live), Some(last)) = (run.live(task), last) else { return };
    found.add_if(live.try_number < last.try_number, "I2", || {
        format!("{run}, {}: live with try {} after {}", node.id, live.try_number, last.try_number)
    });
    if let Some(token) = live.token {
        found.add_if(token <= last.token || live.try_number == last.try_number, "I2", || {
            format!("{run}, {}: token {token} runs after token {} ended", node.id, last.token)
        });
        let overlap = live.started_at.is_some_and(|started| started < last.ended_at);
        found.add_if(overlap, "I3", || {
            format!("{run}, {}: runs since before its last try ended", node.id)
        });
    }
}

/// Between two clears, a final row is the task's last.
fn check_done(run: &RunView<'_>, task: i32, node: &Node, found: &mut Findings) {
    let mut done: Option<&Ended> = None;
    for row in run.history(task) {
        if let Some(done) = done.filter(|done| done.resets == row.resets) {
            found.add(
                "I13",
                format!(
                    "{run}, {}: {} (token {}) after it was {} (token {})",
                    node.id, row.state, row.token, done.state, done.token
                ),
            );
        }
        if row.is_final() {
            done = Some(row);
        }
    }
}
