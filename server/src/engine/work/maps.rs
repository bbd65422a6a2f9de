//! Mapped tasks. One is expanded when it may run, or with the run, where it is mapped over literals; its
//! instances become live rows a few at a time, as many as may be active, and the ends of these bring the
//! next ones. Instances that a rule settles end in slices, too. Whatever is more than one transaction may
//! do is an `expand` row of the outbox.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use subak_core::decide::{Current, MAP_MOST, Mapped, Plan, PlanTask, Shape};
use subak_core::ids::{Instance, InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskState};
use subak_store::engine::{CurrentTask, EngineTx, MappedRow, Seed};

use super::cascade::SETTLED_MOST;
use super::run::{Ready, RunWork};
use super::{Work, instance};

/// Instances that one transaction makes of all mapped tasks of a run.
const MADE_MOST: i32 = 1_000;

/// The mapped tasks of one run, and the tasks that they are mapped over.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// How many instances there are, have ended and have returned something.
    pub(super) shape: Shape,
    /// What else is known of them.
    rows: BTreeMap<TaskNo, MappedRow>,
    before: BTreeMap<TaskNo, MappedRow>,
    /// More is to be made or settled than this transaction may.
    more: bool,
}

impl Maps {
    /// Those of a run that starts.
    pub(super) fn of(plan: &Plan) -> Self {
        if !plan.has_maps() {
            return Self::default();
        }
        let mut maps = Self { shape: Shape::of_plan(plan), ..Self::default() };
        maps.before = maps.now().collect();
        maps
    }

    /// What the database has of one of them.
    pub(super) fn load(&mut self, task: TaskNo, row: MappedRow) {
        let MappedRow { instances, ended, returned, .. } = row;
        self.shape.set(task, Mapped { instances, ended, returned });
        self.before.insert(task, row.clone());
        self.rows.insert(task, row);
    }

