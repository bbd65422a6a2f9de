//! Chains, joins, retries, limits: what every run consists of.

use subak_core::decide::TryEnd;
use subak_server::engine::Outcome;
use subak_testkit::peek;

use crate::world::{World, work};

const CHAIN: &str = "
dag_id: chain
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [b]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_runs_to_its_end() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    work(world.worker(2).await?, |_, _| Outcome::Success);
    let run = world.trigger("chain").await?;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, ["a success", "b success", "c success"]);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_reaches_everything_below_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: diamond
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a]}
  c: {operator: noop, depends_on: [a]}
  d: {operator: noop, depends_on: [b, c]}
  e: {operator: empty, depends_on: [d]}
  f: {operator: noop, depends_on: [b, c], trigger_rule: one_success}
",
        )
        .await?;
    work(world.worker(2).await?, |task, _| match task {
        "b" => Outcome::Failed(TryEnd::Permanent),
        _ => Outcome::Success,
    });
    let run = world.trigger("diamond").await?;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(
        world.states(run).await?,
        [
            "a success",
            "b failed",
            "c success",
            "d upstream_failed",
            "e upstream_failed",
            "f success"
        ]
    );
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_try_is_followed_by_another() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags("{dag_id: retry, tasks: {a: {operator: noop, retries: 2, retry_delay: 0.05}}}")
        .await?;
    work(world.worker(1).await?, |_, number| match number {
        3 => Outcome::Success,
        _ => Outcome::Failed(TryEnd::Transient),
    });
    let run = world.trigger("retry").await?;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(
        peek::history(&world.store, run).await?,
        ["a#1 up_for_retry", "a#2 up_for_retry", "a#3 success"]
    );
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_dag_keeps_to_its_limit_and_finishes() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut text = "dag_id: wide\nmax_active_tasks: 7\ntasks:\n  a: {operator: noop}\n".to_owned();
    for n in 0..200 {
        text += &format!("  m{n}: {{operator: noop, depends_on: [a]}}\n");
    }
    let middle: Vec<String> = (0..200).map(|n| format!("m{n}")).collect();
    text += &format!("  z: {{operator: noop, depends_on: [{}]}}\n", middle.join(", "));
    world.dags(&text).await?;
    work(world.worker(3).await?, |_, _| Outcome::Success);
    work(world.worker(9).await?, |_, _| Outcome::Success);
    let run = world.trigger("wide").await?;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?.len(), 202);
    let left = peek::left_behind(&world.store).await?;
    assert_eq!(left, (0, 0), "nothing is left behind");
    world.close().await
}
