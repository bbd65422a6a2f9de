//! Pools: never fuller than they may be, whoever frees them, and nothing waits while there is room.

use serde_json::Value;
use subak_core::decide::TryEnd;
use subak_core::ids::DagId;
use subak_server::engine::{Outcome, PoolError, Trigger};
use subak_testkit::{peek, poke};

use crate::explain::waits;
use crate::world::World;

const FOUR: &str = "
dag_id: four
default_args: {pool: narrow}
tasks:
  a: {operator: noop, priority_weight: 4, retries: 1, retry_delay: 0}
  b: {operator: noop, priority_weight: 3}
  c: {operator: noop, priority_weight: 2, pool_slots: 2}
  d: {operator: noop, priority_weight: 1}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_never_fuller_than_it_may_be() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 2, None, Some("two at once")).await?;
    world.dags(FOUR).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(8).await?;
    let run = world.trigger("four").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    world.live(run, &["a running", "b running", "c scheduled", "d scheduled"]).await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 3));

    // A slot is taken away while both are used: what runs goes on, and nothing takes its place.
    world.engine.pool_put("narrow", 1, None, None).await?;
    hands.end_at(&other.engine, &b, Outcome::Success).await;
    world.live(run, &["a running", "c scheduled", "d scheduled"]).await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (1, 1, 3));
    world.engine.pool_put("narrow", 2, None, None).await?;
    // One slot is too few for `c`; `d` takes it, though it is lighter.
    let d = hands.given("d").await;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 2));
    // A try that failed gives its slot up, and asks for one again.
    hands.end(&d, Outcome::Success).await;
    hands.end(&a, Outcome::Failed(TryEnd::Transient)).await;
    let mut next = hands.first(&["a", "c"]).await;
    while next.0 == "a" {
        hands.end(&next.1, Outcome::Success).await;
        next = hands.first(&["a", "c"]).await;
    }
    hands.end(&next.1, Outcome::Success).await;
    if world.states(run).await?.len() < 4 {
        let a = hands.given("a").await;
        hands.end(&a, Outcome::Success).await;
    }
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 0, 0));
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_made_or_widened_lets_what_waits_start() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(FOUR).await?;
    let mut hands = world.hands(8).await?;
    let run = world.trigger("four").await?;
    let waiting = ["a scheduled", "b scheduled", "c scheduled", "d scheduled"];
    world.live(run, &waiting).await?;
    let other = world.other("two").await?;
    other.engine.pool_put("narrow", 1, None, None).await?;
    let a = hands.given("a").await;
    assert_eq!(hands.unasked(), [""; 0]);
    let removed = world.engine.pool_remove("narrow").await;
    assert!(matches!(removed, Err(PoolError::InUse { tasks: 4, .. })), "{removed:?}");
    other.engine.pool_put("narrow", -1, None, None).await?;
    for task in ["b", "c", "d"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    world.engine.pool_remove("narrow").await?;
    let removed = world.engine.pool_remove("narrow").await;
    assert!(matches!(removed, Err(PoolError::NotFound(_))), "{removed:?}");
    other.close().await?;
    world.close().await
}