    /// Every one as it is now.
    fn now(&self) -> impl Iterator<Item = (TaskNo, MappedRow)> + '_ {
        self.shape.known().map(|(task, known)| {
            let Mapped { instances, ended, returned } = known;
            let row = self.rows.get(&task).cloned().unwrap_or_default();
            (task, MappedRow { instances, ended, returned, ..row })
        })
    }

    fn changed(&self) -> impl Iterator<Item = (TaskNo, MappedRow)> + '_ {
        self.now().filter(|(task, row)| self.before.get(task) != Some(row))
    }

    /// Expanded tasks of whose instances is known what becomes of them.
    pub(super) fn decided(&self) -> BTreeSet<TaskNo> {
        self.rows.iter().filter(|(_, row)| row.verdict.is_some()).map(|(task, _)| *task).collect()
    }

    pub(super) fn is_decided(&self, task: TaskNo) -> bool {
        self.rows.get(&task).is_some_and(|row| row.verdict.is_some())
    }

    /// The instances of a task run, `empty` ones end.
    pub(super) fn let_run(&mut self, task: &PlanTask, count: i32) {
        if self.shape.instances(task.no).is_none() {
            self.shape.expand(task.no, count);
        }
        if task.counts_each_index() {
            // Each is judged by itself.
            return;
        }
        let verdict = if task.is_empty { TaskState::Success } else { TaskState::Running };
        self.rows.entry(task.no).or_default().verdict = Some(verdict);
    }

    /// Cleared instances of a task that waits for the run before wait for it once more.
    pub(super) fn wait_again(&mut self, task: TaskNo) {
        let cleared = |row: &&mut MappedRow| !row.again.is_empty();
        if let Some(row) = self.rows.get_mut(&task).filter(cleared)
            && row.verdict == Some(TaskState::Running)
        {
            row.verdict = None;
        }
    }

    /// The instances of an expanded task end without running.
    pub(super) fn refuse(&mut self, task: TaskNo, end: FinalState) {
        self.rows.entry(task).or_default().verdict = Some(end.into());
    }

    /// Nothing of a task is made any more: somebody else ends all of it.
    pub(super) fn give_up(&mut self, task: TaskNo) {
        let Some(instances) = self.shape.instances(task) else { return };
        let row = self.rows.entry(task).or_default();
        row.made = instances;
        row.again.clear();
        row.verdict.get_or_insert(TaskState::Skipped);
    }

    /// Cleared instances of a group's task are judged by themselves again, though all of it was given up.
    pub(super) fn judge_again(&mut self, task: TaskNo) {
        if let Some(row) = self.rows.get_mut(&task).filter(|row| !row.again.is_empty()) {
            row.verdict = None;
        }
    }

    /// Nothing of any task is made any more, but of these.
    pub(super) fn give_up_all_but(&mut self, kept: &BTreeSet<TaskNo>) {
        let known = self.shape.known().map(|(task, _)| task);
        let all: Vec<TaskNo> = known.filter(|task| !kept.contains(task)).collect();
        all.into_iter().for_each(|task| self.give_up(task));
    }

    /// Counts the instances of expanded tasks anew: which have ended, and which are to be made.
    pub(super) fn recount(&mut self, current: &BTreeMap<Instance, Current>) {
        let expanded: Vec<(TaskNo, i32, Mapped)> = self
            .shape
            .known()
            .filter_map(|(task, known)| Some((task, known.instances?, known)))
            .collect();
        for (task, instances, known) in expanded {
            let range = Instance::mapped(task, 0)..Instance::mapped(task, instances);
            let there: Vec<(i32, Current)> =
                current.range(range).map(|(at, state)| (at.map_index.0, *state)).collect();
            let ended = there.iter().filter(|(_, state)| matches!(state, Current::Ended(_)));
            let ended = i32::try_from(ended.count()).unwrap_or(i32::MAX);
            self.shape.set(task, Mapped { ended, ..known });
            // Without a verdict, but made: cleared ones wait for the run before.
            let has_begun = |row: &&mut MappedRow| row.verdict.is_some() || row.made > 0;
            let Some(row) = self.rows.get_mut(&task).filter(has_begun) else { continue };
            let there: BTreeSet<i32> = there.into_iter().map(|(index, _)| index).collect();
            row.make_all_but(instances, &there);
            let ends = row.verdict.is_some_and(|verdict| verdict != TaskState::Running);
            self.more |= ends && row.left(instances) > 0;
        }
    }

    /// Of the instances of a task that run or end from now on some are there already: the others are
    /// made or settled.
    fn spare(&mut self, task: TaskNo, begun: &[CurrentTask]) {
        let instances = self.shape.instances(task).unwrap_or(0);
        let indexes = begun.iter().map(|it| it.key.map_index.0);
        let there: BTreeSet<i32> = indexes.filter(|index| *index < instances).collect();
        let is_decided = |row: &&mut MappedRow| row.verdict.is_some() && !there.is_empty();
        if let Some(row) = self.rows.get_mut(&task).filter(is_decided) {
            row.make_all_but(instances, &there);
        }
    }

    /// Mapped tasks of which instances are still to be made or settled.
    fn unmade(&self) -> impl Iterator<Item = (TaskNo, TaskState, &MappedRow, i32)> + '_ {
        self.rows.iter().filter_map(|(task, row)| {
            let instances = self.shape.instances(*task)?;
            Some((*task, row.verdict?, row, instances)).filter(|_| row.left(instances) > 0)
        })
    }

    /// The next instances of a task: cleared ones first.
    fn take(&mut self, task: TaskNo, count: i32) -> Vec<i32> {
        let instances = self.shape.instances(task).unwrap_or(0);
        let row = self.rows.entry(task).or_default();
        let count = usize::try_from(count).unwrap_or(0);
        let mut indexes: Vec<i32> = row.again.drain(..row.again.len().min(count)).collect();
        let fresh = (row.made..instances).take(count - indexes.len());
        indexes.extend(fresh);
        row.made = indexes.last().map_or(row.made, |last| row.made.max(last + 1));
        indexes
    }
}

/// What is left of a mapped task.
trait Left {
    /// Instances that are neither live nor ended.
    fn left(&self, instances: i32) -> i32;

    /// Every instance is still to be made, but these.
    fn make_all_but(&mut self, instances: i32, there: &BTreeSet<i32>);
}

impl Left for MappedRow {
    fn left(&self, instances: i32) -> i32 {
        instances - self.made + i32::try_from(self.again.len()).unwrap_or(0)
    }

    fn make_all_but(&mut self, instances: i32, there: &BTreeSet<i32>) {
        let beyond = there.last().map_or(0, |index| index + 1);
        self.made = self.made.min(instances).max(beyond);
        self.again = (0..self.made).filter(|index| !there.contains(index)).collect();
    }
}

/// What of a mapped task is there already, though it is not known yet that it may run: a clear of all of
/// it forgets into how many it was expanded, and its tries go on until their workers have stopped them.
pub(super) fn begun<'c>(
    task: TaskNo,
    current: impl IntoIterator<Item = &'c CurrentTask>,
) -> Vec<CurrentTask> {
    let is_there = |it: &&CurrentTask| {
        let is_its = it.key.task == task && !it.key.map_index.is_none();
        is_its && (it.live.is_some() || it.ended.is_some())
    };
    current.into_iter().filter(is_there).copied().collect()
}

