//! From a topic into another one, and from there into a table: each record once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, broker, topic_name};
use subak_testkit::peek;

use super::world::{DAG, Wanted, World, records};
use crate::stdout;

/// The DAG that reads what the first one wrote.
const SECOND: &str = "load";

fn produce(topic: &str) -> String {
    format!(
        "  write:\n    operator: kafka.produce\n    with:\n      connection: broker\n      \
         topic: {topic}\n      key: id\n      input: \"{{{{ tasks.read.output }}}}\"\n"
    )
}

/// Its rows carry where they came from in the second topic.
fn second(topic: &str) -> String {
    format!(
        "dag_id: {SECOND}\ntasks:\n  read:\n    operator: kafka.consume\n    with:\n      \
         connection: broker\n      topic: {topic}\n      \
         columns: {{id: {{path: id, type: bigint}}, name: name}}\n  \
         load:\n    operator: postgres.load\n    with:\n      connection: warehouse\n      \
         table: record\n      input: \"{{{{ tasks.read.output }}}}\"\n      \
         columns: {{id: id, name: name, _partition: _partition, _offset: _offset}}\n"
    )
}

async fn world(wanted: &Wanted<'_>) -> Result<World> {
    let broker = broker().await?;
    let world = World::new(broker, wanted).await?;
    let clean = topic_name("clean");
    broker.topic_create(&clean, 3, &[]).await?;
    world
        .stack
        .replace_dag("drain", &world.dag(wanted.consume, wanted.defaults, &produce(&clean)))
        .await?;
    world.stack.add_dag(SECOND, &second(&clean)).await?;
    Ok(world)
}

/// What the second topic holds, by way of the second DAG: how often each id is there.
async fn arrived(world: &World, run: &str) -> Result<BTreeMap<String, usize>> {
    let key = world.stack.trigger(SECOND, run).await?;
    let state = world.stack.ended(key).await?;
    ensure!(state == "success", "{state}\n{}", world.stack.logs());
    let mut times = BTreeMap::new();
    for id in world.warehouse.texts("SELECT id::text FROM record").await? {
        *times.entry(id).or_insert(0) += 1;
    }
    Ok(times)
}

