//! Topics as they are in life: compacted, transactional, expired, made anew, widened.

use anyhow::{Result, ensure};
use subak_testkit::kafka::{NewRecord, broker};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_has_holes_and_tombstones() -> Result<()> {
    let broker = broker().await?;
    let config = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    let wanted = Wanted { about: "compact", config: &config, ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    broker.produce(&world.topic, (0..50).map(|id| keyed("same", Some(id)))).await?;
    let last = [keyed("gone", None), keyed("other", Some(50))];
    broker.produce(&world.topic, last).await?;
    world.succeed().await?;
    // However far compaction is by now: the last ones of their keys are there, and nothing twice.
    let rows = world.number("SELECT count(*) FROM record").await?;
    world.check(rows).await?;
    assert_eq!(world.number("SELECT count(*) FROM record WHERE id IN (49, 50)").await?, 2);
    assert_eq!(world.ledger().await?, "0:52");
    world.find_nothing().await
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
