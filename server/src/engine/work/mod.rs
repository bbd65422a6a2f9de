//! What one transaction does to its locked runs: follows ends through the graph level by level, and
//! gathers the rows to write. Every state changes through [`TaskState::on`].

mod assets;
mod cascade;
mod effects;
mod hand_over;
mod look;
mod maps;
mod mark;
mod notices;
mod past;
mod pause;
mod pending;
mod pools;
mod rebuild;
mod run;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::json;
use subak_core::decide::{Plan, PlanTask};
use subak_core::ids::{Instance, InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::engine::{Apply, EngineTx, Fence, HandedOver, LockedRun};

use super::Core;
use super::slots::Slots;
use super::tally::Ends;
pub(super) use look::Rest;
use run::RunWork;

/// The work of one transaction. Dropped without [`Work::into_after`], it gives its slots back.
pub(super) struct Work<'e> {
    core: &'e Core,
    runs: BTreeMap<RunKey, RunWork>,
    pub(super) apply: Apply,
    decided: HashSet<InstanceKey>,
    /// Instances that ended or were readied in this transaction.
    touched: HashSet<InstanceKey>,
    settled: usize,
    /// Tasks that others are mapped over, settled in this look without a result.
    unreturned: Vec<(InstanceKey, FinalState)>,
    /// Slots of pools that tasks gave up, by pool; 0: some task waits for it.
    pools: BTreeMap<String, i32>,
    /// Slots taken for hand-overs of this transaction.
    slots: Slots<'e>,
    pub(super) after: After,
}

/// What follows once the transaction is committed.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) handed: Vec<HandedOver>,
    /// Queues that were left with ready work.
    pub(super) backlog: BTreeSet<String>,
    /// Runs that changed.
    pub(super) changed: BTreeSet<RunKey>,
    /// DAGs with a queued run that may start.
    pub(super) dags_waiting: Vec<i32>,
    /// Tries to stop, because another task failed.
    pub(super) stops: BTreeMap<RunKey, Vec<Fence>>,
    /// Something was left for a timer.
    pub(super) timer: bool,
    /// Somebody is to be told of an end.
    pub(super) notices: bool,
    /// Runs that ended.
    pub(super) ended: Vec<RunKey>,
    /// Tries that ended.
    pub(super) ends: Ends,
}

impl<'e> Work<'e> {
    /// Work on locked runs.
    pub(super) async fn new(
        core: &'e Core,
        tx: &mut EngineTx<'_>,
        locked: Vec<LockedRun>,
    ) -> anyhow::Result<Self> {
        let mut runs = BTreeMap::new();
        for run in locked {
            let plan = core.caches.plan(run.dag, run.version).await?;
            runs.insert(run.key, RunWork::new(run, plan));
        }
        let mut work = Self {
            core,
            runs,
            apply: Apply::default(),
            decided: HashSet::new(),
            touched: HashSet::new(),
            settled: 0,
            unreturned: Vec::new(),
            pools: BTreeMap::new(),
            slots: Slots::new(&core.sessions),
            after: After::default(),
        };
        work.load_maps(tx).await?;
        work.load_limits(tx).await?;
        Ok(work)
    }

    /// The installation's id, which everything under the storage URL is below.
    pub(super) fn installation(&self) -> &str {
        &self.core.installation
    }

    pub(super) fn locked(&self, run: RunKey) -> Option<&LockedRun> {
        self.runs.get(&run).map(|work| &work.locked)
    }

    pub(super) fn plan(&self, run: RunKey) -> Option<&Arc<Plan>> {
        self.runs.get(&run).map(|work| &work.plan)
    }

    /// Whether ends of a run still mean something for its other tasks.
    pub(super) fn goes_on(&self, run: RunKey) -> bool {
        self.runs.get(&run).is_some_and(|work| !work.locked.state.is_final() && !work.is_given_up())
    }

    /// A try gave its active slot back.
    pub(super) fn deactivate(&mut self, run: RunKey, task: TaskNo) {
        self.run(run).activate(task, -1);
    }

    /// Tasks of the run that are active: what becomes ready now waits so many turns longer.
    pub(super) fn ahead(&self, run: RunKey) -> i32 {
        self.runs.get(&run).map_or(0, |work| work.locked.tasks_active)
    }

    /// A row came back from a timer: it is active again, or held back.
    fn reactivate(&mut self, run: RunKey, task: TaskNo) -> TaskState {
        let work = self.run(run);
        let state = work.admit(task);
        if state == TaskState::Queued {
            work.activate(task, 1);
        } else {
            work.locked.tasks_held += 1;
        }
        state
    }

    /// Says that a row of `queue` was made ready outside of this work.
    pub(super) fn left_ready(&mut self, queue: &str) {
        self.after.backlog.insert(queue.to_owned());
    }

    /// An instance ended: its downstreams are judged in the next look.
    pub(super) fn ended(&mut self, key: InstanceKey, state: FinalState) {
        self.run(key.run).end(key.instance(), state);
        self.touched.insert(key);
        self.after.changed.insert(key.run);
    }

    /// The run's counters are to be worked out anew.
    pub(super) fn rebuild(&mut self, run: RunKey) {
        self.run(run).rebuild = true;
        self.after.changed.insert(run);
    }

    /// The run's roots are ready: it starts.
    pub(super) fn start(&mut self, run: RunKey) -> anyhow::Result<()> {
        let work = self.run(run);
        let roots: Vec<TaskNo> =
            work.plan.tasks().filter(|task| task.starts_with_run()).map(|task| task.no).collect();
        for task in roots {
            let key = instance(run, task);
            match self.runs[&run].plan.task(task).is_some_and(PlanTask::is_mapped) {
                true => self.map_ready(key, 0, 0, &[])?,
                false => self.task_ready(key, 0, 0)?,
            }
        }
        self.after.changed.insert(run);
        Ok(())
    }

