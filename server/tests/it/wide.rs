//! Ends that settle more tasks than one transaction may: they are settled in slices.

use std::fmt::Write as _;

use subak_core::decide::TryEnd;
use subak_core::ids::RunKey;
use subak_server::engine::{Answer, Outcome};
use subak_testkit::peek;

use crate::world::World;

/// Tasks below the first one.
const WIDE: usize = 5_000;

/// What one transaction settles at most, about.
const SLICE: i64 = 1_100;

/// `root` above many, and `last` below these.
fn fan_of(name: &str, root: &str) -> String {
    let mut text = format!("dag_id: {name}\nmax_active_tasks: 8\ntasks:\n  root: {{{root}}}\n");
    for n in 0..WIDE {
        writeln!(text, "  w{n}: {{operator: noop, depends_on: [root]}}").unwrap();
    }
    let all: Vec<String> = (0..WIDE).map(|n| format!("w{n}")).collect();
    writeln!(text, "  last: {{operator: noop, depends_on: [{}]}}", all.join(", ")).unwrap();
    text
}

/// The same, with an alarm at its end.
fn fan(name: &str) -> String {
    let alarm = "  alarm: {operator: noop, depends_on: [last], trigger_rule: all_failed}\n";
    fan_of(name, "operator: noop") + alarm
}

async fn bounded(world: &World, run: RunKey) -> anyhow::Result<()> {
    let most = peek::settled_at_once(&world.store, run).await?;
    assert!(most <= SLICE, "{most} rows in one transaction");
    Ok(())
}

/// All of it is `upstream_failed`, but the alarm, which runs.
async fn all_failed(world: &World, run: RunKey) -> anyhow::Result<()> {
    let states = world.states(run).await?;
    let below = states.iter().filter(|state| state.ends_with(" upstream_failed")).count();
    assert_eq!((states.len(), below), (WIDE + 3, WIDE + 1));
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    assert_eq!(peek::outbox(&world.store).await?, 0);
    bounded(world, run).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_look_is_settled_in_slices() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&fan("wide")).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("wide").await?;
    let root = hands.given("root").await;
    hands.end(&root, Outcome::Failed(TryEnd::Permanent)).await;
    let alarm = hands.given("alarm").await;
    hands.end(&alarm, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    all_failed(&world, run).await?;

    // Cleared below its root alone, all of it is settled again when the run starts.
    let cleared = peek::tasks_like(&world.store, run, "w%").await?;
    world.engine.tasks_clear(run, Some(&cleared)).await?;
    assert_eq!(world.ended(run).await?, "success");
    all_failed(&world, run).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_look_outlives_the_server_that_began_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&fan("killed")).await?;
    let mut hands = world.hands(1).await?;
    for _ in 0..3 {
        let first = world.other("first").await?;
        let run = world.trigger("killed").await?;
        let root = hands.given("root").await;
        let answer = hands.end_at(&first.engine, &root, Outcome::Failed(TryEnd::Permanent)).await;
        assert_eq!(answer, Answer::Accepted);
        // Its first slice is committed; it dies between that and any other.
        first.kill().await;
        world.engine.freed(&root.fence);
        let alarm = hands.given("alarm").await;
        hands.end(&alarm, Outcome::Success).await;
        assert_eq!(world.ended(run).await?, "success");
        all_failed(&world, run).await?;
    }
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_skips_in_slices() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&fan("cancelled")).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("cancelled").await?;
    let root = hands.given("root").await;
    hands.end(&root, Outcome::Success).await;
    let (one, two) = (hands.given("w0").await, hands.given("w1").await);
    // The server dies after the first slice.
    let first = world.other("first").await?;
    first.engine.run_cancel(run, "cancelled").await?;
    first.kill().await;
    assert_eq!(peek::startable(&world.store, run).await?, 0, "nothing can start any more");
    hands.end(&one, Outcome::Stopped).await;
    hands.end(&two, Outcome::Stopped).await;
    assert_eq!(world.ended(run).await?, "failed");
    let states = world.states(run).await?;
    assert_eq!(states.len(), WIDE + 3);
    let skipped = states.iter().filter(|state| state.ends_with(" skipped")).count();
    assert_eq!(skipped, WIDE, "all but the root and what ran");
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    assert_eq!(peek::outbox(&world.store).await?, 0);
    bounded(&world, run).await?;

    // A run that waits for its turn ends as well, and is never started.
    world.engine.dag_pause(&"cancelled".into(), true).await?;
    let waiting = world.trigger("cancelled").await?;
    assert_eq!(peek::run_state(&world.store, waiting).await?, "queued");
    world.engine.run_cancel(waiting, "cancelled").await?;
    assert_eq!(world.ended(waiting).await?, "failed");
    assert_eq!(world.states(waiting).await?.len(), WIDE + 3);
    bounded(&world, waiting).await?;
    world.close().await
}

