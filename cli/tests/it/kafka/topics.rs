//! Topics as they are in life: compacted, transactional, expired, made anew, widened.

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, NewRecord, broker};

use crate::{stderr, stdout};

use super::world::{Wanted, World, keyed, records};

#[tokio::test(flavor = "multi_thread")]
async fn every_run_reads_what_is_new_and_the_ledger_says_how_far() -> Result<()> {
    let broker = broker().await?;
    let wanted = Wanted { about: "new", consume: "max_messages: 250", ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    world.find_nothing().await?;
    broker.produce(&world.topic, records(0..400)).await?;
    world.succeed().await?;
    world.check(250).await?;
    world.succeed().await?;
    world.check(400).await?;
    world.find_nothing().await?;
    assert_eq!(world.ledger().await?, "0:400");
    assert_eq!(world.ranges().await?, ["committed", "committed"]);
    // A partition that is added belongs to the pipeline from its first record on.
    broker.partitions_add(&world.topic, 2).await?;
    let added = records(400..500).map(|record| NewRecord { partition: Some(1), ..record });
    broker.produce(&world.topic, added).await?;
    world.succeed().await?;
    world.check(500).await?;
    assert_eq!(world.ledger().await?, "0:400 1:100");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_records_are_not_read_and_marks_of_transactions_are_no_records() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "tx", ..Wanted::default() }).await?;
    broker.produce_in_transaction(&world.topic, records(0..10), true).await?;
    broker.produce_in_transaction(&world.topic, records(100..110), false).await?;
    broker.produce_in_transaction(&world.topic, records(10..20), true).await?;
    world.succeed().await?;
    world.check(20).await?;
    // The topic ends with a mark, which no reader is given.
    assert_eq!(world.ledger().await?, "0:33");
    world.find_nothing().await?;
    broker.produce_in_transaction(&world.topic, records(200..210), false).await?;
    // A range without any record moves the ledger, too.
    world.succeed().await?;
    world.check(20).await?;
    assert_eq!(world.ledger().await?, "0:44");
    Ok(())
}

