//! Airflow's own runs through the real engine, one report at a time: the same states and tries.

use futures::StreamExt;
use subak_core::state::TaskState;
use subak_server::engine::Answer;
use tokio::time::timeout;

use super::AT_ONCE;
use super::fleet::{Fleet, Held, PATIENCE};
use crate::vectors::{Vector, VectorRun, runs};
use subak_server::engine::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_through_the_engine_as_airflow_played_them() {
    let fleet = Fleet::start(2, 64).await;
    let vectors = runs();
    let singles: Vec<_> = vectors
        .iter()
        .flat_map(|vector| vector.runs.iter().map(move |run| (vector, run)))
        .filter(|(_, run)| run.order == "singles" && run.quirks.is_empty())
        .collect();
    assert!(singles.len() > 2_980, "{}", singles.len());
    futures::stream::iter(singles)
        .for_each_concurrent(AT_ONCE, |(vector, run)| play(&fleet, vector, run))
        .await;
    fleet.finish().await;
}

async fn play(fleet: &Fleet, vector: &Vector, expected: &VectorRun) {
    let name = format!("vector {}", vector.id);
    let dag = vector.dag(&format!("vector_{}", vector.id));
    let engine = &fleet.engines[usize::try_from(vector.id).unwrap() % fleet.engines.len()];
    let run = fleet.run(&dag, engine).await;
    let mut arrivals = fleet.assignments(run);
    let mut held: Vec<Held> = Vec::new();
    for (id, state) in expected.steps.iter().flat_map(|step| &step.complete) {
        let place = vector.place(id);
        let index = loop {
            if let Some(index) = held.iter().position(|held| held.place() == place) {
                break index;
            }
            let arrival = timeout(PATIENCE, arrivals.recv()).await;
            held.extend(arrival.unwrap_or_else(|_| panic!("{name}: {id} does not start")));
        };
        // What Airflow had running is to run here, too, when another task stops or skips it.
        while !fleet.held(run, &["queued"]).await.is_empty() {
            let arrival = timeout(PATIENCE, arrivals.recv()).await;
            held.extend(arrival.unwrap_or_else(|_| panic!("{name}: ready tasks do not start")));
        }
        let held = held.swap_remove(index);
        let outcome = outcome(vector.outcome(place, held.try_number));
        fleet.end(&held);
        let result = vector.result(place);
        let answer = fleet.report_result(engine, &held, outcome, Some(&result)).await;
        assert_eq!(answer, Answer::Accepted, "{name}, {state}");
    }
    let state = fleet.wait_for(run, &["success", "failed"]).await;
    assert_eq!(state, expected.r#final.run, "{name}");
    // Tries that a failure stopped: their workers say so once more, and their slots are free.
    while let Ok(arrival) = arrivals.try_recv() {
        held.push(arrival);
    }
    fleet.leave(arrivals);
    for held in held {
        fleet.end(&held);
        let answer = fleet.report_result(engine, &held, Outcome::Stopped, None).await;
        assert_eq!(answer, Answer::Accepted, "{name}: a stopped try");
    }
    let tasks = fleet.tasks(run).await;
    for (id, state) in &expected.r#final.states {
        let (ours, tries) = &tasks[&vector.place(id)];
        assert_eq!(ours, state, "{name}, {id}");
        assert_eq!(*tries, expected.r#final.tries[id], "{name}, {id}");
        assert!(ours.as_deref().and_then(TaskState::parse).is_some_and(TaskState::is_final));
    }
}

pub(super) fn outcome(outcome: subak_core::decide::memory::TryOutcome) -> Outcome {
    use subak_core::decide::memory::TryOutcome;
    match outcome {
        TryOutcome::Success => Outcome::Success,
        TryOutcome::Skipped => Outcome::Skipped,
        TryOutcome::Failed(end) => Outcome::Failed(end),
    }
}
