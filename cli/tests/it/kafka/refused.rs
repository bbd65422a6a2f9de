//! What goes wrong on the way to a topic: a clear error with its cause, the range kept, nothing lost, and
//! a retry that succeeds once it is mended.

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, PLAIN_USER, SCRAM_USER, SECRET, WRONG_SECRET, broker};

use super::world::{DAG, Ended, LOAD, Wanted, World, records};

/// A run that failed at its reading task, with these words among its errors.
fn check(ended: &Ended, words: &[&str]) -> Result<()> {
    ensure!(ended.tasks == ["load upstream_failed", "read failed"], "{ended:#?}");
    for part in words {
        ensure!(ended.errors.contains(part), "no `{part}` in {}", ended.errors);
    }
    ensure!(!ended.errors.contains("hunter"), "{}", ended.errors);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_who_is_known_reads_and_who_is_not_is_told_so() -> Result<()> {
    let broker = Broker::start_secured().await?;
    let mut world = World::new(&broker, &Wanted { about: "secured", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..300)).await?;
    // Without TLS.
    check(
        &world.run().await?,
        &["connection `broker` (Kafka at 127.0.0.1:", "security.protocol is theirs"],
    )?;
    let password = ["set the right login and password"];
    world.stack.add_secured("broker", &broker, PLAIN_USER, WRONG_SECRET, "PLAIN").await?;
    check(&world.run().await?, &password)?;
    world.stack.add_secured("broker", &broker, SCRAM_USER, SECRET, "SCRAM-SHA-512").await?;
    world.succeed().await?;
    world.check(300).await?;
    world.stack.add_secured("broker", &broker, SCRAM_USER, WRONG_SECRET, "SCRAM-SHA-512").await?;
    check(&world.run().await?, &password)?;
    broker.produce(&world.topic, records(300..400)).await?;
    world.stack.add_secured("broker", &broker, PLAIN_USER, SECRET, "PLAIN").await?;
    world.succeed().await?;
    world.check(400).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_leaves_its_range_to_the_next_run() -> Result<()> {
    let mut broker = Broker::start().await?;
    let mut world = World::new(&broker, &Wanted { about: "away", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..200)).await?;
    // A range that was recorded, and whose load failed.
    world.warehouse.run("ALTER TABLE record RENAME TO gone").await?;
    let ended = world.run().await?;
    ensure!(ended.tasks == ["load failed", "read success"], "{ended:#?}");
    world.warehouse.run("ALTER TABLE gone RENAME TO record").await?;
    broker.kill()?;
    check(
        &world.run().await?,
        &[
            "connection `broker` (Kafka at 127.0.0.1:",
            "Connection refused",
            "see that the brokers run there",
        ],
    )?;
    assert_eq!(world.ranges().await?, ["open"]);
    broker.restart().await?;
    broker.produce(&world.topic, records(200..250)).await?;
    world.succeed().await?;
    world.check(200).await?;
    world.succeed().await?;
    world.check(250).await?;
    assert_eq!(world.ranges().await?, ["committed", "committed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named_and_read_once_it_is() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "late", ..Wanted::default() }).await?;
    let topic = format!("{}-to-come", world.topic);
    let dag = world.dag("", "retries: 0", LOAD).replace(&world.topic, &topic);
    world.stack.replace_dag(DAG, &dag).await?;
    check(
        &world.run().await?,
        &[&format!("has no topic `{topic}`: create it, let `partitions` do so")],
    )?;
    assert_eq!(world.ranges().await?, [] as [String; 0]);
    broker.topic_create(&topic, 1, &[]).await?;
    broker.produce(&topic, records(0..10)).await?;
    world.succeed().await?;
    world.check(10).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_violation_keeps_the_range_until_it_is_mended() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "unique", ..Wanted::default() }).await?;
    world
        .warehouse
        .run("ALTER TABLE record ADD UNIQUE (id); INSERT INTO record (id) VALUES (7)")
        .await?;
    broker.produce(&world.topic, records(0..10)).await?;
    let ended = world.run().await?;
    ensure!(ended.tasks == ["load failed", "read success"], "{ended:#?}");
    for part in ["duplicate key value violates unique constraint", "(id)=(7)"] {
        ensure!(ended.errors.contains(part), "no `{part}` in {}", ended.errors);
    }
    assert_eq!(world.number("SELECT count(*) FROM record").await?, 1);
    assert_eq!(
        (world.ranges().await?, world.ledger().await?),
        (vec!["open".to_owned()], String::new())
    );
    world.warehouse.run("DELETE FROM record").await?;
    world.succeed().await?;
    world.check(10).await
}
