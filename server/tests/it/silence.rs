//! The network to the database is cut without a word: nobody waits for the operating system to find
//! that out.

use std::time::Duration;

use subak_server::engine::{Answer, Engine, EngineConfig, Outcome, Traces};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::hands::Hands;
use crate::world::{LEASE, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_holds_up_neither_results_nor_leases() -> anyhow::Result<()> {
    let database = subak_testkit::postgres::database().await?;
    let (network, behind) = database.behind_network().await?;
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let answer_within = Duration::from_secs(2);
    let server = "one".to_owned();
    let traces = Traces::default();
    let config = EngineConfig { server, lease: LEASE, keep_days: 30, answer_within, traces };
    let engine = Engine::start(behind, None, config, &mut tasks, stop.clone()).await?;
    // The test itself looks past the network.
    let world = World {
        store: database.store.clone(),
        engine,
        requests: subak_server::Requests::default(),
        stop,
        tasks,
    };
    world
        .dags(
            "
dag_id: silent
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
",
        )
        .await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("silent").await?;
    let a = hands.given("a").await;
    renewed(&world, &hands).await?;
    world.beating().await?;

    // What was connected is silent, in the middle of things; what connects anew is not.
    network.cut();
    assert_eq!(hands.end_at(&world.engine, &a, Outcome::Success).await, Answer::Accepted);
    renewed(&world, &hands).await?;
    let b = hands.given("b").await;

    // For a while nothing answers at all.
    network.down();
    let before = world.engine.last_beat();
    assert_eq!(hands.end(&b, Outcome::Success).await, Answer::Later);
    assert!(hands.renew().await.is_err());
    assert!(world.trigger("silent").await.is_err());
    network.mend();
    assert_eq!(hands.end_at(&world.engine, &b, Outcome::Success).await, Answer::Accepted);
    renewed(&world, &hands).await?;
    world.until("the timers to go round", async || Ok(world.engine.last_beat() > before)).await?;
    let c = hands.given("c").await;
    assert_eq!(hands.end_at(&world.engine, &c, Outcome::Success).await, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    world.trigger("silent").await?;
    world.close().await
}

/// Renews the worker's lease, as often as that takes.
async fn renewed(world: &World, hands: &Hands) -> anyhow::Result<()> {
    world.until("the lease to be renewed", async || Ok(hands.renew().await.unwrap_or(false))).await
}
