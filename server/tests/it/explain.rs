//! What is told of a task that waits is what it waits for.

use subak_core::decide::TryEnd;
use subak_core::explain::{Explanation, Outlook, explain};
use subak_core::ids::{DagId, Instance, MapIndex, RunKey};
use subak_core::state::RunState;
use subak_server::engine::{Outcome, Trigger};
use subak_store::read::{RunFilter, RunRecord};
use subak_testkit::peek;

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

const MANY: &str = "
dag_id: many
max_active_tasks: 2
tasks:
  each: {operator: bash, with: {command: 'true'}, expand: {env: [{N: a}, {N: b}, {N: c}]}}
  last: {operator: noop, depends_on: [each]}
";

const PAIRS: &str = "
dag_id: pairs
task_groups: {g: {expand: {x: [a, b]}}}
tasks:
  one: {operator: noop, task_group: g}
  two: {operator: noop, task_group: g, depends_on: [one]}
";

const PAST: &str = "
dag_id: past
tasks:
  a: {operator: noop, depends_on_past: true}
  b: {operator: noop, depends_on: [a], wait_for_downstream: true}
  c: {operator: noop, depends_on: [b]}
  each: {operator: bash, with: {command: 'true'}, depends_on_past: true, expand: {env: [{N: a}, {N: b}]}}
";

async fn record(world: &World, run: RunKey) -> anyhow::Result<RunRecord> {
    let runs = world.store.run_list(&RunFilter::default(), 10, 0).await?.items;
    Ok(runs.into_iter().find(|it| it.run_key == run).unwrap())
}

async fn told(world: &World, run: RunKey, task: &str) -> anyhow::Result<Explanation> {
    told_of(world, run, task, MapIndex::NONE).await
}

async fn told_of(
    world: &World,
    run: RunKey,
    task: &str,
    map_index: MapIndex,
) -> anyhow::Result<Explanation> {
    Ok(asked_of(world, run, task, map_index).await?.unwrap())
}

/// `None`: the task has no such instance.
async fn asked_of(
    world: &World,
    run: RunKey,
    task: &str,
    map_index: MapIndex,
) -> anyhow::Result<Option<Explanation>> {
    let run = record(world, run).await?;
    let version = world.store.version_get(run.dag, run.version).await?.unwrap();
    let plan = version.plan()?;
    let at = Instance { task: plan.number(&task.into()).unwrap(), map_index };
    let facts = world.store.explain_facts(&run, &plan, at).await?;
    Ok(facts.and_then(|facts| explain(&plan, &facts)))
}

