//! What one transaction does to its locked runs: follows ends through the graph level by level, and
//! gathers the rows to write. Every state changes through [`TaskState::on`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use subak_core::decide::{Deltas, Ended, JoinDelta, Plan, Shape, UpstreamCounts, Verdict, judge};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{FinalState, RunState, TaskEvent, TaskState};
use subak_store::engine::{
    Apply, CurrentTask, EngineTx, HandedOver, HistoryRow, JoinAdd, LiveNew, LockedRun, RunUpdate,
};

use super::Core;

/// Tasks that one transaction settles by rules; the rest of a cascade is left in the outbox.
const CASCADE_MOST: usize = 1_000;

/// Ready rows that one transaction claims from the backlog.
const CLAIM_MOST: usize = 100;

/// The work of one transaction.
pub(super) struct Work<'e> {
    core: &'e Core,
    runs: BTreeMap<RunKey, RunWork>,
    pub(super) apply: Apply,
    decided: HashSet<InstanceKey>,
    settled: usize,
    /// Slots taken for hand-overs of this transaction.
    reserved: Vec<(i64, String)>,
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
    /// Something was left for a timer.
    pub(super) timer: bool,
}

struct RunWork {
    locked: LockedRun,
    before: LockedRun,
    plan: Arc<Plan>,
    /// Ended in the look that is to be followed next.
    ended: Vec<(TaskNo, FinalState)>,
    ready: Vec<Ready>,
    /// Restarting tries ended: counters and frontier are worked out anew.
    rebuild: bool,
}

struct Ready {
    task: TaskNo,
    tries: i32,
    resets: i32,
}

impl<'e> Work<'e> {
    /// Work on locked runs.
    pub(super) async fn new(core: &'e Core, locked: Vec<LockedRun>) -> anyhow::Result<Self> {
        let mut runs = BTreeMap::new();
        for run in locked {
            let plan = core.caches.plan(run.dag, run.version).await?;
            runs.insert(run.key, RunWork::new(run, plan));
        }
        Ok(Self {
            core,
            runs,
            apply: Apply::default(),
            decided: HashSet::new(),
            settled: 0,
            reserved: Vec::new(),
            after: After::default(),
        })
    }

    pub(super) fn locked(&self, run: RunKey) -> Option<&LockedRun> {
        self.runs.get(&run).map(|work| &work.locked)
    }

    pub(super) fn plan(&self, run: RunKey) -> Option<&Arc<Plan>> {
        self.runs.get(&run).map(|work| &work.plan)
    }

    /// A try gave its active slot back.
    pub(super) fn deactivate(&mut self, run: RunKey) {
        self.run(run).locked.tasks_active -= 1;
    }

    /// A row came back from a timer: it is active again, or held back.
    pub(super) fn reactivate(&mut self, run: RunKey) -> TaskState {
        let work = self.run(run);
        let state = work.admit();
        if state == TaskState::Queued {
            work.locked.tasks_active += 1;
        } else {
            work.locked.tasks_held += 1;
        }
        state
    }

    /// Says that a row of `queue` was made ready outside of this work.
    pub(super) fn left_ready(&mut self, queue: &str) {
        self.after.backlog.insert(queue.to_owned());
    }

