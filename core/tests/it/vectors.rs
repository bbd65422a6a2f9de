//! Whole runs that Airflow 3.3 played, as the files have them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subak_core::dag::model::{Dag, Task, Teardown};
use subak_core::decide::memory::{Report, TryOutcome};
use subak_core::decide::{Plan, Says, TriggerRule, TryEnd};
use subak_core::ids::{Instance, TaskId};

#[derive(Deserialize)]
struct File<V> {
    vectors: Vec<V>,
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: u32,
    dag: VectorDag,
    pub(crate) runs: Vec<VectorRun>,
}

#[derive(Deserialize)]
struct VectorDag {
    tasks: Vec<VectorTask>,
    #[serde(default)]
    fail_fast: bool,
}

#[derive(Deserialize)]
struct VectorTask {
    id: String,
    up: Vec<String>,
    rule: TriggerRule,
    retries: u32,
    outcomes: Vec<String>,
    kind: Option<String>,
    #[serde(default)]
    follow: Vec<String>,
    #[serde(default)]
    condition: bool,
    #[serde(default)]
    ignore_downstream_trigger_rules: bool,
    #[serde(default)]
    setup: bool,
    #[serde(default)]
    teardown: bool,
    #[serde(default)]
    on_failure_fail_dagrun: bool,
}

/// A run as it was played; what its looks changed to is a text, or null too.
#[derive(Deserialize)]
pub(crate) struct VectorRun<S = String> {
    pub(crate) order: String,
    /// Instances that were there from the start, of mapped runs.
    #[serde(default)]
    pub(crate) created: BTreeSet<String>,
    pub(crate) steps: Vec<VectorStep<S>>,
    pub(crate) r#final: Final,
    #[serde(default)]
    pub(crate) quirks: Vec<String>,
}

pub(crate) type Changes = BTreeMap<String, String>;

#[derive(Deserialize)]
pub(crate) struct VectorStep<S = String> {
    pub(crate) complete: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) effects: Changes,
    pub(crate) passes: Vec<BTreeMap<String, S>>,
    pub(crate) run: String,
}

#[derive(Deserialize)]
pub(crate) struct Final {
    pub(crate) run: String,
    pub(crate) states: BTreeMap<String, Option<String>>,
    pub(crate) tries: BTreeMap<String, u32>,
}

impl Vector {
    /// The task's place in the DAG.
    pub(crate) fn place(&self, id: &str) -> usize {
        self.dag.tasks.iter().position(|task| task.id == id).unwrap()
    }

    /// What the task at this place returns.
    pub(crate) fn result(&self, place: usize) -> Value {
        self.dag.tasks[place].result()
    }

    /// How a try of the task at this place ends.
    pub(crate) fn outcome(&self, place: usize, try_number: u32) -> TryOutcome {
        outcome(&self.dag.tasks[place].outcomes, try_number)
    }

    pub(crate) fn dag(&self, id: &str) -> Dag {
        let tasks = self.dag.tasks.iter().map(VectorTask::task).collect();
        Dag { fail_fast: self.dag.fail_fast, ..dag_of(id, tasks) }
    }

    /// How a try of a task ends, and what its result says.
    pub(crate) fn report(&self, plan: &Plan, id: &str, try_number: u32) -> Report {
        let task = self.dag.tasks.iter().find(|task| task.id == id).unwrap();
        let spec = plan.task(plan.number(&TaskId(id.to_owned())).unwrap()).unwrap();
        let outcome = outcome(&task.outcomes, try_number);
        let says = Says::of(plan, spec, Some(&task.result())).unwrap();
        Report { at: Instance::single(spec.no), outcome, says, exit_code: None }
    }
}

impl VectorTask {
    fn result(&self) -> Value {
        match self.kind.as_deref() {
            Some("branch") => json!(self.follow),
            Some("short_circuit") => json!(self.condition),
            _ => json!(null),
        }
    }

    fn task(&self) -> Task {
        let ignore = self.ignore_downstream_trigger_rules;
        let fails_run = Teardown { on_failure_fail_dagrun: self.on_failure_fail_dagrun };
        let operator = self.kind.as_deref().unwrap_or("noop");
        Task {
            with: json!({ "ignore_downstream_trigger_rules": ignore }),
            setup: self.setup,
            teardown: self.teardown.then_some(fails_run),
            ..task(&self.id, operator, &self.up, self.rule, self.retries)
        }
    }
}

/// A task that is tried again at once.
pub(crate) fn task(
    id: &str,
    operator: &str,
    up: &[String],
    rule: TriggerRule,
    retries: u32,
) -> Task {
    Task {
        upstream: up.iter().map(|up| up.as_str().into()).collect(),
        trigger_rule: rule,
        retries,
        retry_delay: Duration::ZERO,
        ..Task::new(id, operator)
    }
}

/// How try `try_number` ends, by a script whose last word repeats.
pub(crate) fn outcome(script: &[String], try_number: u32) -> TryOutcome {
    let index = usize::try_from(try_number).unwrap() - 1;
    match script.get(index).or(script.last()).unwrap().as_str() {
        "success" => TryOutcome::Success,
        "skipped" => TryOutcome::Skipped,
        "failed" => TryOutcome::Failed(TryEnd::Transient),
        "failed_final" => TryOutcome::Failed(TryEnd::Permanent),
        word => panic!("unknown outcome `{word}`"),
    }
}

/// A DAG of these tasks that may all run at once.
pub(crate) fn dag_of(id: &str, tasks: Vec<Task>) -> Dag {
    Dag { max_active_tasks: 1_000, ..Dag::new(id, tasks) }
}

/// The vectors of a packed file.
pub(crate) fn read<V: DeserializeOwned>(packed: &[u8]) -> Vec<V> {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    serde_json::from_str::<File<V>>(&text).unwrap().vectors
}

/// All vectors of whole runs.
pub(crate) fn runs() -> Vec<Vector> {
    read(include_bytes!("../data/airflow-run-vectors.json.gz"))
}
