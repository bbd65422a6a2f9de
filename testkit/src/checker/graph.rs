//! The tasks of one DAG version, read from its canonical form.

use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// The DAG has setups or teardowns: more than its upstreams decides about a task.
    pub(super) is_guarded: bool,
    pub(super) pool: String,
    pub(super) pool_slots: i32,
    /// A teardown of setups: a cancel does not keep it from running.
    pub(super) cleans_up: bool,
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
    #[serde(default)]
    setup: bool,
    teardown: Option<CanonicalTeardown>,
    pool: String,
    pool_slots: i32,
}

#[derive(Deserialize)]
struct CanonicalTeardown {
    #[serde(default)]
    on_failure_fail_dagrun: bool,
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
        let is_guarded = dag.tasks.iter().any(|task| task.setup || task.teardown.is_some());
        let ends_run: BTreeMap<i32, bool> = dag
            .tasks
            .iter()
            .map(|task| {
                let teardown = task.teardown.as_ref();
                let counts = teardown.is_none_or(|teardown| teardown.on_failure_fail_dagrun);
                (numbers[&task.task_id], counts)
            })
            .collect();
        let setups: HashSet<String> =
            dag.tasks.iter().filter(|task| task.setup).map(|task| task.task_id.clone()).collect();
        let mut tasks: BTreeMap<i32, Node> = dag
            .tasks
            .into_iter()
            .map(|task| {
                let node = Node {
                    upstream: task.upstream.iter().map(|up| numbers[up]).collect(),
                    rule: task.trigger_rule,
                    is_leaf: ends_run[&numbers[&task.task_id]],
                    operator: task.operator,
                    is_guarded,
                    pool: task.pool,
                    pool_slots: task.pool_slots,
                    cleans_up: task.teardown.is_some()
                        && task.upstream.iter().any(|up| setups.contains(up)),
                    id: task.task_id,
                };
                (numbers[&node.id], node)
            })
            .collect();
        let edges: Vec<(i32, i32)> =
            tasks.iter().flat_map(|(no, node)| node.upstream.iter().map(|up| (*up, *no))).collect();
        for (up, down) in &edges {
            if let Some(node) = tasks.get_mut(up).filter(|_| ends_run[down]) {
                node.is_leaf = false;
            }
        }
        if tasks.values().all(|node| !node.is_leaf) {
            // Nothing but teardowns.
            for (no, node) in &mut tasks {
                node.is_leaf = !edges.iter().any(|(up, _)| up == no);
            }
        }
        Ok(Self { tasks })
    }
}
