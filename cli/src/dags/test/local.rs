//! One run in this process: the decisions of `core`, the tries of the worker's local runner.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use subak_core::dag::model::{Dag, Task};
use subak_core::decide::memory::{MemoryRun, Report, Start, Step, TryOutcome};
use subak_core::decide::{Item, Plan, PlanTask, Says, Shape, TryEnd};
use subak_core::ids::{Instance, MapIndex, TaskId};
use subak_core::state::{RunState, TaskState};
use subak_core::template::{RunContext, XComKey, XComOf, references_of};
use subak_worker::local::{Connection, LocalEnd, LocalOutcome, LocalRunner, LocalStop, LocalTry};
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

use crate::output;
use crate::progress::Progress;

/// A run, its results so far, and what goes on.
pub(super) struct LocalRun {
    plan: Arc<Plan>,
    runner: Arc<LocalRunner>,
    context: RunContext,
    connections: BTreeMap<String, Connection>,
    xcoms: BTreeMap<XComKey, Handed>,
    events: JoinSet<Event>,
    running: BTreeMap<Instance, (String, LocalStop)>,
    /// Nothing starts any more but teardowns of setups that ran.
    is_cancelled: bool,
    progress: Arc<Progress>,
    quiet: bool,
}

/// What a task hands on under a key; a mapped one by map index.
type Handed = BTreeMap<i32, Value>;

/// What the run waits for.
enum Event {
    Ended(Instance, Box<LocalEnd>),
    RetryDue(Instance),
    /// Somebody wants it to end.
    Interrupted,
    /// Its `dagrun_timeout` is over.
    TimeIsOver,
}

impl LocalRun {
    /// Prepares a run of `dag`; nothing starts yet.
    pub(super) fn new(
        dag: Dag,
        runner: LocalRunner,
        context: RunContext,
        connections: BTreeMap<String, Connection>,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let plan = Arc::new(Plan::numbered_in_order(Arc::new(dag))?);
        let instances = usize::try_from(Shape::of_plan(&plan).size(&plan))?;
        Ok(Self {
            progress: Arc::new(Progress::new(instances)),
            plan,
            runner: Arc::new(runner),
            context,
            connections,
            xcoms: BTreeMap::new(),
            events: JoinSet::new(),
            running: BTreeMap::new(),
            is_cancelled: false,
            quiet,
        })
    }

    /// Runs to the end. Interrupted, or out of time, it is cancelled as a server does that: teardowns of
    /// setups that ran go on, and the run has failed. Interrupted once more, it ends at once.
    pub(super) async fn run(mut self, interrupts: &mut Signal) -> anyhow::Result<RunState> {
        let limit = self.plan.dag.dagrun_timeout;
        let time = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut time = std::pin::pin!(time);
        let (mut run, mut step) = MemoryRun::start(self.plan.clone());
        let state = loop {
            if let Some(state) = self.follow(&mut run, step) {
                break state;
            }
            let event = select! {
                biased;
                Some(()) = interrupts.recv() => Event::Interrupted,
                () = &mut time, if !self.is_cancelled => Event::TimeIsOver,
                ended = self.events.join_next() => match ended {
                    Some(event) => event?,
                    None => break RunState::Failed,
                },
            };
            step = match event {
                Event::Ended(at, end) => {
                    let ended = self.ended(at, *end);
                    run.ended(&[ended], rand::random())
                }
                Event::RetryDue(at) => run.retry_due(at),
                Event::Interrupted if self.is_cancelled => {
                    self.events.shutdown().await;
                    break RunState::Failed;
                }
                Event::Interrupted => {
                    let teardowns =
                        "the run is cancelled, teardowns go on; once more ends it at once";
                    self.progress.above(teardowns);
                    self.cancel(&mut run, "cancelled")
                }
                Event::TimeIsOver => {
                    let limit = limit.unwrap_or_default();
                    self.progress.above(&format!("the run's time of {limit:?} is over"));
                    self.cancel(&mut run, "dagrun_timeout")
                }
            };
        };
        self.progress.finish();
        Ok(state)
    }

    /// Stops what runs, but for teardowns, and skips what does not.
    fn cancel(&mut self, run: &mut MemoryRun, cause: &'static str) -> Step {
        self.is_cancelled = true;
        for (at, (_, stop)) in &self.running {
            if !self.plan.task(at.task).is_some_and(PlanTask::cleans_up) {
                stop.give(cause);
            }
        }
        run.cancel()
    }