impl Work<'_> {
    /// Reads the mapped tasks of the locked runs.
    pub(super) async fn load_maps(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mapped = self.runs.values().filter(|work| work.plan.has_maps());
        let runs: Vec<RunKey> = mapped.map(|work| work.locked.key).collect();
        if !runs.is_empty() {
            for (run, task, row) in tx.mapped_of(&runs).await? {
                self.run(run).maps.load(task, row);
            }
        }
        Ok(())
    }

    /// Counts the active instances of mapped tasks that have a limit of their own.
    pub(super) async fn load_limits(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let of_run = |(run, work): (&RunKey, &RunWork)| {
            let run = *run;
            Vec::from_iter(work.plan.limited().iter().map(move |task| (run, *task)))
        };
        let limited: Vec<(RunKey, TaskNo)> = self.runs.iter().flat_map(of_run).collect();
        if !limited.is_empty() {
            for (run, task, active) in tx.tasks_active(&limited).await? {
                self.run(run).own.insert(task, active);
            }
        }
        Ok(())
    }

    /// Which mapped tasks of a run are expanded.
    pub(in crate::engine) fn shape(&self, run: RunKey) -> Shape {
        self.runs.get(&run).map(|work| work.maps.shape.clone()).unwrap_or_default()
    }

    /// No instance of a run is made any more but of these tasks: it is cancelled.
    pub(in crate::engine) fn give_up_maps(&mut self, run: RunKey, kept: &BTreeSet<TaskNo>) {
        self.run(run).maps.give_up_all_but(kept);
    }

    /// The upstreams of a mapped task let it run; it may have to wait for the run before.
    pub(super) fn map_ready(
        &mut self,
        key: InstanceKey,
        tries: i32,
        resets: i32,
        begun: &[CurrentTask],
    ) -> anyhow::Result<()> {
        let work = self.run(key.run);
        if work.plan.task(key.task).is_some_and(PlanTask::waits_as_one) {
            work.past.push(Ready { at: key.instance(), tries, resets });
            self.touched.insert(key);
            return Ok(());
        }
        self.map_runs(key, tries, resets, begun)
    }

    /// A mapped task may run: it is expanded, and its instances are made at the end of this work, but for
    /// those that have begun.
    pub(super) fn map_runs(
        &mut self,
        key: InstanceKey,
        tries: i32,
        resets: i32,
        begun: &[CurrentTask],
    ) -> anyhow::Result<()> {
        let work = self.run(key.run);
        let plan = work.plan.clone();
        let Some(task) = plan.task(key.task) else { return Ok(()) };
        match work.maps.shape.may_expand(&plan, task) {
            Ok(count) => {
                let is_new = work.maps.shape.instances(task.no).is_none();
                work.expand(task, count, begun);
                let follows = |down: &TaskNo| {
                    let down = plan.task(*down).filter(|down| down.by_index.contains(&task.no));
                    down.is_some_and(|down| work.maps.shape.instances(down.no).is_none())
                };
                let mut below = task.downstream.iter().chain(&task.watchers);
                // Of what is there a try that restarts counts for nothing; an end counts from now on.
                let counts = |it: &CurrentTask| it.live != Some(TaskState::Restarting);
                let is_late = is_new && begun.iter().any(counts);
                if is_late || task.counts_each_index() || below.any(follows) {
                    // Counters are kept index by index from now on.
                    work.rebuild = true;
                }
                self.touched.insert(key);
                self.after.changed.insert(key.run);
            }
            Err(end) => {
                let why = why_not(work.maps.shape.length(&plan, task));
                self.task_settled(key, end, tries, resets)?;
                if let Some(row) = self.apply.history.last_mut() {
                    row.error = why;
                }
            }
        }
        Ok(())
    }

    /// The instances of an expanded task end without running, a slice in each transaction, but for those
    /// that have begun.
    pub(super) fn map_settles(&mut self, key: InstanceKey, end: FinalState, begun: &[CurrentTask]) {
        let work = self.run(key.run);
        work.maps.refuse(key.task, end);
        work.maps.spare(key.task, begun);
        self.touched.insert(key);
        self.after.changed.insert(key.run);
    }

    /// Ends instances that will not run, as many as this transaction may settle.
    pub(super) async fn settle_maps(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut due = Vec::new();
        // What is worked out anew is gone on with by a transaction of its own.
        let due_now = |work: &&RunWork| work.makes_instances() && !work.rebuild;
        for (run, work) in self.runs.iter().filter(|(_, work)| due_now(work)) {
            for (task, verdict, row, instances) in work.maps.unmade() {
                if let Some(end) = verdict.to_final() {
                    due.push((*run, task, end, row.left(instances)));
                }
            }
        }
        for (run, task, end, left) in due {
            let room = i32::try_from(SETTLED_MOST.saturating_sub(self.settled)).unwrap_or(0);
            self.run(run).maps.more |= left > room;
            for (key, tries, resets) in self.next(tx, run, task, room).await? {
                self.task_settled(key, end, tries, resets)?;
            }
        }
        Ok(())
    }

    /// Makes instances of mapped tasks, as many as may be active: the heaviest first.
    pub(super) async fn make_instances(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut due = Vec::new();
        for (run, work) in self.runs.iter().filter(|(_, work)| work.makes_instances()) {
            for (task, verdict, ..) in work.maps.unmade() {
                if let Some(task) = work.plan.task(task).filter(|_| verdict == TaskState::Running) {
                    due.push((Reverse(task.priority), *run, task.no));
                }
            }
        }
        due.sort_unstable();
        let mut made: BTreeMap<RunKey, i32> = BTreeMap::new();
        for (Reverse(priority), run, task) in due {
            let work = self.run(run);
            let heavier = work.ready.iter().filter(|ready| {
                work.plan.task(ready.at.task).is_some_and(|task| task.priority >= priority)
            });
            let room = work.room() - i32::try_from(heavier.count()).unwrap_or(i32::MAX);
            let room = room.min(work.room_of(task));
            let most = MADE_MOST - made.get(&run).copied().unwrap_or(0);
            let left = work.maps.left(task).min(room.max(0));
            work.maps.more |= left > most;
            let next = self.next(tx, run, task, left.min(most)).await?;
            *made.entry(run).or_default() += i32::try_from(next.len()).unwrap_or(i32::MAX);
            let work = self.run(run);
            work.ready.extend(next.into_iter().map(|(key, tries, resets)| Ready {
                at: key.instance(),
                tries,
                resets,
            }));
        }
        Ok(())
    }

    /// The next instances of a mapped task, with the try numbers that they go on from.
    async fn next(
        &mut self,
        tx: &mut EngineTx<'_>,
        run: RunKey,
        task: TaskNo,
        count: i32,
    ) -> anyhow::Result<Vec<(InstanceKey, i32, i32)>> {
        let work = self.run(run);
        let indexes = work.maps.take(task, count);
        let seeds = match work.locked.has_resets && !indexes.is_empty() {
            true => tx.seeds(run, task, &indexes).await?,
            false => Vec::new(),
        };
        let seeds: BTreeMap<i32, Seed> =
            seeds.into_iter().map(|seed| (seed.map_index, seed)).collect();
        let of = |index: i32| {
            let (tries, resets) =
                seeds.get(&index).map_or((0, 0), |seed| (seed.tries, seed.resets));
            (InstanceKey { map_index: MapIndex(index), ..instance(run, task) }, tries, resets)
        };
        Ok(indexes.into_iter().map(of).collect())
    }

    /// Writes what has changed of mapped tasks, and leaves the rest to transactions of its own.
    pub(super) async fn keep_maps(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for (run, work) in self.runs.iter().filter(|(_, work)| work.plan.has_maps()) {
            rows.extend(work.maps.changed().map(|(task, row)| (*run, task, row)));
        }
        tx.mapped_put(&rows).await?;
        let more = self.runs.values().filter(|work| work.maps.more && work.makes_instances());
        let more: Vec<RunKey> = more.map(|work| work.locked.key).collect();
        for run in more {
            tx.outbox_put("expand", Some(run), None, &json!({})).await?;
            self.after.timer = true;
        }
        Ok(())
    }
}

