use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::*;
use crate::dag::model::{Dag, RetryRule, Task};
use crate::decide::Shape;
use crate::ids::Instance;
use crate::state::RunState;

fn task(id: &str, upstream: &[&str]) -> Task {
    let upstream = upstream.iter().map(|&id| id.into()).collect();
    Task { upstream, ..Task::new(id, "noop") }
}

fn plan(tasks: Vec<Task>) -> Plan {
    Plan::numbered_in_order(Arc::new(Dag::new("shop", tasks))).unwrap()
}

/// A running run in which nothing has happened to this task.
fn facts(at: i32) -> Facts {
    Facts {
        at: Instance::from(TaskNo(at)),
        dag: DagFacts { max_active_runs: 16, ..DagFacts::default() },
        run: RunFacts {
            run_id: "one".to_owned(),
            state: RunState::Running,
            run_type: "manual".to_owned(),
            triggered_by: "ui".to_owned(),
            triggered_user: Some("ana".to_owned()),
            cancelled: None,
            tasks_active: 0,
            tasks_held: 0,
            runs_ahead: 0,
            deadline_at: None,
            run_after: instant(),
            waits_until: None,
        },
        live: None,
        ended: None,
        join: None,
        others: Vec::new(),
        shape: Shape::default(),
        made: 0,
        against: Vec::new(),
        past: None,
        pool: None,
        queue: None,
        rest: false,
    }
}

fn live(state: TaskState) -> LiveFacts {
    LiveFacts {
        state,
        waits_pool: false,
        priority: 3,
        try_number: 1,
        failed: 0,
        lost: 0,
        queued_at: instant(),
        started_at: None,
        due_at: None,
        worker: None,
        error: None,
        exit_code: None,
        was_lost: false,
        held_ahead: 0,
        own_active: 0,
    }
}

fn instant() -> DateTime<Utc> {
    "2026-11-20T01:02:03Z".parse().unwrap()
}

fn other(task: i32, state: TaskState) -> OtherFacts {
    OtherFacts { at: Instance::from(TaskNo(task)), state }
}

/// Holds the explanation against its outlook and the texts that hold the task back.
fn check(plan: &Plan, facts: &Facts, outlook: Outlook, holding: &[&str]) {
    let explained = explain(plan, facts).unwrap();
    assert_eq!(explained.outlook, outlook, "{explained:?}");
    let held: Vec<&str> =
        explained.reasons.iter().filter(|it| it.holds).map(|it| it.text.as_str()).collect();
    assert_eq!(held, holding);
    if !held.is_empty() {
        assert_eq!(explained.summary, held.join("; "));
    }
}

#[test]
fn an_open_upstream_is_named_with_what_the_rule_counts() {
    let plan = plan(vec![task("a", &[]), task("b", &[]), task("c", &["a", "b"])]);
    let mut facts = facts(2);
    facts.others = vec![other(0, TaskState::Success), other(1, TaskState::Running)];
    check(
        &plan,
        &facts,
        Outlook::Waits,
        &["all_success: waits for 1 of 2 upstreams (1 succeeded, 0 failed, 0 skipped, \
           0 upstream_failed, 0 removed): b running"],
    );
    // What is stored counts, where it is.
    let counts = UpstreamCounts { needed: 2, skipped: 1, ..UpstreamCounts::default() };
    facts.join = Some((counts, false));
    let explained = explain(&plan, &facts).unwrap();
    assert!(matches!(&explained.reasons[0].reason, Reason::Soon { .. }), "{explained:?}");
}

#[test]
fn a_setup_further_up_is_a_guard() {
    let mut setup = task("make", &[]);
    setup.setup = true;
    let mut last = task("drop", &["make", "load"]);
    last.teardown = Some(crate::dag::model::Teardown::default());
    let plan = plan(vec![setup, task("read", &["make"]), task("load", &["read"]), last]);
    let mut facts = facts(2);
    facts.others = vec![other(1, TaskState::Success)];
    let explained = explain(&plan, &facts).unwrap();
    assert!(
        explained.summary.contains("1 of 1 tasks that guard it")
            && explained.summary.contains("make has not run"),
        "{explained:?}"
    );
}

#[test]
fn a_run_that_waits_says_for_what() {
    let plan = plan(vec![task("a", &[])]);
    let mut facts = facts(0);
    facts.run.state = RunState::Queued;
    facts.dag = DagFacts { is_paused: true, max_active_runs: 2, runs_active: 2, ..facts.dag };
    facts.run.runs_ahead = 1;
    check(
        &plan,
        &facts,
        Outlook::Waits,
        &[
            "the DAG is paused: nothing of its runs starts until it goes on",
            "max_active_runs: 2 of 2 runs of the DAG are active; 1 waits before its run",
        ],
    );
    facts.run.waits_until = Some(instant());
    facts.dag = DagFacts { max_active_runs: 2, is_stale: true, ..DagFacts::default() };
    check(
        &plan,
        &facts,
        Outlook::Waits,
        &["run_after: its run was asked for later, and is due at 2026-11-20 01:02:03 UTC"],
    );
    let told = explain(&plan, &facts).unwrap();
    assert!(told.reasons.iter().any(|it| it.reason == Reason::FileGone && !it.holds), "{told:?}");
    facts.dag.is_stale = false;
    facts.run.state = RunState::Failed;
    check(&plan, &facts, Outlook::WillNotRun, &["its run has ended without it: failed"]);
}

