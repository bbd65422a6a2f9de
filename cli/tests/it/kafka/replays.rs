//! Dead letters go through again, each once, whatever fails in between.

use anyhow::{Context as _, Result, ensure};
use subak_testkit::kafka::{NewRecord, broker};
use subak_testkit::peek;

use super::world::{DAG, LOAD, Wanted, World, records};
use crate::{stderr, stdout};

/// Rejects names of more than two digits.
const WRONG: &str = "'name [0-9]{1,2}'";
const RIGHT: &str = "'name [0-9]+'";

/// A check between the topic and the load, of rows that have their records beside them.
fn checked(world: &World, pattern: &str) -> String {
    let load = LOAD.replace("read.output", "check.output");
    checked_into(world, "keep_records: true", pattern, &load)
}

/// A check between the topic and tasks that take what it passes on.
fn checked_into(world: &World, consume: &str, pattern: &str, below: &str) -> String {
    let check = format!(
        "  check:\n    operator: validate\n    with:\n      input: '{{{{ tasks.read.output }}}}'\n      \
         rules: [{{column: name, matches: {pattern}}}]\n"
    );
    world.dag(consume, "retries: 0", &format!("{check}{below}"))
}

/// Runs `subak deadletters replay … --wait`; returns its exit code, and what it said.
async fn replay(world: &World, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output =
        world.stack.subak(&[&["deadletters", "replay"], arguments, &["--wait"]].concat()).await?;
    Ok((output.status.code(), format!("{}{}", stdout(&output), stderr(&output))))
}

