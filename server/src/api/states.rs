//! How states are described: they are the domain's, which knows nothing of this API.

use schemars::{Schema, SchemaGenerator, json_schema};
use subak_core::state::{RunState, TaskState};

/// A run's.
pub(super) fn run(_: &mut SchemaGenerator) -> Schema {
    let all = [RunState::Queued, RunState::Running, RunState::Success, RunState::Failed];
    json_schema!({ "type": "string", "enum": all })
}

/// A task instance's; null before anything has happened to it.
pub(super) fn task(_: &mut SchemaGenerator) -> Schema {
    let all: Vec<Option<TaskState>> = TaskState::ALL.into_iter().map(Some).chain([None]).collect();
    json_schema!({ "type": ["string", "null"], "enum": all })
}