    /// A task ended: its downstreams are judged in the next look.
    pub(super) fn ended(&mut self, run: RunKey, task: TaskNo, state: FinalState) {
        self.run(run).end(task, state);
        self.after.changed.insert(run);
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
            self.task_ready(run, task, 0, 0)?;
        }
        self.after.changed.insert(run);
        Ok(())
    }

    /// Sets a run's state and counters by hand: a cancel.
    pub(super) fn cancelled(&mut self, run: RunKey, open: i32, active: i32) {
        let work = self.run(run);
        work.locked.cancelled = true;
        work.locked.tasks_open = open;
        work.locked.tasks_active = active;
        work.locked.tasks_held = 0;
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
        self.cascade(tx).await?;
        self.rebuild_runs(tx).await?;
        self.promote(tx).await?;
        self.hand_over();
        self.count_runs(tx).await?;
        let apply = std::mem::take(&mut self.apply);
        self.after.handed = tx.apply(&apply).await?;
        self.claim(tx).await
    }

    /// One look after another, until nothing changes or enough was settled.
    async fn cascade(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        loop {
            let mut joins = Vec::new();
            let mut judged = Vec::new();
            for (run, work) in &mut self.runs {
                let ended = std::mem::take(&mut work.ended);
                if ended.is_empty() || work.locked.cancelled || work.rebuild {
                    continue;
                }
                if self.settled > CASCADE_MOST {
                    tx.outbox_put("cascade", Some(*run), None, &json!({ "ended": ended })).await?;
                    self.after.timer = true;
                    continue;
                }
                let ended = ended.into_iter().map(|(task, end)| Ended::new(task, end));
                let deltas = Deltas::of(&work.plan, &Shape::default(), ended);
                let of_run = |delta: JoinDelta| (instance(*run, delta.at.task), delta.counts);
                joins.extend(deltas.joins.into_iter().map(of_run));
                judged.extend(deltas.singles.into_iter().map(of_run));
            }
            if joins.is_empty() && judged.is_empty() {
                return Ok(());
            }
            judged.extend(self.count(tx, joins).await?);
            let seeds = self.seeds(tx, &judged).await?;
            for (key, counts) in judged {
                self.judge(key, &counts, &seeds)?;
            }
        }
    }

    /// Adds to the counters of joins; returns those that may still be decided.
    async fn count(
        &mut self,
        tx: &mut EngineTx<'_>,
        joins: Vec<(InstanceKey, UpstreamCounts)>,
    ) -> anyhow::Result<Vec<(InstanceKey, UpstreamCounts)>> {
        if joins.is_empty() {
            return Ok(Vec::new());
        }
        let adds: Vec<_> = joins.into_iter().map(|(key, counts)| JoinAdd { key, counts }).collect();
        let mut open = Vec::new();
        for row in tx.joins_add(&adds).await? {
            let complete = row.counts.seen() >= row.counts.needed;
            if complete {
                self.apply.joins_gone.push(row.key);
            }
            if row.decided || self.decided.contains(&row.key) {
                continue;
            }
            let rule = self.runs[&row.key.run].plan.task(row.key.task).map(|task| task.rule);
            let waits = rule.is_none_or(|rule| judge(rule, &row.counts) == Verdict::Wait);
            if !waits {
                self.decided.insert(row.key);
                if !complete {
                    self.apply.joins_decided.push(row.key);
                }
                open.push((row.key, row.counts));
            }
        }
        Ok(open)
    }

    /// In runs of which something was cleared: what the tasks about to be judged are already, and the
    /// try numbers they go on from.
    async fn seeds(
        &mut self,
        tx: &mut EngineTx<'_>,
        judged: &[(InstanceKey, UpstreamCounts)],
    ) -> anyhow::Result<HashMap<InstanceKey, CurrentTask>> {
        let mut tasks: BTreeMap<RunKey, Vec<TaskNo>> = BTreeMap::new();
        for (key, _) in judged {
            if self.runs[&key.run].locked.has_resets {
                tasks.entry(key.run).or_default().push(key.task);
            }
        }
        let mut seeds = HashMap::new();
        for (run, tasks) in tasks {
            let current = tx.tasks_current(run, Some(&tasks)).await?;
            seeds.extend(current.into_iter().map(|task| (task.key, task)));
        }
        Ok(seeds)
    }

    fn judge(
        &mut self,
        key: InstanceKey,
        counts: &UpstreamCounts,
        seeds: &HashMap<InstanceKey, CurrentTask>,
    ) -> anyhow::Result<()> {
        let seed = seeds.get(&key);
        // A clear of its upstream alone does not start it again.
        if seed.is_some_and(|task| task.ended.is_some() || task.live.is_some()) {
            return Ok(());
        }
        let (tries, resets) = seed.map_or((0, 0), |task| (task.tries, task.resets));
        let work = &self.runs[&key.run];
        let Some(task) = work.plan.task(key.task) else { return Ok(()) };
        match judge(task.rule, counts) {
            Verdict::Wait => Ok(()),
            Verdict::Run => self.task_ready(key.run, key.task, tries, resets),
            Verdict::Settle(state) => self.task_settled(key.run, key.task, state, tries, resets),
        }
    }

    /// A task may run; `empty` ones end at once.
    fn task_ready(
        &mut self,
        run: RunKey,
        task: TaskNo,
        tries: i32,
        resets: i32,
    ) -> anyhow::Result<()> {
        let work = self.run(run);
        if work.plan.task(task).is_some_and(|task| task.is_empty) {
            return self.task_settled(run, task, FinalState::Success, tries, resets);
        }
        work.ready.push(Ready { task, tries, resets });
        self.after.changed.insert(run);
        Ok(())
    }

    /// A task ends without running.
    fn task_settled(
        &mut self,
        run: RunKey,
        task: TaskNo,
        state: FinalState,
        tries: i32,
        resets: i32,
    ) -> anyhow::Result<()> {
        let state_now = TaskState::on(None, TaskEvent::Settled(state))?
            .context("a settled task has a state")?;
        self.apply.history.push(HistoryRow::without_try(
            instance(run, task),
            state_now,
            tries,
            resets,
        ));
        self.settled += 1;
        self.ended(run, task, state);
        Ok(())
    }

    /// Runs of which a cleared try ended: everything is worked out from what the tasks are now.
    async fn rebuild_runs(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let runs: Vec<RunKey> =
            self.runs.iter().filter(|(_, work)| work.rebuild).map(|(run, _)| *run).collect();
        if runs.is_empty() {
            return Ok(());
        }
        // What was gathered so far must be seen by the queries below.
        let apply = std::mem::take(&mut self.apply);
        tx.apply(&apply).await?;
        for run in runs {
            if !self.runs[&run].locked.cancelled {
                self.rebuild_run(tx, run).await?;
            }
        }
        Ok(())
    }

    async fn rebuild_run(&mut self, tx: &mut EngineTx<'_>, run: RunKey) -> anyhow::Result<()> {
        use subak_core::decide::{Current, rebuild};
        tx.cascade_drop(run).await?;
        let tasks = tx.tasks_current(run, None).await?;
        let seeds: HashMap<TaskNo, (i32, i32)> =
            tasks.iter().map(|task| (task.key.task, (task.tries, task.resets))).collect();
        let states: BTreeMap<TaskNo, Current> = tasks
            .iter()
            .filter_map(|task| {
                let state = match (task.live, task.ended) {
                    (Some(_), _) => Current::Live,
                    (None, Some(end)) => Current::Ended(end),
                    (None, None) => return None,
                };
                Some((task.key.task, state))
            })
            .collect();
        let live = |states: &[TaskState]| {
            let count =
                tasks.iter().filter(|t| t.live.is_some_and(|s| states.contains(&s))).count();
            i32::try_from(count).unwrap_or(i32::MAX)
        };
        let rebuilt = rebuild(&self.runs[&run].plan, &states);
        let joins: Vec<_> = rebuilt
            .joins
            .iter()
            .map(|(task, counts, decided)| subak_store::engine::JoinRow {
                key: instance(run, *task),
                counts: *counts,
                decided: *decided,
            })
            .collect();
        tx.joins_replace(run, &joins).await?;
        let work = self.run(run);
        work.locked.tasks_open = rebuilt.open;
        work.locked.leaves_failed = rebuilt.leaves_failed;
        work.locked.tasks_active =
            live(&[TaskState::Queued, TaskState::Running, TaskState::Restarting]);
        work.locked.tasks_held = live(&[TaskState::Scheduled]);
        for (task, state) in rebuilt.settled {
            let (tries, resets) = seeds.get(&task).copied().unwrap_or_default();
            self.apply.history.push(HistoryRow::without_try(
                instance(run, task),
                state.into(),
                tries,
                resets,
            ));
        }
        for task in rebuilt.ready {
            let (tries, resets) = seeds.get(&task).copied().unwrap_or_default();
            self.run(run).ready.push(Ready { task, tries, resets });
        }
        Ok(())
    }

    /// Lets held-back tasks take the places that became free, before new ones do.
    async fn promote(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let most: Vec<(RunKey, i32)> = self
            .runs
            .iter()
            .filter(|(_, work)| !work.locked.cancelled && work.locked.tasks_held > 0)
            .map(|(run, work)| (*run, work.room().min(work.locked.tasks_held)))
            .filter(|(_, room)| *room > 0)
            .collect();
        if most.is_empty() {
            return Ok(());
        }
        for (run, queue) in tx.tasks_promote(&most).await? {
            let work = self.run(run);
            work.locked.tasks_held -= 1;
            work.locked.tasks_active += 1;
            self.after.backlog.insert(queue);
        }
        Ok(())
    }

    /// Makes rows of what became ready, heaviest first: handed over at once while a slot here is free
    /// and nothing may be waiting before it.
    fn hand_over(&mut self) {
        let mut ready: Vec<(i32, RunKey, Ready)> = Vec::new();
        for (run, work) in &mut self.runs {
            for task in std::mem::take(&mut work.ready) {
                let priority = work.plan.task(task.task).map_or(0, |task| task.priority);
                ready.push((priority, *run, task));
            }
        }
        ready.sort_by_key(|(priority, run, task)| (std::cmp::Reverse(*priority), *run, task.task));
        for (priority, run, task) in ready {
            let state = self.reactivate(run);
            let queue = self.runs[&run]
                .plan
                .task(task.task)
                .map_or("default", |task| &task.queue)
                .to_owned();
            let session = (state == TaskState::Queued).then(|| self.reserve(&queue)).flatten();
            if state == TaskState::Queued && session.is_none() {
                self.after.backlog.insert(queue.clone());
            }
            self.apply.live_new.push(LiveNew {
                key: instance(run, task.task),
                state: if session.is_some() { TaskState::Running } else { state },
                priority,
                queue,
                try_number: task.tries + i32::from(session.is_some()),
                resets: task.resets,
                session,
            });
        }
    }

    fn reserve(&mut self, queue: &str) -> Option<i64> {
        if self.after.backlog.contains(queue) || self.core.backlog.is_raised(queue) {
            return None;
        }
        let session = self.core.sessions.reserve(queue)?;
        self.reserved.push((session, queue.to_owned()));
        Some(session)
    }

    /// Ends runs without open tasks, and gathers the counters that changed.
    async fn count_runs(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut loads: BTreeMap<i32, (i32, i32)> = BTreeMap::new();
        for work in self.runs.values_mut() {
            work.finish();
            let (before, now) = (&work.before, &work.locked);
            if !before.state.is_final() && now.state.is_final() {
                let load = loads.entry(now.dag).or_default();
                match before.state {
                    RunState::Queued => load.1 -= 1,
                    _ => load.0 -= 1,
                }
            }
            if let Some(update) = work.update() {
                self.apply.runs.push(update);
            }
        }
        let loads: Vec<_> =
            loads.into_iter().map(|(dag, (active, queued))| (dag, active, queued)).collect();
        self.after.dags_waiting = tx.dag_loads_add(&loads).await?;
        Ok(())
    }

    /// Fills free slots from the backlog.
    async fn claim(&mut self, tx: &mut EngineTx<'_>) -> anyhow::Result<()> {
        let mut queues: BTreeMap<String, Option<u64>> =
            self.after.backlog.iter().map(|queue| (queue.clone(), None)).collect();
        queues.extend(
            self.core.backlog.raised().into_iter().map(|(queue, gen_)| (queue, Some(gen_))),
        );
        for (queue, generation) in queues {
            let handed = self.core.claim(tx, &queue, generation, CLAIM_MOST).await?;
            self.reserved.extend(handed.iter().map(|try_| (try_.session, queue.clone())));
            self.after.handed.extend(handed);
        }
        Ok(())
    }

    /// What follows now that the transaction is committed.
    pub(super) fn into_after(self) -> After {
        self.after
    }

    /// Goes on with a cascade that was left in the outbox: its ends are counted already.
    pub(super) fn resume(&mut self, run: RunKey, ended: Vec<(TaskNo, FinalState)>) {
        self.run(run).ended.extend(ended);
        self.after.changed.insert(run);
    }

    /// Gives taken slots back: the transaction failed.
    pub(super) fn abandon(self) {
        for (session, queue) in self.reserved {
            self.core.sessions.release(session, &queue);
        }
    }
}