#[test]
fn what_its_tasks_own_limit_holds_back_is_told_so() {
    let mut each = task("a", &[]);
    each.max_active_tis_per_dagrun = Some(2);
    let plan = plan(vec![each]);
    let mut facts = facts(0);
    facts.run.tasks_active = 2;
    facts.live = Some(LiveFacts { own_active: 2, ..live(TaskState::Scheduled) });
    let own = "max_active_tis_per_dagrun: 2 of 2 instances of the task are active in its run";
    check(&plan, &facts, Outlook::Waits, &[own]);
    facts.run.tasks_active = 16;
    let run = "max_active_tasks: 16 of 16 tasks of its run are active; nothing waits before it";
    check(&plan, &facts, Outlook::Waits, &[own, run]);
    facts.live = Some(LiveFacts { own_active: 1, ..live(TaskState::Scheduled) });
    check(&plan, &facts, Outlook::Waits, &[run]);
}

#[test]
fn limits_pools_and_queues_are_told_with_their_numbers() {
    let mut narrow = task("a", &[]);
    narrow.pool = "narrow".to_owned();
    let plan = plan(vec![narrow]);
    let mut facts = facts(0);
    facts.run.tasks_active = 16;
    facts.live = Some(LiveFacts { held_ahead: 4, ..live(TaskState::Scheduled) });
    let limit = "max_active_tasks: 16 of 16 tasks of its run are active; 4 wait before it";
    check(&plan, &facts, Outlook::Waits, &[limit]);

    facts.live = Some(LiveFacts { waits_pool: true, ..live(TaskState::Scheduled) });
    facts.pool = Some(PoolFacts { name: "narrow".to_owned(), ..PoolFacts::default() });
    let missing = "pool `narrow` does not exist: make it with `subak pools set narrow SLOTS`";
    check(&plan, &facts, Outlook::Waits, &[missing]);
    let holder = Holder {
        dag_id: "shop".to_owned(),
        run_id: "zero".to_owned(),
        task_id: "b".to_owned(),
        map_index: MapIndex::NONE,
        slots: 2,
        state: TaskState::Running,
    };
    facts.pool = Some(PoolFacts {
        name: "narrow".to_owned(),
        slots: Some(2),
        used: 2,
        ahead: 0,
        holders: vec![holder],
    });
    let full = "pool `narrow`: 2 of 2 slots are taken (by b of shop / zero), it asks for 1; \
                nothing waits before it";
    check(&plan, &facts, Outlook::Waits, &[full]);
    facts.pool =
        Some(PoolFacts { name: "narrow".to_owned(), slots: Some(0), ..PoolFacts::default() });
    let never = "pool `narrow` can never hold it: it asks for 1 slots of 0; make the pool larger with \
                 `subak pools set narrow 1`, or its `pool_slots` smaller";
    check(&plan, &facts, Outlook::Waits, &[never]);

    facts.live = Some(live(TaskState::Queued));
    facts.queue = Some(QueueFacts { others: 2, ahead: 1, ..QueueFacts::default() });
    let nobody = "no worker serves queue `default`: 2 serve other queues; 1 waits before it \
                  (its priority is 3)";
    check(&plan, &facts, Outlook::Waits, &[nobody]);
    let worker = WorkerFacts { worker: "w1".to_owned(), slots: 4, busy: 4, draining: false };
    facts.queue = Some(QueueFacts { workers: vec![worker], ..QueueFacts::default() });
    let busy = "waits for a free slot of queue `default`: w1 (4 of 4 slots taken); nothing waits \
                before it (its priority is 3)";
    check(&plan, &facts, Outlook::Waits, &[busy]);
}

#[test]
fn a_pause_is_told_of_whatever_could_start_without_it() {
    let plan = plan(vec![task("a", &[]), task("b", &["a"])]);
    let mut facts = facts(0);
    facts.dag = DagFacts { is_paused: true, ..facts.dag };
    let paused = "the DAG is paused: nothing of its runs starts until it goes on";
    // It is not there yet, it is held back, or its timer goes on.
    check(&plan, &facts, Outlook::Waits, &[paused]);
    facts.live = Some(live(TaskState::Scheduled));
    check(&plan, &facts, Outlook::Waits, &[paused]);
    facts.live = Some(LiveFacts { failed: 1, ..live(TaskState::UpForRetry) });
    check(&plan, &facts, Outlook::Waits, &["1 try failed, 0 retries are left", paused]);
    // What runs, runs.
    facts.live = Some(live(TaskState::Running));
    check(&plan, &facts, Outlook::Runs, &[]);
    facts.at = Instance::from(TaskNo(1));
    facts.live = None;
    facts.others = vec![other(0, TaskState::Running)];
    facts.dag.pause_cause = Some("its last run failed".to_owned());
    check(
        &plan,
        &facts,
        Outlook::Waits,
        &[
            "all_success: waits for 1 of 1 upstreams (0 succeeded, 0 failed, 0 skipped, \
             0 upstream_failed, 0 removed): a running",
            "the DAG is paused: its last run failed; nothing of its runs starts until it goes on",
        ],
    );
}

