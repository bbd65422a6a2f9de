//! A run in memory, step by step.

use super::*;
use crate::dag::model::{Expand, Source, Task};
use crate::decide::TriggerRule;
use crate::decide::sample::{dag, no, plan, task};

fn with_rule(mut task: Task, rule: TriggerRule) -> Task {
    task.trigger_rule = rule;
    task
}

fn starts(step: &Step) -> Vec<(TaskNo, u32)> {
    step.started().map(|start| (start.at.task, start.try_number)).collect()
}

fn ended(run: &mut MemoryRun, tries: &[(TaskNo, TryOutcome)]) -> Step {
    let reports: Vec<_> = tries.iter().map(|&(task, end)| Report::plain(task, end)).collect();
    run.ended(&reports, 0.0)
}

#[test]
fn a_chain_runs_to_its_end() {
    let (mut run, step) = MemoryRun::start(plan(vec![task("a", &[]), task("b", &["a"])]));
    assert_eq!(starts(&step), [(no(0), 1)]);
    assert_eq!(step.run, None);
    let step = ended(&mut run, &[(no(0), TryOutcome::Success)]);
    assert_eq!(starts(&step), [(no(1), 1)]);
    let step = ended(&mut run, &[(no(1), TryOutcome::Success)]);
    assert_eq!(step, Step { run: Some(RunState::Success), ..Step::default() });
}

#[test]
fn a_failed_try_waits_for_its_retry() {
    let mut flaky = task("flaky", &[]);
    flaky.retries = 1;
    let (mut run, _) = MemoryRun::start(plan(vec![flaky]));
    let step = ended(&mut run, &[(no(0), TryOutcome::Failed(TryEnd::Transient))]);
    assert_eq!(step.retries, [(no(0).into(), Duration::from_secs(300))]);
    assert_eq!(run.state(no(0)), Some(TaskState::UpForRetry));
    assert_eq!(starts(&run.retry_due(no(0).into())), [(no(0), 2)]);
    let step = ended(&mut run, &[(no(0), TryOutcome::Failed(TryEnd::Transient))]);
    assert_eq!(step.run, Some(RunState::Failed));
    assert_eq!(run.tries(no(0)), 2);
}

#[test]
fn a_permanent_error_is_not_tried_again() {
    let mut task = task("a", &[]);
    task.retries = 5;
    let (mut run, _) = MemoryRun::start(plan(vec![task]));
    let step = ended(&mut run, &[(no(0), TryOutcome::Failed(TryEnd::Permanent))]);
    assert_eq!(step.run, Some(RunState::Failed));
}

#[test]
fn a_cascade_moves_one_level_a_look() {
    let tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &["b"]), task("d", &["c"])];
    let (mut run, _) = MemoryRun::start(plan(tasks));
    let step = ended(&mut run, &[(no(0), TryOutcome::Skipped)]);
    let levels: Vec<_> = step.looks.iter().map(|look| look.settled.clone()).collect();
    let skipped = |place| vec![(no(place).into(), FinalState::Skipped)];
    assert_eq!(levels, [skipped(1), skipped(2), skipped(3)]);
    assert_eq!(step.run, Some(RunState::Success));
}

/// A skip one level up is seen before a failure two levels up.
#[test]
fn the_nearer_end_decides() {
    let tasks = vec![
        task("broken", &[]),
        task("skipped", &[]),
        task("below", &["broken"]),
        task("join", &["skipped", "below"]),
    ];
    let (mut run, _) = MemoryRun::start(plan(tasks));
    let broken = (no(0), TryOutcome::Failed(TryEnd::Permanent));
    ended(&mut run, &[broken, (no(1), TryOutcome::Skipped)]);
    assert_eq!(run.state(no(2)), Some(TaskState::UpstreamFailed));
    assert_eq!(run.state(no(3)), Some(TaskState::Skipped));
}