fn each_once(times: &BTreeMap<String, usize>, records: usize) -> Result<()> {
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).take(5).collect();
    ensure!(wrong.is_empty() && times.len() == records, "{} ids, {wrong:?}", times.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_through_two_topics_once() -> Result<()> {
    // Compressed by the broker, whoever writes.
    let config = [("compression.type", "zstd")];
    let wanted = Wanted { about: "raw", partitions: 2, config: &config, ..Wanted::default() };
    let mut world = world(&wanted).await?;
    let broker = broker().await?;
    broker.produce(&world.topic, records(0..500)).await?;
    let first = world.succeed().await?;
    each_once(&arrived(&world, "one").await?, 500)?;

    // Once more, after a clear: the range is there already.
    let cleared = world.stack.subak(&["runs", "clear", "drain", &first.run_id]).await?;
    ensure!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
    let again = world.end_of(first.run, first.run_id.clone()).await?;
    ensure!(again.tasks.iter().all(|task| task.ends_with(" success")), "{again:#?}");

    // Then what came meanwhile.
    broker.produce(&world.topic, records(500..800)).await?;
    world.succeed().await?;
    each_once(&arrived(&world, "two").await?, 800)?;
    // The same key, the same partition, as Kafka's own clients have it.
    let spread = "SELECT count(DISTINCT _partition)::text FROM record";
    assert_eq!(world.warehouse.texts(spread).await?, ["3"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_client_that_may_not_write_any_more_is_replaced() -> Result<()> {
    let mut world = world(&Wanted { about: "raw", ..Wanted::default() }).await?;
    let broker = broker().await?;
    let installation = world.stack.metadata().texts("SELECT id::text FROM installation").await?;
    for round in 0..3 {
        broker.produce(&world.topic, records(round * 10..round * 10 + 10)).await?;
        world.succeed().await?;
        // As a run on another worker would.
        broker.fence(&format!("subak.{}.{DAG}.write", installation[0])).await?;
    }
    each_once(&arrived(&world, "all").await?, 30)
}

/// The moment between the offsets and the end of a transaction is too short to be met by a kill.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_writer_is_gone_holds_nobody_up() -> Result<()> {
    let mut world = world(&Wanted { about: "raw", ..Wanted::default() }).await?;
    let (broker, topic) = (broker().await?, world.topic.clone());
    let installation = world.stack.metadata().texts("SELECT id::text FROM installation").await?;
    let installation = &installation[0];
    broker.produce(&topic, records(0..10)).await?;
    world.succeed().await?;
    let (writer, group) = (
        format!("subak.{installation}.{DAG}.write"),
        format!("subak.{installation}.{DAG}.read.write"),
    );
    broker.abandon_offset(&writer, &group, &topic).await?;
    broker.produce(&topic, records(10..20)).await?;
    // Of the run's two tasks both want the offsets, the first one first. Neither has a second try.
    let ended = world.succeed().await?;
    ensure!(ended.errors.is_empty(), "{}", ended.errors);
    each_once(&arrived(&world, "all").await?, 20)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_gets_records_at_least_once() -> Result<()> {
    let (broker, other) = (broker().await?, Broker::start().await?);
    let mut world = World::new(broker, &Wanted { about: "across", ..Wanted::default() }).await?;
    world.stack.add_broker("other", &other).await?;
    let topic = other.topic("copy", 2, &[]).await?;
    let tasks = produce(&topic).replace("connection: broker", "connection: other");
    world.stack.replace_dag(DAG, &world.dag("", "retries: 0", &tasks)).await?;
    broker.produce(&world.topic, records(0..50)).await?;
    let first = world.succeed().await?;
    let log = world.stack.subak(&["runs", "logs", DAG, &first.run_id, "--task", "write"]).await?;
    let log = stdout(&log);
    ensure!(log.contains("at least once"), "{log}");
    // The offsets are kept where the topic is: what was written is known.
    let cleared = world.stack.subak(&["runs", "clear", DAG, &first.run_id]).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    world.end_of(first.run, first.run_id).await?;
    broker.produce(&world.topic, records(50..70)).await?;
    world.succeed().await?;
    let keys: BTreeSet<String> =
        other.records(&topic).await?.into_iter().map(|(key, _)| key).collect();
    ensure!(keys.len() == 70, "{keys:?}");
    world.find_nothing_of(&["read skipped", "write skipped"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_leaves_nothing_twice() -> Result<()> {
    const RECORDS: i64 = 20_000;
    let defaults = "retries: 9, retry_delay: 0.1s";
    let wanted = Wanted { about: "raw", defaults, ..Wanted::default() };
    let mut world = world(&wanted).await?;
    broker().await?.produce(&world.topic, records(0..RECORDS)).await?;
    let (run, run_id) = world.trigger().await?;
    for tries in 0..3 {
        // The writer's first, second and third try.
        let begun = world.stack.until("the writer to begin", async || {
            let ended = peek::history(&world.stack.store, run).await?;
            let written = ended.iter().filter(|ended| ended.starts_with("write#")).count();
            Ok(ended.contains(&"read#1 success".to_owned()) && written == tries)
        });
        begun.await?;
        world.stack.kill_worker(0)?;
        world.stack.start_worker(0, tries == 1)?;
    }
    let ended = world.end_of(run, run_id).await?;
    ensure!(ended.tasks.iter().all(|task| task.ends_with(" success")), "{ended:#?}");
    each_once(&arrived(&world, "all").await?, usize::try_from(RECORDS)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() -> Result<()> {
    let mut world = world(&Wanted { about: "raw", ..Wanted::default() }).await?;
    broker().await?.produce(&world.topic, records(1..2)).await?;
    let absent = topic_name("absent");
    let dag = world.dag("", "retries: 0", &produce(&absent));
    world.stack.replace_dag("drain", &dag).await?;
    let ended = world.run().await?;
    ensure!(ended.errors.contains(&absent) && ended.errors.contains("create"), "{}", ended.errors);
    let dag = world.dag("", "retries: 0", &produce(&absent).replace("key: id", "key: idd"));
    world.stack.replace_dag("drain", &dag).await?;
    let ended = world.run().await?;
    ensure!(ended.errors.contains("no column `idd`"), "{}", ended.errors);
    Ok(())
}
