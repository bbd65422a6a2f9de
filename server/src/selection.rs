//! Tasks of a version by how they hang together.

use std::collections::BTreeSet;

use subak_core::ids::TaskId;
use subak_store::read::VersionRecord;

/// Returns the tasks of `named` and all that come after them.
pub(crate) fn with_downstream(version: &VersionRecord, named: &[TaskId]) -> BTreeSet<TaskId> {
    let mut chosen: BTreeSet<TaskId> = named.iter().cloned().collect();
    // Topological order: whatever is upstream was looked at before.
    for task in &version.model.tasks {
        if task.upstream.iter().any(|up| chosen.contains(up)) {
            chosen.insert(task.task_id.clone());
        }
    }
    chosen
}

/// Returns the tasks of `named` and all that come before them.
pub(crate) fn with_upstream(version: &VersionRecord, named: &[TaskId]) -> BTreeSet<TaskId> {
    let mut chosen: BTreeSet<TaskId> = named.iter().cloned().collect();
    for task in version.model.tasks.iter().rev() {
        if chosen.contains(&task.task_id) {
            chosen.extend(task.upstream.iter().cloned());
        }
    }
    chosen
}