    /// Starts what a step says, and settles what needs no worker; returns the run's end.
    fn follow(&mut self, run: &mut MemoryRun, mut step: Step) -> Option<RunState> {
        loop {
            for at in &step.stopped {
                if let Some((_, stop)) = self.running.remove(at) {
                    stop.give("fail_fast");
                }
            }
            for (at, end) in step.effects.iter().copied().chain(step.settled()) {
                self.show(at, TaskState::from(end), "-", "");
            }
            for &(at, delay) in &step.retries {
                self.progress.above(&format!(
                    "{:<16} {:>8}  {}: the next try in {delay:?}",
                    "up_for_retry",
                    "",
                    self.name(at)
                ));
                self.events.spawn(async move {
                    tokio::time::sleep(delay).await;
                    Event::RetryDue(at)
                });
            }
            let mut done = Vec::new();
            for look in &step.looks {
                let grown: i32 = look.expanded.iter().map(|(_, count)| count - 1).sum();
                self.progress.grow(usize::try_from(grown).unwrap_or(0));
            }
            for start in step.started() {
                if self.plan.task(start.at.task).is_some_and(|task| task.is_empty) {
                    self.show(start.at, TaskState::Success, "-", "");
                    done.push(Report::plain(start.at, TryOutcome::Success));
                } else {
                    self.start(start);
                }
            }
            if step.run.is_some() || done.is_empty() {
                return step.run;
            }
            step = run.ended(&done, 0.0);
        }
    }

    fn start(&mut self, start: Start) {
        let Some(planned) = self.plan.task(start.at.task) else { return };
        let spec = self.plan.spec(planned);
        let needed = references_of(spec).needed_xcoms();
        let xcoms = needed.into_iter().filter_map(|key| {
            let value = self.handed_on_to(start.at, &key)?;
            Some((key, value))
        });
        let item = match self.item(spec, start.at) {
            Ok(item) => item,
            Err(why) => {
                let end = LocalEnd::refused(why);
                self.running.insert(start.at, (self.name(start.at), LocalStop::default()));
                let at = start.at;
                self.events.spawn(async move { Event::Ended(at, Box::new(end)) });
                return;
            }
        };
        let task = item.task(&spec.without_map());
        let connections: BTreeMap<String, Connection> = task
            .connections
            .iter()
            .filter_map(|id| Some((id.clone(), self.connections.get(id)?.clone())))
            .collect();
        let named = connections.iter().filter_map(|(id, connection)| {
            Some((id.clone(), serde_json::to_value(connection).ok()?))
        });
        let context = RunContext {
            connections: named.collect(),
            map_index: start.at.map_index.0,
            arguments: item.returned,
            group: item.group,
            task_id: task.task_id.to_string(),
            try_number: start.try_number,
            xcoms: xcoms.collect(),
            ..self.context.clone()
        };
        let stop = LocalStop::default();
        let name = self.name(start.at);
        self.running.insert(start.at, (name.clone(), stop.clone()));
        self.show_running();
        let (runner, progress) = (self.runner.clone(), self.progress.clone());
        let quiet = self.quiet;
        let line = move |line: &str| {
            if !quiet {
                progress.above(&format!("{name} | {line}"));
            }
        };
        let this = LocalTry { task, context, connections };
        self.events.spawn(async move {
            let end = runner.run(this, line, |_, _, _| {}, &stop).await;
            Event::Ended(start.at, Box::new(end))
        });
    }

    /// Shows how a try ended and keeps its results.
    fn ended(&mut self, at: Instance, mut end: LocalEnd) -> Report {
        if self.running.remove(&at).is_none() {
            // Stopped: what it says no longer counts.
            return Report::plain(at, TryOutcome::Skipped);
        }
        self.show_running();
        let said = self.says(at, &end);
        let exit_code = end.exit_code;
        if let (LocalOutcome::Success, Err(wrong)) = (end.outcome, &said) {
            (end.outcome, end.error) = (LocalOutcome::Failed, wrong.clone());
        }
        let took = output::span(chrono::TimeDelta::from_std(end.took).unwrap_or_default());
        let (state, outcome) = match end.outcome {
            LocalOutcome::Success => (TaskState::Success, TryOutcome::Success),
            LocalOutcome::Skipped => (TaskState::Skipped, TryOutcome::Skipped),
            LocalOutcome::Failed => (TaskState::Failed, TryOutcome::Failed(TryEnd::Transient)),
            LocalOutcome::FailedPermanently | LocalOutcome::Stopped => {
                (TaskState::Failed, TryOutcome::Failed(TryEnd::Permanent))
            }
        };
        self.show(at, state, &took, &end.error);
        if end.rows_rejected > 0 {
            self.progress.above(&format!("    {} rows rejected", end.rows_rejected));
        }
        if end.outcome == LocalOutcome::Success {
            self.keep(at, end);
        }
        Report { at, outcome, says: said.unwrap_or_default(), exit_code }
    }

