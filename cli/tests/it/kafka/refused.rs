//! What goes wrong on the way from a topic to a table: a clear error with its cause, the range kept,
//! nothing lost, and a retry that succeeds once it is mended.

use anyhow::{Result, ensure};
use subak_testkit::kafka::{
    Broker, NewRecord, PLAIN_USER, SCRAM_USER, SECRET, WRONG_SECRET, broker,
};

use crate::stdout;

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

/// A run whose load failed, with these words among its errors. The range is kept, and the table has as
/// many rows as before.
async fn check_load(world: &World, ended: &Ended, words: &[&str], rows: i64) -> Result<()> {
    ensure!(ended.tasks == ["load failed", "read success"], "{ended:#?}");
    for part in words {
        ensure!(ended.errors.contains(part), "no `{part}` in {}", ended.errors);
    }
    let ranges = world.ranges().await?;
    ensure!(ranges.last().is_some_and(|state| state == "open"), "{ranges:?}");
    world.check(rows).await
}

/// Makes a table as full as its disk, as PostgreSQL reports it.
const FULL_DISK: &str = "
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.id = 15 THEN
            RAISE 'could not extend file \"base/5/1\": No space left on device'
                USING ERRCODE = '53100';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION full_disk()";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_or_a_column_does_not_take_is_loaded_once_that_is_mended() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "mended", ..Wanted::default() }).await?;

    // Who may not create tables needs both ledgers, and is told of both at once.
    let role = "CREATE ROLE etl LOGIN; GRANT ALL ON record TO etl;
                REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    world.warehouse.run(role).await?;
    world.stack.connect_as("warehouse", "etl").await?;
    broker.produce(&world.topic, records(0..10)).await?;
    let refused = world.run().await?;
    let words =
        ["permission denied for schema public", "SQLSTATE 42501", "somebody with the right"];
    check_load(&world, &refused, &words, 0).await?;
    let log = world.stack.subak(&["runs", "logs", DAG, &refused.run_id, "--task", "load"]).await?;
    let log = stdout(&log);
    let ddl = log.split("with the right run:").nth(1).unwrap_or_default();
    for table in ["subak_loads (", "subak_offsets ("] {
        ensure!(ddl.contains(table), "no `{table}` in {log}");
    }
    world.warehouse.run(&ddl.replace("the user of the connection", "etl")).await?;
    world.succeed().await?;
    world.check(10).await?;

    // The disk of the table is full in the middle of the range.
    world.warehouse.run(FULL_DISK).await?;
    broker.produce(&world.topic, records(10..20)).await?;
    let full = world.run().await?;
    let words = ["No space left on device", "SQLSTATE 53100", "free space on PostgreSQL's disk"];
    check_load(&world, &full, &words, 10).await?;
    assert_eq!(world.ledger().await?, "0:10");
    world.warehouse.run("DROP TRIGGER full_disk ON record").await?;
    world.succeed().await?;
    world.check(20).await?;

    // The table's column is too narrow.
    world.warehouse.run("ALTER TABLE record ALTER id TYPE smallint").await?;
    broker.produce(&world.topic, records(20..25)).await?;
    broker.produce(&world.topic, records(40_000..40_001)).await?;
    let narrow = world.run().await?;
    let words = [
        "row 6, column `id` of the dataset does not fit column `id` of the table (smallint): 40000",
    ];
    check_load(&world, &narrow, &words, 20).await?;
    assert_eq!(world.ledger().await?, "0:20");
    world.warehouse.run("ALTER TABLE record ALTER id TYPE bigint").await?;
    world.succeed().await?;
    world.check(26).await?;

    // The DAG's column is of another type than the records' field.
    let text = NewRecord {
        value: Some(br#"{"id": "A-26", "n": {"first": "a"}}"#.to_vec()),
        ..NewRecord::default()
    };
    broker.produce(&world.topic, [text]).await?;
    broker.produce(&world.topic, records(27..30)).await?;
    let words = [
        "partition 0, offset 26: column id: \"A-26\" is not an integer (64 bits)",
        "or set on_bad_record to skip or dead_letter",
    ];
    check(&world.run().await?, &words)?;
    assert_eq!(world.ranges().await?, ["committed", "committed", "committed", "open"]);
    assert_eq!(world.ledger().await?, "0:26");
    world.warehouse.run("ALTER TABLE record ALTER id TYPE text").await?;
    let mended = world.dag("", "retries: 0", LOAD).replace("type: bigint", "type: string");
    world.stack.replace_dag(DAG, &mended).await?;
    world.succeed().await?;
    world.check(30).await?;
    assert_eq!((world.ledger().await?, world.ranges().await?.len()), ("0:30".to_owned(), 4));
    world.find_nothing().await
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
