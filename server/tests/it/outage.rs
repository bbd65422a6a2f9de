//! The database goes away under a running server, and comes back.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use chrono::DateTime;
use subak_postgres::PrivatePostgres;
use subak_server::engine::{Answer, Outcome};
use subak_server::{App, router};
use subak_store::Store;
use subak_store::access::Role;
use subak_testkit::{peek, poke};
use tower::ServiceExt as _;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outlives_an_outage_of_its_database() -> anyhow::Result<()> {
    let mut postgres = PrivatePostgres::temporary().await?;
    postgres.create_database("subak").await?;
    let store = Store::connect(&postgres.url("subak")).await?;
    store.migrate().await?;
    let world = World::on(store).await?;
    world
        .dags(
            "
dag_id: outage
tasks:
  a: {operator: noop}
  b: {operator: noop}
  c: {operator: noop, depends_on: [a, b]}
",
        )
        .await?;
    let mut hands = world.hands(2).await?;
    let run = world.trigger("outage").await?;
    let (a, b) = (hands.given("a").await, hands.given("b").await);
    let user = world.store.user_create("ana", None, Role::Viewer).await?;
    let token = world.store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let (store, requests) = (world.store.clone(), world.requests.clone());
    let app = App::new(store, world.engine.clone(), requests, false, world.stop.child_token());
    let router = router(app.clone());

    for (n, held) in [&a, &b].into_iter().enumerate() {
        assert!(scrape(&router, &token).await?.contains("\nsubak_runs{"));
        postgres.stop_immediately().await;
        if n == 0 {
            // What the server knows by itself it tells all the same, and soon.
            let asked = Instant::now();
            let health = router::health_at(&app, DateTime::UNIX_EPOCH);
            let (told, health) = tokio::join!(scrape(&router, &token), health);
            let told = told?;
            assert!(told.contains("\nsubak_database_up 0\n"), "{told}");
            assert!(told.contains("\nsubak_workers ") && !told.contains("subak_runs"), "{told}");
            assert_eq!(health["metadatabase"]["status"], "unhealthy", "{health}");
            assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
        }
        assert_eq!(hands.end(held, Outcome::Success).await, Answer::Later);
        assert!(world.trigger("outage").await.is_err(), "a run cannot be made now");
        postgres.restart().await?;
        // Repeated as a worker does; the second time it is in the history already.
        for _ in 0..2 {
            let answer = hands.end_at(&world.engine, held, Outcome::Success).await;
            assert_eq!(answer, Answer::Accepted);
        }
    }
    let c = hands.given("c").await;
    assert_eq!(hands.end_at(&world.engine, &c, Outcome::Success).await, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(world.states(run).await?, ["a success", "b success", "c success"]);
    // The loops go round again too.
    let next = world.trigger("outage").await?;
    world.until("timers to go round", async || Ok(world.engine.last_beat().is_some())).await?;
    let a = hands.given("a").await;
    assert_eq!(a.fence.instance.run, next);
    world.close().await?;
    postgres.stop().await;
    Ok(())
}

/// What a server tells Prometheus.
async fn scrape(router: &Router, token: &str) -> anyhow::Result<String> {
    let asked = Request::get("/metrics").header("authorization", format!("Bearer {token}"));
    let told = router.clone().oneshot(asked.body(Body::empty())?).await?;
    anyhow::ensure!(told.status() == StatusCode::OK, "{}", told.status());
    Ok(String::from_utf8(to_bytes(told.into_body(), 1 << 20).await?.to_vec())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_an_outage_cuts_short_is_made_up_for() -> anyhow::Result<()> {
    let mut postgres = PrivatePostgres::temporary().await?;
    postgres.create_database("subak").await?;
    let url = postgres.url("subak");
    let store = Store::connect(&url).await?;
    store.migrate().await?;
    let world = World::on(store).await?;
    world
        .dags(
            "
dag_id: cut
tasks:
  a: {operator: noop}
  b: {operator: bash, depends_on: [a], with: {command: 'true', env: {A: \"{{ ti.xcom_pull(task_ids='a') }}\"}}}
",
        )
        .await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("cut").await?;
    let a = hands.given("a").await;
    let blocked = poke::block_xcoms(&url).await?;
    assert_eq!(hands.end(&a, Outcome::Success).await, Answer::Accepted);
    // The end is committed, with the hand-over of b in it; what b is to be given can't be read.
    world
        .until("the hand-over to wait", async || {
            Ok(peek::waiting_for_locks(&world.store).await? > 0)
        })
        .await?;
    postgres.stop_immediately().await;
    drop(blocked);
    postgres.restart().await?;
    let b = hands.given("b").await;
    assert_eq!(b.number, 1, "no try is to blame");
    assert_eq!(hands.end_at(&world.engine, &b, Outcome::Success).await, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    world.close().await?;
    postgres.stop().await;
    Ok(())
}
