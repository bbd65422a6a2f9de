//! One reason, with its numbers and in words.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::NAMED_MOST;
use super::facts::{COUNT_MOST, Holder, WorkerFacts};
use crate::decide::{self, TriggerRule, UpstreamCounts, Verdict};
use crate::ids::MapIndex;
use crate::state::{FinalState, RunState, TaskState};

/// Why a task instance waits, runs or has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// What its rule says of its upstreams.
    Rule {
        rule: TriggerRule,
        /// `waits`, `runs`, or the state in which it ends.
        verdict: &'static str,
        upstreams: UpstreamCounts,
        /// Upstreams that have not succeeded, the open ones first.
        tasks: Vec<Neighbour>,
        more: usize,
    },
    /// Setups further up, or, for a teardown, what lies between its setups and itself.
    Guards {
        seen: i32,
        guards: i32,
        tasks: Vec<Neighbour>,
        more: usize,
    },
    /// Nothing is above it, or it does not care.
    StartsWithRun {
        run_id: String,
        run_type: String,
        triggered_by: String,
        triggered_user: Option<String>,
        run_after: DateTime<Utc>,
    },
    /// `depends_on_past`, `wait_for_downstream`.
    Past {
        run_before: Option<String>,
        with_downstream: bool,
        tasks: Vec<(String, Option<TaskState>)>,
    },
    MaxActiveTasks {
        limit: u32,
        active: i32,
        ahead: i64,
    },
    MaxActiveTisPerDagrun {
        limit: u32,
        active: i64,
    },
    Pool {
        pool: String,
        /// Of the task alone: `max_active_tis_per_dag`.
        own_limit: Option<u32>,
        slots: Option<i32>,
        used: i32,
        asks: i32,
        ahead: i64,
        holders: Vec<Holder>,
    },
    Queue {
        queue: String,
        ahead: i64,
        priority: i32,
        workers: Vec<WorkerFacts>,
        other_workers: usize,
        since: DateTime<Utc>,
    },
    Retry {
        due_at: Option<DateTime<Utc>>,
        failed: i32,
        lost: i32,
        retries: u32,
        error: Option<String>,
    },
    Deferred {
        state: TaskState,
        due_at: Option<DateTime<Utc>>,
    },
    Runs {
        worker: Option<String>,
        started_at: Option<DateTime<Utc>>,
        try_number: i32,
        /// It was cleared while it ran.
        cleared: bool,
    },
    Paused {
        cause: Option<String>,
    },
    /// Its run was asked for later.
    RunAfter {
        at: DateTime<Utc>,
    },
    /// Not a wait: what there is of the DAG goes on, and nothing new is made.
    FileGone,
    MaxActiveRuns {
        limit: i32,
        active: i32,
        ahead: i64,
    },
    Cancelled {
        cause: String,
    },
    RunEnded {
        state: RunState,
    },
    /// Not a wait, a limit that stands above it.
    RunTimeout {
        at: DateTime<Utc>,
    },
    /// It is mapped: what its instances come to.
    Instances {
        instances: i32,
        made: i32,
        ended: i32,
        /// Each waits for the upstreams of its own index.
        each: bool,
    },
    /// An instance that is not made yet: its task has as many as may be active.
    NotMade {
        instances: i32,
        made: i32,
        ended: i32,
        /// `max_active_tis_per_dagrun`.
        own_limit: Option<u32>,
        /// `max_active_tasks`.
        limit: u32,
        active: i32,
    },
    /// Nothing holds it: a server is about to do it.
    Soon {
        /// More of its run is worked off in parts.
        rest: bool,
    },
    /// It ended without running: by its rule, or, an `empty` one, by the server.
    Settled {
        state: FinalState,
        by_server: bool,
    },
    Ended {
        state: TaskState,
        cause: Option<String>,
        /// Branches that decided against it.
        against: Vec<String>,
        try_number: i32,
        started_at: Option<DateTime<Utc>>,
        ended_at: Option<DateTime<Utc>>,
        worker: Option<String>,
        error: Option<String>,
        exit_code: Option<i32>,
    },
}

