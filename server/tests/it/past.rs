//! What runs of one DAG mean for each other: `depends_on_past`, `wait_for_downstream`, `latest_only`,
//! `max_consecutive_failed_dag_runs`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::decide::TryEnd;
use subak_core::ids::{DagId, RunKey};
use subak_core::state::RunType;
use subak_server::engine::{Outcome, Trigger};
use subak_testkit::peek;

use crate::hands::Hands;
use crate::world::World;

const PAST: &str = "
dag_id: past
tasks:
  a: {operator: noop, depends_on_past: true}
  b: {operator: noop, depends_on: [a]}
";

const DOWNSTREAM: &str = "
dag_id: downstream
tasks:
  a: {operator: noop, wait_for_downstream: true}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
";

fn day(day: u32) -> DateTime<Utc> {
    format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
}

async fn run_of(world: &World, dag: &str, date: DateTime<Utc>) -> anyhow::Result<RunKey> {
    let manual = Trigger::manual(DagId::from(dag), "test", Value::Null);
    let trigger = Trigger { logical_date: Some(date), run_after: Some(date), ..manual };
    Ok(world.engine.run_trigger(trigger).await?.run)
}

/// Waits for a task of this run.
async fn given(hands: &mut Hands, task: &str, run: RunKey) -> crate::hands::Held {
    let held = hands.given(task).await;
    assert_eq!(held.fence.instance.run, run, "{task}");
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_itself_in_the_run_before() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(PAST).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "past", day(1)).await?;
    let second = run_of(&other, "past", day(2)).await?;
    let third = run_of(&world, "past", day(3)).await?;
    let a = given(&mut hands, "a", first).await;
    hands.end_at(&other.engine, &a, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(first).await?, "failed");

    // A failure holds the next run up, until it is cleared and succeeds; a skip would do, too.
    world.engine.tasks_clear(first, None).await?;
    let a = given(&mut hands, "a", first).await;
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&a, Outcome::Success).await;
    let a = given(&mut hands, "a", second).await;
    hands.end(&a, Outcome::Skipped).await;
    let a = given(&mut hands, "a", third).await;
    hands.end(&a, Outcome::Success).await;
    for run in [first, third] {
        let b = hands.given("b").await;
        assert!([first, third].contains(&b.fence.instance.run), "{run}");
        hands.end(&b, Outcome::Success).await;
    }
    for run in [first, second, third] {
        assert_eq!(world.ended(run).await?, "success");
    }
    assert_eq!(peek::waiting_for_past(&world.store).await?, 0);
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_those_right_below_it_in_the_run_before() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DOWNSTREAM).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "downstream", day(1)).await?;
    let second = run_of(&world, "downstream", day(2)).await?;
    for task in ["a", "b"] {
        let held = given(&mut hands, task, first).await;
        assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
        hands.end(&held, Outcome::Success).await;
    }
    // `c` of the first run need not have ended.
    let again = given(&mut hands, "a", second).await;
    let c = given(&mut hands, "c", first).await;
    hands.end(&c, Outcome::Success).await;
    assert_eq!(world.ended(first).await?, "success");
    world.engine.run_cancel(second, "cancelled").await?;
    hands.end(&again, Outcome::Stopped).await;
    assert_eq!(world.ended(second).await?, "failed");

    // Cancelled while it waits: nothing of it starts later.
    let third = run_of(&world, "downstream", day(3)).await?;
    world
        .until("a task to wait", async || Ok(peek::waiting_for_past(&world.store).await? == 1))
        .await?;
    world.engine.run_cancel(third, "cancelled").await?;
    assert_eq!(world.ended(third).await?, "failed");
    assert_eq!(world.states(third).await?, ["a skipped", "b skipped", "c skipped"]);
    assert_eq!(peek::waiting_for_past(&world.store).await?, 0);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_made_late_skips_what_is_below_latest_only() -> anyhow::Result<()> {
    let world = World::new().await?;
    let text = "{dag_id: late, schedule: '@daily', tasks: {newest: {operator: latest_only}, below: {operator: noop, depends_on: [newest]}}}";
    world.dags(text).await?;
    let mut hands = world.hands(1).await?;
    let mut with = Vec::new();
    for (run_type, date) in [
        (RunType::Scheduled, day(1)),
        (RunType::Manual, day(2)),
        (RunType::Scheduled, day(30) + chrono::TimeDelta::days(36_500)),
    ] {
        let manual = Trigger::manual(DagId::from("late"), "test", Value::Null);
        let trigger =
            Trigger { run_type, logical_date: Some(date), run_after: Some(date), ..manual };
        world.engine.run_trigger(trigger).await?;
        let held = hands.given("newest").await;
        with.push(held.with["newest"].clone());
        hands.end_with(&held, Outcome::Success, held.with["newest"].clone()).await;
        if with.last() == Some(&Value::Bool(true)) {
            let below = hands.given("below").await;
            hands.end(&below, Outcome::Success).await;
        }
        assert_eq!(world.ended(held.fence.instance.run).await?, "success");
    }
    assert_eq!(with, [false, true, true]);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dag_is_paused_after_so_many_failed_runs_in_a_row() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags("{dag_id: bad, max_consecutive_failed_dag_runs: 2, tasks: {a: {operator: noop}}}")
        .await?;
    let mut hands = world.hands(1).await?;
    let failed = Outcome::Failed(TryEnd::Permanent);
    for outcome in [failed, Outcome::Success, failed, failed] {
        assert_eq!(peek::pause(&world.store, "bad").await?, (false, None));
        let run = world.trigger("bad").await?;
        let a = hands.given("a").await;
        hands.end(&a, outcome).await;
        world.ended(run).await?;
    }
    world.until("the pause", async || Ok(peek::pause(&world.store, "bad").await?.0)).await?;
    let cause = "its last 2 runs failed (max_consecutive_failed_dag_runs)";
    assert_eq!(peek::pause(&world.store, "bad").await?, (true, Some(cause.to_owned())));
    world.engine.dag_pause(&DagId::from("bad"), false).await?;
    assert_eq!(peek::pause(&world.store, "bad").await?, (false, None));
    world.close().await
}
