//! Whole runs that Airflow 3.3 played, step by step: the same effects, looks, states and tries.

use std::sync::Arc;

use subak_core::decide::Plan;
use subak_core::decide::memory::{MemoryRun, Step};
use subak_core::ids::Instance;
use subak_core::state::TaskState;

use crate::vectors::{self, Changes, Vector, VectorRun};

#[test]
fn runs_go_as_airflow_played_them() {
    let vectors = vectors::runs();
    let (mut played, mut odd) = (0, 0);
    for vector in &vectors {
        for run in &vector.runs {
            if run.quirks.is_empty() {
                play(vector, run);
                played += 1;
            } else {
                odd += 1;
            }
        }
    }
    assert_eq!((vectors.len(), played, odd), (3_000, 5_985, 15));
}

fn play(vector: &Vector, expected: &VectorRun) {
    let place = format!("vector {}, {}", vector.id, expected.order);
    let dag = Arc::new(vector.dag("vector"));
    let plan = Arc::new(Plan::numbered_in_order(dag).unwrap());
    let (mut run, first) = MemoryRun::start(plan.clone());
    let mut first = Some(first);
    for (index, step) in expected.steps.iter().enumerate() {
        let place = format!("{place}, step {index}");
        let got = match first.take() {
            Some(first) => first,
            None => report(&mut run, vector, &plan, &step.complete),
        };
        let effects: Changes = step
            .effects
            .iter()
            .filter(|(id, _)| !step.complete.iter().any(|(reported, _)| reported == *id))
            .map(|(id, state)| (id.clone(), state.clone()))
            .collect();
        assert_eq!(effects_of(&plan, &got, &step.complete), effects, "{place}: effects");
        assert_eq!(passes(&plan, &got), step.passes, "{place}: passes");
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
) -> Step {
    let tries = |id: &str| run.tries(plan.number(&id.into()).unwrap());
    let ends: Vec<_> = complete.iter().map(|(id, _)| vector.report(plan, id, tries(id))).collect();
    let mut step = run.ended(&ends, 0.0);
    for (at, _) in step.retries.clone() {
        let mut again = run.retry_due(at);
        match step.looks.first_mut() {
            Some(look) => look.started.append(&mut again.looks[0].started),
            None => step.looks = again.looks,
        }
    }
    step
}

fn id(plan: &Plan, at: Instance) -> String {
    plan.spec(plan.task(at.task).unwrap()).task_id.0.clone()
}

/// What changed at once besides the reported tries.
fn effects_of(plan: &Plan, step: &Step, reported: &[(String, String)]) -> Changes {
    let named = step
        .effects
        .iter()
        .map(|&(at, end)| (id(plan, at), TaskState::from(end).as_str().to_owned()));
    named.filter(|(id, _)| !reported.iter().any(|(reported, _)| reported == id)).collect()
}

/// A step's looks as Airflow's vectors write them.
fn passes(plan: &Plan, step: &Step) -> Vec<Changes> {
    step.looks
        .iter()
        .map(|look| {
            let started =
                look.started.iter().map(|start| (id(plan, start.at), "running".to_owned()));
            let settled = look
                .settled
                .iter()
                .map(|&(at, end)| (id(plan, at), TaskState::from(end).as_str().to_owned()));
            started.chain(settled).collect()
        })
        .collect()
}
