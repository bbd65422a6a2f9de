//! I15: a pool is never fuller than it may be, at no instant; what it counts is what its tasks hold.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use super::journal::Noted;
use super::rows::{Live, Snapshot};

/// Holds the pools' counts against the live rows.
pub(super) fn check(snapshot: &Snapshot, found: &mut Findings) {
    for pool in &snapshot.pools {
        let holds = |state: &str| ["queued", "running", "restarting"].contains(&state);
        let slots = |row: &Live| {
            let is_in = |name: &Option<String>| name.as_deref() == Some(&pool.name);
            // Of a pool that a task has to itself besides each takes one.
            if is_in(&row.pool) { row.pool_slots } else { i32::from(is_in(&row.own_pool)) }
        };
        let held: i32 = snapshot.all_live().filter(|row| holds(&row.state)).map(slots).sum();
        found.add_if(held != pool.used, "I15", || {
            format!("pool {} counts {} slots, its tasks hold {held}", pool.name, pool.used)
        });
        found.add_if(held > pool.slots, "I15", || {
            format!("pool {} has {} slots, its tasks hold {held}", pool.name, pool.slots)
        });
    }
}

/// Replays the workers' notes: how many slots were taken at each instant.
pub(super) fn replay(
    snapshot: &Snapshot,
    notes: &HashMap<(i64, i32), BTreeMap<i64, Noted>>,
    found: &mut Findings,
) {
    let mut changes: HashMap<&str, Vec<(i64, i32)>> = HashMap::new();
    for run in snapshot.runs() {
        for (task, node) in run.tasks() {
            let Some(tokens) = notes.get(&(run.row.run_key, task)) else { continue };
            for (token, noted) in tokens {
                let row = snapshot.ended(run.row.run_key, task, *token);
                // Its slots are free as soon as another task's failure stops it.
                let was_stopped = row.is_some_and(|row| row.cause.as_deref() == Some("fail_fast"));
                let (Some(start), Some(end)) = (noted.started, noted.ended) else { continue };
                if !was_stopped {
                    let pool = changes.entry(&node.pool).or_default();
                    pool.extend([(start, node.pool_slots), (end, -node.pool_slots)]);
                }
            }
        }
    }
    for pool in &snapshot.pools {
        let mut changes = changes.remove(pool.name.as_str()).unwrap_or_default();
        changes.sort_unstable();
        let (mut taken, mut most) = (0, 0);
        for (_, change) in changes {
            taken += change;
            most = most.max(taken);
        }
        found.add_if(most > pool.slots, "I15", || {
            format!("pool {} has {} slots, {most} were taken at once", pool.name, pool.slots)
        });
    }
}
