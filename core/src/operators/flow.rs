//! Operators that decide which of the tasks below them run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The operators of this file.
pub const DECIDES: &[&str] = &["branch", "short_circuit", "latest_only"];

/// `branch`: follows some of the tasks right below it and skips the others. A task that is also below
/// a followed one is not skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Id of the task or task group to follow, a list of them, or null to follow none: mostly a
    /// template, by params or by another task's result.
    pub choose: Value,
    /// What is written on the edge to a task, by task id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `short_circuit`: unless its condition is true, skips everything below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShortCircuit {
    /// Mostly a template. False, null, 0, and empty texts, lists and maps are not true.
    pub condition: Value,
    /// Whether everything below is skipped; otherwise only what is right below, and the trigger rules
    /// decide about the rest. Teardowns are never skipped.
    #[serde(default = "yes")]
    pub ignore_downstream_trigger_rules: bool,
}

/// `latest_only`: unless its run is the newest of its schedule, skips what is right below it: the next
/// run is due already. A run made by hand always goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatestOnly {}

fn yes() -> bool {
    true
}
