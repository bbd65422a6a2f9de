//! What runs of one DAG mean for each other: `depends_on_past`, `wait_for_downstream`, `latest_only`,
//! `max_consecutive_failed_dag_runs`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use subak_core::decide::TryEnd;
use subak_core::ids::{DagId, RunKey};
use subak_core::state::RunType;
use subak_server::engine::{Outcome, Trigger};
use subak_testkit::peek;

use crate::hands::{Hands, Held};
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

const MAP: &str = "
dag_id: map
tasks:
  each: {operator: bash, with: {command: 'true'}, depends_on_past: true, expand: {env: [{N: a}, {N: b}]}}
";

const LIST: &str = "
dag_id: list
tasks:
  list: {operator: noop, wait_for_downstream: true}
  many: {operator: bash, with: {command: 'true'}, expand: {env: \"{{ ti.xcom_pull('list') }}\"}}
";

const GROUP: &str = "
dag_id: group
task_groups: {g: {expand: {x: [a, b]}}}
tasks:
  one: {operator: noop, task_group: g}
  two: {operator: noop, task_group: g, depends_on: [one], depends_on_past: true}
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
async fn given(hands: &mut Hands, task: &str, run: RunKey) -> Held {
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
async fn what_the_run_before_did_not_have_below_does_not_count() -> anyhow::Result<()> {
    let world = World::new().await?;
    let file = |more: &str| {
        let a = "a: {operator: noop, wait_for_downstream: true}";
        format!("{{dag_id: grows, tasks: {{{a}, b: {{operator: noop, depends_on: [a]}}{more}}}}}")
    };
    world.dags(&file("")).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "grows", day(1)).await?;
    world.dags(&file(", c: {operator: noop, depends_on: [a]}")).await?;
    let second = run_of(&world, "grows", day(2)).await?;
    for task in ["a", "b"] {
        let held = given(&mut hands, task, first).await;
        assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
        hands.end(&held, Outcome::Success).await;
    }
    let held = given(&mut hands, "a", second).await;
    hands.end(&held, Outcome::Success).await;
    world.engine.run_cancel(second, "cancelled").await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_own_version_waits_for_nobody_is_waited_for() -> anyhow::Result<()> {
    let world = World::new().await?;
    let file = |past: &str| format!("{{dag_id: turns, tasks: {{a: {{operator: noop{past}}}}}}}");
    world.dags(&file("")).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "turns", day(1)).await?;
    let a = given(&mut hands, "a", first).await;
    world.dags(&file(", depends_on_past: true")).await?;
    let second = run_of(&world, "turns", day(2)).await?;
    let third = run_of(&world, "turns", day(3)).await?;
    waiting(&world, 2).await?;
    hands.end(&a, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(first).await?, "failed");
    world.engine.tasks_clear(first, None).await?;
    let a = given(&mut hands, "a", first).await;
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&a, Outcome::Success).await;
    let a = given(&mut hands, "a", second).await;
    hands.end(&a, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(second).await?, "failed");
    waiting(&world, 1).await?;

    // Retention drops what it waits for: nothing is before it any more.
    world.store.day_drop(peek::now(&world.store).await?.date_naive()).await?;
    let a = given(&mut hands, "a", third).await;
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(third).await?, "success");
    assert_eq!(peek::waiting_for_past(&world.store).await?, 0);
    world.close().await
}

