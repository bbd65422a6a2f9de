//! Random DAGs with mapped tasks and groups, one step at a time, held against the run in memory, which
//! Airflow's own vectors vouch for.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use subak_core::decide::memory::{MemoryRun, Report, Step, TryOutcome};
use subak_core::decide::{Plan, Says};
use subak_core::state::{RunState, TaskState};
use subak_server::engine::Answer;
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::TryEnd;
use tokio::time::timeout;

use super::exact::outcome;
use super::fleet::{Fleet, Held, PATIENCE};

/// Plays the sample's run, one end at a time, by the run in memory.
pub(super) async fn play(fleet: &Fleet, sample: &Sample) {
    let mut dag = sample.dag.clone();
    dag.max_active_tasks = u32::MAX;
    for task in &mut dag.tasks {
        task.max_active_tis_per_dagrun = None;
    }
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(dag.clone())).unwrap());
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0x3a9);
    let run = fleet.run(&dag, fleet.engines.choose(&mut rng).unwrap()).await;
    let mut arrivals = fleet.assignments(run);
    let (mut ours, _) = MemoryRun::start(plan.clone());
    let mut held: Vec<Held> = Vec::new();
    let mut steps: Vec<String> = Vec::new();
    while ours.run_state() == RunState::Running {
        while let Ok(arrival) = arrivals.try_recv() {
            held.push(arrival);
        }
        let name = format!("seed {}, {run}:\n{}", sample.seed, steps.join("\n"));
        if held.is_empty() {
            let arrival = timeout(PATIENCE, arrivals.recv()).await;
            let arrival = arrival.unwrap_or_else(|_| panic!("{name}\nstarts nothing"));
            held.push(arrival.unwrap());
        }
        let index = rng.random_range(0..held.len());
        let held = held.swap_remove(index);
        let at = held.instance();
        let state = ours.state(at);
        assert_eq!(state, Some(TaskState::Running), "{name}\n{at:?} was started");
        assert_eq!(held.try_number, ours.tries(at), "{name}\ntry of {at:?}");
        let end = sample.outcome_of(held.place(), held.index(), held.try_number);
        let result = sample.result_of(held.place(), held.index());
        steps.push(format!("{at:?} #{} {end:?}", held.try_number));
        fleet.end(&held);
        let engine = fleet.engines.choose(&mut rng).unwrap();
        let answer = fleet.report_result(engine, &held, outcome(end), Some(&result)).await;
        assert_eq!(answer, Answer::Accepted, "{name}");
        let says = Says::of(&plan, plan.task(at.task).unwrap(), Some(&result)).unwrap();
        let report = Report { at, outcome: in_memory(end), says, exit_code: None };
        let step = ours.ended(&[report], 0.0);
        retry(&mut ours, step);
    }
    let expected = ours.run_state();
    let state = fleet.wait_for(run, &["success", "failed"]).await;
    let name = format!("seed {}, {run}:\n{}", sample.seed, steps.join("\n"));
    let theirs: BTreeMap<(usize, i32), _> = fleet.instances(run).await;
    for at in ours.instances() {
        let place = usize::try_from(at.task.0).unwrap();
        let (state, tries) = theirs.get(&(place, at.map_index.0)).cloned().unwrap_or_default();
        let own = ours.state(at).map(TaskState::as_str);
        assert_eq!(state.as_deref(), own, "{name}\n{at:?}: the engine's, and in memory");
        assert_eq!(tries, ours.tries(at), "{name}\n{at:?}: tries of the engine, and in memory");
    }
    assert_eq!(theirs.len(), ours.instances().count(), "{name}\n{theirs:?}");
    assert_eq!(state, expected.as_str(), "{name}");
    fleet.leave(arrivals);
}

fn retry(ours: &mut MemoryRun, step: Step) {
    for (at, _) in step.retries {
        let step = ours.retry_due(at);
        retry(ours, step);
    }
}

fn in_memory(end: TryEnd) -> TryOutcome {
    use subak_core::decide::TryEnd as Failure;
    match end {
        TryEnd::Success => TryOutcome::Success,
        TryEnd::Skipped => TryOutcome::Skipped,
        TryEnd::Failed => TryOutcome::Failed(Failure::Transient),
        TryEnd::FailedForGood => TryOutcome::Failed(Failure::Permanent),
        TryEnd::WorkerLost => TryOutcome::Failed(Failure::WorkerLost),
    }
}
