//! Fairness between runs: what waits takes turns, whatever a run brings along.

use std::collections::BTreeMap;

use subak_core::ids::RunKey;
use subak_server::engine::Outcome;
use subak_testkit::peek;

use crate::hands::{Hands, Held};
use crate::world::World;

/// Instances of the large map.
const LARGE: usize = 10_000;

fn map_of(name: &str, count: usize, active: usize, more: &str) -> String {
    let items: Vec<String> = (0..count).map(|n| format!("{{N: '{n}'}}")).collect();
    format!(
        "dag_id: {name}\nmax_active_tasks: {active}\ntasks:\n  \
         {name}: {{operator: bash, with: {{command: \"true\"}}, expand: {{env: [{}]}}{more}}}\n",
        items.join(", ")
    )
}

/// A task below a map: neither says anything about weights.
const BELOW: &str = "  below: {operator: noop, depends_on: [large]}\n";

/// Three tasks that run one after another.
const SMALL: &str = "
dag_id: small
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
";

/// Ends what it holds, one after another, until the run has ended; returns how many tries others were
/// given meanwhile.
async fn work_until_ended(
    world: &World,
    hands: &mut Hands,
    held: &mut Vec<Held>,
    run: RunKey,
    tasks: &[&str],
) -> anyhow::Result<usize> {
    let mut others = 0;
    while peek::run_state(&world.store, run).await? == "running" {
        let first = held.remove(0);
        hands.end(&first, Outcome::Success).await;
        let (_, next) = hands.first(tasks).await;
        others += usize::from(next.fence.instance.run != run);
        held.push(next);
    }
    Ok(others)
}

/// Waits until all instances of a map are ready or run.
async fn made(world: &World, run: RunKey, count: usize) -> anyhow::Result<()> {
    world
        .until("the instances", async || {
            Ok(peek::live_tasks(&world.store, run).await?.len() == count)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_ten_thousand_does_not_starve_a_later_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&(map_of("large", LARGE, LARGE, "") + BELOW)).await?;
    world.dags(SMALL).await?;
    let mut hands = world.hands(2).await?;
    let large = world.trigger("large").await?;
    let mut held = vec![hands.given("large").await, hands.given("large").await];
    made(&world, large, LARGE).await?;
    for _ in 0..10 {
        hands.end(&held.remove(0), Outcome::Success).await;
        held.push(hands.given("large").await);
    }
    let small = world.trigger("small").await?;
    let tasks = ["large", "a", "b", "c"];
    let others = work_until_ended(&world, &mut hands, &mut held, small, &tasks).await?;
    assert!(others <= 12, "{others} of the map came before the end of the small run");
    assert_eq!(peek::run_state(&world.store, small).await?, "success");
    world.engine.run_cancel(large, "cancelled").await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_does_not_starve_a_later_run_of_its_pool() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 2, None, None).await?;
    world.dags(&(map_of("large", 500, 500, ", pool: narrow") + BELOW)).await?;
    world.dags(&format!("default_args: {{pool: narrow}}{SMALL}")).await?;
    let mut hands = world.hands(8).await?;
    let large = world.trigger("large").await?;
    let mut held = vec![hands.given("large").await, hands.given("large").await];
    made(&world, large, 500).await?;
    let small = world.trigger("small").await?;
    let tasks = ["large", "a", "b", "c"];
    let others = work_until_ended(&world, &mut hands, &mut held, small, &tasks).await?;
    assert!(others <= 12, "{others} of the map came before the end of the small run");
    assert_eq!(peek::pool(&world.store, "narrow").await?.1, 2);
    world.engine.run_cancel(large, "cancelled").await?;
    world.close().await
}

/// A wide map and a narrow one, which is topped up as its instances end, get as much of the slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_maps_share_the_slots() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&map_of("wide", 1_000, 1_000, "")).await?;
    world.dags(&map_of("narrow", 1_000, 8, "")).await?;
    let mut hands = world.hands(2).await?;
    let wide = world.trigger("wide").await?;
    let mut held = vec![hands.given("wide").await, hands.given("wide").await];
    made(&world, wide, 1_000).await?;
    let narrow = world.trigger("narrow").await?;
    made(&world, narrow, 8).await?;
    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..100 {
        hands.end(&held.remove(0), Outcome::Success).await;
        let (task, next) = hands.first(&["wide", "narrow"]).await;
        *given.entry(task).or_default() += 1;
        held.push(next);
    }
    assert!(given.values().all(|count| (35..=65).contains(count)), "{given:?}");
    for run in [wide, narrow] {
        world.engine.run_cancel(run, "cancelled").await?;
    }
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equals_come_in_their_order_and_the_heavier_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: one, tasks: {x: {operator: noop}}}").await?;
    world.dags("{dag_id: heavy, tasks: {x: {operator: noop, priority_weight: 3}}}").await?;
    // It says no more than what Airflow does by default: a task counts what is below it.
    let chain = "up: {operator: noop}, down: {operator: noop, depends_on: [up]}";
    let rule = "default_args: {weight_rule: downstream}";
    world.dags(&format!("{{dag_id: chain, {rule}, tasks: {{{chain}}}}}")).await?;
    world.dags(&(map_of("large", 50, 50, "") + BELOW)).await?;
    let large = world.trigger("large").await?;
    made(&world, large, 50).await?;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(world.trigger("one").await?);
    }
    world.trigger("chain").await?;
    let heavy = world.trigger("heavy").await?;
    let mut hands = world.hands(1).await?;
    let all = ["x", "large", "up", "down"];
    let (task, first) = hands.first(&all).await;
    assert_eq!(
        (&*task, first.fence.instance.run),
        ("x", heavy),
        "the heaviest, though it came last"
    );
    hands.end(&first, Outcome::Success).await;
    let (task, second) = hands.first(&all).await;
    assert_eq!(task, "up", "a weight that is written goes before turns");
    hands.end(&second, Outcome::Success).await;
    let mut order = Vec::new();
    while order.len() < runs.len() {
        let (task, next) = hands.first(&all).await;
        hands.end(&next, Outcome::Success).await;
        if task == "x" {
            order.push(next.fence.instance.run);
        }
    }
    assert_eq!(order, runs);
    world.engine.run_cancel(large, "cancelled").await?;
    world.close().await
}
