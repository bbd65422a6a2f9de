//! What time does: retries with their delays, deadlines of runs, timeouts of tries.

use subak_core::decide::TryEnd;
use subak_server::engine::{Answer, Outcome};
use subak_testkit::{peek, poke};

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_wait_twice_as_long_each_time_with_some_chance() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: backoff
tasks:
  a:
    operator: noop
    retries: 5
    retry_delay: 100
    retry_exponential_backoff: true
    max_retry_delay: 1000
    retry_jitter: 0.5
",
        )
        .await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("backoff").await?;
    for (number, least) in [(1, 100.0), (2, 200.0), (3, 400.0), (4, 800.0), (5, 1000.0)] {
        let held = hands.given("a").await;
        assert_eq!(held.number, number);
        for _ in 0..2 {
            let answer = hands.end(&held, Outcome::Failed(TryEnd::Transient)).await;
            assert_eq!(answer, Answer::Accepted);
        }
        let delay = peek::retry_delay(&world.store, run).await?;
        let most = f64::min(least * 1.5, 1000.0);
        assert!((least..=most).contains(&delay), "try {number}: {delay} s, not {least} to {most}");
        poke::timers_due(&world.store, run).await?;
        world.engine.timers_wake();
    }
    let last = hands.given("a").await;
    hands.end(&last, Outcome::Failed(TryEnd::Transient)).await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(peek::history(&world.store, run).await?.len(), 6);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_too_long_fails() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: slow
dagrun_timeout: 3600
tasks:
  a: {operator: noop, execution_timeout: 7}
  b: {operator: noop, depends_on: [a]}
",
        )
        .await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("slow").await?;
    let a = hands.given("a").await;
    // The worker ends a try that takes too long; the server says what that is.
    assert_eq!(a.timeout_micros, 7_000_000);
    poke::deadline_over(&world.store, run).await?;
    // Two servers see it at once.
    world.engine.timers_wake();
    other.engine.timers_wake();
    assert_eq!(hands.stopped(&a).await, "dagrun_timeout");
    assert_eq!(world.states(run).await?, ["b skipped"]);
    hands.end(&a, Outcome::Stopped).await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a failed", "b skipped"]);
    other.close().await?;
    world.close().await
}
