//! Mapped tasks and groups as Airflow 3.3 played them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subak_core::decide::memory::{MemoryRun, Report, Step};
use subak_core::decide::{Plan, Says};
use subak_core::ids::Instance;
use subak_core::state::TaskState;

use crate::map_vectors::{Run, Vector, vectors};
use crate::vectors::Changes;

#[test]
fn mapped_tasks_go_as_airflow_played_them() {
    let vectors = vectors();
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
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(vector.dag("vector"))).unwrap());
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
    let end = |id: &str| {
        let (place, index) = vector.place(id);
        let no = plan.number(&vector.id(place).into()).unwrap();
        let at = Instance::mapped(no, index);
        let outcome = vector.outcome(place, index, run.tries(at));
        let says = Says { returned: Some(vector.returns(place)), ..Says::default() };
        Report { at, outcome, says, exit_code: None }
    };
    let ends: Vec<_> = complete.iter().map(|(id, _)| end(id)).collect();
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
