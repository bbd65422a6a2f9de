//! What is told of a task that waits is what it waits for.

use subak_core::decide::TryEnd;
use subak_core::explain::{Explanation, Outlook, explain};
use subak_core::ids::{DagId, Instance, RunKey};
use subak_server::engine::Outcome;
use subak_store::read::{RunFilter, RunRecord};

use crate::world::World;

const CROWD: &str = "
dag_id: crowd
max_active_tasks: 2
max_active_runs: 1
tasks:
  a: {operator: noop, priority_weight: 50, weight_rule: absolute, retries: 1, retry_delay: 1h}
  b: {operator: noop, priority_weight: 40, weight_rule: absolute, pool: narrow}
  c: {operator: noop, priority_weight: 30, weight_rule: absolute, pool: narrow}
  d: {operator: noop, depends_on: [a, b]}
";

async fn record(world: &World, run: RunKey) -> anyhow::Result<RunRecord> {
    let filter = RunFilter { dag_id: Some("crowd".to_owned()), ..RunFilter::default() };
    let runs = world.store.run_list(&filter, 10, 0).await?.items;
    Ok(runs.into_iter().find(|it| it.run_key == run).unwrap())
}

async fn told(world: &World, run: RunKey, task: &str) -> anyhow::Result<Explanation> {
    let run = record(world, run).await?;
    let version = world.store.version_get(run.dag, run.version).await?.unwrap();
    let plan = version.plan()?;
    let at = Instance::from(plan.number(&task.into()).unwrap());
    let facts = world.store.explain_facts(&run, &plan, at).await?.unwrap();
    Ok(explain(&plan, &facts).unwrap())
}

/// Holds the summary of what a task waits for against its beginning.
async fn waits(world: &World, run: RunKey, task: &str, begins: &str) -> anyhow::Result<()> {
    let told = told(world, run, task).await?;
    assert_eq!(told.outlook, Outlook::Waits, "{told:?}");
    assert!(told.summary.starts_with(begins), "{}", told.summary);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_task_waits_for_is_told() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 1, None, None).await?;
    world.dags(CROWD).await?;
    let run = world.trigger("crowd").await?;
    world.live(run, &["a queued", "b queued", "c scheduled"]).await?;
    waits(
        &world,
        run,
        "b",
        "no worker serves queue `default`: there is no worker at all; 1 waits before it",
    )
    .await?;
    let limit = "max_active_tasks: 2 of 2 tasks of its run are active; nothing waits before it";
    waits(&world, run, "c", limit).await?;
    waits(&world, run, "d", "all_success: waits for 2 of 2 upstreams").await?;

    let mut hands = world.hands(1).await?;
    let a = hands.given("a").await;
    waits(
        &world,
        run,
        "b",
        "waits for a free slot of queue `default`: worker (1 of 1 slots taken)",
    )
    .await?;
    assert_eq!(told(&world, run, "a").await?.outlook, Outlook::Runs);
    hands.end(&a, Outcome::Failed(TryEnd::Transient)).await;
    waits(&world, run, "a", "1 tries failed, 0 retries are left; the next is due at").await?;

    // The place of `a` is given to `c`, which finds its pool taken.
    let b = hands.given("b").await;
    world.live(run, &["a up_for_retry", "b running", "c scheduled"]).await?;
    let run_id = record(&world, run).await?.run_id;
    let full = format!("pool `narrow`: 1 of 1 slots are taken (by b of crowd / {run_id})");
    waits(&world, run, "c", &full).await?;
    hands.end(&b, Outcome::Success).await;
    let c = hands.given("c").await;
    hands.end(&c, Outcome::Success).await;
    world
        .until("the end of c", async || Ok(told(&world, run, "c").await?.outlook == Outlook::Ended))
        .await?;
    waits(&world, run, "d", "all_success: waits for 1 of 2 upstreams").await?;

    // Another run waits for this one, and for its DAG.
    let next = world.trigger("crowd").await?;
    waits(&world, next, "a", "max_active_runs: 1 of 1 runs of the DAG are active").await?;
    world.engine.dag_pause(&DagId::from("crowd"), true).await?;
    waits(&world, next, "a", "the DAG is paused").await?;
    world.engine.run_cancel(run, "cancelled").await?;
    assert_eq!(world.ended(run).await?, "failed");
    let told = told(&world, run, "d").await?;
    assert_eq!(
        (told.outlook, &*told.summary),
        (Outlook::Ended, "ended as skipped: its run was cancelled")
    );
    world.close().await
}
