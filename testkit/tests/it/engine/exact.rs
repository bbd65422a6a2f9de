//! One run, one step at a time through any engine, held against the model after the steps: the order
//! is known, so every state is.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use subak_core::decide::TryEnd as Failure;
use subak_core::ids::{RunKey, TaskNo};
use subak_server::engine::{Answer, CancelError, Engine, Outcome};
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::{ModelRun, Status, TryEnd};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::fleet::{Fleet, Held, PATIENCE};

/// Plays the sample's run to its end, with cancels and clears on the way.
pub(super) async fn play(fleet: &Fleet, sample: &Sample) {
    let mut rng = StdRng::seed_from_u64(sample.seed ^ 0xeac7);
    let engine = fleet.engines.choose(&mut rng).unwrap();
    let run = fleet.run(&sample.dag, engine).await;
    let arrivals = fleet.assignments(run);
    let model = ModelRun::start(&sample.model);
    let mut play =
        Play { fleet, sample, rng, run, arrivals, model, held: Vec::new(), interventions: 0 };
    play.finish().await;
}

struct Play<'a> {
    fleet: &'a Fleet,
    sample: &'a Sample,
    rng: StdRng,
    run: RunKey,
    arrivals: UnboundedReceiver<Held>,
    model: ModelRun<'a>,
    held: Vec<Held>,
    interventions: u32,
}

impl Play<'_> {
    async fn finish(&mut self) {
        loop {
            while let Ok(held) = self.arrivals.try_recv() {
                self.take(held);
            }
            if self.model.result().is_some() {
                self.compare_end().await;
                if self.interventions > 3 || !self.rng.random_bool(0.15) {
                    return;
                }
                self.clear().await;
            } else if self.held.is_empty() {
                let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
                let held = arrival.unwrap_or_else(|_| panic!("{} starts nothing", self.name()));
                self.take(held.unwrap());
            } else {
                self.step().await;
            }
        }
    }

    fn name(&self) -> String {
        format!("seed {}, {}", self.sample.seed, self.run)
    }

    /// A worker was given a try: it must be one that the model has started, and with this number.
    fn take(&mut self, held: Held) {
        let (place, name) = (held.place(), self.name());
        let status = self.model.status(place);
        assert!(
            matches!(status, Status::Started | Status::Restarting),
            "{name}: task {place} was started, by the model it is {status:?}"
        );
        let doubled = self.held.iter().any(|other| other.place() == place);
        assert!(!doubled, "{name}: task {place} was started twice");
        if status == Status::Started {
            assert_eq!(held.try_number, self.model.tries(place), "{name}: try of task {place}");
        }
        self.held.push(held);
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..2 if self.interventions < 3 => self.cancel().await,
            2..8 if self.interventions < 3 => self.clear().await,
            _ => self.report().await,
        }
        if self.rng.random_bool(0.1) {
            self.compare().await;
        }
    }

    fn engine(&mut self) -> Engine {
        self.fleet.engines.choose(&mut self.rng).unwrap().clone()
    }

    async fn report(&mut self) {
        let index = self.rng.random_range(0..self.held.len());
        let held = self.held.swap_remove(index);
        let end = self.sample.outcome(held.place(), held.try_number);
        let engine = self.engine();
        self.model.ended(&[(held.place(), end)]);
        if self.model.status(held.place()) == Status::Retry {
            self.model.retry_due(held.place());
        }
        let answer = self.fleet.report(&engine, &held, outcome(end)).await;
        assert_eq!(answer, Answer::Accepted, "{}: task {}", self.name(), held.place());
        if self.rng.random_bool(0.02) {
            let engine = self.engine();
            let again = self.fleet.report_again(&engine, &held, outcome(end)).await;
            assert_eq!(again, Answer::Accepted, "{}: reported twice", self.name());
        }
    }

    async fn cancel(&mut self) {
        self.interventions += 1;
        let engine = self.engine();
        match engine.run_cancel(self.run, "cancelled").await {
            Ok(()) => {}
            Err(CancelError::Ended(_)) if self.model.result().is_some() => return,
            Err(error) => panic!("{}: {error:#}", self.name()),
        }
        let held = self.fleet.held(self.run, &["running", "restarting"]).await;
        self.model.cancel(|task| held.contains(&task));
    }

    async fn clear(&mut self) {
        self.interventions += 1;
        let engine = self.engine();
        let count = self.rng.random_range(1..4);
        let size = self.sample.dag.tasks.len();
        let wanted = (0..size).choose_multiple(&mut self.rng, count);
        let expected = self.model.cleared_with(&wanted);
        let numbers: Vec<TaskNo> = wanted.iter().map(|&task| number(task)).collect();
        let cleared = engine.tasks_clear(self.run, Some(&numbers)).await;
        let cleared = cleared.unwrap_or_else(|error| panic!("{}: {error:#}", self.name()));
        let mut got: Vec<usize> =
            cleared.tasks.iter().map(|task| usize::try_from(task.0).unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, expected, "{}: cleared with {wanted:?}", self.name());
        let held = self.fleet.held(self.run, &["restarting"]).await;
        self.model.clear(&expected, |task| held.contains(&task));
        self.fleet.wait_for(self.run, &["running", "success", "failed"]).await;
    }

    /// The database's states, in the classes that the model knows.
    async fn compare(&self) {
        let tasks = self.fleet.tasks(self.run).await;
        for place in 0..self.sample.dag.tasks.len() {
            let state = tasks.get(&place).and_then(|(state, _)| state.as_deref());
            let status = self.model.status(place);
            let fits = match (status, state) {
                (Status::None, None) => true,
                (Status::Started, Some(state)) => {
                    ["scheduled", "queued", "running", "up_for_retry"].contains(&state)
                }
                (Status::Restarting, Some(state)) => state == "restarting",
                (Status::Ended(end), Some(state)) => state == end.as_str(),
                _ => false,
            };
            assert!(fits, "{}: task {place} is {state:?}, by the model {status:?}", self.name());
        }
    }

    async fn compare_end(&self) {
        let result = if self.model.result() == Some(true) { "success" } else { "failed" };
        let state = self.fleet.wait_for(self.run, &["success", "failed"]).await;
        self.compare().await;
        assert_eq!(state, result, "{}", self.name());
        let tasks = self.fleet.tasks(self.run).await;
        for place in 0..self.sample.dag.tasks.len() {
            let tries = tasks.get(&place).map_or(0, |(_, tries)| *tries);
            assert_eq!(tries, self.model.tries(place), "{}: tries of task {place}", self.name());
        }
    }
}

pub(super) fn number(place: usize) -> TaskNo {
    TaskNo(i32::try_from(place).unwrap())
}

pub(super) fn outcome(end: TryEnd) -> Outcome {
    match end {
        TryEnd::Success => Outcome::Success,
        TryEnd::Skipped => Outcome::Skipped,
        TryEnd::Failed => Outcome::Failed(Failure::Transient),
        TryEnd::FailedForGood => Outcome::Failed(Failure::Permanent),
        TryEnd::WorkerLost => Outcome::Failed(Failure::WorkerLost),
    }
}
