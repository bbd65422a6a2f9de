//! What becomes of a range when loads fail, are cleared, or are two.

use std::path::Path;

use anyhow::{Result, ensure};
use subak_testkit::kafka::{Broker, NewRecord, broker};

use super::world::{DAG, Ended, LOAD, Wanted, World, records};

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_load_failed_is_read_again_by_the_next_run() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "left", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..30)).await?;
    world.warehouse.run("ALTER TABLE record RENAME TO elsewhere").await?;
    let failed = world.run().await?;
    ensure!(failed.errors.contains("table `record` does not exist"), "{failed:#?}");
    assert_eq!(world.ranges().await?, ["open"]);
    world.warehouse.run("ALTER TABLE elsewhere RENAME TO record").await?;
    broker.produce(&world.topic, records(30..50)).await?;
    world.succeed().await?;
    world.check(30).await?;
    world.succeed().await?;
    world.check(50).await?;
    assert_eq!(world.ranges().await?, ["committed", "committed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_of_a_committed_range_loads_nothing_and_says_so() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "clear", ..Wanted::default() }).await?;
    broker.produce(&world.topic, records(0..30)).await?;
    let first = world.succeed().await?;
    broker.produce(&world.topic, records(30..40)).await?;
    let cleared = world.stack.subak(&["runs", "clear", DAG, &first.run_id]).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    let again = world.end_of(first.run, first.run_id.clone()).await?;
    ensure!(again.tasks == ["load success", "read success"], "{again:#?}");
    world.check(30).await?;
    assert_eq!(world.ledger().await?, "0:30");
    let logs = world.stack.subak(&["runs", "logs", DAG, &first.run_id, "--task", "load"]).await?;
    let logs = String::from_utf8(logs.stdout)?;
    ensure!(logs.contains("is committed already"), "{logs}");
    world.succeed().await?;
    world.check(40).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_dead_letters_and_the_ledger_passes_them() -> Result<()> {
    let broker = broker().await?;
    let wanted =
        Wanted { about: "bad", consume: "on_bad_record: dead_letter", ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    let bad: [&[u8]; 5] = [b"oops", b"[1]", b"{\"id\": \"x\"}", b"\xff\xfe", b""];
    let bad = bad.map(|value| NewRecord { value: Some(value.to_vec()), ..NewRecord::default() });
    broker.produce(&world.topic, bad).await?;
    // All of a range may be bad.
    world.succeed().await?;
    world.check(0).await?;
    assert_eq!(world.ledger().await?, "0:5");
    broker.produce(&world.topic, records(0..10)).await?;
    world.succeed().await?;
    world.check(10).await?;
    let letters = "SELECT position || ' ' || encode(raw, 'escape') || ' ' || (reasons->>0)
                   FROM dead_letter WHERE visible ORDER BY position";
    let letters = world.stack.metadata().texts(letters).await?;
    let expected = [
        "0 oops not JSON: expected value at line 1 column 1",
        "1 [1] the record is no JSON object",
        "2 {\"id\": \"x\"} column id: \"x\" is not an integer (64 bits)",
        "3 \\377\\376 not UTF-8 from byte 0 on",
        "4  not JSON: EOF while parsing a value at line 1 column 0",
    ];
    assert_eq!(letters, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_have_a_ledger_each() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "two", ..Wanted::default() }).await?;
    let second = LOAD.replace("load:", "copy:").replace("table: record", "table: record_copy");
    // What is made of a range carries it, too.
    let made = "  made:\n    operator: transform\n    with:\n      \
                input: '{{ tasks.read.output }}'\n      sql: SELECT * FROM read WHERE id % 2 = 0\n";
    let second = second.replace("read.output", "made.output");
    let dag = world.dag("", "retries: 0", &format!("{LOAD}{made}{second}"));
    world.stack.replace_dag(DAG, &dag).await?;
    broker.produce(&world.topic, records(0..30)).await?;
    let failed = world.run().await?;
    ensure!(failed.errors.contains("`record_copy` does not exist"), "{failed:#?}");
    world.check(30).await?;
    assert_eq!(world.ranges().await?, ["open"]);
    world.warehouse.run("CREATE TABLE record_copy (LIKE record)").await?;
    world.succeed().await?;
    world.check(30).await?;
    assert_eq!(world.number("SELECT count(*) FROM record_copy").await?, 15);
    assert_eq!(world.ranges().await?, ["committed"]);
    assert_eq!(world.ledger().await?, "0:30 0:30");
    Ok(())
}

/// Another topic, and what both have.
const JOINED: &str = "  more:
    operator: kafka.consume
    with: {connection: broker, topic: OTHER, columns: {id: {path: id, type: bigint}}}
  joined:
    operator: transform
    with:
      inputs: {a: '{{ tasks.read.output }}', b: '{{ tasks.more.output }}'}
      sql: SELECT a.id, a.name, a._partition, a._offset FROM a JOIN b ON a.id = b.id
";

#[tokio::test(flavor = "multi_thread")]
async fn a_join_of_two_topics_moves_both_ledgers_with_its_rows() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "joined", ..Wanted::default() }).await?;
    let other = broker.topic("other", 1, &[]).await?;
    let load = LOAD.replace("read.output", "joined.output");
    let tasks = format!("{}{load}", JOINED.replace("OTHER", &other));
    world.stack.replace_dag(DAG, &world.dag("", "retries: 0", &tasks)).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    broker.produce(&other, records(5..20)).await?;
    // It fails, and the next run reads the same of both.
    world.warehouse.run("ALTER TABLE record RENAME TO elsewhere").await?;
    let failed = world.run().await?;
    ensure!(failed.errors.contains("table `record` does not exist"), "{failed:#?}");
    world.warehouse.run("ALTER TABLE elsewhere RENAME TO record").await?;
    broker.produce(&world.topic, records(10..12)).await?;
    world.succeed().await?;
    world.check(5).await?;
    let ledgers = async |world: &World| {
        let rows = "SELECT consume_task || ':' || next_offset FROM subak_offsets ORDER BY 1";
        world.warehouse.texts(rows).await
    };
    assert_eq!(ledgers(&world).await?, ["more:15", "read:10"]);
    // Of one there is nothing new: what the other has waits for it.
    let waits = world.run().await?;
    let skipped = ["joined skipped", "load skipped", "more skipped", "read success"];
    ensure!(waits.tasks == skipped, "{waits:#?}");
    assert_eq!(ledgers(&world).await?, ["more:15", "read:10"]);
    broker.produce(&other, records(11..30)).await?;
    world.succeed().await?;
    world.check(6).await?;
    assert_eq!(ledgers(&world).await?, ["more:34", "read:12"]);
    let ranges = world.ranges().await?;
    ensure!(ranges.iter().all(|state| state == "committed"), "{ranges:?}");
    Ok(())
}

