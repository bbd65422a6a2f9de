//! Cancels: nothing of the run starts after it, whatever its tasks were at.

use subak_core::decide::TryEnd;
use subak_server::engine::{Answer, CancelError, Outcome};
use subak_testkit::peek;

use crate::world::World;

const MIXED: &str = "
dag_id: mixed
tasks:
  a: {operator: noop, retries: 1, retry_delay: 3600, priority_weight: 10}
  b: {operator: noop}
  c: {operator: noop}
  d: {operator: noop}
  e: {operator: noop, depends_on: [b]}
  f: {operator: noop, depends_on: [c, d], trigger_rule: all_done}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_skips_what_does_not_run_and_stops_what_does() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MIXED).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("mixed").await?;
    let a = hands.given("a").await;
    assert_eq!(hands.end(&a, Outcome::Failed(TryEnd::Transient)).await, Answer::Accepted);
    let b = hands.given("b").await;
    world.live(run, &["a up_for_retry", "b running", "c queued", "d queued"]).await?;

    for _ in 0..2 {
        world.engine.run_cancel(run, "cancelled").await?;
    }
    assert_eq!(hands.stopped(&b).await, "cancelled");
    assert_eq!(peek::live_tasks(&world.store, run).await?, ["b running"]);
    assert_eq!(peek::run_state(&world.store, run).await?, "running");
    assert_eq!(
        world.states(run).await?,
        ["a skipped", "c skipped", "d skipped", "e skipped", "f skipped"]
    );

    for _ in 0..2 {
        assert_eq!(hands.end(&b, Outcome::Stopped).await, Answer::Accepted);
    }
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(
        world.states(run).await?,
        ["a skipped", "b failed", "c skipped", "d skipped", "e skipped", "f skipped"]
    );
    let again = world.engine.run_cancel(run, "cancelled").await;
    assert!(matches!(again, Err(CancelError::Ended(_))), "{again:?}");
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_succeeds_after_the_cancel_starts_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MIXED).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("mixed").await?;
    let a = hands.given("a").await;
    world.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(hands.end(&a, Outcome::Success).await, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "failed", "a cancelled run is not a success");
    assert_eq!(
        world.states(run).await?,
        ["a success", "b skipped", "c skipped", "d skipped", "e skipped", "f skipped"]
    );
    assert!(hands.unasked().is_empty());
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_its_turn_is_cancelled_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: one, max_active_runs: 1, tasks: {a: {operator: noop}}}").await?;
    let first = world.trigger("one").await?;
    let second = world.trigger("one").await?;
    assert_eq!(peek::run_state(&world.store, second).await?, "queued");
    world.engine.run_cancel(second, "cancelled").await?;
    assert_eq!(peek::run_state(&world.store, second).await?, "failed");
    assert_eq!(world.states(second).await?, ["a skipped"]);
    // Its place in the queue is free: the next one starts when the first has ended.
    let third = world.trigger("one").await?;
    world.engine.run_cancel(first, "cancelled").await?;
    let mut hands = world.hands(1).await?;
    let a = hands.given("a").await;
    assert_eq!(a.fence.instance.run, third);
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(third).await?, "success");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_behind_another_server_is_stopped_too() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MIXED).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("mixed").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    let other = world.other("two").await?;
    other.engine.tasks_clear(run, Some(&[a.fence.instance.task])).await?;
    assert_eq!(hands.stopped(&a).await, "cleared");
    other.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(hands.stopped(&b).await, "cancelled");
    for held in [a, b] {
        hands.end(&held, Outcome::Stopped).await;
    }
    assert_eq!(world.ended(run).await?, "failed");
    other.close().await?;
    world.close().await
}

const TEARDOWN: &str = "
dag_id: teardown
tasks:
  make: {operator: noop, setup: true}
  use: {operator: noop, depends_on: [make]}
  later: {operator: noop, depends_on: [use]}
  drop: {operator: noop, depends_on: [later], teardown: {setups: [make]}, retries: 1, retry_delay: 0}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teardowns_of_setups_that_ran_go_on_after_a_cancel() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(TEARDOWN).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("teardown").await?;
    let make = hands.given("make").await;
    hands.end(&make, Outcome::Success).await;
    let using = hands.given("use").await;
    world.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(hands.stopped(&using).await, "cancelled");
    // It waits for what is still in use.
    world.live(run, &["use running"]).await?;
    hands.end(&using, Outcome::Stopped).await;
    let first = hands.given("drop").await;
    for _ in 0..2 {
        world.engine.run_cancel(run, "cancelled").await?;
    }
    hands.end(&first, Outcome::Failed(TryEnd::Transient)).await;
    let second = hands.given("drop").await;
    assert_eq!(second.number, 2);
    hands.end(&second, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(
        world.states(run).await?,
        ["drop success", "later skipped", "make success", "use failed"]
    );
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_teardown_whose_setup_never_ran_is_skipped_by_a_cancel() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(TEARDOWN).await?;
    let run = world.trigger("teardown").await?;
    world.live(run, &["make queued"]).await?;
    world.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(
        world.states(run).await?,
        ["drop skipped", "later skipped", "make skipped", "use skipped"]
    );
    world.close().await
}