    /// What the result of a try means for the tasks below it.
    fn says(&self, at: Instance, end: &LocalEnd) -> Result<Says, String> {
        let task = self.plan.task(at.task).ok_or("the DAG has no such task")?;
        Says::of(&self.plan, task, end.value.as_ref())
    }

    fn show_running(&self) {
        let names = self.running.values().map(|(name, _)| name.clone());
        self.progress.running(&Vec::from_iter(names));
    }

    /// Keeps what a successful try hands on.
    fn keep(&mut self, at: Instance, end: LocalEnd) {
        let Some(spec) = self.plan.task(at.task).map(|task| self.plan.spec(task)) else { return };
        let key = |key: &str| XComKey::new(&spec.task_id.0, key);
        let feeds = self.plan.task(at.task).is_some_and(|task| !task.feeds.is_empty());
        let index = at.map_index.0;
        if let Some(value) = end.value.filter(|_| spec.do_xcom_push || feeds) {
            self.xcoms.entry(key(XComKey::RETURN_VALUE)).or_default().insert(index, value);
        }
        let dataset = end.dataset.and_then(|(dataset, _)| serde_json::to_value(dataset).ok());
        if let Some(dataset) = dataset {
            self.xcoms.entry(key(XComKey::OUTPUT)).or_default().insert(index, dataset);
        }
    }

    fn show(&self, at: Instance, state: TaskState, took: &str, error: &str) {
        let line = format!("{:<16} {took:>8}  {}", state.as_str(), self.name(at));
        let error = if error.is_empty() { String::new() } else { format!("\n    {error}") };
        self.progress.ended(&(line + &error));
    }

    fn name(&self, at: Instance) -> String {
        let spec = self.plan.task(at.task).map(|task| self.plan.spec(task));
        let name = spec.map(|task| task.task_id.to_string()).unwrap_or_default();
        match at.map_index.is_none() {
            true => name,
            false => format!("{name} [{}]", at.map_index.0),
        }
    }

    /// What a task has handed on under a key to an instance: within a mapped group, the one of its index.
    fn handed_on_to(&self, at: Instance, key: &XComKey) -> Option<Value> {
        let to = self.plan.task(at.task)?;
        let from = self.plan.task(self.plan.number(&TaskId(key.task_id.clone()))?)?;
        // There are no other runs.
        let own = XComKey { of: XComOf::Run, ..key.clone() };
        match key.of {
            XComOf::Instance(index) => self.xcoms.get(&own)?.get(&index).cloned(),
            _ if self.plan.in_one_group(from, to) => {
                self.xcoms.get(&own)?.get(&at.map_index.0).cloned()
            }
            _ => self.handed_on(&own),
        }
    }

    /// What a task has handed on under a key: of a mapped one, a list.
    fn handed_on(&self, key: &XComKey) -> Option<Value> {
        let is_mapped = self
            .plan
            .number(&TaskId(key.task_id.clone()))
            .and_then(|no| self.plan.task(no))
            .is_some_and(PlanTask::is_mapped);
        let handed = self.xcoms.get(key);
        if is_mapped {
            let all = handed.into_iter().flat_map(BTreeMap::values);
            return Some(all.filter(|value| !value.is_null()).cloned().collect());
        }
        handed?.get(&MapIndex::NONE.0).cloned()
    }

    /// What an instance of a mapped task is given.
    fn item(&self, task: &Task, at: Instance) -> Result<Item, String> {
        let Some(expand) = &task.expand else { return Ok(Item::default()) };
        let key = |task: &TaskId| XComKey::new(&task.0, XComKey::RETURN_VALUE);
        let returned: BTreeMap<&TaskId, Value> =
            expand.tasks().filter_map(|task| Some((task, self.handed_on(&key(task))?))).collect();
        let item = expand.item(at.map_index.0, &|task| returned.get(task))?;
        let in_group = self.plan.task(at.task).is_some_and(|task| self.plan.is_in_group(task));
        if !in_group {
            return Ok(item);
        }
        item.of_group(|| self.context.clone()).map_err(|error| error.to_string())
    }
}