/// Another task instance of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    pub task_id: String,
    pub map_index: MapIndex,
    pub state: Option<TaskState>,
}

impl Neighbour {
    pub(super) fn new(task_id: String, map_index: MapIndex, state: Option<TaskState>) -> Self {
        Self { task_id, map_index, state }
    }
}

impl Reason {
    pub(super) fn rule(
        rule: TriggerRule,
        verdict: Verdict,
        upstreams: UpstreamCounts,
        mut tasks: Vec<Neighbour>,
    ) -> Self {
        let verdict = match verdict {
            Verdict::Wait => "waits",
            Verdict::Run => "runs",
            Verdict::Settle(state) => TaskState::from(state).as_str(),
        };
        let more = cut(&mut tasks);
        Self::Rule { rule, verdict, upstreams, tasks, more }
    }

    pub(super) fn guards(seen: i32, guards: i32, mut tasks: Vec<Neighbour>) -> Self {
        let more = cut(&mut tasks);
        Self::Guards { seen, guards, tasks, more }
    }

    /// The reason in words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Rule { rule, upstreams, tasks, more, .. } => {
                let text = decide::Reason::of(*rule, *upstreams).text;
                format!("{text}{}", listed(tasks, *more))
            }
            Self::Guards { seen, guards, tasks, more } => format!(
                "waits for {} of {guards} tasks that guard it: setups, or what a teardown comes \
                 after{}",
                guards - seen,
                listed(tasks, *more)
            ),
            Self::StartsWithRun { run_id, run_type, triggered_by, triggered_user, run_after } => {
                let by = triggered_user.as_ref().map_or_else(String::new, |it| format!(" ({it})"));
                let due = match run_type.as_str() {
                    "manual" => String::new(),
                    _ => format!(", due at {}", instant(*run_after)),
                };
                format!(
                    "starts with its run `{run_id}`, a {run_type} one, triggered by \
                     {triggered_by}{by}{due}: it waits for no upstream"
                )
            }
            Self::Past { run_before, with_downstream, tasks } => {
                past(run_before.as_deref(), *with_downstream, tasks)
            }
            Self::MaxActiveTasks { limit, active, ahead } => format!(
                "max_active_tasks: {active} of {limit} tasks of its run are active; {} before it",
                waiting(*ahead)
            ),
            Self::MaxActiveTisPerDagrun { limit, active } => format!(
                "max_active_tis_per_dagrun: {active} of {limit} instances of the task are active in \
                 its run"
            ),
            Self::Pool { .. } => self.pool(),
            Self::Queue { .. } => self.queue(),
            Self::Retry { .. } => self.retry(),
            Self::Deferred { state, due_at } => {
                format!("{state}: it waits outside of a slot{}", until(*due_at))
            }
            Self::Runs { worker, started_at, try_number, cleared } => format!(
                "try {try_number} runs on {}{}{}",
                worker.as_deref().unwrap_or("a worker"),
                since(*started_at),
                if *cleared { "; it was cleared, and runs again once this has ended" } else { "" }
            ),
            Self::Paused { cause: None } => {
                "the DAG is paused: nothing of its runs starts until it goes on".to_owned()
            }
            Self::Paused { cause: Some(cause) } => {
                format!("the DAG is paused: {cause}; nothing of its runs starts until it goes on")
            }
            Self::RunAfter { at } => {
                format!("run_after: its run was asked for later, and is due at {}", instant(*at))
            }
            Self::FileGone => "the DAG's file is gone: its runs go on with the version that they \
                               have, and no new ones are made"
                .to_owned(),
            Self::MaxActiveRuns { limit, active, ahead } => format!(
                "max_active_runs: {active} of {limit} runs of the DAG are active; {} before its run",
                waiting(*ahead)
            ),
            Self::Cancelled { cause } => {
                format!("its run was cancelled ({cause}): only teardowns still start")
            }
            Self::RunEnded { state } => format!("its run has ended without it: {state}"),
            Self::RunTimeout { at } => {
                format!("dagrun_timeout: its run is cancelled at {}", instant(*at))
            }
            Self::Instances { instances, ended, each: true, .. } => format!(
                "it is in a mapped group: {ended} of {instances} instances have ended; each waits for \
                 the upstreams of its own index"
            ),
            Self::Instances { instances, made, ended, each: false } => format!(
                "it is mapped: {ended} of {instances} instances have ended, {} are ready or run, {} \
                 are not made yet",
                (made - ended).max(0),
                (instances - made).max(0)
            ),
            Self::NotMade { instances, made, ended, own_limit, limit, active } => {
                let own = own_limit.map_or_else(String::new, |most| {
                    format!(" (max_active_tis_per_dagrun: {most})")
                });
                format!(
                    "{made} of the task's {instances} instances are made, and {ended} have \
                     ended{own}; max_active_tasks: {active} of {limit} tasks of its run are active: it \
                     comes when one of them ends"
                )
            }
            Self::Soon { rest: false } => {
                "nothing holds it back: a server is about to see to it".to_owned()
            }
            Self::Soon { rest: true } => {
                "more of its run is being worked off in parts: its turn comes with that".to_owned()
            }
            Self::Settled { by_server: true, .. } => {
                "the server itself ended it, as it does with `empty` tasks".to_owned()
            }
            Self::Settled { state, .. } => {
                format!("ended as {} without running, by its rule", TaskState::from(*state))
            }
            Self::Ended { .. } => self.ended(),
        }
    }

    fn pool(&self) -> String {
        let Self::Pool { pool, own_limit, slots, used, asks, ahead, holders } = self else {
            return String::new();
        };
        let by: Vec<String> = holders
            .iter()
            .map(|it| format!("{} of {} / {}", it.task_id, it.dag_id, it.run_id))
            .collect();
        let by = if by.is_empty() { String::new() } else { format!(" (by {})", by.join(", ")) };
        let ahead = waiting(*ahead);
        match (own_limit, slots) {
            (Some(limit), _) => format!(
                "max_active_tis_per_dag: {used} of {limit} instances of the task are active in all \
                 runs{by}; {ahead} before it"
            ),
            (None, None) => {
                format!("pool `{pool}` does not exist: make it with `subak pools set {pool} SLOTS`")
            }
            (None, Some(slots)) if asks > slots => format!(
                "pool `{pool}` can never hold it: it asks for {asks} slots of {slots}; make the pool \
                 larger with `subak pools set {pool} {asks}`, or its `pool_slots` smaller"
            ),
            (None, Some(slots)) => format!(
                "pool `{pool}`: {used} of {slots} slots are taken{by}, it asks for {asks}; {ahead} \
                 before it"
            ),
        }
    }

    fn queue(&self) -> String {
        let Self::Queue { queue, ahead, priority, workers, other_workers, .. } = self else {
            return String::new();
        };
        let before = format!("{} before it (its priority is {priority})", waiting(*ahead));
        if workers.is_empty() {
            let others = match other_workers {
                0 => "there is no worker at all".to_owned(),
                others => format!("{others} serve other queues"),
            };
            return format!("no worker serves queue `{queue}`: {others}; {before}");
        }
        let each = |it: &WorkerFacts| {
            let drains = if it.draining { ", draining" } else { "" };
            format!("{} ({} of {} slots taken{drains})", it.worker, it.busy, it.slots)
        };
        let workers: Vec<String> = workers.iter().map(each).collect();
        format!("waits for a free slot of queue `{queue}`: {}; {before}", workers.join(", "))
    }

    fn retry(&self) -> String {
        let Self::Retry { due_at, failed, lost, retries, error } = self else {
            return String::new();
        };
        let ends = match (failed, lost) {
            (failed, 0) => format!("{} failed", tries(*failed)),
            (0, 1) => "1 try was lost with its worker".to_owned(),
            (0, lost) => format!("{lost} tries were lost with their workers"),
            (failed, 1) => format!("{} failed, 1 lost with its worker", tries(*failed)),
            (failed, lost) => format!("{} failed, {lost} lost with their workers", tries(*failed)),
        };
        let left = match (i64::from(*retries) - i64::from(*failed)).max(0) {
            1 => "1 retry is left".to_owned(),
            left => format!("{left} retries are left"),
        };
        let error = error.as_ref().map_or_else(String::new, |it| format!(": {}", first_line(it)));
        let next =
            due_at.map_or_else(String::new, |at| format!("; the next is due at {}", instant(at)));
        format!("{ends}, {left}{next}{error}")
    }

    fn ended(&self) -> String {
        let Self::Ended {
            state,
            cause,
            against,
            try_number,
            started_at,
            ended_at,
            worker,
            error,
            exit_code,
        } = self
        else {
            return String::new();
        };
        let why = match cause.as_deref() {
            Some("branch") if against.is_empty() => ": a branch decided against it".to_owned(),
            Some("branch") => format!(": branch {} decided against it", against.join(", ")),
            Some("fail_fast") => ": another task failed, and the DAG fails fast".to_owned(),
            Some("worker_lost") => ": its worker was lost".to_owned(),
            Some("cancelled") => ": its run was cancelled".to_owned(),
            Some(cause) => format!(": {cause}"),
            None => String::new(),
        };
        let Some(started_at) = started_at else { return format!("ended as {state}{why}") };
        let on = worker.as_ref().map_or_else(String::new, |it| format!(" on {it}"));
        let at = ended_at.map_or_else(String::new, |at| format!(" to {}", instant(at)));
        let code = exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
        let error = error.as_ref().map_or_else(String::new, |it| format!(": {}", first_line(it)));
        format!(
            "try {try_number} ran{on} from {}{at} and ended as {state}{why}{code}{error}",
            instant(*started_at)
        )
    }
}

