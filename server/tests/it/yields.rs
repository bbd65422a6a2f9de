//! Tries without an end are asked to end well by what their runs are, not by what is told.

use subak_server::engine::{Answer, Outcome};
use subak_store::News;
use subak_testkit::peek;

use crate::world::World;

/// Two DAGs that feed a topic without an end.
fn feeds(rate: u32) -> String {
    let feed = |id: &str| {
        format!(
            "dag_id: {id}\nschedule: '@continuous'\ntasks:\n  {id}:\n    operator: generate\n    with: \
             {{profile: purchases, rate: {rate}, connection: broker, topic: t}}\n"
        )
    };
    format!("{}---\n{}", feed("left"), feed("right"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_runs_of_an_older_version_yield_and_do_so_without_news() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(&feeds(1)).await?;
    let mut hands = world.hands_of("feeds", 2).await?;
    world.trigger("left").await?;
    world.trigger("right").await?;
    let (old, right) = (hands.given("left").await, hands.given("right").await);

    // Nobody is told of the newer version: a look finds what is older.
    world.dags(&feeds(2)).await?;
    hands.yielded(&old).await;
    assert_eq!(hands.end(&old, Outcome::Success).await, Answer::Accepted);
    let newest = world.trigger("left").await?;
    let left = hands.given("left").await;
    assert_eq!(left.fence.instance.run, newest);

    // News that come after the newest version has begun mean whoever is older still, and ask it again.
    let dag = world.store.dag_head(&"left".into()).await?.expect("it was saved").dag;
    world.store.tell(&[News::Yields(dag)]).await?;
    hands.yielded(&right).await;
    // What is said to a worker comes in order: whatever that look has asked for is heard before this.
    world.engine.run_cancel(newest, "cancelled").await?;
    hands.stopped(&left).await;
    assert!(!hands.is_to_yield(&left), "a run of the newest version is to yield");
    hands.end(&left, Outcome::Stopped).await;

    // One of the newest version yields, too, once its DAG is paused.
    hands.end(&right, Outcome::Success).await;
    let last = world.trigger("right").await?;
    let right = hands.given("right").await;
    assert!(world.engine.dag_pause(&"right".into(), true).await?);
    hands.yielded(&right).await;
    hands.end(&right, Outcome::Success).await;
    assert_eq!(world.ended(last).await?, "success");

    // Without a file nobody could end it.
    assert!(world.engine.dag_pause(&"right".into(), false).await?);
    world.trigger("right").await?;
    let right = hands.given("right").await;
    world.store.dags_mark_stale(&[]).await?;
    hands.yielded(&right).await;
    hands.end(&right, Outcome::Success).await;
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    world.close().await
}
