//! Cascades that are longer than what one transaction settles: the rest goes through the outbox.

use std::fmt::Write as _;

use subak_core::decide::TryEnd;
use subak_core::ids::RunKey;
use subak_server::engine::{Answer, Outcome};
use subak_testkit::peek;

use crate::world::World;

/// Levels of the chain below the task that fails: three rounds of the outbox.
const LEVELS: usize = 3_500;

fn chain(name: &str) -> String {
    let mut text = format!("dag_id: {name}\ntasks:\n  t0: {{operator: noop}}\n");
    for level in 1..=LEVELS {
        writeln!(text, "  t{level}: {{operator: noop, depends_on: [t{}]}}", level - 1).unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_cascade_reaches_its_end() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&chain("long")).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("long").await?;
    let root = hands.given("t0").await;
    hands.end(&root, Outcome::Failed(TryEnd::Permanent)).await;
    settled(&world, run).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_outlives_the_server_that_began_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&chain("killed")).await?;
    let mut hands = world.hands(1).await?;
    for _ in 0..3 {
        let first = world.other("first").await?;
        let run = world.trigger("killed").await?;
        let root = hands.given("t0").await;
        let answer = hands.end_at(&first.engine, &root, Outcome::Failed(TryEnd::Permanent)).await;
        assert_eq!(answer, Answer::Accepted);
        // Its first part is committed; the rest is anywhere.
        first.kill().await;
        world.engine.freed(&root.fence);
        settled(&world, run).await?;
    }
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_what_is_left_of_a_cascade() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&chain("cancelled")).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("cancelled").await?;
    let root = hands.given("t0").await;
    hands.end(&root, Outcome::Failed(TryEnd::Permanent)).await;
    // Either it had ended by itself, or the rest is skipped.
    let _ = world.engine.run_cancel(run, "cancelled").await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?.len(), LEVELS + 1);
    assert_eq!(peek::outbox(&world.store).await?, 0);
    world.close().await
}

async fn settled(world: &World, run: RunKey) -> anyhow::Result<()> {
    assert_eq!(world.ended(run).await?, "failed");
    let states = world.states(run).await?;
    let below = states.iter().filter(|state| state.ends_with(" upstream_failed")).count();
    assert_eq!((states.len(), below), (LEVELS + 1, LEVELS));
    assert_eq!(peek::outbox(&world.store).await?, 0);
    Ok(())
}