#[test]
fn an_eager_rule_starts_once_whenever_the_late_upstream_ends() {
    for (rule, first) in [
        (TriggerRule::OneSuccess, TryOutcome::Success),
        (TriggerRule::OneDone, TryOutcome::Success),
        (TriggerRule::OneFailed, TryOutcome::Failed(TryEnd::Permanent)),
        (TriggerRule::Always, TryOutcome::Success),
    ] {
        for late in 0..3 {
            let join = with_rule(task("join", &["a", "b"]), rule);
            let (mut run, step) =
                MemoryRun::start(plan(vec![task("a", &[]), task("b", &[]), join]));
            let mut started = starts(&step);
            // The late upstream ends with the first, while the task runs, or after it.
            let reports: &[&[(TaskNo, TryOutcome)]] = match late {
                0 => &[&[(no(0), first), (no(1), first)], &[(no(2), TryOutcome::Success)]],
                1 => &[&[(no(0), first)], &[(no(1), first)], &[(no(2), TryOutcome::Success)]],
                _ => &[&[(no(0), first)], &[(no(2), TryOutcome::Success)], &[(no(1), first)]],
            };
            for report in reports {
                started.extend(starts(&ended(&mut run, report)));
            }
            let joins = started.iter().filter(|(task, _)| *task == no(2)).count();
            assert_eq!(joins, 1, "{rule:?}, late {late}");
            assert_eq!(run.run_state(), RunState::Success, "{rule:?}, late {late}");
        }
    }
}

#[test]
fn the_limit_holds_tasks_back_and_lets_the_heaviest_go_first() {
    let mut heavy = task("heavy", &[]);
    heavy.priority_weight = 9;
    let mut dag = dag(vec![task("a", &[]), task("b", &[]), heavy]);
    dag.max_active_tasks = 1;
    let plan = Arc::new(Plan::numbered_in_order(Arc::new(dag)).unwrap());
    let (mut run, step) = MemoryRun::start(plan);
    assert_eq!(starts(&step), [(no(0), 1)]);
    assert_eq!(run.state(no(1)), Some(TaskState::Scheduled));
    assert_eq!(starts(&ended(&mut run, &[(no(0), TryOutcome::Success)])), [(no(2), 1)]);
    assert_eq!(starts(&ended(&mut run, &[(no(2), TryOutcome::Success)])), [(no(1), 1)]);
    assert_eq!(ended(&mut run, &[(no(1), TryOutcome::Success)]).run, Some(RunState::Success));
}

#[test]
fn empty_tasks_need_nobody() {
    let mut empty = task("empty", &["a"]);
    empty.operator = "empty".into();
    let (mut run, _) = MemoryRun::start(plan(vec![task("a", &[]), empty, task("b", &["empty"])]));
    let step = ended(&mut run, &[(no(0), TryOutcome::Success)]);
    assert_eq!(step.settled().collect::<Vec<_>>(), [(no(1).into(), FinalState::Success)]);
    assert_eq!(starts(&step), [(no(2), 1)]);
}

/// Of what a task is mapped over, one fails and one is skipped in the same look: the failure counts,
/// whichever comes first.
#[test]
fn a_failed_source_counts_more_than_a_skipped_one() {
    let over = |task: &str| Source::Task { task_id: task.into(), key: "return_value".to_owned() };
    for sources in [["skipped", "fails"], ["fails", "skipped"]] {
        let expand =
            Expand { arguments: sources.iter().map(|id| ((*id).to_owned(), over(id))).collect() };
        let mapped = Task { expand: Some(expand), ..task("mapped", &["fails", "skipped", "late"]) };
        let skipped = |id| with_rule(task(id, &["broken"]), TriggerRule::AllSkipped);
        let below = |id| match id {
            "skipped" => skipped(id),
            _ => task(id, &["broken"]),
        };
        let tasks = vec![
            task("broken", &[]),
            below(sources[0]),
            below(sources[1]),
            task("late", &[]),
            with_rule(mapped, TriggerRule::AllDone),
        ];
        let (mut run, _) = MemoryRun::start(plan(tasks));
        ended(&mut run, &[(no(0), TryOutcome::Failed(TryEnd::Permanent))]);
        assert_eq!(run.state(no(4)), Some(TaskState::UpstreamFailed), "{sources:?}");
    }
}