/// Holds the summary of what a task waits for against its beginning.
pub(crate) async fn waits(
    world: &World,
    run: RunKey,
    task: &str,
    begins: &str,
) -> anyhow::Result<()> {
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
    waits(&world, run, "a", "1 try failed, 0 retries are left; the next is due at").await?;

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

/// What is told of one instance of a mapped task: how it stands, and how what is told begins.
async fn instance(world: &World, run: RunKey, index: i32) -> anyhow::Result<(Outlook, String)> {
    let told = told_of(world, run, "each", MapIndex(index)).await?;
    assert_eq!(told.map_index, MapIndex(index));
    Ok((told.outlook, told.summary))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_of_a_mapped_task_is_explained_by_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MANY).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("many").await?;
    let first = hands.given("each").await;
    world.live(run, &["each running", "each queued"]).await?;
    assert_eq!(instance(&world, run, 0).await?.0, Outlook::Runs);
    let (outlook, why) = instance(&world, run, 1).await?;
    assert_eq!(outlook, Outlook::Waits);
    assert!(why.starts_with("waits for a free slot of queue `default`"), "{why}");
    let (outlook, why) = instance(&world, run, 2).await?;
    assert_eq!(outlook, Outlook::Waits);
    let not_made =
        "2 of the task's 3 instances are made, and 0 have ended; max_active_tasks: 2 of 2";
    assert!(why.starts_with(not_made), "{why}");
    let whole = told(&world, run, "each").await?;
    let sum = "it is mapped: 0 of 3 instances have ended, 2 are ready or run, 1 are not made yet";
    assert!(whole.reasons.iter().any(|reason| reason.text == sum), "{whole:?}");
    waits(&world, run, "last", "all_success").await?;

    hands.end(&first, Outcome::Failed(TryEnd::Permanent)).await;
    let second = hands.given("each").await;
    let (outlook, ended) = instance(&world, run, 0).await?;
    assert_eq!(outlook, Outlook::Ended, "{ended}");
    assert!(ended.contains("failed"), "{ended}");
    hands.end(&second, Outcome::Success).await;
    let third = hands.given("each").await;
    hands.end(&third, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(instance(&world, run, 2).await?.0, Outlook::Ended);
    let never = asked_of(&world, run, "each", MapIndex(3)).await?;
    assert!(never.is_none(), "{never:?}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_in_a_mapped_group_is_explained_by_its_own_index() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(PAIRS).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("pairs").await?;
    let (one, other) = (hands.given("g.one").await, hands.given("g.one").await);
    let (ahead, behind) = (one.fence.instance.map_index, other.fence.instance.map_index);
    hands.end(&one, Outcome::Success).await;
    let two = hands.given("g.two").await;
    assert_eq!(two.fence.instance.map_index, ahead);
    hands.end(&two, Outcome::Success).await;

    // A sibling has ended, and has nothing to do with what this one waits for.
    let told_now = told_of(&world, run, "g.two", behind).await?;
    assert_eq!(told_now.outlook, Outlook::Waits, "{told_now:?}");
    let waits = format!(
        "all_success: waits for 1 of 1 upstreams (0 succeeded, 0 failed, 0 skipped, \
         0 upstream_failed, 0 removed): g.one[{}] running",
        behind.0
    );
    assert_eq!(told_now.summary, waits);
    let told_now = told_of(&world, run, "g.two", ahead).await?;
    assert_eq!(told_now.outlook, Outlook::Ended, "{told_now:?}");
    let had = |it: &Explanation, why: &str| it.reasons.iter().any(|it| it.text.starts_with(why));
    assert!(had(&told_now, "all_success: may run (1 succeeded, 0 failed"), "{told_now:?}");
    let whole = told(&world, run, "g.two").await?;
    let sum = "it is in a mapped group: 1 of 2 instances have ended; each waits for the upstreams of \
               its own index";
    assert_eq!((whole.outlook, &*whole.summary), (Outlook::Waits, sum));

    hands.end(&other, Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(world.ended(run).await?, "failed");
    let told_now = told_of(&world, run, "g.two", behind).await?;
    let why = "all_success: ends as upstream_failed (0 succeeded, 1 failed";
    assert!(had(&told_now, why), "{told_now:?}");
    world.close().await
}

/// A run by hand of this day of November.
async fn run_of(world: &World, dag: &str, day: u32) -> anyhow::Result<RunKey> {
    let date = format!("2026-11-{day:02}T00:00:00Z").parse()?;
    let manual = Trigger::manual(DagId::from(dag), "test", serde_json::Value::Null);
    let trigger = Trigger { logical_date: Some(date), run_after: Some(date), ..manual };
    Ok(world.engine.run_trigger(trigger).await?.run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_waits_for_in_the_run_before_is_told() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(PAST).await?;
    let mut hands = world.hands(8).await?;
    let first = run_of(&world, "past", 1).await?;
    let a = hands.given("a").await;
    let (good, bad) = (hands.given("each").await, hands.given("each").await);
    let second = run_of(&world, "past", 2).await?;
    let past = |key: &str, tasks: &str| {
        format!(
            "{key}: in the run before, `manual__2026-11-01T00:00:00+00:00`, it must have succeeded \
             or been skipped ({tasks})"
        )
    };
    waits(&world, second, "a", &past("depends_on_past", "a running")).await?;
    waits(&world, second, "each", &past("depends_on_past", "each running")).await?;
    hands.end(&good, Outcome::Success).await;
    hands.end(&bad, Outcome::Failed(TryEnd::Permanent)).await;
    let failed = past("depends_on_past", "each failed");
    waits(&world, second, "each", &failed).await?;
    let one = told_of(&world, second, "each", MapIndex(1)).await?;
    assert_eq!((one.outlook, one.summary), (Outlook::Waits, failed));

    hands.end(&a, Outcome::Success).await;
    let below = hands.given("b").await;
    assert_eq!(below.fence.instance.run, first);
    let again = hands.given("a").await;
    assert_eq!(again.fence.instance.run, second);
    hands.end(&again, Outcome::Success).await;
    let key = "wait_for_downstream";
    waits(&world, second, "b", &past(key, "b running, c has not run")).await?;
    hands.end(&below, Outcome::Success).await;
    hands.given("c").await;
    waits(&world, second, "b", &past(key, "b success, c running")).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_due_says_so_and_so_does_a_dag_without_a_file() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: later, tasks: {a: {operator: noop}}}").await?;
    let at = peek::now(&world.store).await? + chrono::TimeDelta::hours(1);
    let manual = Trigger::manual(DagId::from("later"), "test", serde_json::Value::Null);
    let asked = world.engine.run_trigger(Trigger { run_after: Some(at), ..manual }).await?;
    assert_eq!(asked.state, RunState::Queued);
    waits(&world, asked.run, "a", "run_after: its run was asked for later, and is due at").await?;
    world.store.dags_mark_stale(&[]).await?;
    let told = told(&world, asked.run, "a").await?;
    let gone = "the DAG's file is gone: its runs go on with the version that they have";
    assert!(told.reasons.iter().any(|it| it.text.starts_with(gone) && !it.holds), "{told:?}");
    world.close().await
}