    /// Sets a run's state and counters by hand: a cancel.
    pub(super) fn cancelled(&mut self, run: RunKey, open: i32, active: i32, held: i32) {
        let work = self.run(run);
        work.locked.cancelled = true;
        // Where teardowns go on, what follows an end is looked at first: most of it is skipped.
        work.locked.has_resets |= work.cleans_up();
        work.locked.tasks_open = open;
        work.locked.tasks_active = active;
        work.locked.tasks_held = held;
        self.after.changed.insert(run);
    }

    /// The run waits to start, with this many tasks open.
    pub(super) fn waits(&mut self, run: RunKey, open: i32) {
        let work = self.run(run);
        work.locked.tasks_open = open;
        work.locked.tasks_active = 0;
        work.locked.tasks_held = 0;
        self.after.changed.insert(run);
    }

    fn run(&mut self, run: RunKey) -> &mut RunWork {
        self.runs.get_mut(&run).expect("every instance of this work is of a locked run")
    }

    /// Follows every end, writes everything, and hands over what became ready.
    pub(super) async fn settle(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        self.take_effect(tx).await?;
        self.cascade(tx).await?;
        self.rebuild_runs(tx).await?;
        self.keep_past(tx).await?;
        self.promote(tx).await?;
        self.make_instances(tx).await?;
        self.hand_over();
        self.keep_maps(tx).await?;
        self.count_runs(tx).await?;
        self.tell_of_tasks(tx).await?;
        self.note_assets(tx).await?;
        self.tell_of_runs(tx).await?;
        let apply = std::mem::take(&mut self.apply);
        self.after.ends.add(&apply.history);
        self.after.handed = tx.apply(&apply).await?;
        self.deal_slots(tx).await?;
        self.claim(tx).await
    }

    /// Ends runs without open tasks, and gathers the counters that changed.
    async fn count_runs(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut loads: BTreeMap<i32, (i32, i32)> = BTreeMap::new();
        let mut backfills: BTreeMap<i64, (i32, i32)> = BTreeMap::new();
        let (mut failed, mut ended) = (Vec::new(), Vec::new());
        for work in self.runs.values_mut() {
            work.finish();
            let (before, now) = (&work.before, &work.locked);
            if !before.state.is_final() && now.state.is_final() {
                self.after.ended.push(now.key);
                let load = match now.backfill {
                    Some(backfill) => backfills.entry(backfill).or_default(),
                    None => loads.entry(now.dag).or_default(),
                };
                match before.state {
                    // It was not due yet, and is counted nowhere.
                    RunState::Queued if before.waits => {}
                    RunState::Queued => load.1 -= 1,
                    _ => load.0 -= 1,
                }
                let most = work.plan.dag.max_consecutive_failed_dag_runs;
                if now.state == RunState::Failed && most > 0 {
                    failed.push((now.dag, most));
                }
                if work.tells_the_next() {
                    ended.push((now.dag, now.key));
                }
            }
            if let Some(update) = work.update() {
                self.apply.runs.push(update);
            }
        }
        let loads: Vec<_> = loads.into_iter().map(|(dag, (a, q))| (dag, a, q)).collect();
        let backfills: Vec<_> = backfills.into_iter().map(|(id, (a, q))| (id, a, q)).collect();
        // What groups are mapped over may have told tasks that had ended.
        let over = |work: &&RunWork| work.plan.has_groups() && work.locked.state.is_final();
        for run in self.runs.values().filter(over).map(|work| work.locked.key) {
            tx.joins_replace(run, &[]).await?;
        }
        for (dag, run) in ended {
            tx.past_drop(dag, run).await?;
            // A cancel skips tasks without following them: the next run may wait for one.
            tx.outbox_put("past", None, Some(dag), &json!({})).await?;
            self.after.timer = true;
        }
        for (dag, most) in failed {
            tx.outbox_put("failed_runs", None, Some(dag), &json!({ "most": most })).await?;
            self.after.timer = true;
        }
        self.after.dags_waiting.extend(tx.dag_loads_add(&loads).await?);
        self.after.dags_waiting.extend(tx.backfills_add(&backfills).await?);
        Ok(())
    }

    /// What follows now that the transaction is committed.
    pub(super) fn into_after(self) -> After {
        self.slots.keep();
        self.after
    }

    /// Goes on with a cascade that was left in the outbox: its ends are counted already.
    pub(super) fn resume(&mut self, run: RunKey, rest: Rest) {
        let work = self.run(run);
        let next = work.look.resume(&work.plan, &work.maps.shape, rest);
        work.ended.extend(next);
        self.after.changed.insert(run);
    }

    /// Tasks of a cancelled run were skipped: nothing follows from that.
    pub(super) fn skipped(&mut self, run: RunKey, count: usize) {
        self.settled += count;
        self.run(run).locked.tasks_open -= i32::try_from(count).unwrap_or(i32::MAX);
        self.after.changed.insert(run);
    }
}

/// An instance of a run.
pub(super) fn key(run: RunKey, at: Instance) -> InstanceKey {
    InstanceKey { run, task: at.task, map_index: at.map_index }
}

/// The instance of a task that is not mapped.
pub(super) fn instance(run: RunKey, task: TaskNo) -> InstanceKey {
    InstanceKey { run, task, map_index: MapIndex::NONE }
}
