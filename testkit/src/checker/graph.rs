//! The tasks of one DAG version, read from its canonical form.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::place;
use crate::model::{ModelDag, ModelSays, ModelTask};

/// A DAG version: its tasks by number.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) tasks: BTreeMap<i32, Node>,
    /// Tasks of a run that may be active at once.
    pub(super) most_active: Option<i64>,
    /// Of the schedule's runs only one is the run before.
    pub(super) catchup: bool,
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) upstream: Vec<i32>,
    /// What it waits for besides: setups, or what a teardown comes after.
    pub(super) guards: Vec<i32>,
    pub(super) rule: String,
    pub(super) is_leaf: bool,
    pub(super) operator: String,
    /// The DAG has setups or teardowns: more than its upstreams decides about a task.
    pub(super) is_guarded: bool,
    pub(super) pool: String,
    pub(super) pool_slots: i32,
    pub(super) is_setup: bool,
    pub(super) is_teardown: bool,
    /// Instances that may be active at once, in all runs and in one.
    pub(super) most_of_dag: Option<i64>,
    pub(super) most_of_run: Option<i64>,
    depends_on_past: bool,
    pub(super) with_downstream: bool,
    /// A teardown of setups: a cancel does not keep it from running.
    pub(super) cleans_up: bool,
    /// What it is mapped over, if it is.
    map: Option<Map>,
    /// The mapped group that it is in.
    group: Option<String>,
}

/// How a mapped task stands.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// Items, where they are written out.
    literal: Option<i32>,
    /// The number of the task whose instance it is.
    pub(super) base: i32,
    /// What becomes of the instances is known.
    pub(super) is_decided: bool,
    pub(super) is_expanded: bool,
    /// It follows others index by index: its counters are its own.
    pub(super) by_index: bool,
}

#[derive(Deserialize)]
struct Canonical {
    tasks: Vec<CanonicalTask>,
    max_active_tasks: Option<i64>,
    #[serde(default)]
    catchup: bool,
    #[serde(default)]
    task_groups: HashMap<String, CanonicalGroup>,
}

#[derive(Deserialize)]
struct CanonicalGroup {
    expand: Option<serde_json::Value>,
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
    max_active_tis_per_dag: Option<i64>,
    max_active_tis_per_dagrun: Option<i64>,
    #[serde(default)]
    depends_on_past: bool,
    #[serde(default)]
    wait_for_downstream: bool,
    /// Names and sources.
    expand: Option<Vec<(String, serde_json::Value)>>,
    task_group: Option<String>,
}

#[derive(Deserialize)]
struct CanonicalTeardown {
    #[serde(default)]
    on_failure_fail_dagrun: bool,
}

impl Node {
    /// What it is mapped over.
    pub(super) fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    /// Whether it is an instance of a mapped task.
    pub(super) fn is_instance(&self) -> bool {
        self.map.as_ref().is_some_and(|map| map.is_expanded)
    }

    /// Whether only so many of its instances may be active at once.
    pub(super) fn is_limited(&self) -> bool {
        self.most_of_dag.is_some() || self.most_of_run.is_some()
    }

