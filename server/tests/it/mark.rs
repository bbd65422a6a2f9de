//! Marks by people who know better, deletions, notes.

use subak_core::decide::TryEnd;
use subak_core::ids::{Instance, MapIndex, RunKey, TaskNo};
use subak_server::engine::{Answer, ClearError, DeleteError, Mark, MarkError, Outcome};
use subak_testkit::checker::{self, Journal, Moment};
use subak_testkit::peek;

use crate::world::{World, work};

const CHAIN: &str = "
dag_id: chain
max_active_runs: 1
tasks:
  a: {operator: noop}
  b: {operator: noop, depends_on: [a], retries: 1, retry_delay: 1h}
  c: {operator: noop, depends_on: [b]}
";

const WIDE: &str = "
dag_id: wide
tasks:
  a: {operator: noop}
  b: {operator: noop, pool: narrow}
  join: {operator: noop, depends_on: [a, b]}
  last: {operator: noop, depends_on: [join]}
";

async fn kept(world: &World) {
    // Nobody keeps a journal here.
    let journal = Journal::of_operator("nobody's", Vec::new());
    checker::assert_kept(world.store.pool(), &journal, Moment::Under).await;
}

async fn mark(
    world: &World,
    run: RunKey,
    tasks: &[i32],
    mark: Mark,
) -> anyhow::Result<(Vec<i32>, Vec<i32>)> {
    let tasks: Vec<TaskNo> = tasks.iter().copied().map(TaskNo).collect();
    let marked = world.engine.tasks_mark(run, Some(&tasks), mark, "ana").await?;
    let numbers = |tasks: Vec<TaskNo>| tasks.into_iter().map(|task| task.0).collect();
    Ok((numbers(marked.tasks), numbers(marked.cleared)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_runs_is_ended_as_marked_and_the_run_goes_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("chain").await?;
    let first = hands.given("a").await;
    assert_eq!(mark(&world, run, &[0], Mark::Success).await?, (vec![0], vec![]));
    assert_eq!(hands.stopped(&first).await, "marked as success by ana");
    let b = hands.given("b").await;
    kept(&world).await;
    // Twice is once, and a late report changes nothing.
    assert_eq!(mark(&world, run, &[0], Mark::Success).await?, (vec![], vec![]));
    assert_eq!(hands.end(&first, Outcome::Failed(TryEnd::Permanent)).await, Answer::Accepted);
    // One that waits for its retry has no worker to stop.
    hands.end(&b, Outcome::Failed(TryEnd::Transient)).await;
    world.live(run, &["b up_for_retry"]).await?;
    assert_eq!(mark(&world, run, &[1], Mark::Skipped).await?, (vec![1], vec![]));
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, ["a success", "b skipped", "c skipped"]);
    assert_eq!(hands.unasked(), [""; 0]);
    kept(&world).await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_want_of_a_marked_task_goes_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    work(world.worker(2).await?, |task, _| match task {
        "b" => Outcome::Failed(TryEnd::Permanent),
        _ => Outcome::Success,
    });
    let run = world.trigger("chain").await?;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(mark(&world, run, &[1], Mark::Success).await?, (vec![1], vec![2]));
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, ["a success", "b success", "c success"]);
    kept(&world).await;
    // Nothing is open after this one: it ends at once, by its leaves.
    assert_eq!(mark(&world, run, &[2], Mark::Failed).await?, (vec![2], vec![]));
    assert_eq!(peek::run_state(&world.store, run).await?, "failed");
    kept(&world).await;
    world.engine.tasks_mark(run, None, Mark::Success, "ana").await?;
    assert_eq!(peek::run_state(&world.store, run).await?, "success");
    // A run that has ended is failed without touching its tasks.
    assert!(world.engine.run_fail(run, "ana").await?);
    assert_eq!(peek::run_state(&world.store, run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a success", "b success", "c success"]);
    kept(&world).await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_pools_count_what_is_marked() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.engine.pool_put("narrow", 1, None, None).await?;
    world.dags(WIDE).await?;
    let run = world.trigger("wide").await?;
    let other = world.trigger("wide").await?;
    world.live(run, &["a queued", "b queued"]).await?;
    world.live(other, &["a queued", "b scheduled"]).await?;
    // The slot of what was ready goes to the other run's.
    mark(&world, run, &[1], Mark::Failed).await?;
    world.live(other, &["a queued", "b queued"]).await?;
    kept(&world).await;
    mark(&world, run, &[0], Mark::Success).await?;
    assert_eq!(world.ended(run).await?, "failed");
    let failed = ["a success", "b failed", "join upstream_failed", "last upstream_failed"];
    assert_eq!(world.states(run).await?, failed);
    // A task above which nothing has ended yet.
    mark(&world, other, &[3], Mark::Success).await?;
    kept(&world).await;
    work(world.worker(2).await?, |_, _| Outcome::Success);
    assert_eq!(world.ended(other).await?, "success");
    assert_eq!(peek::pool(&world.store, "narrow").await?, (1, 0, 0));
    kept(&world).await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_or_is_cancelled_is_marked_or_says_why_not() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(CHAIN).await?;
    let mut hands = world.hands(1).await?;
    let first = world.trigger("chain").await?;
    let a = hands.given("a").await;
    let queued = world.trigger("chain").await?;
    assert_eq!(mark(&world, queued, &[0, 1], Mark::Success).await?, (vec![0, 1], vec![]));
    assert_eq!(peek::run_state(&world.store, queued).await?, "queued");
    world.engine.run_cancel(first, "cancelled").await?;
    let refused = world.engine.tasks_mark(first, None, Mark::Success, "ana").await;
    assert!(matches!(refused, Err(MarkError::Cancelled)), "{refused:?}");
    let active = world.engine.run_delete(first, "ana").await;
    assert!(matches!(active, Err(DeleteError::Active(_))), "{active:?}");
    hands.end(&a, Outcome::Stopped).await;
    assert_eq!(world.ended(first).await?, "failed");
    // Of the other only the last task is left.
    let c = hands.given("c").await;
    hands.end(&c, Outcome::Success).await;
    assert_eq!(world.ended(queued).await?, "success");
    kept(&world).await;

    world.engine.run_delete(first, "ana").await?;
    let gone = world.engine.run_delete(first, "ana").await;
    assert!(matches!(gone, Err(DeleteError::NotFound)), "{gone:?}");
    assert_eq!(peek::history(&world.store, first).await?, [""; 0]);
    assert!(peek::run_state(&world.store, first).await.is_err());
    kept(&world).await;
    world.close().await
}

const MAPPED: &str = "
dag_id: mapped
max_active_tasks: 2
tasks:
  each: {operator: bash, expand: {command: [a, b, c, d, e, f]}, retries: 0}
  last: {operator: noop, depends_on: [each]}
";

/// Which instance of a mapped task a try is of.
fn index(held: &crate::hands::Held) -> i32 {
    held.fence.instance.map_index.0
}

async fn mark_one(world: &World, run: RunKey, index: i32, mark: Mark) -> Result<usize, MarkError> {
    let at = [Instance::mapped(TaskNo(0), index)];
    Ok(world.engine.instances_mark(run, &at, mark, "ana").await?.tasks.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_of_a_map_is_marked_by_itself_whatever_it_is() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MAPPED).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("mapped").await?;
    let (first, second) = (hands.given("each").await, hands.given("each").await);
    assert_eq!((index(&first), index(&second)), (0, 1));
    // One that runs, one that there is not yet, and one that there never is.
    assert_eq!(mark_one(&world, run, 1, Mark::Skipped).await?, 1);
    assert_eq!(hands.stopped(&second).await, "marked as skipped by ana");
    assert_eq!(mark_one(&world, run, 4, Mark::Success).await?, 1);
    assert_eq!(mark_one(&world, run, 4, Mark::Success).await?, 0);
    let none = mark_one(&world, run, 6, Mark::Success).await;
    assert!(matches!(none, Err(MarkError::NoInstance(_, 6))), "{none:?}");
    kept(&world).await;
    hands.end(&second, Outcome::Stopped).await;
    hands.end(&first, Outcome::Success).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let held = hands.given("each").await;
        let failed = Outcome::Failed(TryEnd::Permanent);
        hands.end(&held, if index(&held) == 3 { failed } else { Outcome::Success }).await;
        seen.push(index(&held));
    }
    seen.sort_unstable();
    assert_eq!(seen, [2, 3, 5]);
    // What comes after was skipped with the first of them that was.
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(hands.unasked(), [""; 0]);
    // Nor is anything cleared of an instance that there never is: the run stays as it ended.
    for (task, index) in [(0, 6), (1, 0)] {
        let at = [Instance::mapped(TaskNo(task), index)];
        let none = world.engine.instances_clear(run, &at, false).await;
        let is_right = matches!(&none, Err(ClearError::NoInstance(_, no)) if *no == index);
        assert!(is_right, "{none:?}");
    }
    assert_eq!(peek::run_state(&world.store, run).await?, "success");
    kept(&world).await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_is_marked_as_a_whole_before_it_begins_and_in_between() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(MAPPED).await?;
    world
        .dags(
            &MAPPED
                .replace("dag_id: mapped", "dag_id: later")
                .replace("each: {", "first: {operator: noop}\n  each: {depends_on: [first], "),
        )
        .await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("mapped").await?;
    let (first, second) = (hands.given("each").await, hands.given("each").await);
    hands.end(&first, Outcome::Success).await;
    let third = hands.given("each").await;
    assert_eq!(mark(&world, run, &[0], Mark::Success).await?, (vec![0], vec![]));
    for held in [&second, &third] {
        hands.stopped(held).await;
        hands.end(held, Outcome::Stopped).await;
    }
    let last = hands.given("last").await;
    kept(&world).await;
    hands.end(&last, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    let of_map = "SELECT count(DISTINCT map_index)::text FROM try_history WHERE task = 0";
    assert_eq!(peek::text(&world.store, of_map).await?.as_deref(), Some("6"));
    kept(&world).await;

    // Of one that has not begun a single instance would be forgotten; all of it is not.
    let run = world.trigger("later").await?;
    let first = hands.given("first").await;
    let numbers = peek::task_numbers(&world.store, run).await?;
    let one = [Instance { task: numbers["each"], map_index: MapIndex(2) }];
    let early = world.engine.instances_mark(run, &one, Mark::Success, "ana").await;
    assert!(matches!(early, Err(MarkError::NotBegun(_))), "{early:?}");
    world.engine.tasks_mark(run, Some(&[numbers["each"]]), Mark::Success, "ana").await?;
    kept(&world).await;
    let last = hands.given("last").await;
    hands.end(&last, Outcome::Success).await;
    hands.end(&first, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(hands.unasked(), [""; 0]);
    kept(&world).await;
    world.close().await
}
