//! One run, one step at a time through any engine, held against the model after the steps: the order
//! is known, so every state is.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use subak_core::decide::TryEnd as Failure;
use subak_core::ids::{RunKey, TaskNo};
use subak_server::engine::{Answer, CancelError, Engine, Outcome};
use subak_testkit::dag_gen::Sample;
use subak_testkit::model::{End, ModelRun, Status, TryEnd};
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
    let mut play = Play {
        fleet,
        sample,
        rng,
        run,
        arrivals: Some(arrivals),
        model,
        held: Vec::new(),
        interventions: 0,
        steps: Vec::new(),
    };
    play.finish().await;
    for held in std::mem::take(&mut play.held) {
        play.stopped(&held).await;
    }
    fleet.leave(play.arrivals.take().expect("taken once"));
}

struct Play<'a> {
    fleet: &'a Fleet,
    sample: &'a Sample,
    rng: StdRng,
    run: RunKey,
    arrivals: Option<UnboundedReceiver<Held>>,
    model: ModelRun<'a>,
    held: Vec<Held>,
    interventions: u32,
    /// What was done so far, told with a failure.
    steps: Vec<String>,
}

/// Tells how a run came to where a test failed.
impl Drop for Play<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (place, task) in self.sample.model.tasks.iter().enumerate() {
                eprintln!("{place}: {task:?}");
            }
            eprintln!("{}", self.steps.join("\n"));
        }
    }
}

impl Play<'_> {
    async fn finish(&mut self) {
        loop {
            while let Some(held) = self.arrivals.as_mut().and_then(|all| all.try_recv().ok()) {
                self.take(held).await;
            }
            if self.model.result().is_some() {
                self.compare_end().await;
                if self.interventions > 3 || !self.rng.random_bool(0.15) {
                    return;
                }
                self.clear().await;
            } else if self.held.is_empty() {
                let arrivals = self.arrivals.as_mut().expect("taken at the end");
                let arrival = timeout(PATIENCE, arrivals.recv()).await;
                let held = arrival.unwrap_or_else(|_| panic!("{} starts nothing", self.name()));
                self.take(held.unwrap()).await;
            } else {
                self.step().await;
            }
        }
    }

    fn name(&self) -> String {
        format!("seed {}, {}", self.sample.seed, self.run)
    }

    /// A worker was given a try: it must be one that the model has started, and with this number.
    async fn take(&mut self, held: Held) {
        let (place, name) = (held.place(), self.name());
        self.steps.push(format!("{place} #{} starts", held.try_number));
        let status = self.model.status(place);
        if self.sample.dag.fail_fast && status == Status::Ended(End::Failed) {
            // Another task's failure stopped it on its way here.
            return self.stopped(&held).await;
        }
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
        let result = self.sample.result(held.place());
        let engine = self.engine();
        self.steps.push(format!("{} #{} {end:?}", held.place(), held.try_number));
        self.fleet.end(&held);
        let answer = self.fleet.report_result(&engine, &held, outcome(end), Some(&result)).await;
        assert_eq!(answer, Answer::Accepted, "{}: task {}", self.name(), held.place());
        // What was ready and taken by nobody may have been skipped.
        let now = self.fleet.tasks(self.run).await;
        let is_skipped = |task: usize| {
            now.get(&task).is_some_and(|(state, _)| state.as_deref() == Some("skipped"))
        };
        let taken: Vec<usize> = self.held.iter().map(Held::place).collect();
        let is_held = |task: usize| taken.contains(&task) || !is_skipped(task);
        self.model.ended(&[(held.place(), end)], is_held);
        if self.model.status(held.place()) == Status::Retry {
            self.model.retry_due(held.place());
        }
        self.end_stopped().await;
        if self.rng.random_bool(0.02) {
            let engine = self.engine();
            let again = self.fleet.report_again(&engine, &held, outcome(end)).await;
            assert_eq!(again, Answer::Accepted, "{}: reported twice", self.name());
        }
    }

    /// Tries that the failure of another task stopped: their workers say so.
    async fn end_stopped(&mut self) {
        let is_stopped = |held: &Held| matches!(self.model.status(held.place()), Status::Ended(_));
        let (stopped, held): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(is_stopped);
        self.held = held;
        for held in stopped {
            self.stopped(&held).await;
        }
    }

    async fn stopped(&mut self, held: &Held) {
        let engine = self.engine();
        let answer = self.fleet.report(&engine, held, Outcome::Stopped).await;
        assert_eq!(answer, Answer::Accepted, "{}: stopped task {}", self.name(), held.place());
    }

    async fn cancel(&mut self) {
        self.interventions += 1;
        let engine = self.engine();
        self.steps.push("cancel".to_owned());
        match engine.run_cancel(self.run, "cancelled").await {
            Ok(()) => {}
            Err(CancelError::Ended(_)) if self.model.result().is_some() => return,
            Err(error) => panic!("{}: {error:#}", self.name()),
        }
        let held = self.fleet.held(self.run, &["running", "restarting"]).await;
        self.steps.push(format!("while {held:?} ran"));
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
        self.steps.push(format!("clear {wanted:?}: {expected:?}, {held:?} restart"));
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
