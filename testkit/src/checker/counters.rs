//! I11: a waiting task's counters are exactly the upstreams that have ended, and a task that has
//! been decided is marked so while upstreams are still to come.

use std::collections::BTreeMap;

use super::Findings;
use super::graph::Node;
use super::rows::{Join, RunView};

pub(super) fn check(run: &RunView<'_>, found: &mut Findings) {
    // A cancel drops the counters, and where teardowns go on makes them anew.
    let is_counted = run.row.cancelled_at.is_none() || run.tasks().any(|(_, node)| node.cleans_up);
    if run.row.state != "running" || !is_counted || run.is_cascading {
        return;
    }
    for (task, node) in run.tasks() {
        // Of a group's task that is not expanded yet, not all that it has counted counts.
        let gathers = node.map().is_some_and(|map| map.by_index && !map.is_expanded);
        if node.upstream.len() > 1 && node.rule != "always" && !gathers {
            check_task(run, task, node, found);
        }
    }
}

fn check_task(run: &RunView<'_>, task: i32, node: &Node, found: &mut Findings) {
    let mut ended: BTreeMap<&str, i32> = BTreeMap::new();
    for row in node.upstream.iter().filter_map(|up| run.current(*up).next()) {
        *ended.entry(row.state.as_str()).or_default() += 1;
    }
    let seen = usize::try_from(ended.values().sum::<i32>()).unwrap_or(0);
    let is_there = run.live(task).is_some() || run.current(task).next().is_some();
    // Instances share the counters of their task.
    let shared = node.map().filter(|map| node.is_instance() && !map.by_index);
    let decided = shared.map_or(is_there, |map| map.is_decided);
    match run.join(shared.map_or(task, |map| map.base)) {
        Some(join) => {
            found.add_if(counted(join) != ended, "I11", || {
                format!("{run}, {}: counts {join:?}, upstreams ended {ended:?}", node.id)
            });
            found.add_if(join.needed as usize != node.upstream.len(), "I11", || {
                format!("{run}, {}: needs {} of {}", node.id, join.needed, node.upstream.len())
            });
            // A branch ends a task without marking its counters: then its state is looked at.
            let unmarked = run.row.has_resets && decided;
            found.add_if(join.decided != decided && !unmarked, "I13", || {
                format!("{run}, {}: decided {decided}, marked {}", node.id, join.decided)
            });
        }
        None => {
            let waits = seen > 0 && seen < node.upstream.len();
            found.add_if(waits, "I11", || {
                format!("{run}, {}: no counters, {seen} upstreams ended", node.id)
            });
            let stuck = seen == node.upstream.len() && !decided;
            found.add_if(stuck, "I1", || format!("{run}, {}: nobody will start it", node.id));
        }
    }
}

/// The counters, by state, without zeros.
fn counted(join: &Join) -> BTreeMap<&'static str, i32> {
    let all = [
        ("success", join.success),
        ("failed", join.failed),
        ("skipped", join.skipped),
        ("upstream_failed", join.upstream_failed),
        ("removed", join.removed),
    ];
    all.into_iter().filter(|(_, count)| *count != 0).collect()
}
