//! Workers that are to take no more tries, and servers that end.

use subak_proto::Draining;
use subak_proto::server_message::Message as Heard;
use subak_proto::worker_message::Message as Said;
use subak_testkit::peek;

use crate::wire::{Wire, success};
use crate::world::World;

const ONE: &str = "{dag_id: one, tasks: {a: {operator: noop}}}";

async fn told_to_drain(worker: &mut Wire) -> anyhow::Result<()> {
    worker.until(|heard| matches!(heard, Heard::Drain(_)).then_some(())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_worker_ends_its_tries_and_gets_no_more() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags(ONE).await?;
    let mut worker = Wire::of_folder(server, "drained").await?;
    let first = world.trigger("one").await?;
    let held = worker.assignments(1).await?[0].r#try.expect("an assignment names its try");
    // Said to another server: that one does not hold the stream.
    let other = world.other("two").await?;
    assert_eq!(other.engine.worker_drain("nobody").await?, 0);
    assert_eq!(other.engine.worker_drain("wire").await?, 1);
    told_to_drain(&mut worker).await?;
    worker.say(Said::Draining(Draining {}))?;
    assert!(world.store.workers().await?.iter().all(|worker| worker.draining));

    // It has a slot free again, and is given nothing.
    worker.report(vec![success(held)])?;
    assert_eq!(world.ended(first).await?, "success");
    let second = world.trigger("one").await?;
    world.live(second, &["a queued"]).await?;
    worker.heard().await?;
    drop(worker);
    let cause = "SELECT dead_cause FROM worker_session WHERE state_folder = 'drained'";
    world
        .until("the session to end", async || {
            Ok(peek::text(&world.store, cause).await?.as_deref() == Some("drained"))
        })
        .await?;

    let mut next = Wire::of_folder(server, "next").await?;
    let held = next.assignments(1).await?[0].r#try.expect("an assignment names its try");
    next.report(vec![success(held)])?;
    assert_eq!(world.ended(second).await?, "success");
    drop(next);
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn word_to_drain_that_was_lost_comes_with_a_heartbeat_and_a_new_stream() -> anyhow::Result<()>
{
    let (world, server) = World::served().await?;
    let mut worker = Wire::of_folder(server, "drained").await?;
    // As if nobody had been told.
    world.store.worker_drain("wire").await?;
    worker.say(Said::Heartbeat(subak_proto::Heartbeat::default()))?;
    told_to_drain(&mut worker).await?;
    let session = worker.session;
    drop(worker);
    let mut again = Wire::hello(server, |hello| {
        hello.session = session;
        "drained".clone_into(&mut hello.state_folder);
    })
    .await?;
    // It had ended, as far as anybody could see.
    if again.session == session {
        told_to_drain(&mut again).await?;
    }
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_sends_its_workers_to_others() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags(ONE).await?;
    let mut worker = Wire::of_folder(server, "stays").await?;
    let run = world.trigger("one").await?;
    let held = worker.assignments(1).await?[0].r#try.expect("an assignment names its try");
    world.stop.cancel();
    worker.until(|heard| matches!(heard, Heard::Leave(_)).then_some(())).await?;
    let Err(refused) = Wire::of_folder(server, "late").await else { anyhow::bail!("let in") };
    assert!(format!("{refused:#}").contains("this server ends"), "{refused:#}");
    let session = worker.session;
    drop(worker);
    let store = world.store.clone();
    world.close().await?;

    // The session and its try go on elsewhere.
    let (other, server) = World::served_on(store).await?;
    let mut worker = Wire::hello(server, |hello| {
        (hello.session, hello.held) = (session, vec![held]);
        "stays".clone_into(&mut hello.state_folder);
    })
    .await?;
    assert_eq!(worker.session, session);
    worker.report(vec![success(held)])?;
    assert_eq!(other.ended(run).await?, "success");
    worker.heard().await?;
    drop(worker);
    other.close().await
}