/// Compacted as soon as a segment is closed, which the first record of a later second does.
const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "100"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("max.compaction.lag.ms", "100"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_has_holes_and_tombstones() -> Result<()> {
    let broker = broker().await?;
    let wanted = Wanted {
        about: "compact",
        config: &COMPACTED,
        consume: "max_messages: 45",
        ..Wanted::default()
    };
    let mut world = World::new(broker, &wanted).await?;
    let at = |second: i64| {
        let timestamp = Some(1_767_225_600_000 + second * 1_000);
        move |record: NewRecord| NewRecord { timestamp, ..record }
    };
    broker.produce(&world.topic, (0..50).map(|id| keyed("same", Some(id))).map(at(0))).await?;
    let last = [keyed("gone", None), keyed("other", Some(50))];
    broker.produce(&world.topic, last.map(at(1))).await?;
    let (same, gone) = (("same", r#"{"id": 49}"#), ("gone", ""));
    compacted(broker, &world, &[same, gone, ("other", r#"{"id": 50}"#)]).await?;
    // The first range lies in a hole, and moves the ledger all the same.
    world.succeed().await?;
    assert_eq!(world.ledger().await?, "0:45");
    let ended = world.succeed().await?;
    let told = log(&world, &ended.run_id).await?;
    assert!(told.contains("3 records read") && told.contains("1 tombstones left out"), "{told}");
    assert_eq!(world.ledger().await?, "0:52");
    assert_eq!(world.number("SELECT count(*) FROM record WHERE id IN (49, 50)").await?, 2);
    world.check(2).await?;
    world.find_nothing().await?;

    // The record that was read last is compacted away: the topic is the same all the same.
    for (second, key, id) in [(2, "other", 51), (3, "more", 52)] {
        broker.produce(&world.topic, [keyed(key, Some(id))].map(at(second))).await?;
    }
    compacted(broker, &world, &[same, gone, ("other", r#"{"id": 51}"#), ("more", r#"{"id": 52}"#)])
        .await?;
    let ended = world.succeed().await?;
    let told = log(&world, &ended.run_id).await?;
    assert!(told.contains("the record read last is not there any more"), "{told}");
    world.check(4).await?;
    assert_eq!(world.ledger().await?, "0:54");
    world.find_nothing().await
}

/// Waits until a topic has these keys and values, and no others.
async fn compacted(broker: &Broker, world: &World, left: &[(&str, &str)]) -> Result<()> {
    let is_compacted = async || {
        let records = broker.records(&world.topic).await?;
        let found: Vec<(&str, &str)> =
            records.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        ensure!(found == left, "{found:?}");
        anyhow::Ok(true)
    };
    world.stack.until("the topic to be compacted", is_compacted).await
}

/// What the task that reads has said in a run.
async fn log(world: &World, run_id: &str) -> Result<String> {
    let arguments = ["runs", "logs", super::world::DAG, run_id, "--task", "read"];
    Ok(stdout(&world.stack.subak(&arguments).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_broker_dropped_are_an_error_until_somebody_decides() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "expired", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    world.succeed().await?;
    broker.produce(&world.topic, records(10..30)).await?;
    broker.expire(&world.topic, 0, 25).await?;
    let ended = world.run().await?;
    ensure!(ended.errors.contains("dropped up to 15 records"), "{ended:#?}");
    ensure!(ended.errors.contains("set `on_lost: skip`"), "{ended:#?}");
    let dag = world.dag("on_lost: skip", "retries: 0", super::world::LOAD);
    world.stack.replace_dag(super::world::DAG, &dag).await?;
    world.succeed().await?;
    world.check(15).await?;
    assert_eq!(world.ledger().await?, "0:30");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_found_out_whether_shorter_or_longer() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "anew", ..Wanted::default() }).await?;
    let again = world.dag("on_recreated: restart", "retries: 0", super::world::LOAD);
    let careful = world.dag("", "retries: 0", super::world::LOAD);
    broker.produce(&world.topic, records(0..20)).await?;
    world.succeed().await?;
    let mut expected = 20;
    for length in [5, 60] {
        broker.topic_remove(&world.topic).await?;
        broker.topic_create(&world.topic, 1, &[]).await?;
        broker.produce(&world.topic, records(expected..expected + length)).await?;
        let ended = world.run().await?;
        ensure!(ended.errors.contains("made anew"), "{length}: {ended:#?}");
        world.check(expected).await?;
        world.stack.replace_dag(super::world::DAG, &again).await?;
        world.succeed().await?;
        expected += length;
        world.check(expected).await?;
        assert_eq!(world.ledger().await?, format!("0:{length}"));
        world.stack.replace_dag(super::world::DAG, &careful).await?;
    }

    // Nor is a range that was recorded before finished with records of another topic.
    broker.produce(&world.topic, records(expected..expected + 10)).await?;
    world.warehouse.run("ALTER TABLE record RENAME TO gone").await?;
    let ended = world.run().await?;
    ensure!(ended.tasks == ["load failed", "read success"], "{ended:#?}");
    world.warehouse.run("ALTER TABLE gone RENAME TO record").await?;
    broker.topic_remove(&world.topic).await?;
    broker.topic_create(&world.topic, 1, &[]).await?;
    broker.produce(&world.topic, records(expected..expected + 100)).await?;
    let open = "SELECT id::text FROM topic_range WHERE state = 'open'";
    let open = world.stack.metadata().texts(open).await?.remove(0);
    let ended = world.run().await?;
    for part in ["made anew since range", &format!("`subak ranges abandon {open}`")] {
        ensure!(ended.errors.contains(part), "no `{part}` in {ended:#?}");
    }
    world.check(expected).await?;
    assert_eq!(world.ledger().await?, "0:60");
    let given_up = world.stack.subak(&["ranges", "abandon", &open]).await?;
    ensure!(given_up.status.success(), "{}", stderr(&given_up));
    world.stack.replace_dag(super::world::DAG, &again).await?;
    world.succeed().await?;
    world.check(expected + 100).await?;
    assert_eq!(world.ledger().await?, "0:100");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_listed_and_shown_with_their_lag() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "shown", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..40)).await?;
    world.succeed().await?;
    broker.produce(&world.topic, records(40..43)).await?;
    // Somebody else reads it, too.
    broker.commit("billing", &world.topic, 0, 11).await?;
    let asked = async |arguments: &[&str]| {
        let output = world.stack.subak(&[&["topics"], arguments].concat()).await?;
        ensure!(output.status.success(), "{}", stderr(&output));
        anyhow::Ok(stdout(&output))
    };
    let list = asked(&["list", "broker"]).await?;
    let row = list.lines().find(|line| line.contains(&world.topic)).unwrap_or_default();
    assert!(row.ends_with("1           1       drain.read"), "{list}");
    let shown = asked(&["show", "broker", &world.topic, "--records", "2"]).await?;
    for part in [
        "drain.read  0          40    40      3",
        "billing         0          11         32",
        "0:42  ",
        "name 41",
    ] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    assert!(!shown.contains("name 40"), "{shown}");
    for (arguments, said) in [
        (["show", "broker", "no-such-topic"].as_slice(), "has no topic `no-such-topic`"),
        (&["list", "warehouse"], "is of type `postgres`, but a `kafka` one is needed"),
    ] {
        let output = world.stack.subak(&[&["topics"], arguments].concat()).await?;
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    Ok(())
}