/// `state count` of the dead letters, sorted.
async fn letters(world: &World) -> Result<Vec<String>> {
    let states = "SELECT state || ' ' || count(*) FROM dead_letter WHERE visible
                  GROUP BY state ORDER BY state";
    world.stack.metadata().texts(states).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_mended_and_214_records_replayed_are_there_once() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "mended", ..Wanted::default() }).await?;
    world.stack.replace_dag(DAG, &checked(&world, WRONG)).await?;
    broker.produce(&world.topic, records(0..314)).await?;
    world.succeed().await?;
    world.check(100).await?;
    assert_eq!(letters(&world).await?, ["open 214"]);
    // Each as it was, with what no column has taken of it.
    let whole = r#"SELECT count(*) FROM dead_letter WHERE convert_from(raw, 'UTF8') =
                   format('{"id": %s, "n": {"first": "name %s"}, "more": [1, 2]}', position, position)"#;
    assert_eq!(world.stack.metadata().number(whole).await?, 214);

    // Nothing is mended: the record is rejected again, and points to what it was.
    let (code, said) = replay(&world, &["7"]).await?;
    ensure!(code == Some(0), "{said}\n{}", world.stack.logs());
    world.check(100).await?;
    assert_eq!(letters(&world).await?, ["open 214", "replayed 1"]);
    let again =
        "SELECT replay_of || ' ' || (range_id IS NOT NULL) FROM dead_letter WHERE replay_of > 0";
    assert_eq!(world.stack.metadata().texts(again).await?, ["7 true"]);
    let shown = world.stack.subak(&["deadletters", "show", "7"]).await?;
    ensure!(stdout(&shown).contains("rejected again as  215"), "{}", stdout(&shown));

    // Mended, and the load fails: they stay open.
    world.stack.replace_dag(DAG, &checked(&world, RIGHT)).await?;
    world.warehouse.run("ALTER TABLE record RENAME TO elsewhere").await?;
    let (code, said) = replay(&world, &["--dag", DAG, "--task", "check"]).await?;
    ensure!(code == Some(3) && said.contains("table `record` does not exist"), "{code:?} {said}");
    assert_eq!(letters(&world).await?, ["open 214", "replayed 1"]);

    // A replay of one of them takes all of them with it: a sink may have them all.
    world.warehouse.run("ALTER TABLE elsewhere RENAME TO record").await?;
    broker.produce(&world.topic, records(314..320)).await?;
    let (code, said) = replay(&world, &["9"]).await?;
    ensure!(code == Some(0) && said.contains("214"), "{code:?} {said}\n{}", world.stack.logs());
    world.check(314).await?;
    assert_eq!(letters(&world).await?, ["replayed 215"]);

    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    let nothing = "nothing is open to be replayed: 215 replayed already";
    ensure!(code == Some(1) && said.contains(nothing), "{code:?} {said}");

    // What was left in the topic is read as ever, by an ordinary run; a clear of the replay is none.
    let last = "SELECT run_id FROM run WHERE run_id LIKE 'replay%' ORDER BY run_key DESC LIMIT 1";
    let last = world.stack.metadata().texts(last).await?.pop().context("a replay")?;
    let cleared = world.stack.subak(&["runs", "clear", DAG, &last, "--wait"]).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    world.check(314).await?;
    world.succeed().await?;
    world.check(320).await?;
    assert_eq!(letters(&world).await?, ["replayed 215"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_range_that_is_not_loaded_are_read_anew_with_it() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "unsettled", ..Wanted::default() }).await?;
    world.stack.replace_dag(DAG, &checked(&world, WRONG)).await?;
    broker.produce(&world.topic, records(90..110)).await?;
    world.warehouse.run("ALTER TABLE record RENAME TO elsewhere").await?;
    let failed = world.run().await?;
    ensure!(failed.errors.contains("table `record` does not exist"), "{failed:#?}");
    assert_eq!(letters(&world).await?, ["open 10"]);

    world.stack.replace_dag(DAG, &checked(&world, RIGHT)).await?;
    world.warehouse.run("ALTER TABLE elsewhere RENAME TO record").await?;
    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    let unsettled = "10 of records that are not loaded yet: they are read anew with those";
    ensure!(code == Some(1) && said.contains(unsettled), "{code:?} {said}");

    world.succeed().await?;
    world.check(20).await?;
    assert_eq!(letters(&world).await?, ["superseded 10"]);
    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    ensure!(code == Some(1) && said.contains("10 superseded"), "{code:?} {said}");
    world.check(20).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_none_are_read_as_the_columns_are_now() -> Result<()> {
    let broker = broker().await?;
    let wanted =
        Wanted { about: "columns", consume: "on_bad_record: dead_letter", ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    world.warehouse.run("ALTER TABLE record ADD COLUMN _key bytea NOT NULL").await?;
    let load = LOAD.replace("columns: {", "columns: {_key: _key, ");
    let right = world.dag(wanted.consume, "retries: 0", &load);
    let wrong = right.replace("name: n.first", "name: {path: n.first, type: integer}");
    world.stack.replace_dag(DAG, &wrong).await?;
    let keyed = records(0..20).map(|record| NewRecord { key: Some("k".into()), ..record });
    broker.produce(&world.topic, keyed).await?;
    let bad =
        NewRecord { value: Some("oops".into()), key: Some("k".into()), ..NewRecord::default() };
    broker.produce(&world.topic, [bad]).await?;
    world.succeed().await?;
    world.check(0).await?;
    world.stack.replace_dag(DAG, &right).await?;
    let (code, said) = replay(&world, &["--dag", DAG, "--reason", "column name"]).await?;
    ensure!(code == Some(0), "{said}\n{}", world.stack.logs());
    world.check(20).await?;
    assert_eq!(letters(&world).await?, ["open 1", "replayed 20"]);
    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    ensure!(code == Some(0), "{said}");
    world.check(20).await?;
    assert_eq!(letters(&world).await?, ["open 1", "replayed 21"]);
    assert_eq!(world.number("SELECT count(*) FROM record WHERE _key = 'k'").await?, 20);
    let open = peek::dead_letters(&world.stack.store).await?;
    assert_eq!(open.last().map(|(position, ..)| *position), Some(20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_load_rejected_are_loaded_once_the_table_takes_them() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "load", ..Wanted::default() }).await?;
    let load = format!("{LOAD}      on_bad_row: dead_letter\n");
    world.stack.replace_dag(DAG, &world.dag("", "retries: 0", &load)).await?;
    world.warehouse.run("ALTER TABLE record ALTER id TYPE integer").await?;
    // The last twelve are larger than an integer.
    let first = i64::from(i32::MAX) - 7;
    broker.produce(&world.topic, records(first..first + 20)).await?;
    world.succeed().await?;
    let count = "SELECT count(*) FROM record";
    assert_eq!(world.number(count).await?, 8);
    assert_eq!(letters(&world).await?, ["open 12"]);

    // Nothing is mended: they are rejected again.
    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    ensure!(code == Some(0), "{said}\n{}", world.stack.logs());
    assert_eq!(letters(&world).await?, ["open 12", "replayed 12"]);
    assert_eq!(world.number(count).await?, 8);

    world.warehouse.run("ALTER TABLE record ALTER id TYPE bigint").await?;
    let (code, said) = replay(&world, &["--dag", DAG, "--task", "load"]).await?;
    ensure!(code == Some(0), "{said}\n{}", world.stack.logs());
    assert_eq!(letters(&world).await?, ["replayed 24"]);
    let last = "SELECT run_id FROM run WHERE run_id LIKE 'replay%' ORDER BY run_key DESC LIMIT 1";
    let last = world.stack.metadata().texts(last).await?.pop().context("a replay")?;
    let cleared = world.stack.subak(&["runs", "clear", DAG, &last, "--wait"]).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    assert_eq!(world.number(count).await?, 20);
    assert_eq!(world.number("SELECT count(DISTINCT id) FROM record").await?, 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_through_again_into_a_topic_once() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "again", ..Wanted::default() }).await?;
    let clean = broker.topic("cleaned", 2, &[]).await?;
    let into = |pattern: &str| {
        let write = format!(
            "  write:\n    operator: kafka.produce\n    with: {{connection: broker, topic: {clean}, \
             key: id, input: '{{{{ tasks.check.output }}}}'}}\n"
        );
        checked_into(&world, "", pattern, &write)
    };
    world.stack.replace_dag(DAG, &into(WRONG)).await?;
    let right = into(RIGHT);
    broker.produce(&world.topic, records(90..130)).await?;
    world.succeed().await?;
    assert_eq!(letters(&world).await?, ["open 30"]);
    let keys = async || -> Result<Vec<i64>> {
        let records = broker.records(&clean).await?;
        let mut keys =
            records.iter().map(|(key, _)| Ok(key.parse()?)).collect::<Result<Vec<_>>>()?;
        keys.sort_unstable();
        Ok(keys)
    };
    assert_eq!(keys().await?, (90..100).collect::<Vec<_>>());

    world.stack.replace_dag(DAG, &right).await?;
    let (code, said) = replay(&world, &["--dag", DAG]).await?;
    ensure!(code == Some(0), "{said}\n{}", world.stack.logs());
    assert_eq!(letters(&world).await?, ["replayed 30"]);
    assert_eq!(keys().await?, (90..130).collect::<Vec<_>>());

    // A clear of the replay finds that it is written; the topic is read on as ever.
    let last = "SELECT run_id FROM run WHERE run_id LIKE 'replay%' ORDER BY run_key DESC LIMIT 1";
    let last = world.stack.metadata().texts(last).await?.pop().context("a replay")?;
    let cleared = world.stack.subak(&["runs", "clear", DAG, &last, "--wait"]).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    broker.produce(&world.topic, records(130..140)).await?;
    world.succeed().await?;
    assert_eq!(keys().await?, (90..140).collect::<Vec<_>>());
    Ok(())
}
