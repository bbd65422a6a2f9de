//! Whole runs that Airflow 3.3 played, step by step: the same looks, states and tries.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde::Deserialize;
use subak_core::dag::model::Dag;
use subak_core::decide::memory::{MemoryRun, Step, TryOutcome};
use subak_core::decide::{Plan, TriggerRule, TryEnd};
use subak_core::ids::TaskNo;
use subak_testkit::dag_gen::{Sample, Shape};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
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
    setup: bool,
    #[serde(default)]
    teardown: bool,
}

#[derive(Deserialize)]
pub(crate) struct VectorRun {
    pub(crate) order: String,
    pub(crate) steps: Vec<VectorStep>,
    pub(crate) r#final: Final,
    #[serde(default)]
    quirks: Vec<String>,
}

type Changes = BTreeMap<String, String>;

#[derive(Deserialize)]
pub(crate) struct VectorStep {
    pub(crate) complete: Vec<(String, String)>,
    passes: Vec<Changes>,
    run: String,
}

#[derive(Deserialize)]
pub(crate) struct Final {
    pub(crate) run: String,
    pub(crate) states: BTreeMap<String, Option<String>>,
    pub(crate) tries: BTreeMap<String, u32>,
}

impl Vector {
    /// Whether it has only what is built.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = |task: &VectorTask| task.kind.is_none() && !task.setup && !task.teardown;
        !self.dag.fail_fast && self.dag.tasks.iter().all(plain)
    }

    pub(crate) fn dag(&self, id: &str) -> Dag {
        let pattern = Sample::new(0, Shape { max_tasks: 1, limited: false }).dag;
        let tasks = self.dag.tasks.iter().map(|task| {
            let mut model = pattern.tasks[0].clone();
            model.task_id = task.id.as_str().into();
            model.upstream = task.up.iter().map(|up| up.as_str().into()).collect();
            model.trigger_rule = task.rule;
            model.retries = task.retries;
            model.retry_delay = Duration::ZERO;
            model
        });
        Dag { dag_id: id.into(), tasks: tasks.collect(), ..pattern }
    }

    /// The task's place in the DAG.
    pub(crate) fn place(&self, id: &str) -> usize {
        self.dag.tasks.iter().position(|task| task.id == id).unwrap()
    }

    /// How a try of the task at this place ends.
    pub(crate) fn outcome(&self, place: usize, try_number: u32) -> TryOutcome {
        let script = &self.dag.tasks[place].outcomes;
        let index = usize::try_from(try_number).unwrap() - 1;
        match script.get(index).or(script.last()).unwrap().as_str() {
            "success" => TryOutcome::Success,
            "skipped" => TryOutcome::Skipped,
            "failed" => TryOutcome::Failed(TryEnd::Transient),
            "failed_final" => TryOutcome::Failed(TryEnd::Permanent),
            word => panic!("unknown outcome `{word}`"),
        }
    }
}

/// All vectors of the file.
pub(crate) fn vectors() -> Vec<Vector> {
    let packed = include_bytes!("../data/airflow-run-vectors.json.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str::<File>(&text).unwrap().vectors
}

#[test]
fn runs_go_as_airflow_played_them() {
    let vectors = vectors();
    let (mut played, mut odd) = (0, 0);
    for vector in vectors.iter().filter(|vector| vector.is_plain()) {
        for run in &vector.runs {
            if run.quirks.is_empty() {
                play(vector, run);
                played += 1;
            } else {
                odd += 1;
            }
        }
    }
    assert_eq!((vectors.len(), played, odd), (3_000, 1_922, 0));
}

fn play(vector: &Vector, expected: &VectorRun) {
    let place = format!("vector {}, {}", vector.id, expected.order);
    let dag = Arc::new(vector.dag("vector"));
    let plan = Arc::new(Plan::numbered_in_order(dag).unwrap());
    let (mut run, first) = MemoryRun::start(plan.clone());
    let mut first = Some(first);
    for step in &expected.steps {
        let got = match first.take() {
            Some(first) => first,
            None => report(&mut run, vector, &plan, &step.complete, &place),
        };
        assert_eq!(passes(&plan, &got), step.passes, "{place}");
        assert_eq!(run.run_state().as_str(), step.run, "{place}");
    }
    assert_eq!(run.run_state().as_str(), expected.r#final.run, "{place}");
    for task in plan.tasks() {
        let id = &plan.spec(task).task_id.0;
        let state = run.state(task.no).expect("a task of an ended run has ended");
        assert_eq!(Some(state.as_str()), expected.r#final.states[id].as_deref(), "{place}, {id}");
        assert_eq!(run.tries(task.no), expected.r#final.tries[id], "{place}, {id}");
    }
}

/// Reports as the workers did. Retries have no delay: they start within the first look.
fn report(
    run: &mut MemoryRun,
    vector: &Vector,
    plan: &Plan,
    complete: &[(String, String)],
    place: &str,
) -> Step {
    let ends: Vec<_> = complete
        .iter()
        .map(|(id, _)| {
            let task = plan.number(&id.as_str().into()).unwrap();
            (task, vector.outcome(vector.place(id), run.tries(task)))
        })
        .collect();
    let mut step = run.ended(&ends, 0.0);
    for ((id, state), (task, _)) in complete.iter().zip(&ends) {
        let got = run.state(*task).unwrap();
        assert_eq!(got.as_str(), state, "{place}: the reported try of {id}");
    }
    for (task, _) in step.retries.clone() {
        let mut again = run.retry_due(task);
        match step.looks.first_mut() {
            Some(look) => look.started.append(&mut again.looks[0].started),
            None => step.looks = again.looks,
        }
    }
    step
}

/// A step's looks as Airflow's vectors write them.
fn passes(plan: &Plan, step: &Step) -> Vec<Changes> {
    let id = |task: TaskNo| plan.spec(plan.task(task).unwrap()).task_id.0.clone();
    step.looks
        .iter()
        .map(|look| {
            let started = look.started.iter().map(|start| (id(start.task), "running".to_owned()));
            let settled = look.settled.iter().map(|&(task, end)| {
                (id(task), subak_core::state::TaskState::from(end).as_str().to_owned())
            });
            started.chain(settled).collect()
        })
        .collect()
}
