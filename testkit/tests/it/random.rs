//! Random DAGs in memory against the naive model.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::{IteratorRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use subak_core::decide::memory::{MemoryRun, Report, Step, TryOutcome};
use subak_core::decide::{Plan, Says, TryEnd as Failure};
use subak_core::ids::TaskNo;
use subak_core::state::{RunState, TaskState};
use subak_testkit::dag_gen::{Sample, Shape};
use subak_testkit::model::{ModelRun, Status, TryEnd};

/// How many DAGs; `SUBAK_RANDOM_DAGS` asks for more.
const DAGS: u64 = 20_000;

/// DAGs between two signs of life.
const SHOWN_EVERY: u64 = 50_000;

#[test]
fn random_dags_in_memory_end_as_the_model_says() {
    let dags = std::env::var("SUBAK_RANDOM_DAGS").map_or(DAGS, |text| text.parse().unwrap());
    let first = crate::first_seed();
    for seed in first..first + dags {
        Play::new(&Sample::new(seed, Shape::default())).finish();
        Play::new(&Sample::with_flow(seed, Shape { max_tasks: 60, limited: false })).finish();
        if (seed + 1 - first).is_multiple_of(SHOWN_EVERY) {
            eprintln!("{} of {dags} DAGs in memory, up to seed {seed}", seed + 1 - first);
        }
    }
}

/// One DAG, played by both.
struct Play<'a> {
    sample: &'a Sample,
    plan: Arc<Plan>,
    rng: StdRng,
    ours: MemoryRun,
    model: ModelRun<'a>,
    running: Vec<usize>,
    retrying: Vec<usize>,
    ended: Option<RunState>,
}

impl<'a> Play<'a> {
    fn new(sample: &'a Sample) -> Self {
        let plan = Arc::new(Plan::numbered_in_order(Arc::new(sample.dag.clone())).unwrap());
        let (ours, step) = MemoryRun::start(plan.clone());
        let mut play = Self {
            sample,
            plan,
            rng: StdRng::seed_from_u64(sample.seed ^ 0x5eed),
            ours,
            model: ModelRun::start(&sample.model),
            running: Vec::new(),
            retrying: Vec::new(),
            ended: None,
        };
        play.take(step);
        play
    }

    fn finish(&mut self) {
        self.compare();
        while !self.running.is_empty() || !self.retrying.is_empty() {
            assert_eq!(self.ended, None, "seed {}: ended with open tasks", self.sample.seed);
            if self.running.is_empty() || (!self.retrying.is_empty() && self.rng.random()) {
                self.retry();
            } else {
                self.report();
            }
            self.compare();
        }
        let expected = self.model.result().expect("the model has ended");
        let expected = if expected { RunState::Success } else { RunState::Failed };
        assert_eq!(self.ended, Some(expected), "seed {}", self.sample.seed);
    }

    /// Some of the running tries end together.
    fn report(&mut self) {
        self.running.shuffle(&mut self.rng);
        let count = (1..=self.running.len().min(5)).choose(&mut self.rng).unwrap();
        let ended: Vec<_> = self
            .running
            .split_off(self.running.len() - count)
            .into_iter()
            .map(|task| (task, self.sample.outcome(task, self.model.tries(task))))
            .collect();
        // Nothing is held back where a task may be skipped before it starts.
        self.model.ended(&ended, |_| true);
        let report = |&(task, end): &(usize, TryEnd)| {
            let spec = self.plan.task(no(task)).unwrap();
            let says = Says::of(&self.plan, spec, Some(&self.sample.result(task))).unwrap();
            Report { at: no(task).into(), outcome: outcome(end), says, exit_code: None }
        };
        let reports: Vec<_> = ended.iter().map(report).collect();
        let step = self.ours.ended(&reports, 0.0);
        self.take(step);
    }

    fn retry(&mut self) {
        let index = self.rng.random_range(0..self.retrying.len());
        let task = self.retrying.swap_remove(index);
        self.model.retry_due(task);
        let step = self.ours.retry_due(no(task).into());
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        self.running.extend(step.started().map(|start| place(start.at.task)));
        self.ended = step.run;
        let state = |task: &usize| self.ours.state(no(*task));
        self.running.retain(|task| state(task) == Some(TaskState::Running));
        self.retrying.retain(|task| state(task) == Some(TaskState::UpForRetry));
        for (at, _) in step.retries {
            let task = at.task;
            // After the loss of a worker there is no delay.
            if self.model.status(place(task)) == Status::Started {
                let again = self.ours.retry_due(at);
                self.take(again);
            } else {
                self.retrying.push(place(task));
            }
        }
    }

    fn compare(&self) {
        for task in 0..self.sample.dag.tasks.len() {
            let ours = status(self.ours.state(no(task)));
            let theirs = self.model.status(task);
            let id = &self.sample.model.tasks[task].id;
            assert_eq!(ours, theirs, "seed {}, task {id} (left: ours)", self.sample.seed);
        }
    }
}

fn no(place: usize) -> TaskNo {
    TaskNo(i32::try_from(place).unwrap())
}

fn place(no: TaskNo) -> usize {
    usize::try_from(no.0).unwrap()
}

fn outcome(end: TryEnd) -> TryOutcome {
    match end {
        TryEnd::Success => TryOutcome::Success,
        TryEnd::Skipped => TryOutcome::Skipped,
        TryEnd::Failed => TryOutcome::Failed(Failure::Transient),
        TryEnd::FailedForGood => TryOutcome::Failed(Failure::Permanent),
        TryEnd::WorkerLost => TryOutcome::Failed(Failure::WorkerLost),
    }
}

fn status(state: Option<TaskState>) -> Status {
    use subak_testkit::model::End;
    match state {
        None => Status::None,
        Some(TaskState::UpForRetry) => Status::Retry,
        Some(TaskState::Scheduled | TaskState::Queued | TaskState::Running) => Status::Started,
        Some(state) => Status::Ended(End::parse(state.as_str()).expect("a final state")),
    }
}
