//! Assets: registered with their DAGs, and an event for each success of a task that makes one.

use subak_core::decide::TryEnd;
use subak_server::engine::{Mark, Outcome};
use subak_store::read::{AssetEventFilter, AssetEventRecord, AssetFilter};
use subak_testkit::peek;

use crate::world::World;

const SHOP: &str = "
dag_id: shop
tasks:
  orders:
    operator: noop
    retries: 1
    retry_delay: 0
    outlets: ['s3://shop/orders', {name: lake, uri: 's3://lake', group: raw, extra: {rows: 3}}]
  each:
    operator: bash
    depends_on: [orders]
    inlets: [s3://shop/orders]
    outlets: [parts]
    expand: {command: ['true', 'false']}
  rest: {operator: noop, depends_on: [each]}
";

async fn events(world: &World) -> anyhow::Result<Vec<AssetEventRecord>> {
    Ok(world.store.asset_event_list(&AssetEventFilter::default(), 100, 0).await?.items)
}

/// `name task map_index` of every event, sorted.
async fn told(world: &World) -> anyhow::Result<Vec<String>> {
    let each = |event: &AssetEventRecord| {
        let task = event.task_id.as_deref().unwrap_or_default();
        format!("{} {task} {}", event.name, event.map_index)
    };
    let mut told: Vec<String> = events(world).await?.iter().map(each).collect();
    told.sort();
    Ok(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_success_of_a_task_is_one_event_of_what_it_makes() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(SHOP).await?;
    let mut hands = world.hands(4).await?;
    let run = world.trigger("shop").await?;
    let first = hands.given("orders").await;
    hands.end(&first, Outcome::Failed(TryEnd::Transient)).await;
    assert_eq!(told(&world).await?, [""; 0], "a try that failed makes nothing");
    let second = hands.given("orders").await;
    assert_eq!(second.number, 2);
    hands.end(&second, Outcome::Success).await;
    let orders = ["lake orders -1", "s3://shop/orders orders -1"];
    assert_eq!(told(&world).await?, orders);
    // A report that comes again, and one that comes late, are no further events.
    hands.end(&second, Outcome::Success).await;
    hands.end(&first, Outcome::Success).await;
    assert_eq!(told(&world).await?, orders);

    for _ in 0..2 {
        let held = hands.given("each").await;
        let good = held.fence.instance.map_index.0 == 0;
        let failed = Outcome::Failed(TryEnd::Permanent);
        hands.end(&held, if good { Outcome::Success } else { failed }).await;
    }
    assert_eq!(world.ended(run).await?, "failed");
    let once = ["lake orders -1", "parts each 0", "s3://shop/orders orders -1"];
    assert_eq!(told(&world).await?, once);
    // What people mark as done was not made.
    let each = peek::tasks_like(&world.store, run, "each").await?;
    world.engine.tasks_mark(run, Some(&each), Mark::Success, "ana").await?;
    let rest = hands.given("rest").await;
    hands.end(&rest, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(told(&world).await?, once);

    // Cleared, it is made once more.
    let again = peek::tasks_like(&world.store, run, "orders").await?;
    world.engine.tasks_clear(run, Some(&again)).await?;
    let third = hands.given("orders").await;
    hands.end(&third, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "success");
    let twice = [&orders[..], &once].concat();
    let mut twice: Vec<&str> = twice;
    twice.sort_unstable();
    assert_eq!(told(&world).await?, twice);
    let event = events(&world).await?.remove(0);
    assert_eq!((event.dag_id.as_deref(), event.map_index), (Some("shop"), -1));
    let known = world.store.runs_of(&[run]).await?.remove(0);
    assert_eq!(event.run_id, Some(known.run_id));

    // What is old is dropped, and nothing else.
    assert_eq!(world.store.asset_events_drop(1).await?, 0);
    let age = "UPDATE asset_event SET created_at = now() - interval '2 days'";
    peek::meddle(&world.store, age).await?;
    assert_eq!(world.store.asset_events_drop(1).await?, 5);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_are_those_of_the_newest_versions() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(SHOP).await?;
    let report = "{dag_id: report, tasks: {sum: {operator: noop, inlets: ['s3://shop/orders']}}}";
    world.dags(report).await?;
    let all = async |filter: AssetFilter| -> anyhow::Result<Vec<String>> {
        let page = world.store.asset_list(&filter, 10, 0).await?;
        assert_eq!(usize::try_from(page.total)?, page.items.len());
        let each = page.items.iter().map(|asset| {
            let tasks = asset.references.iter().map(|it| {
                let kind = if it.is_outlet { "makes" } else { "reads" };
                format!(" {}.{} {kind}", it.dag_id, it.task_id)
            });
            format!("{}:{}", asset.name, tasks.collect::<String>())
        });
        let mut each: Vec<String> = each.collect();
        each.sort();
        Ok(each)
    };
    let active = || AssetFilter { only_active: true, ..AssetFilter::default() };
    assert_eq!(
        all(active()).await?,
        [
            "lake: shop.orders makes",
            "parts: shop.each makes",
            "s3://shop/orders: report.sum reads shop.each reads shop.orders makes",
        ]
    );
    let lake = world.store.asset_list(&active(), 10, 0).await?.items;
    let lake = lake.iter().find(|asset| asset.name == "lake").unwrap();
    assert_eq!((lake.uri.as_str(), lake.group.as_str()), ("s3://lake", "raw"));
    assert_eq!(lake.extra, serde_json::json!({"rows": 3}));
    let of = |dag: &str| AssetFilter { dag_ids: vec![dag.to_owned()], ..active() };
    assert_eq!(all(of("report")).await?.len(), 1);

    // A version that makes none leaves them known, but not active; so does a file that is gone.
    world.dags("{dag_id: shop, tasks: {orders: {operator: noop}}}").await?;
    assert_eq!(all(active()).await?, ["s3://shop/orders: report.sum reads"]);
    world.store.dags_mark_stale(&[]).await?;
    assert_eq!(all(active()).await?, [""; 0]);
    assert_eq!(all(AssetFilter::default()).await?.len(), 3);
    world.close().await
}
