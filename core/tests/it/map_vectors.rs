//! Mapped tasks and groups that Airflow 3.3 played, as the file has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use subak_core::dag::model::{Dag, Expand, Source, Task, TaskGroup};
use subak_core::decide::TriggerRule;
use subak_core::decide::memory::TryOutcome;
use subak_core::ids::TaskId;

use crate::vectors::{VectorRun, dag_of, outcome, read, task};

/// All vectors of mapped tasks.
pub(crate) fn vectors() -> Vec<Vector> {
    read(include_bytes!("../data/airflow-mapping-vectors.json.gz"))
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: u32,
    dag: VectorDag,
    pub(crate) runs: Vec<Run>,
}

#[derive(Deserialize)]
struct VectorDag {
    tasks: Vec<VectorTask>,
    groups: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct VectorTask {
    id: String,
    up: Vec<String>,
    rule: TriggerRule,
    retries: u32,
    returns: i32,
    outcomes: BTreeMap<String, Vec<String>>,
    group: Option<String>,
    /// In the file's order.
    expand: Option<serde_json::Map<String, Value>>,
}

/// A run whose looks may have taken instances away.
pub(crate) type Run = VectorRun<Value>;

fn source(written: &Value) -> Source {
    if let Some(count) = written["literal"].as_u64() {
        return Source::Literal((0..count).collect());
    }
    let task = |id: &Value| {
        let task_id = TaskId(id.as_str().unwrap().to_owned());
        Source::Task { task_id, key: "return_value".to_owned() }
    };
    match written["zip"].as_array() {
        Some(of) => Source::Zip {
            of: of.iter().map(task).collect(),
            fill: written["longest"].as_bool().unwrap_or(false).then_some(json!(null)),
        },
        None => task(&written["task"]),
    }
}

impl Vector {
    pub(crate) fn dag(&self, id: &str) -> Dag {
        let group = |(id, written): (&String, &Value)| {
            let expand = Expand { arguments: vec![("g".to_owned(), source(written))] };
            (id.clone(), TaskGroup { expand: Some(expand), ..TaskGroup::default() })
        };
        let task_groups: BTreeMap<String, TaskGroup> = self.dag.groups.iter().map(group).collect();
        // As a file is read: the tasks of a mapped group have its `expand`.
        let of_group =
            |task: Task| match task.task_group.as_ref().and_then(|id| task_groups.get(id)) {
                Some(group) => Task { expand: group.expand.clone(), ..task },
                None => task,
            };
        let tasks = self.dag.tasks.iter().map(|task| of_group(task.task())).collect();
        Dag { task_groups, ..dag_of(id, tasks) }
    }

    /// The place of a task, and the map index of an instance of it.
    pub(crate) fn place(&self, id: &str) -> (usize, i32) {
        let (name, index) = match id.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse().unwrap()),
            None => (id, -1),
        };
        (self.dag.tasks.iter().position(|task| task.id == name).unwrap(), index)
    }

    /// The id of the task at this place.
    pub(crate) fn id(&self, place: usize) -> &str {
        &self.dag.tasks[place].id
    }

    /// How many items the task at this place returns.
    pub(crate) fn returns(&self, place: usize) -> i32 {
        self.dag.tasks[place].returns
    }

    /// How a try of an instance of the task at this place ends.
    pub(crate) fn outcome(&self, place: usize, index: i32, try_number: u32) -> TryOutcome {
        let task = &self.dag.tasks[place];
        let script = task.outcomes.get(&index.to_string()).unwrap_or(&task.outcomes["*"]);
        outcome(script, try_number)
    }
}

impl VectorTask {
    fn task(&self) -> Task {
        let expand = self.expand.as_ref().map(|expand| Expand {
            arguments: expand.iter().map(|(name, from)| (name.clone(), source(from))).collect(),
        });
        Task {
            task_group: self.group.clone(),
            expand,
            ..task(&self.id, "noop", &self.up, self.rule, self.retries)
        }
    }
}
