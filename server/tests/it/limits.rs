//! `max_active_runs`, and DAGs that are paused.

use subak_core::ids::{DagId, RunKey};
use subak_server::engine::Outcome;
use subak_testkit::peek;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_runs_are_active_than_allowed_and_the_oldest_starts_next() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: two, max_active_runs: 2, tasks: {a: {operator: noop}}}").await?;
    let other = world.other("two").await?;
    let mut runs: Vec<RunKey> = Vec::new();
    for engine in [&world, &other, &world, &other, &world] {
        runs.push(engine.trigger("two").await?);
    }
    let mut hands = world.hands(4).await?;
    let mut held = vec![hands.given("a").await, hands.given("a").await];
    for next in 2..5 {
        let states = states(&world, &runs).await?;
        assert_eq!(states.iter().filter(|state| *state == "running").count(), 2, "{states:?}");
        assert!(hands.unasked().is_empty());
        let ended = held.remove(0);
        hands.end(&ended, Outcome::Success).await;
        held.push(hands.given("a").await);
        assert_eq!(held[1].fence.instance.run, runs[next], "the oldest comes next");
    }
    for held in held {
        hands.end(&held, Outcome::Success).await;
    }
    for run in runs {
        assert_eq!(world.ended(run).await?, "success");
    }
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_paused_dag_wait_until_it_goes_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "{dag_id: paused, tasks: {a: {operator: noop}, b: {operator: noop, depends_on: [a]}}}",
        )
        .await?;
    let mut hands = world.hands(2).await?;
    let dag = DagId::from("paused");
    let before = world.trigger("paused").await?;
    let a = hands.given("a").await;
    for _ in 0..2 {
        assert!(world.engine.dag_pause(&dag, true).await?);
    }
    let after = world.trigger("paused").await?;
    assert_eq!(states(&world, &[before, after]).await?, ["running", "queued"]);
    // What runs goes on to its end, and nothing comes after it.
    hands.end(&a, Outcome::Success).await;
    world.live(before, &["b scheduled"]).await?;
    assert_eq!(states(&world, &[before, after]).await?, ["running", "queued"]);
    for _ in 0..2 {
        assert!(world.engine.dag_pause(&dag, false).await?);
    }
    let b = hands.given("b").await;
    assert_eq!(b.fence.instance.run, before);
    hands.end(&b, Outcome::Success).await;
    assert_eq!(world.ended(before).await?, "success");
    for task in ["a", "b"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(after).await?, "success");
    assert!(!world.engine.dag_pause(&DagId::from("none"), true).await?);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_waits_for_a_worker_of_its_queue_while_others_are_free() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: queues
tasks:
  a: {operator: noop, queue: left}
  b: {operator: noop, queue: right}
  c: {operator: noop, queue: left, depends_on: [b]}
",
        )
        .await?;
    let (mut left, mut right) =
        (world.hands_of("left", 1).await?, world.hands_of("right", 1).await?);
    let run = world.trigger("queues").await?;
    let a = left.given("a").await;
    let b = right.given("b").await;
    right.end(&b, Outcome::Success).await;
    world.live(run, &["a running", "c queued"]).await?;
    left.end(&a, Outcome::Success).await;
    let c = left.given("c").await;
    left.end(&c, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    assert!(left.unasked().is_empty() && right.unasked().is_empty());
    world.close().await
}

async fn states(world: &World, runs: &[RunKey]) -> anyhow::Result<Vec<String>> {
    let mut states = Vec::new();
    for run in runs {
        states.push(peek::run_state(&world.store, *run).await?);
    }
    Ok(states)
}