impl Maps {
    fn left(&self, task: TaskNo) -> i32 {
        let instances = self.shape.instances(task).unwrap_or(0);
        self.rows.get(&task).map_or(0, |row| row.left(instances))
    }
}

impl RunWork {
    /// A mapped task has this many instances, and they run; some have begun.
    fn expand(&mut self, task: &PlanTask, count: i32, begun: &[CurrentTask]) {
        if self.maps.shape.instances(task.no).is_none() {
            // Each of these was counted besides the task, which was one until now.
            let there = begun.iter().filter(|it| it.key.map_index.0 < count).count();
            self.locked.tasks_open += count - 1 - i32::try_from(there).unwrap_or(0);
        }
        self.maps.let_run(task, count);
        self.maps.spare(task.no, begun);
    }

    /// Whether instances of mapped tasks are made now; after a cancel those of teardowns, for the others
    /// were given up.
    fn makes_instances(&self) -> bool {
        let goes_on = self.locked.state == RunState::Running && !self.is_given_up();
        self.plan.has_maps() && goes_on && !self.pending.holds
    }
}

/// Why a mapped task that may run is not expanded.
fn why_not(length: Option<i32>) -> Option<String> {
    match length {
        None => Some("its rule did not wait for what it is mapped over".to_owned()),
        Some(0) => None,
        Some(count) => Some(format!("it is mapped over {count} items, and {MAP_MOST} is the most")),
    }
}
