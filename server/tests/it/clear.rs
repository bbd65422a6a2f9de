//! Clears: of a run, of tasks, of tasks that run.

use subak_core::decide::TryEnd;
use subak_core::ids::{RunKey, TaskNo};
use subak_server::engine::{Answer, ClearError, Outcome};
use subak_testkit::{peek, poke};

use crate::world::{World, work};

const CHAIN: &str = "
dag_id: chain
max_active_runs: 1
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_run_runs_again_and_counts_its_tries_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    work(world.worker(2).await?, |_, _| Outcome::Success);
    let run = world.trigger("chain").await?;
    assert_eq!(world.ended(run).await?, "success");
    for round in 2..4 {
        world.engine.tasks_clear(run, None).await?;
        assert_eq!(world.ended(run).await?, "success");
        let last = format!("c#{round} success");
        assert_eq!(peek::history(&world.store, run).await?.pop(), Some(last));
    }
    assert_eq!(peek::history(&world.store, run).await?.len(), 9);
    assert_eq!(world.states(run).await?, ["a success", "b success", "c success"]);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_task_takes_what_failed_for_want_of_it_along() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    work(world.worker(2).await?, |task, number| match (task, number) {
        ("b", 1) => Outcome::Failed(TryEnd::Permanent),
        _ => Outcome::Success,
    });
    let run = world.trigger("chain").await?;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a success", "b failed", "c upstream_failed"]);
    let cleared = world.engine.tasks_clear(run, Some(&[TaskNo(1)])).await?;
    assert_eq!(cleared.tasks, [TaskNo(1), TaskNo(2)]);
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(
        peek::history(&world.store, run).await?,
        ["a#1 success", "b#1 failed", "c#0 upstream_failed", "b#2 success", "c#1 success"]
    );
    // It began anew, after all that had ended before the clear.
    let anew = "SELECT (started_at > (SELECT max(ended_at) FROM try_history WHERE state <> 'success'))::text
                FROM run";
    assert_eq!(peek::text(&world.store, anew).await?.as_deref(), Some("true"));
    world.close().await
}

/// `more` comes after `tidy`, which runs whatever its setup does, and is guarded by that from further up.
const GUARDED: &str = "
dag_id: guarded
tasks:
  make: {operator: noop, setup: true}
  work: {operator: noop, depends_on: [make]}
  tidy: {operator: noop, depends_on: [work], trigger_rule: always}
  more: {operator: noop, depends_on: [tidy]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_setup_takes_what_it_guards_along() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(GUARDED).await?;
    work(world.worker(2).await?, |task, number| match (task, number) {
        ("make", 1) => Outcome::Failed(TryEnd::Permanent),
        _ => Outcome::Success,
    });
    let run = world.trigger("guarded").await?;
    assert_eq!(world.ended(run).await?, "failed");
    let before = ["make failed", "more upstream_failed", "tidy success", "work upstream_failed"];
    assert_eq!(world.states(run).await?, before);
    let cleared = world.engine.tasks_clear(run, Some(&[TaskNo(0)])).await?;
    assert_eq!(cleared.tasks.len(), 3, "{cleared:?}");
    assert_eq!(world.ended(run).await?, "success");
    let after = ["make success", "more success", "tidy success", "work success"];
    assert_eq!(world.states(run).await?, after);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_cleared_while_it_runs_restarts() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("chain").await?;
    let first = hands.given("a").await;
    for _ in 0..2 {
        world.engine.tasks_clear(run, Some(&[TaskNo(0)])).await?;
    }
    assert_eq!(hands.stopped(&first).await, "cleared");
    assert_eq!(peek::live_tasks(&world.store, run).await?, ["a restarting"]);
    assert!(hands.unasked().is_empty(), "it starts again only when the worker confirms the end");
    // What it still reports is recorded, and does not count.
    for _ in 0..2 {
        assert_eq!(hands.end(&first, Outcome::Success).await, Answer::Accepted);
    }
    let second = hands.given("a").await;
    assert_eq!(second.number, 2);
    assert_eq!(hands.end(&second, Outcome::Success).await, Answer::Accepted);
    for task in ["b", "c"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(
        peek::history(&world.store, run).await?,
        ["a#1 restarting", "a#2 success", "b#1 success", "c#1 success"]
    );
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_run_waits_for_its_turn() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let mut hands = world.hands(1).await?;
    let ended = world.trigger("chain").await?;
    for task in ["a", "b", "c"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(ended).await?, "success");
    let active = world.trigger("chain").await?;
    let held = hands.given("a").await;
    for _ in 0..2 {
        world.engine.tasks_clear(ended, None).await?;
    }
    assert_eq!(peek::run_state(&world.store, ended).await?, "queued");
    world.engine.run_cancel(active, "cancelled").await?;
    hands.end(&held, Outcome::Stopped).await;
    for task in ["a", "b", "c"] {
        let held = hands.given(task).await;
        assert_eq!((held.fence.instance.run, held.number), (ended, 2));
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(ended).await?, "success");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_history_was_dropped_cannot_be_cleared() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    work(world.worker(2).await?, |_, _| Outcome::Success);
    let run = world.trigger("chain").await?;
    world.ended(run).await?;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(world.trigger("chain").await?);
        world.ended(others[others.len() - 1]).await?;
    }
    poke::history_gone(&world.store, run).await?;
    for _ in 0..2 {
        let cleared = world.engine.tasks_clear(run, None).await;
        assert!(matches!(cleared, Err(ClearError::HistoryGone)), "{cleared:?}");
    }
    // Among others it is the one that is refused, with one that there is not.
    let none = RunKey(1);
    for round in 2..4 {
        let asked = [others[1], run, others[2], none, others[0]];
        let cleared = world.engine.runs_clear(&asked).await;
        assert_eq!(cleared.len(), asked.len());
        assert!(matches!(cleared[&run], Err(ClearError::HistoryGone)), "{cleared:?}");
        assert!(matches!(cleared[&none], Err(ClearError::NotFound)), "{cleared:?}");
        for other in &others {
            assert!(cleared[other].is_ok(), "{cleared:?}");
            // Each in its turn, though only one may be active.
            assert_eq!(world.ended(*other).await?, "success");
            let history = peek::history(&world.store, *other).await?;
            assert_eq!(history.len(), 3 * round);
            assert_eq!(history.last(), Some(&format!("c#{round} success")));
        }
    }
    assert_eq!(peek::run_state(&world.store, run).await?, "success");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_clears_a_server_starts_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("chain").await?;
    let first = hands.given("a").await;
    hands.end(&first, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(run).await?, "failed");

    let (stop, mut tasks) = (world.stop.child_token(), tokio::task::JoinSet::new());
    let command =
        subak_server::engine::Engine::start_for_command(world.store.clone(), &mut tasks, stop)
            .await?;
    let began = std::time::Instant::now();
    command.tasks_clear(run, None).await?;
    let second = hands.given("a").await;
    eprintln!("from the command's clear to the hand-over: {:?}", began.elapsed());
    assert_eq!(second.number, 2);
    world.close().await
}