/// All of it is over, nothing is left, and no transaction was too large.
async fn over(world: &World, run: RunKey, skipped: usize, tasks: usize) -> anyhow::Result<()> {
    let states = world.states(run).await?;
    let found = states.iter().filter(|state| state.ends_with(" skipped")).count();
    assert_eq!((states.len(), found), (tasks, skipped));
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    assert_eq!(peek::outbox(&world.store).await?, 0);
    bounded(world, run).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_skips_in_slices() -> anyhow::Result<()> {
    let world = World::new().await?;
    let text = fan_of("branched", "operator: branch, with: {choose: null}")
        + "  other: {operator: noop}\n"
        + "  either: {operator: noop, depends_on: [root, other], trigger_rule: one_success}\n"
        + "  alarm: {operator: noop, depends_on: [last, either], trigger_rule: all_skipped}\n";
    world.dags(&text).await?;
    let mut hands = world.hands(2).await?;
    for _ in 0..3 {
        let first = world.other("first").await?;
        let run = world.trigger("branched").await?;
        let (root, other) = (hands.given("root").await, hands.given("other").await);
        hands.end_at(&first.engine, &root, Outcome::Success).await;
        // It dies after the first slice. What the branch decided holds all the same: `either` is skipped
        // by a later one, and does not run before that.
        first.kill().await;
        world.engine.freed(&root.fence);
        hands.end(&other, Outcome::Success).await;
        let alarm = hands.given("alarm").await;
        hands.end(&alarm, Outcome::Success).await;
        assert_eq!(world.ended(run).await?, "success");
        assert_eq!(hands.unasked(), [""; 0]);
        over(&world, run, WIDE + 2, WIDE + 5).await?;
    }

    // A clear in the middle of it: what the branch decided holds, and the last slice goes on from there.
    let run = world.trigger("branched").await?;
    let (root, other) = (hands.given("root").await, hands.given("other").await);
    hands.end(&root, Outcome::Success).await;
    let cleared = [other.fence.instance.task];
    world.engine.tasks_clear(run, Some(&cleared)).await?;
    hands.end(&other, Outcome::Stopped).await;
    let other = hands.given("other").await;
    hands.end(&other, Outcome::Success).await;
    let alarm = hands.given("alarm").await;
    hands.end(&alarm, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    over(&world, run, WIDE + 2, WIDE + 5).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stops_the_rest_in_slices() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&format!("fail_fast: true\n{}", fan_of("fast", "operator: noop"))).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("fast").await?;
    let root = hands.given("root").await;
    hands.end(&root, Outcome::Success).await;
    let (one, two) = (hands.given("w0").await, hands.given("w1").await);
    let first = world.other("first").await?;
    hands.end_at(&first.engine, &one, Outcome::Failed(TryEnd::Permanent)).await;
    first.kill().await;
    assert_eq!(peek::startable(&world.store, run).await?, 0, "nothing can start any more");
    assert_eq!(hands.stopped(&two).await, "fail_fast");
    hands.end(&two, Outcome::Stopped).await;
    // What is skipped fails no run, as in Airflow: only the last task counts.
    assert_eq!(world.ended(run).await?, "success");
    over(&world, run, WIDE - 1, WIDE + 2).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_in_slices_leaves_teardowns_to_their_rules() -> anyhow::Result<()> {
    let world = World::new().await?;
    let drop = "  drop: {operator: noop, depends_on: [last], teardown: {setups: [root]}}\n";
    world.dags(&(fan_of("cleaning", "operator: noop, setup: true") + drop)).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("cleaning").await?;
    let root = hands.given("root").await;
    hands.end(&root, Outcome::Success).await;
    let (one, two) = (hands.given("w0").await, hands.given("w1").await);
    let first = world.other("first").await?;
    first.engine.run_cancel(run, "cancelled").await?;
    first.kill().await;
    // Ends while tasks are still being skipped, and after that.
    hands.end(&one, Outcome::Stopped).await;
    hands.end(&two, Outcome::Stopped).await;
    let drop = hands.given("drop").await;
    assert_eq!(hands.unasked(), [""; 0]);
    hands.end(&drop, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "failed");
    over(&world, run, WIDE - 1, WIDE + 3).await?;
    world.close().await
}