const BOTH: &str = "
dag_id: both
default_args: {pool: narrow}
tasks:
  a: {operator: noop, priority_weight: 2, max_active_tis_per_dag: 1}
  b: {operator: noop}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_its_pool_and_its_own_limit_and_holds_neither() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 2, None, None).await?;
    world.dags(BOTH).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(8).await?;
    let first = world.trigger("both").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    let trigger = Trigger::manual(DagId::from("both"), "test", Value::Null);
    let second = other.engine.run_trigger(trigger).await?.run;
    world.live(second, &["a scheduled", "b scheduled"]).await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 2));

    // The pool has room for `a`, its own limit has not: it takes nothing, and `b` goes on before it.
    hands.end_at(&other.engine, &b, Outcome::Success).await;
    let b = hands.given("b").await;
    assert_eq!(b.fence.instance.run, second);
    world.live(second, &["a scheduled", "b running"]).await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 1));
    let limit = "max_active_tis_per_dag: 1 of 1 instances of the task are active";
    waits(&world, second, "a", limit).await?;
    // Its limit has room, and the pool, too.
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(first).await?, "success");
    let a = hands.given("a").await;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 0));
    assert_eq!(peek::pool(&world.store, "both\u{1f}a").await?, (1, 1, 0));

    // Its limit has room, the pool has not.
    let trigger = Trigger::manual(DagId::from("both"), "test", Value::Null);
    let third = other.engine.run_trigger(trigger).await?.run;
    world.engine.pool_put("narrow", 1, None, None).await?;
    hands.end(&a, Outcome::Success).await;
    world.live(third, &["a scheduled", "b scheduled"]).await?;
    assert_eq!(peek::pool(&world.store, "both\u{1f}a").await?, (1, 0, 0));
    waits(&world, third, "a", "pool `narrow`: 1 of 1 slots are taken").await?;
    world.engine.run_cancel(third, "cancelled").await?;
    hands.end(&b, Outcome::Success).await;
    assert_eq!(world.ended(second).await?, "success");
    for pool in ["narrow", "both\u{1f}a"] {
        assert_eq!(peek::pool(&world.store, pool).await?, (1, 0, 0));
    }
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_has_a_limit_of_its_own_in_all_runs() -> anyhow::Result<()> {
    let world = World::new().await?;
    let limited = |most: u32| {
        format!(
            "{{dag_id: own, tasks: {{a: {{operator: noop, pool_slots: 3, max_active_tis_per_dag: {most},
             max_active_tis_per_dagrun: 1}}, b: {{operator: noop}}}}}}"
        )
    };
    world.dags(&limited(1)).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(8).await?;
    let first = world.trigger("own").await?;
    let a = hands.given("a").await;
    let mut runs = vec![first];
    for engine in [&world.engine, &other.engine, &other.engine] {
        let trigger = Trigger::manual(DagId::from("own"), "test", Value::Null);
        runs.push(engine.run_trigger(trigger).await?.run);
    }
    for _ in &runs {
        let b = hands.given("b").await;
        hands.end(&b, Outcome::Success).await;
    }
    for run in &runs {
        let state = if *run == first { "a running" } else { "a scheduled" };
        world.live(*run, &[state]).await?;
    }
    assert_eq!(hands.unasked(), [""; 0]);
    assert_eq!(peek::pool(&world.store, "own\u{1f}a").await?, (1, 1, 3));
    assert_eq!(world.store.pools().await?, [], "nobody made it");

    // One after another, by whichever server the end comes.
    hands.end_at(&other.engine, &a, Outcome::Success).await;
    let second = hands.given("a").await;
    assert_eq!(hands.unasked(), [""; 0]);
    // A new version counts for runs of the old one as well.
    world.dags(&limited(3)).await?;
    for held in [second, hands.given("a").await, hands.given("a").await] {
        hands.end(&held, Outcome::Success).await;
    }
    for run in runs {
        assert_eq!(world.ended(run).await?, "success");
    }
    assert_eq!(peek::pool(&world.store, "own\u{1f}a").await?, (3, 0, 0));
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_a_clear_give_slots_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 2, None, None).await?;
    world.dags(FOUR).await?;
    // Without a worker slots are held by what is ready.
    let first = world.trigger("four").await?;
    world.live(first, &["a queued", "b queued", "c scheduled", "d scheduled"]).await?;
    let second = world.trigger("four").await?;
    world.engine.run_cancel(first, "cancelled").await?;
    world.live(second, &["a queued", "b queued", "c scheduled", "d scheduled"]).await?;
    world.engine.tasks_clear(second, None).await?;
    world.live(second, &["a queued", "b queued", "c scheduled", "d scheduled"]).await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 2, 3));
    // A count that is wrong is put right.
    poke::pool_used(&world.store, "narrow", 1).await?;
    world.until("the count", async || Ok(peek::pool(&world.store, "narrow").await?.1 == 2)).await?;
    world.engine.run_cancel(second, "cancelled").await?;
    assert_eq!(peek::pool(&world.store, "narrow").await?, (2, 0, 0));
    world.close().await
}
