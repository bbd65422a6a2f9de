//! Branches, and failures that stop the rest of a run.

use serde_json::json;
use subak_core::decide::TryEnd;
use subak_server::engine::{Answer, Outcome};
use subak_testkit::peek;

use crate::world::World;

const BRANCH: &str = "
dag_id: branch
tasks:
  choose: {operator: branch, with: {choose: left}, retries: 1, retry_delay: 0}
  left: {operator: noop, depends_on: [choose]}
  right: {operator: noop, depends_on: [choose]}
  last: {operator: noop, depends_on: [left, right], trigger_rule: none_failed_min_one_success}
";

const FAST: &str = "
dag_id: fast
fail_fast: true
tasks:
  a: {operator: noop}
  b: {operator: noop}
  c: {operator: noop, depends_on: [a]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_skips_what_it_does_not_follow_until_it_is_cleared() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(BRANCH).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("branch").await?;
    let choose = hands.given("choose").await;
    let tasks = [choose.fence.instance.task];
    hands.end_with(&choose, Outcome::Success, json!("left")).await;
    for task in ["left", "last"] {
        let held = hands.given(task).await;
        hands.end(&held, Outcome::Success).await;
    }
    assert_eq!(world.ended(run).await?, "success");
    let all = ["choose success", "last success", "left success", "right skipped"];
    assert_eq!(world.states(run).await?, all);

    // What the branch decided holds for what is cleared without it.
    let numbers = peek::task_numbers(&world.store, run).await?;
    world.engine.tasks_clear(run, Some(&[numbers["right"]])).await?;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, all);

    world.engine.tasks_clear(run, Some(&[tasks[0], numbers["right"]])).await?;
    let choose = hands.given("choose").await;
    hands.end_with(&choose, Outcome::Success, json!(["right"])).await;
    let right = hands.given("right").await;
    hands.end(&right, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    let all = ["choose success", "last success", "left success", "right success"];
    assert_eq!(world.states(run).await?, all);
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_follows_nobody_there_fails() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(BRANCH).await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("branch").await?;
    for number in 1..=2 {
        let choose = hands.given("choose").await;
        assert_eq!(choose.number, number);
        hands.end_with(&choose, Outcome::Success, json!("nowhere")).await;
    }
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(
        world.states(run).await?,
        ["choose failed", "last upstream_failed", "left upstream_failed", "right upstream_failed"]
    );
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_stops_what_runs_behind_another_server() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(FAST).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("fast").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    let other = world.other("two").await?;
    let failed = Outcome::Failed(TryEnd::Permanent);
    assert_eq!(hands.end_at(&other.engine, &a, failed).await, Answer::Accepted);
    assert_eq!(hands.stopped(&b).await, "fail_fast");
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a failed", "b failed", "c skipped"]);
    for _ in 0..2 {
        assert_eq!(hands.end(&b, Outcome::Stopped).await, Answer::Accepted);
    }
    assert_eq!(world.states(run).await?, ["a failed", "b failed", "c skipped"]);
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_skipped_while_it_is_held_back_never_starts() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: held
max_active_tasks: 1
tasks:
  choose: {operator: branch, with: {choose: null}, priority_weight: 9}
  below: {operator: noop, depends_on: [choose], trigger_rule: always, priority_weight: 5}
  other: {operator: noop}
",
        )
        .await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("held").await?;
    let choose = hands.given("choose").await;
    world.live(run, &["below scheduled", "choose running", "other scheduled"]).await?;
    hands.end_with(&choose, Outcome::Success, json!(null)).await;
    let other = hands.given("other").await;
    hands.end(&other, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, ["below skipped", "choose success", "other success"]);
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}

const ITEMS: &str = "
dag_id: items
params: {day: monday}
task_groups: {g: {expand: {x: ['{{ params.day }}', '{{ ds }}']}}}
tasks:
  a: {operator: noop, task_group: g}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_of_a_mapped_group_are_rendered_by_its_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(ITEMS).await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("items").await?;
    let held = hands.given("g.a").await;
    assert_eq!(held.item, json!({ "x": "monday" }));
    hands.end(&held, Outcome::Success).await;
    // The run has no logical date.
    assert_eq!(world.ended(run).await?, "failed");
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    world.close().await
}