fn past(
    run_before: Option<&str>,
    with_downstream: bool,
    tasks: &[(String, Option<TaskState>)],
) -> String {
    let key = if with_downstream { "wait_for_downstream" } else { "depends_on_past" };
    let Some(run) = run_before else {
        return format!("{key}: there is no run before; a server is about to see to it");
    };
    let each = |(task, state): &(String, Option<TaskState>)| {
        format!("{task} {}", state.map_or("has not run", TaskState::as_str))
    };
    let tasks: Vec<String> = tasks.iter().map(each).collect();
    format!(
        "{key}: in the run before, `{run}`, it must have succeeded or been skipped ({})",
        tasks.join(", ")
    )
}

/// Keeps what is named; returns how many are not.
fn cut(tasks: &mut Vec<Neighbour>) -> usize {
    let more = tasks.len().saturating_sub(NAMED_MOST);
    tasks.truncate(NAMED_MOST);
    more
}

fn listed(tasks: &[Neighbour], more: usize) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let each = |it: &Neighbour| {
        let state = it.state.map_or("has not run", TaskState::as_str);
        match it.map_index.is_none() {
            true => format!("{} {state}", it.task_id),
            false => format!("{}[{}] {state}", it.task_id, it.map_index.0),
        }
    };
    let named: Vec<String> = tasks.iter().map(each).collect();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!(": {}{more}", named.join(", "))
}

fn tries(number: i32) -> String {
    if number == 1 { "1 try".to_owned() } else { format!("{number} tries") }
}

fn waiting(ahead: i64) -> String {
    match ahead {
        0 => "nothing waits".to_owned(),
        1 => "1 waits".to_owned(),
        many if many >= COUNT_MOST => format!("{COUNT_MOST} or more wait"),
        many => format!("{many} wait"),
    }
}

fn until(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(String::new, |at| format!(" until {}", instant(at)))
}

fn since(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(String::new, |at| format!(" since {}", instant(at)))
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
