//! One run with everything at once: reports, cancels, clears and pauses through all engines, in no order.
//! What it must come to is the checker's to say.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use subak_core::ids::{Instance, RunKey};
use subak_server::engine::{Answer, CancelError, ClearError, Engine, Outcome};
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::TryEnd;
use tokio::time::timeout;

use super::exact::{number, outcome};
use super::fleet::{Fleet, Held, PATIENCE};

/// Reports of one run that are on their way at once.
const AT_ONCE: usize = 6;

/// A shorter pause may be over before the DAG's runs were looked at.
const LOOKED_FROM: Duration = Duration::from_millis(10);

/// Plays the sample's run until it has ended and nothing is on its way, with up to this many cancels,
/// pauses of its DAG, and clears of tasks and of single instances.
pub(super) async fn play(fleet: &Fleet, sample: &Sample, interventions: u32) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0xace5);
    let run = fleet.run(&sample.dag, fleet.engines.choose(&mut rng).unwrap()).await;
    let mut arrivals = fleet.assignments(run);
    let mut acts = FuturesUnordered::new();
    let mut interventions = rng.random_range(0..=interventions);
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
        seen.push(held.instance());
        let engine = fleet.engines.choose(&mut rng).unwrap();
        let end = sample.outcome_of(held.place(), held.index(), held.try_number);
        acts.push(Act::Report(held, end).perform(fleet, engine, sample, run));
        if interventions > 0 && rng.random_bool(0.1) {
            interventions -= 1;
            let engine = fleet.engines.choose(&mut rng).unwrap();
            acts.push(intervention(&mut rng, sample, &seen).perform(fleet, engine, sample, run));
        }
    }
}

/// What is done to a run.
pub(super) enum Act {
    Report(Held, TryEnd),
    Cancel,
    /// The DAG is paused for so long, or so long after its runs were looked at.
    Pause(Duration),
    Clear(Vec<Instance>),
}

/// A cancel, a pause or a clear; `seen` are instances that have run.
pub(super) fn intervention(rng: &mut StdRng, sample: &Sample, seen: &[Instance]) -> Act {
    let count = rng.random_range(1..4);
    let choice = if seen.is_empty() { 9 } else { rng.random_range(0..10) };
    match choice {
        0 => Act::Cancel,
        1 | 2 => Act::Pause(Duration::from_millis(rng.random_range(0..30))),
        3..7 => Act::Clear(seen.iter().copied().choose_multiple(rng, count)),
        _ => {
            let tasks = (0..sample.dag.tasks.len()).choose_multiple(rng, count);
            Act::Clear(tasks.into_iter().map(|task| Instance::single(number(task))).collect())
        }
    }
}

impl Act {
    pub(super) async fn perform(
        self,
        fleet: &Fleet,
        engine: &Engine,
        sample: &Sample,
        run: RunKey,
    ) {
        match self {
            Self::Report(held, end) => {
                let result = sample.result_of(held.place(), held.index());
                fleet.end(&held);
                let answer = fleet.report_result(engine, &held, outcome(end), Some(&result)).await;
                assert_eq!(answer, Answer::Accepted, "seed {}, {held:?}", sample.seed);
            }
            Self::Cancel => match engine.run_cancel(run, "cancelled").await {
                Ok(()) | Err(CancelError::Ended(_)) => {}
                Err(error) => panic!("seed {}: {error:#}", sample.seed),
            },
            Self::Pause(span) => {
                let dag = &sample.dag.dag_id;
                let mut pause = fleet.pause(engine, dag).await;
                if span >= LOOKED_FROM {
                    fleet.looked(&mut pause).await;
                }
                tokio::time::sleep(span).await;
                // By another server than the one that paused it, most of the time.
                fleet.go_on(fleet.engines.last().unwrap(), dag, pause).await;
            }
            Self::Clear(instances) => {
                match engine.instances_clear(run, &instances, false).await {
                    // Their task was cleared meanwhile, and is expanded anew.
                    Ok(_) | Err(ClearError::NoInstance(..)) => {}
                    Err(error) => panic!("seed {}: {error:#}", sample.seed),
                }
            }
        }
    }
}

/// A report under a fence that nobody holds changes nothing.
#[tokio::test]
async fn a_stale_report_is_superseded() {
    use subak_testkit::dag_gen::Shape;
    let fleet = Fleet::start(1, 8).await;
    let sample = Sample::new(1, Shape { max_tasks: 1, limited: false });
    let run = fleet.run(&sample.dag, &fleet.engines[0]).await;
    let held = fleet.assignments(run).recv().await.unwrap();
    let mut stale = held;
    stale.fence.token -= 1;
    let report = subak_server::engine::TryReport::bare(stale.fence, Outcome::Success, None);
    assert_eq!(fleet.engines[0].reports().report(report).await, Answer::Superseded);
    let answer = fleet.report(&fleet.engines[0], &held, Outcome::Success).await;
    assert_eq!(answer, Answer::Accepted);
    assert_eq!(fleet.run_state(run).await, "success");
    fleet.finish().await;
}
