//! Lost workers: their tries are handed to others, and cost no retry three times.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use subak_server::engine::{Answer, Outcome};
use subak_server::{App, router};
use subak_store::access::Role;
use subak_testkit::{peek, poke};
use tower::ServiceExt as _;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_worker_costs_no_retry_three_times() -> anyhow::Result<()> {
    let world = World::new().await?;
    // What is queued again has its turn behind what waits with the same priority.
    let tasks = "a: {operator: noop, priority_weight: 2}, b: {operator: noop}";
    world.dags(&format!("{{dag_id: lost, tasks: {{{tasks}}}}}")).await?;
    let run = world.trigger("lost").await?;
    let mut late = Vec::new();
    for number in 1..=4 {
        let mut hands = world.hands(1).await?;
        let a = hands.given("a").await;
        assert_eq!(a.number, number);
        let session = hands.session();
        // Its server forgets it first, or the retry would be handed to the dead.
        drop(hands);
        poke::lease_over(&world.store, session).await?;
        let ended = if number < 4 { "a queued" } else { "b queued" };
        world
            .until("the lost try to end", async || {
                let live = peek::live_tasks(&world.store, run).await?;
                Ok(live.first().is_some_and(|task| task == ended) && live.len() < 3)
            })
            .await?;
        late.push(a);
    }
    assert_eq!(
        peek::history(&world.store, run).await?,
        ["a#1 up_for_retry", "a#2 up_for_retry", "a#3 up_for_retry", "a#4 failed"]
    );
    assert_eq!(peek::lost(&world.store, run).await?, 4);

    // The lost workers come back: what they report was ended before, and changes nothing.
    let mut hands = world.hands(1).await?;
    for held in &late {
        assert_eq!(hands.end(held, Outcome::Success).await, Answer::Accepted);
    }
    let b = hands.given("b").await;
    hands.end(&b, Outcome::Success).await;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?, ["a failed", "b success"]);
    let told = metrics(&world).await?;
    assert!(told.contains("\nsubak_leases_lost_total 4\n"), "{told}");
    world.close().await
}

async fn metrics(world: &World) -> anyhow::Result<String> {
    let (store, requests) = (world.store.clone(), world.requests.clone());
    let user = store.user_create("ana", None, Role::Viewer).await?;
    let token = store.api_token_create(&user, "test", None, None).await?.expose().to_owned();
    let app = App::new(store, world.engine.clone(), requests, false, world.stop.child_token());
    let asked = Request::get("/metrics").header("authorization", format!("Bearer {token}"));
    let told = router(app).oneshot(asked.body(Body::empty())?).await?;
    Ok(String::from_utf8(to_bytes(told.into_body(), 1 << 20).await?.to_vec())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_renews_is_not_lost() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: kept, tasks: {a: {operator: noop}}}").await?;
    let worker = world.engine.join("kept", &[("default", 1)], crate::world::LEASE).await?;
    let run = world.trigger("kept").await?;
    world.live(run, &["a running"]).await?;
    // Longer than a lease, and longer than a server holds off after its start.
    let until = tokio::time::Instant::now() + 3 * crate::world::LEASE;
    while tokio::time::Instant::now() < until {
        assert!(worker.renew().await?, "the session was given up");
        tokio::time::sleep(crate::world::LEASE / 12).await;
    }
    assert_eq!(peek::live_tasks(&world.store, run).await?, ["a running"]);
    assert_eq!(peek::lost(&world.store, run).await?, 0);
    world.close().await
}