    /// Whether it waits for the run before.
    pub(super) fn waits_for_past(&self) -> bool {
        self.depends_on_past || self.with_downstream
    }

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
        let groups = dag.task_groups;
        let mapped_group = |group: Option<String>| {
            let around = std::iter::successors(group, |id| Some(id.rsplit_once('.')?.0.to_owned()));
            let is_mapped =
                |id: &String| groups.get(id).is_some_and(|group| group.expand.is_some());
            around.into_iter().find(is_mapped)
        };
        let mut tasks: BTreeMap<i32, Node> = dag
            .tasks
            .into_iter()
            .map(|task| {
                let node = Node {
                    upstream: task.upstream.iter().map(|up| numbers[up]).collect(),
                    guards: Vec::new(),
                    rule: task.trigger_rule,
                    is_leaf: ends_run[&numbers[&task.task_id]],
                    operator: task.operator,
                    is_guarded,
                    pool: task.pool,
                    pool_slots: task.pool_slots,
                    is_setup: task.setup,
                    is_teardown: task.teardown.is_some(),
                    most_of_dag: task.max_active_tis_per_dag,
                    most_of_run: task.max_active_tis_per_dagrun,
                    depends_on_past: task.depends_on_past,
                    with_downstream: task.wait_for_downstream,
                    cleans_up: task.teardown.is_some()
                        && task.upstream.iter().any(|up| setups.contains(up)),
                    map: task.expand.map(|sources| Map {
                        literal: literal(&sources),
                        base: numbers[&task.task_id],
                        is_decided: false,
                        is_expanded: false,
                        by_index: false,
                    }),
                    group: mapped_group(task.task_group),
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
        if is_guarded {
            guard(&mut tasks);
        }
        Ok(Self { tasks, most_active: dag.max_active_tasks, catchup: dag.catchup })
    }

    /// Whether some task is mapped.
    pub(super) fn has_maps(&self) -> bool {
        self.tasks.values().any(|node| node.map.is_some())
    }

    /// The graph of one run: what `known` says of its mapped tasks, instances and whether they are
    /// decided.
    pub(super) fn expanded(&self, known: &BTreeMap<i32, (Option<i32>, bool)>) -> Self {
        let instances = |task: i32| -> Vec<i32> {
            let map = self.tasks[&task].map.as_ref();
            let of_row = known.get(&task).and_then(|(instances, _)| *instances);
            let literal = map.and_then(|map| map.literal).filter(|count| *count > 0);
            match of_row.or(literal).filter(|_| map.is_some()) {
                Some(count) => (0..count).map(|index| place(task, index)).collect(),
                None => vec![task],
            }
        };
        let mut tasks = BTreeMap::new();
        for (no, node) in &self.tasks {
            let all = instances(*no);
            let follows = |up: &i32| node.group.is_some() && self.tasks[up].group == node.group;
            let by_index = node.upstream.iter().chain(&node.guards).any(follows);
            for (index, instance) in all.iter().enumerate() {
                let of = |up: &i32| {
                    let above = instances(*up);
                    match follows(up) && above[0] != *up {
                        // Of a task that is not expanded yet nothing stands below an instance.
                        true if *instance == *no => Vec::new(),
                        true => above.get(index).copied().into_iter().collect(),
                        false => above,
                    }
                };
                let upstream: Vec<i32> = node.upstream.iter().flat_map(of).collect();
                let guards: Vec<i32> = node.guards.iter().flat_map(of).collect();
                let is_expanded = *instance != *no;
                let map = node.map.clone().map(|map| Map {
                    is_decided: known.get(no).is_some_and(|(_, is_decided)| *is_decided),
                    is_expanded,
                    by_index,
                    ..map
                });
                let node = Node { upstream, guards, map, ..node.clone() };
                tasks.insert(*instance, node);
            }
        }
        Self { tasks, most_active: self.most_active, catchup: self.catchup }
    }
}

/// Finds what tasks wait for besides their upstreams.
fn guard(tasks: &mut BTreeMap<i32, Node>) {
    let numbers: Vec<i32> = tasks.keys().copied().collect();
    let place = |no: &i32| numbers.binary_search(no).expect("an upstream is a task of the DAG");
    let model = |node: &Node| ModelTask {
        id: node.id.clone(),
        upstream: node.upstream.iter().map(place).collect(),
        rule: node.rule.clone(),
        retries: 0,
        says: ModelSays::Nothing,
        setup: node.is_setup,
        teardown: node.is_teardown.then_some(false),
    };
    let model = ModelDag { tasks: tasks.values().map(model).collect(), fail_fast: false };
    for (node, guards) in tasks.values_mut().zip(model.guards()) {
        node.guards = guards.into_iter().map(|guard| numbers[guard]).collect();
    }
}

/// How many items sources have that are all written out.
fn literal(sources: &[(String, serde_json::Value)]) -> Option<i32> {
    let lengths = sources.iter().map(|(_, source)| {
        let value = source.get("literal")?;
        let list = value.as_array().map(Vec::len);
        i32::try_from(list.or_else(|| value.as_object().map(serde_json::Map::len))?).ok()
    });
    lengths.product()
}