#[test]
fn a_retry_says_when_and_why() {
    let plan = plan(vec![Task { retries: 3, ..task("a", &[]) }]);
    let mut facts = facts(0);
    facts.live = Some(LiveFacts {
        failed: 1,
        due_at: Some(instant()),
        error: Some("no route\nto host".to_owned()),
        ..live(TaskState::UpForRetry)
    });
    let due =
        "1 try failed, 2 retries are left; the next is due at 2026-11-20 01:02:03 UTC: no route";
    check(&plan, &facts, Outlook::Waits, &[due]);
}

#[test]
fn a_retry_counts_by_the_rule_that_fits() {
    let rule = RetryRule {
        exit_code: vec![75],
        error: None,
        retry: true,
        retries: Some(10),
        retry_delay: None,
    };
    let plan = plan(vec![Task { retries: 3, retry_policy: vec![rule], ..task("a", &[]) }]);
    let mut facts = facts(0);
    for (exit_code, was_lost, left) in [(Some(75), false, 9), (Some(1), false, 2), (None, true, 2)]
    {
        let waits = live(TaskState::UpForRetry);
        facts.live = Some(LiveFacts { failed: 1, exit_code, was_lost, ..waits });
        let told = format!("1 try failed, {left} retries are left");
        check(&plan, &facts, Outlook::Waits, &[&told]);
    }
}

#[test]
fn the_run_before_is_told_of() {
    let plan = plan(vec![Task { depends_on_past: true, ..task("a", &[]) }]);
    let mut facts = facts(0);
    facts.past = Some(PastFacts {
        run_id: Some("zero".to_owned()),
        tasks: vec![(TaskNo(0), Some(TaskState::Failed))],
        waits: true,
    });
    let past = "depends_on_past: in the run before, `zero`, it must have succeeded or been skipped \
                (a failed)";
    check(&plan, &facts, Outlook::Waits, &[past]);
}

#[test]
fn a_run_of_the_schedule_says_when_it_was_due() {
    let plan = plan(vec![task("a", &[])]);
    let mut facts = facts(0);
    facts.run.run_type = "scheduled".to_owned();
    facts.run.triggered_by = "timetable".to_owned();
    facts.run.triggered_user = None;
    facts.live = Some(live(TaskState::Running));
    let told = explain(&plan, &facts).unwrap();
    let why = "starts with its run `one`, a scheduled one, triggered by timetable, due at \
               2026-11-20 01:02:03 UTC: it waits for no upstream";
    assert!(told.reasons.iter().any(|it| it.text == why), "{told:?}");
}

#[test]
fn what_has_ended_says_why_it_ran_or_never_did() {
    let plan = plan(vec![task("a", &[]), task("b", &["a"])]);
    let mut facts = facts(1);
    let end = EndFacts {
        state: TaskState::UpstreamFailed,
        try_number: 0,
        started_at: None,
        ended_at: Some(instant()),
        cause: None,
        error: None,
        exit_code: None,
        worker: None,
    };
    facts.ended = Some(end.clone());
    facts.others = vec![other(0, TaskState::Failed)];
    check(&plan, &facts, Outlook::Ended, &[]);
    let texts = |facts: &Facts| -> Vec<String> {
        explain(&plan, facts).unwrap().reasons.into_iter().map(|it| it.text).collect()
    };
    assert_eq!(
        texts(&facts),
        [
            "ended as upstream_failed without running, by its rule",
            "all_success: ends as upstream_failed (0 succeeded, 1 failed, 0 skipped, \
             0 upstream_failed, 0 removed): a failed",
        ]
    );
    facts.ended =
        Some(EndFacts { cause: Some("branch".to_owned()), state: TaskState::Skipped, ..end });
    facts.against = vec![TaskNo(0)];
    assert_eq!(texts(&facts), ["ended as skipped: branch a decided against it"]);
}

#[test]
fn programs_read_kinds_and_numbers() {
    let plan = plan(vec![task("a", &[]), task("b", &["a"])]);
    let explained = serde_json::to_value(explain(&plan, &facts(1))).unwrap();
    assert_eq!(explained["outlook"], "waits");
    assert_eq!(explained["reasons"][0]["kind"], "rule");
    assert_eq!(explained["reasons"][0]["holds"], true);
    assert_eq!(explained["reasons"][0]["upstreams"]["needed"], 1);
    assert_eq!(explained["reasons"][0]["tasks"][0]["task_id"], "a");
}