impl RunWork {
    fn new(locked: LockedRun, plan: Arc<Plan>) -> Self {
        let before = locked.clone();
        Self { locked, before, plan, ended: Vec::new(), ready: Vec::new(), rebuild: false }
    }

    fn end(&mut self, task: TaskNo, state: FinalState) {
        self.locked.tasks_open -= 1;
        let failed = matches!(state, FinalState::Failed | FinalState::UpstreamFailed);
        if failed && self.plan.task(task).is_some_and(|task| task.is_leaf) {
            self.locked.leaves_failed += 1;
        }
        self.ended.push((task, state));
    }

    /// Places left under `max_active_tasks`.
    fn room(&self) -> i32 {
        let most = i32::try_from(self.plan.dag.max_active_tasks).unwrap_or(i32::MAX);
        (most - self.locked.tasks_active).max(0)
    }

    /// Whether one more task may be ready, or is held back.
    fn admit(&self) -> TaskState {
        if self.room() > 0 { TaskState::Queued } else { TaskState::Scheduled }
    }

    fn finish(&mut self) {
        let run = &mut self.locked;
        if run.state == RunState::Running && run.tasks_open == 0
            || run.state == RunState::Queued && run.cancelled
        {
            let failed = run.cancelled || run.leaves_failed > 0;
            run.state = if failed { RunState::Failed } else { RunState::Success };
        }
    }

    fn update(&self) -> Option<RunUpdate> {
        let facts = |run: &LockedRun| {
            (run.state, run.tasks_open, run.tasks_active, run.tasks_held, run.leaves_failed)
        };
        (facts(&self.before) != facts(&self.locked)).then_some(RunUpdate {
            key: self.locked.key,
            state: self.locked.state,
            tasks_open: self.locked.tasks_open,
            tasks_active: self.locked.tasks_active,
            tasks_held: self.locked.tasks_held,
            leaves_failed: self.locked.leaves_failed,
        })
    }
}

/// The instance of a task that is not mapped.
pub(super) fn instance(run: RunKey, task: TaskNo) -> InstanceKey {
    InstanceKey { run, task, map_index: MapIndex::NONE }
}
