//! What time does: retries with their delays, deadlines of runs, timeouts of tries.

use subak_core::decide::TryEnd;
use subak_core::ids::DagId;
use subak_core::state::RunState;
use subak_server::engine::{Answer, Engine, Outcome, Trigger};
use subak_testkit::{peek, poke, sinks};

use crate::world::{World, key};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_asked_for_later_waits_for_its_time_and_holds_nobody_up() -> anyhow::Result<()>
{
    let world = World::new().await?;
    world.dags("{dag_id: later, max_active_runs: 1, tasks: {a: {operator: noop}}}").await?;
    let mut hands = world.hands(2).await?;
    let now = peek::now(&world.store).await?;
    let asked = async |hours: i64| {
        let manual = Trigger::manual(DagId::from("later"), "test", serde_json::Value::Null);
        let run_after = Some(now + chrono::TimeDelta::hours(hours));
        let asked = world.engine.run_trigger(Trigger { run_after, ..manual }).await?;
        anyhow::ensure!(asked.state == RunState::Queued, "{asked:?}");
        anyhow::Ok(asked.run)
    };
    let (later, never) = (asked(1).await?, asked(2).await?);
    let at_once = world.trigger("later").await?;
    let a = hands.given("a").await;
    assert_eq!(a.fence.instance.run, at_once);

    // One that is cancelled before its time was never counted.
    world.engine.run_cancel(never, "cancelled").await?;
    assert_eq!(world.ended(never).await?, "failed");
    // Once it is due it waits for its turn, as others do.
    poke::due_after(&world.store, later, 0.2).await?;
    world.engine.timers_wake();
    let loads = "SELECT runs_active || ' ' || runs_queued FROM dag_load";
    let is = async |load: &str| {
        anyhow::Ok(peek::text(&world.store, loads).await?.as_deref() == Some(load))
    };
    world.until("its turn to count", async || is("1 1").await).await?;
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end(&a, Outcome::Success).await;
    let a = hands.given("a").await;
    assert_eq!(a.fence.instance.run, later);
    hands.end(&a, Outcome::Success).await;
    assert_eq!(world.ended(later).await?, "success");
    assert!(is("0 0").await?);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_leaves_servers_hear_of() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut web = sinks::web().await?;
    let hook = serde_json::json!({"conn_type": "webhook",
        "host": format!("http://127.0.0.1:{}/hook", web.port())});
    world.store.connection_put(&key(), "hook", "webhook", None, &hook).await?;
    world
        .dags(
            "{dag_id: short, dagrun_timeout: 50ms, tasks: {a: {operator: noop}}}
---
{dag_id: told, on_success: {connection: hook}, tasks: {a: {operator: empty}}}
",
        )
        .await?;
    world.beating().await?;
    let (stop, mut tasks) = (world.stop.child_token(), tokio::task::JoinSet::new());
    let command = Engine::start_for_command(world.store.clone(), &mut tasks, stop).await?;
    let trigger = async |dag: &str| {
        let trigger = Trigger::manual(DagId::from(dag), "test", serde_json::Value::Null);
        anyhow::Ok(command.run_trigger(trigger).await?.run)
    };
    let began = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(world.ended(trigger("short").await?).await?, "failed");
    }
    // A timer that nobody hears of is found within five seconds, a notice within thirty.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    trigger("told").await?;
    web.next().await?;
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    world.close().await
}
