//! Mapped tasks and groups as Airflow 3.3 played them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use subak_core::dag::model::{Dag, Expand, Source, Task, TaskGroup};
use subak_core::decide::memory::{MemoryRun, Report, Step};
use subak_core::decide::{Plan, Says, TriggerRule};
use subak_core::ids::{Instance, TaskId};
use subak_core::state::TaskState;

use crate::vectors::{Changes, dag_of, outcome, read};

#[derive(Deserialize)]
struct Vector {
    id: u32,
    dag: VectorDag,
    runs: Vec<Run>,
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

#[derive(Deserialize)]
struct Run {
    order: String,
    created: BTreeSet<String>,
    steps: Vec<VectorStep>,
    r#final: Final,
}

#[derive(Deserialize)]
struct VectorStep {
    complete: Vec<(String, String)>,
    passes: Vec<BTreeMap<String, Value>>,
    run: String,
}

#[derive(Deserialize)]
struct Final {
    run: String,
    states: BTreeMap<String, Option<String>>,
    tries: BTreeMap<String, u32>,
}

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
    fn dag(&self) -> Dag {
        let tasks = self.dag.tasks.iter().map(VectorTask::task).collect();
        let group = |(id, written): (&String, &Value)| {
            let expand = Expand { arguments: vec![("g".to_owned(), source(written))] };
            (id.clone(), TaskGroup { expand: Some(expand), ..TaskGroup::default() })
        };
        let task_groups = self.dag.groups.iter().map(group).collect();
        Dag { task_groups, ..dag_of("vector", tasks) }
    }

    fn report(&self, plan: &Plan, run: &MemoryRun, id: &str) -> Report {
        let (name, index) = match id.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse().unwrap()),
            None => (id, -1),
        };
        let task = self.dag.tasks.iter().find(|task| task.id == name).unwrap();
        let at = Instance::mapped(plan.number(&name.into()).unwrap(), index);
        let script = task.outcomes.get(&index.to_string()).unwrap_or(&task.outcomes["*"]);
        let outcome = outcome(script, run.tries(at));
        let says = Says { returned: Some(task.returns), ..Says::default() };
        Report { at, outcome, says }
    }
}

impl VectorTask {
    fn task(&self) -> Task {
        let expand = self.expand.as_ref().map(|expand| Expand {
            arguments: expand.iter().map(|(name, from)| (name.clone(), source(from))).collect(),
        });
        Task {
            upstream: self.up.iter().map(|up| up.as_str().into()).collect(),
            trigger_rule: self.rule,
            retries: self.retries,
            retry_delay: Duration::ZERO,
            task_group: self.group.clone(),
            expand,
            ..Task::new(&self.id, "noop")
        }
    }
}

#[test]
fn mapped_tasks_go_as_airflow_played_them() {
    let vectors: Vec<Vector> = read(include_bytes!("../data/airflow-mapping-vectors.json.gz"));
    let mut wrong = Vec::new();
    for vector in &vectors {
        for run in &vector.runs {
            if let Err(difference) = play(vector, run) {
                wrong.push(format!("vector {}, {}, {difference}", vector.id, run.order));
            }
        }
    }
    assert_eq!(vectors.len(), 450);
    assert!(wrong.is_empty(), "{} runs differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn play(vector: &Vector, expected: &Run) -> Result<(), String> {
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(vector.dag())).unwrap());
    let (mut run, first) = MemoryRun::start(plan.clone());
    let mut first = Some(first);
    let created = expected.created.clone();
    let ours: BTreeSet<String> = run.instances().map(|at| name(&plan, at)).collect();
    if first.as_ref().unwrap().looks.iter().all(|look| look.expanded.is_empty()) {
        same("created", &ours, &created)?;
    }
    for (index, step) in expected.steps.iter().enumerate() {
        let got = match first.take() {
            Some(first) => first,
            None => report(&mut run, vector, &plan, &step.complete),
        };
        let mut changes: Changes = BTreeMap::new();
        for (id, state) in step.passes.iter().flatten() {
            if let Some(state) = state.as_str().filter(|state| *state != "gone") {
                changes.insert(id.clone(), state.to_owned());
            }
        }
        same(&format!("step {index}"), &changes_of(&plan, &got), &changes)?;
        same(&format!("step {index}: run"), run.run_state().as_str(), step.run.as_str())?;
    }
    same("run", run.run_state().as_str(), expected.r#final.run.as_str())?;
    let state = |at| run.state(at).map(|state| state.as_str().to_owned());
    let states: BTreeMap<_, _> = run.instances().map(|at| (name(&plan, at), state(at))).collect();
    same("states", &states, &expected.r#final.states)?;
    let tries: BTreeMap<_, _> =
        run.instances().map(|at| (name(&plan, at), run.tries(at))).collect();
    same("tries", &tries, &expected.r#final.tries)
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    ours: &T,
    theirs: &T,
) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}:\n  ours {ours:?}\n  Airflow's {theirs:?}"))
}

fn report(
    run: &mut MemoryRun,
    vector: &Vector,
    plan: &Plan,
    complete: &[(String, String)],
) -> Step {
    let ends: Vec<_> = complete.iter().map(|(id, _)| vector.report(plan, run, id)).collect();
    let mut step = run.ended(&ends, 0.0);
    for (at, _) in step.retries.clone() {
        step.looks.extend(run.retry_due(at).looks);
    }
    step
}

fn name(plan: &Plan, at: Instance) -> String {
    let id = &plan.spec(plan.task(at.task).unwrap()).task_id;
    if at.map_index.is_none() { id.0.clone() } else { format!("{id}[{}]", at.map_index.0) }
}

fn changes_of(plan: &Plan, step: &Step) -> Changes {
    let started = step.started().map(|start| (name(plan, start.at), "running".to_owned()));
    let settled =
        step.settled().map(|(at, end)| (name(plan, at), TaskState::from(end).as_str().to_owned()));
    started.chain(settled).collect()
}
