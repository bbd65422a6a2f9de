//! A paused DAG: what runs goes on, nothing comes after it, and nothing is forgotten.

use subak_core::decide::TryEnd;
use subak_core::ids::RunKey;
use subak_server::engine::Outcome;
use subak_testkit::{peek, poke};

use crate::explain::waits;
use crate::world::World;

const CHAIN: &str = "
dag_id: chain
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
---
dag_id: beside
tasks: {a: {operator: noop}}
";

/// A task that holds a slot of a pool, and one of each kind that may have to wait.
const KINDS: &str = "
dag_id: holder
tasks: {h: {operator: noop, pool: narrow}}
---
dag_id: kinds
max_active_tasks: 4
tasks:
  again: {operator: noop, priority_weight: 9, retries: 1}
  pooled: {operator: noop, priority_weight: 5, pool: narrow}
  each:
    operator: bash
    priority_weight: 2
    with: {command: 'true'}
    expand: {env: [{N: a}, {N: b}, {N: c}]}
";

/// What is told of whatever could start without the pause.
const PAUSED: &str = "the DAG is paused: nothing of its runs starts until it goes on";

/// Waits until the run's live tasks are these, in any order of their instances.
async fn stands(world: &World, run: RunKey, tasks: &[&str]) -> anyhow::Result<()> {
    world
        .until(&format!("{tasks:?}"), async || {
            let mut live = peek::live_tasks(&world.store, run).await?;
            live.sort();
            Ok(live == tasks)
        })
        .await
}

/// Waits until a pause was looked at in all runs.
async fn looked(world: &World) -> anyhow::Result<()> {
    world.until("the look", async || Ok(peek::outbox(&world.store).await? == 0)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_next_waits_for_its_dag_whatever_dies_meanwhile() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("chain").await?;
    let a = hands.given("a").await;
    // Not by the server whose worker has the task.
    assert!(other.engine.dag_pause(&"chain".into(), true).await?);
    hands.end(&a, Outcome::Success).await;
    world.live(run, &["b scheduled"]).await?;
    waits(&world, run, "b", PAUSED).await?;

    // All servers die, and another one comes.
    let store = world.store.clone();
    other.kill().await;
    world.kill().await;
    let world = World::on(store).await?;
    let mut hands = world.hands(2).await?;
    world.beating().await?;
    looked(&world).await?;
    world.live(run, &["b scheduled"]).await?;
    waits(&world, run, "b", PAUSED).await?;

    // Whoever lets it go on dies before anybody is told.
    world.store.dag_pause(&"chain".into(), false).await?;
    for task in ["b", "c"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_instances_and_what_waits_for_a_slot_are_held_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 1, None, None).await?;
    world.dags(KINDS).await?;
    let mut hands = world.hands(3).await?;
    let holder = world.trigger("holder").await?;
    let h = hands.given("h").await;
    let run = world.trigger("kinds").await?;
    let (again, one) = (hands.given("again").await, hands.given("each").await);
    let before = ["again running", "each queued", "each running", "pooled scheduled"];
    stands(&world, run, &before).await?;

    world.engine.dag_pause(&"kinds".into(), true).await?;
    let paused = ["again running", "each running", "each scheduled", "pooled scheduled"];
    stands(&world, run, &paused).await?;
    // Room of each kind comes, and nobody takes it.
    hands.end(&h, Outcome::Success).await;
    assert_eq!(world.ended(holder).await?, "success");
    assert_eq!(peek::pool(&world.store, "narrow").await?, (1, 0, 0));
    hands.end(&one, Outcome::Success).await;
    hands.end(&again, Outcome::Failed(TryEnd::Transient)).await;
    stands(&world, run, &["again up_for_retry", "each scheduled", "pooled scheduled"]).await?;
    poke::timers_due(&world.store, run).await?;
    world.engine.timers_wake();
    stands(&world, run, &["again scheduled", "each scheduled", "pooled scheduled"]).await?;
    waits(&world, run, "again", PAUSED).await?;
    assert_eq!(hands.unasked(), [""; 0]);

    world.engine.dag_pause(&"kinds".into(), false).await?;
    let again = hands.given("again").await;
    assert_eq!(again.number, 2);
    for held in [again, hands.given("pooled").await, hands.given("each").await] {
        hands.end(&held, Outcome::Success).await;
    }
    let last = hands.given("each").await;
    hands.end(&last, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(peek::pool(&world.store, "narrow").await?, (1, 0, 0));
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

/// What it then held back nobody would find: the look is through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_waited_for_a_run_does_not_take_its_dag_for_paused_still() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let (beside, run) = (world.trigger("beside").await?, world.trigger("chain").await?);
    world.live(run, &["a queued"]).await?;
    world.engine.dag_pause(&"chain".into(), true).await?;
    world.live(run, &["a scheduled"]).await?;
    looked(&world).await?;

    let mut holder = world.store.engine_begin().await?;
    holder.runs_lock(&[beside]).await?;
    let mut late = world.store.engine_begin().await?;
    let goes_on = async {
        let stuck = async || anyhow::Ok(peek::waiting_for_locks(&world.store).await? > 0);
        world.until("it to wait for the first run", stuck).await?;
        world.engine.dag_pause(&"chain".into(), false).await?;
        world.live(run, &["a queued"]).await?;
        anyhow::Ok(holder.commit().await?)
    };
    let both = [beside, run];
    let (locked, went_on) = tokio::join!(late.runs_lock(&both), goes_on);
    went_on?;
    let paused: Vec<bool> = locked?.iter().map(|run| run.is_paused).collect();
    assert_eq!(paused, [false, false]);
    drop(late);
    world.close().await
}
