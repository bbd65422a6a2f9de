//! Random DAGs with mapped tasks and groups. One step at a time, held against the run in memory, which
//! Airflow's own vectors vouch for; and with everything at once, for the checker to judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use subak_core::decide::memory::{MemoryRun, Report, Step, TryOutcome};
use subak_core::decide::{Plan, Says};
use subak_core::ids::{Instance, RunKey};
use subak_core::state::{RunState, TaskState};
use subak_server::engine::{Answer, CancelError, Engine};
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::TryEnd;
use tokio::time::timeout;

use super::exact::{number, outcome};
use super::fleet::{Fleet, Held, PATIENCE};

/// Reports of one run that are on their way at once.
const AT_ONCE: usize = 6;

/// Plays the sample's run, one end at a time, by the run in memory.
pub(super) async fn exact(fleet: &Fleet, sample: &Sample) {
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
        let at = instance(&held);
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

fn instance(held: &Held) -> Instance {
    Instance::mapped(number(held.place()), held.index())
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

/// Plays it with cancels, clears of tasks and of single instances, through all engines at once.
pub(super) async fn racing(fleet: &Fleet, sample: &Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0x3ace);
    let run = fleet.run(&sample.dag, fleet.engines.choose(&mut rng).unwrap()).await;
    let mut arrivals = fleet.assignments(run);
    let mut acts = FuturesUnordered::new();
    let mut interventions = rng.random_range(0..4);
    let mut seen: Vec<Instance> = Vec::new();
    loop {
        let idle = acts.is_empty() && arrivals.is_empty();
        if idle && ["success", "failed"].contains(&fleet.run_state(run).await.as_str()) {
            if interventions > 0 && rng.random_bool(0.3) {
                interventions -= 1;
                let act = intervention(&mut rng, sample, &seen);
                act.perform(fleet, fleet.engines.choose(&mut rng).unwrap(), sample, run).await;
                continue;
            }
            fleet.leave(arrivals);
            return;
        }
        let next = async {
            tokio::select! {
                held = arrivals.recv(), if acts.len() < AT_ONCE => held,
                Some(()) = acts.next() => None,
                // The run ended without a further try: a cancel, a cascade.
                _ = fleet.wait_for(run, &["success", "failed"]), if idle => None,
            }
        };
        let next = timeout(PATIENCE, next).await;
        let next = next.unwrap_or_else(|_| panic!("seed {}, {run}: nothing more", sample.seed));
        let Some(held) = next else { continue };
        seen.push(instance(&held));
        let engine = fleet.engines.choose(&mut rng).unwrap();
        acts.push(Act::Report(held).perform(fleet, engine, sample, run));
        if interventions > 0 && rng.random_bool(0.1) {
            interventions -= 1;
            let engine = fleet.engines.choose(&mut rng).unwrap();
            acts.push(intervention(&mut rng, sample, &seen).perform(fleet, engine, sample, run));
        }
    }
}

enum Act {
    Report(Held),
    Cancel,
    Clear(Vec<Instance>),
}

fn intervention(rng: &mut StdRng, sample: &Sample, seen: &[Instance]) -> Act {
    let count = rng.random_range(1..4);
    let choice = if seen.is_empty() { 9 } else { rng.random_range(0..10) };
    match choice {
        0..2 => Act::Cancel,
        2..7 => Act::Clear(seen.iter().copied().choose_multiple(rng, count)),
        _ => {
            let tasks = (0..sample.dag.tasks.len()).choose_multiple(rng, count);
            Act::Clear(tasks.into_iter().map(|task| Instance::single(number(task))).collect())
        }
    }
}

impl Act {
    async fn perform(self, fleet: &Fleet, engine: &Engine, sample: &Sample, run: RunKey) {
        match self {
            Self::Report(held) => {
                let end = sample.outcome_of(held.place(), held.index(), held.try_number);
                let result = sample.result_of(held.place(), held.index());
                fleet.end(&held);
                let answer = fleet.report_result(engine, &held, outcome(end), Some(&result)).await;
                assert_eq!(answer, Answer::Accepted, "seed {}, {held:?}", sample.seed);
            }
            Self::Cancel => match engine.run_cancel(run, "cancelled").await {
                Ok(()) | Err(CancelError::Ended(_)) => {}
                Err(error) => panic!("seed {}: {error:#}", sample.seed),
            },
            Self::Clear(instances) => {
                let cleared = engine.instances_clear(run, &instances, false).await;
                cleared.unwrap_or_else(|error| panic!("seed {}: {error:#}", sample.seed));
            }
        }
    }
}