/// Waits until so many tasks wait for the run before.
async fn waiting(world: &World, count: i64) -> anyhow::Result<()> {
    let waits = async || Ok(peek::waiting_for_past(&world.store).await? == count);
    world.until("tasks to wait", waits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancel_skips_holds_nothing_up() -> anyhow::Result<()> {
    let world = World::new().await?;
    let below = "a: {operator: noop, depends_on: [up], depends_on_past: true}";
    world.dags(&format!("{{dag_id: below, tasks: {{up: {{operator: noop}}, {below}}}}}")).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "below", day(1)).await?;
    let up = given(&mut hands, "up", first).await;
    let second = run_of(&world, "below", day(2)).await?;
    let other = given(&mut hands, "up", second).await;
    hands.end(&other, Outcome::Success).await;
    waiting(&world, 1).await?;
    world.engine.run_cancel(first, "cancelled").await?;
    hands.end(&up, Outcome::Stopped).await;
    assert_eq!(world.ended(first).await?, "failed");
    let a = given(&mut hands, "a", second).await;
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(second).await?, "success");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_task_waits_for_all_of_its_instances() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MAP).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "map", day(1)).await?;
    let second = run_of(&world, "map", day(2)).await?;
    let good = given(&mut hands, "each", first).await;
    let bad = given(&mut hands, "each", first).await;
    waiting(&world, 1).await?;
    hands.end(&good, Outcome::Success).await;
    hands.end(&bad, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(first).await?, "failed");

    // The instance that failed holds it up, until it is cleared and succeeds.
    let clear = async |run: RunKey, held: &Held| {
        let at = held.fence.instance.instance();
        world.engine.instances_clear(run, &[at], false).await.map(drop)
    };
    clear(first, &bad).await?;
    let again = given(&mut hands, "each", first).await;
    assert_eq!(again.fence.instance.map_index, bad.fence.instance.map_index);
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&again, Outcome::Success).await;
    for _ in 0..2 {
        let each = given(&mut hands, "each", second).await;
        hands.end(&each, Outcome::Success).await;
    }
    assert_eq!(world.ended(second).await?, "success");

    // A cleared instance waits again.
    clear(first, &bad).await?;
    let again = given(&mut hands, "each", first).await;
    clear(second, &bad).await?;
    waiting(&world, 1).await?;
    clear(second, &good).await?;
    waiting(&world, 1).await?;
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&again, Outcome::Success).await;
    for _ in 0..2 {
        let each = given(&mut hands, "each", second).await;
        hands.end(&each, Outcome::Success).await;
    }
    assert_eq!(world.ended(second).await?, "success");
    assert_eq!(peek::waiting_for_past(&world.store).await?, 0);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_the_instances_below_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(LIST).await?;
    let mut hands = world.hands(4).await?;
    let first = run_of(&world, "list", day(1)).await?;
    let list = given(&mut hands, "list", first).await;
    hands.end_with(&list, Outcome::Success, json!([{"N": "0"}, {"N": "1"}, {"N": "2"}])).await;
    let second = run_of(&world, "list", day(2)).await?;
    waiting(&world, 1).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(given(&mut hands, "many", first).await);
    }
    for many in &held {
        assert_eq!(peek::waiting_for_past(&world.store).await?, 1);
        hands.end(many, Outcome::Success).await;
    }
    assert_eq!(world.ended(first).await?, "success");
    let list = given(&mut hands, "list", second).await;
    hands.end_with(&list, Outcome::Success, json!([])).await;
    // Nothing to map over is a skip, and that is good.
    assert_eq!(world.ended(second).await?, "success");
    let third = run_of(&world, "list", day(3)).await?;
    let list = given(&mut hands, "list", third).await;
    hands.end_with(&list, Outcome::Success, json!([])).await;
    assert_eq!(world.ended(third).await?, "success");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_a_mapped_group_wait_index_by_index() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(GROUP).await?;
    let mut hands = world.hands(8).await?;
    let first = run_of(&world, "group", day(1)).await?;
    let second = run_of(&world, "group", day(2)).await?;
    for _ in 0..4 {
        let one = hands.given("g.one").await;
        hands.end(&one, Outcome::Success).await;
    }
    let zero = given(&mut hands, "g.two", first).await;
    let one = given(&mut hands, "g.two", first).await;
    waiting(&world, 2).await?;
    hands.end(&zero, Outcome::Success).await;
    waiting(&world, 2).await?;
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&one, Outcome::Success).await;
    for _ in 0..2 {
        let two = given(&mut hands, "g.two", second).await;
        hands.end(&two, Outcome::Success).await;
    }
    for run in [first, second] {
        assert_eq!(world.ended(run).await?, "success");
    }
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