/// A task between the reading and the load that waits for a file, and fails if the run is told to.
const GATED: &str = r#"  gate:
    operator: bash
    depends_on: [read]
    with: {command: 'if [ "$FAILS" = true ]; then until [ -e FILE ]; do sleep 0.1; done; exit 1; fi', env: {FAILS: '{{ params.fails }}'}}
  load:
    operator: postgres.load
    depends_on: [gate]
    with:
      connection: warehouse
      input: '{{ tasks.read.output }}'
      table: record
      columns: {id: id, name: name, _partition: _partition, _offset: _offset}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_range_does_not_overtake_the_first_nor_leave_a_gap() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted::default()).await?;
    let file = world.stack.folder().join("open");
    let tasks = GATED.replace("FILE", &file.display().to_string());
    let dag = world.dag("", "retries: 0", &tasks);
    let dag = dag.replacen("tasks:", "params: {fails: 'false'}\ntasks:", 1);
    world.stack.replace_dag(DAG, &dag).await?;
    // Its load waits for the first run, however new the ledger is; then nobody has the first range.
    let ended = second_of_two(&mut world, broker, &file, 0).await?;
    ensure!(ended.errors.contains("would overtake the range before it"), "{ended:#?}");
    world.check(0).await?;
    // Whoever comes next takes the first range first.
    world.succeed().await?;
    world.check(10).await?;
    world.succeed().await?;
    world.check(20).await?;
    // A ledger that has something says what is missing.
    std::fs::remove_file(&file)?;
    let ended = second_of_two(&mut world, broker, &file, 20).await?;
    let gap = "the next offset of partition 0 is 20, but the range begins at 30";
    ensure!(ended.errors.contains("would leave a gap"), "{ended:#?}");
    ensure!(ended.errors.contains(gap), "{ended:#?}");
    world.check(20).await?;
    assert_eq!(world.ledger().await?, "0:20");
    world.succeed().await?;
    world.succeed().await?;
    world.check(40).await?;
    world.find_nothing_of(&["gate skipped", "load skipped", "read skipped"]).await
}

/// Two runs read a range of ten records each, and the first one fails: how the second one ends.
async fn second_of_two(
    world: &mut World,
    broker: &Broker,
    file: &Path,
    from: i64,
) -> Result<Ended> {
    broker.produce(&world.topic, records(from..from + 10)).await?;
    let (first, _) = world.trigger_with(r#"{"fails": "true"}"#).await?;
    were_read(world, from / 10 + 1).await?;
    broker.produce(&world.topic, records(from + 10..from + 20)).await?;
    let (second, second_id) = world.trigger().await?;
    were_read(world, from / 10 + 2).await?;
    std::fs::write(file, "")?;
    world.stack.ended(first).await?;
    world.end_of(second, second_id).await
}

/// Waits until so many ranges were read.
async fn were_read(world: &World, ranges: i64) -> Result<()> {
    let read = "SELECT count(*) FROM topic_range WHERE read_at IS NOT NULL";
    let metadata = world.stack.metadata();
    let holds = async || Ok(metadata.number(read).await? == ranges);
    world.stack.until("ranges to be read", holds).await
}
