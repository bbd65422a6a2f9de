//! The tasks of one DAG version, read from its canonical form.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// A DAG version: its tasks by number.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) tasks: BTreeMap<i32, Node>,
}

/// A task.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) upstream: Vec<i32>,
    pub(super) rule: String,
    pub(super) is_leaf: bool,
    pub(super) operator: String,
}

#[derive(Deserialize)]
struct Canonical {
    tasks: Vec<CanonicalTask>,
}

#[derive(Deserialize)]
struct CanonicalTask {
    task_id: String,
    operator: String,
    upstream: Vec<String>,
    trigger_rule: String,
}

impl Node {
    /// Whether the server settles it without a worker.
    pub(super) fn is_empty(&self) -> bool {
        self.operator == "empty"
    }
}

impl Graph {
    /// Reads a version; `numbers` are those of its DAG's tasks.
    pub(super) fn new(
        canonical: serde_json::Value,
        numbers: &HashMap<String, i32>,
    ) -> Result<Self, serde_json::Error> {
        let dag: Canonical = serde_json::from_value(canonical)?;
        let mut tasks: BTreeMap<i32, Node> = dag
            .tasks
            .into_iter()
            .map(|task| {
                let node = Node {
                    upstream: task.upstream.iter().map(|up| numbers[up]).collect(),
                    rule: task.trigger_rule,
                    is_leaf: true,
                    operator: task.operator,
                    id: task.task_id,
                };
                (numbers[&node.id], node)
            })
            .collect();
        let above: Vec<i32> =
            tasks.values().flat_map(|node| node.upstream.iter().copied()).collect();
        for up in above {
            if let Some(node) = tasks.get_mut(&up) {
                node.is_leaf = false;
            }
        }
        Ok(Self { tasks })
    }
}
