//! Every eager rule × a late upstream that ends before, while and after its task runs: it runs once.

use subak_core::decide::TriggerRule;
use subak_server::engine::Answer;
use subak_testkit::dag_gen::{Sample, Shape};
use subak_testkit::model::TryEnd;
use tokio::time::timeout;

use super::exact::outcome;
use super::fleet::{Fleet, Held, PATIENCE};

/// When the late upstream ends.
#[derive(Debug, Clone, Copy)]
enum Late {
    Before,
    While,
    After,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eager_rule_starts_its_task_once() {
    let fleet = Fleet::start(2, 16).await;
    let mut number = 0;
    for (rule, first) in [
        (TriggerRule::OneSuccess, TryEnd::Success),
        (TriggerRule::OneDone, TryEnd::Success),
        (TriggerRule::OneFailed, TryEnd::FailedForGood),
        (TriggerRule::Always, TryEnd::Success),
    ] {
        for late in [Late::Before, Late::While, Late::After] {
            for last in [TryEnd::Success, TryEnd::Skipped, TryEnd::FailedForGood] {
                number += 1;
                play(&fleet, number, rule, first, last, late).await;
            }
        }
    }
    fleet.finish().await;
}

/// `a`, `b` → `join`: `a` decides, `b` is late.
async fn play(
    fleet: &Fleet,
    number: u32,
    rule: TriggerRule,
    first: TryEnd,
    last: TryEnd,
    late: Late,
) {
    let mut dag = Sample::new(0, Shape { max_tasks: 1, limited: false }).dag;
    dag.dag_id = format!("eager_{number}").as_str().into();
    let pattern = dag.tasks[0].clone();
    dag.tasks = ["a", "b", "join"]
        .map(|id| {
            let mut task = pattern.clone();
            task.task_id = id.into();
            task.retries = 0;
            task
        })
        .to_vec();
    dag.tasks[2].upstream = vec!["a".into(), "b".into()];
    dag.tasks[2].trigger_rule = rule;

    let run = fleet.run(&dag, &fleet.engines[0]).await;
    let mut arrivals = fleet.assignments(run);
    let mut held: Vec<Held> = Vec::new();
    let mut ran = [0; 3];
    let mut order: Vec<(usize, TryEnd)> = match late {
        Late::Before if rule != TriggerRule::Always => vec![(1, last), (0, first)],
        Late::Before | Late::While => vec![(0, first), (1, last)],
        Late::After => vec![(0, first), (2, TryEnd::Success), (1, last)],
    };
    if !matches!(late, Late::After) {
        order.push((2, TryEnd::Success));
    }
    for (step, (task, end)) in order.into_iter().enumerate() {
        while !held.iter().any(|held| held.place() == task) {
            let arrival = timeout(PATIENCE, arrivals.recv()).await;
            let arrival =
                arrival.unwrap_or_else(|_| panic!("{rule:?}, {late:?}, {last:?}: {task}"));
            held.extend(arrival);
        }
        let index = held.iter().position(|held| held.place() == task).unwrap();
        let engine = &fleet.engines[step % fleet.engines.len()];
        let answer = fleet.report(engine, &held.swap_remove(index), outcome(end)).await;
        assert_eq!(answer, Answer::Accepted);
        ran[task] += 1;
    }
    fleet.wait_for(run, &["success", "failed"]).await;
    let again = held.pop().or_else(|| arrivals.try_recv().ok());
    assert!(again.is_none(), "{rule:?}, {late:?}, {last:?}: {again:?}");
    assert_eq!(ran, [1, 1, 1], "{rule:?}, {late:?}, {last:?}");
}
