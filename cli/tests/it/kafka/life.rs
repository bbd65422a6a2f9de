//! The life of a range: loads that are skipped, versions that begin it, and loading it once more.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use subak_testkit::kafka::broker;

use super::world::{DAG, LOAD, Wanted, World, records};
use crate::stdout;

/// The usual load, left out where the run says so.
fn skippable(more: &str) -> String {
    let load = LOAD.replace("    with:", "    when: '{{ params.load }}'\n    with:");
    format!("{load}      {more}\n")
}

async fn replace(world: &World, loads: &str) -> Result<()> {
    let dag = world.dag("", "retries: 0", loads);
    let dag = dag.replacen("tasks:", "params: {load: true}\ntasks:", 1);
    world.stack.replace_dag(DAG, &dag).await
}

async fn run_without_load(world: &mut World) -> Result<super::world::Ended> {
    let (run, run_id) = world.trigger_with(r#"{"load": false}"#).await?;
    world.end_of(run, run_id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_load_keeps_its_range_for_three_runs() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "skipped", ..Wanted::default() }).await?;
    replace(&world, &skippable("on_skip: keep")).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    for _ in 0..3 {
        let ended = run_without_load(&mut world).await?;
        ensure!(ended.tasks == ["load skipped", "read success"], "{ended:#?}");
    }
    let ended = run_without_load(&mut world).await?;
    ensure!(ended.errors.contains("load `load`, which was skipped by 3 runs"), "{ended:#?}");
    ensure!(ended.errors.contains("on_skip: commit"), "{ended:#?}");
    // Whoever loads it has all of it.
    world.succeed().await?;
    world.check(10).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_load_may_let_its_range_pass() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "passed", ..Wanted::default() }).await?;
    replace(&world, &skippable("on_skip: commit")).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    run_without_load(&mut world).await?;
    assert_eq!(world.ranges().await?, ["open"]);
    broker.produce(&world.topic, records(10..15)).await?;
    let ended = world.succeed().await?;
    world.check(5).await?;
    assert_eq!(world.ledger().await?, "0:15");
    assert_eq!(world.ranges().await?, ["committed", "committed"]);
    let logs = world.stack.subak(&["runs", "logs", DAG, &ended.run_id, "--task", "read"]).await?;
    let logs = stdout(&logs);
    ensure!(logs.contains("its 10 records count as filtered"), "{logs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_finished_by_the_version_that_began_it() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "version", ..Wanted::default() }).await?;
    let second = LOAD.replace("  load:", "  also:").replace("table: record", "table: later");
    let loads = format!("{LOAD}{second}");
    world.stack.replace_dag(DAG, &world.dag("", "retries: 0", &loads)).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    let begun = world.run().await?;
    ensure!(begun.errors.contains("`later` does not exist"), "{begun:#?}");
    world.warehouse.run("CREATE TABLE later (LIKE record)").await?;

    // Another version: its loads could differ from those that are done.
    world.stack.replace_dag(DAG, &world.dag("max_messages: 7", "retries: 0", &loads)).await?;
    let refused = world.run().await?;
    ensure!(refused.errors.contains("this run has another one"), "{refused:#?}");
    let clear = format!("subak runs clear {DAG} {} --failed", begun.run_id);
    ensure!(refused.errors.contains(&clear), "{refused:#?}");
    let clear: Vec<&str> = clear.split(' ').skip(1).collect();
    let cleared = world.stack.subak(&clear).await?;
    ensure!(cleared.status.success(), "{cleared:?}");
    world.end_of(begun.run, begun.run_id).await?;
    assert_eq!(world.number("SELECT count(*) FROM later").await?, 10);
    world.check(10).await?;

    // Or somebody decides that any version will do.
    world.warehouse.run("ALTER TABLE later RENAME TO away").await?;
    broker.produce(&world.topic, records(10..15)).await?;
    world.run().await?;
    world.warehouse.run("ALTER TABLE away RENAME TO later").await?;
    world.stack.replace_dag(DAG, &world.dag("max_messages: 8", "retries: 0", &loads)).await?;
    let refused = world.run().await?;
    let id = refused.errors.rsplit("subak ranges release ").next().unwrap_or_default().to_owned();
    let id = id.trim_matches(['`', '\n']);
    let released = world.stack.subak(&["ranges", "release", id]).await?;
    ensure!(released.status.success(), "{released:?} {refused:#?}");
    assert_eq!(world.settled().await?, [format!("release_range cli drain read range {id}")]);
    world.succeed().await?;
    assert_eq!(world.number("SELECT count(*) FROM later").await?, 15);
    world.check(15).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_load_that_is_gone_lacks_is_given_up_and_the_pipeline_goes_on() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "gone", ..Wanted::default() }).await?;
    let second = LOAD.replace("  load:", "  also:").replace("table: record", "table: never");
    let both = world.dag("", "retries: 0", &format!("{LOAD}{second}"));
    world.stack.replace_dag(DAG, &both).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    let begun = world.run().await?;
    ensure!(begun.errors.contains("`never` does not exist"), "{begun:#?}");
    let listed = world.stack.subak(&["ranges", "list", "--json"]).await?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let part = json!([{"partition": 0, "from_offset": 0, "to_offset": 10}]);
    let range = &listed[0];
    assert_eq!((&range["partitions"], &range["loads"]), (&part, &json!(["load", "also"])));
    let counts = ["records", "rejected", "filtered"].map(|count| range[count].as_i64());
    assert_eq!((counts, &range["loaded"]), ([Some(10), Some(0), Some(0)], &json!({"load": 10})));

    world.stack.replace_dag(DAG, &world.dag("", "retries: 0", LOAD)).await?;
    broker.produce(&world.topic, records(10..15)).await?;
    let refused = world.run().await?;
    ensure!(refused.tasks == ["load upstream_failed", "read failed"], "{refused:#?}");
    let gone = format!("subak ranges abandon {} also", range["range_id"]);
    ensure!(refused.errors.contains(&gone), "no `{gone}` in {refused:#?}");
    let gone: Vec<&str> = gone.split(' ').skip(1).collect();
    let given_up = world.stack.subak(&gone).await?;
    ensure!(given_up.status.success(), "{given_up:?}");
    world.succeed().await?;
    world.check(15).await?;

    // A range as a whole: its records come in the next one.
    world.warehouse.run("ALTER TABLE record RENAME TO away").await?;
    broker.produce(&world.topic, records(15..20)).await?;
    let failed = world.run().await?;
    ensure!(failed.tasks == ["load failed", "read success"], "{failed:#?}");
    world.warehouse.run("ALTER TABLE away RENAME TO record").await?;
    let id = "SELECT id::text FROM topic_range WHERE state = 'open'";
    let id = world.stack.metadata().texts(id).await?.remove(0);
    let listed = stdout(&world.stack.subak(&["ranges", "list"]).await?);
    ensure!(listed.contains("0: 15–20"), "{listed}");
    for is_open in [true, false] {
        let given_up = world.stack.subak(&["ranges", "abandon", &id]).await?;
        ensure!(given_up.status.success() == is_open, "{given_up:?}");
    }
    world.succeed().await?;
    world.check(20).await?;
    assert_eq!(world.ranges().await?, ["committed", "committed", "abandoned", "committed"]);
    assert_eq!(world.ledger().await?, "0:20");
    let first = format!("abandon_range cli drain read range {}, load also", range["range_id"]);
    let second = format!("abandon_range cli drain read range {id}");
    assert_eq!(world.settled().await?, [first, second]);
    world.find_nothing().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_loaded_once_more_on_request() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "again", ..Wanted::default() }).await?;
    world.warehouse.run("CREATE UNIQUE INDEX ON record (id)").await?;
    let adds = "on_bad_record: dead_letter";
    world.stack.replace_dag(DAG, &world.dag(adds, "retries: 0", LOAD)).await?;
    broker.produce(&world.topic, records(0..10)).await?;
    let bad = subak_testkit::kafka::NewRecord {
        value: Some(b"oops".to_vec()),
        ..subak_testkit::kafka::NewRecord::default()
    };
    broker.produce(&world.topic, [bad]).await?;
    world.succeed().await?;
    broker.produce(&world.topic, records(10..20)).await?;
    world.succeed().await?;

    let id = "SELECT id::text FROM topic_range WHERE sequence = 1";
    let id = world.stack.metadata().texts(id).await?.remove(0);
    let refused = world.stack.subak(&["ranges", "replay", &id]).await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("mode: upsert"), "{said}");

    let upsert = format!("{LOAD}      mode: upsert\n      key: [id]\n");
    world.stack.replace_dag(DAG, &world.dag(adds, "retries: 0", &upsert)).await?;
    world.warehouse.run("DELETE FROM record WHERE id IN (3, 12)").await?;
    world.warehouse.run("UPDATE record SET name = 'spoilt'").await?;
    let again = world.stack.subak(&["ranges", "replay", &id, "--wait"]).await?;
    ensure!(again.status.success(), "{again:?}");
    assert_eq!(world.settled().await?, [format!("replay_range cli drain range {id}")]);
    // That range alone: what was lost of another one stays so.
    world.check(19).await?;
    assert_eq!(world.number("SELECT count(*) FROM record WHERE name = 'spoilt'").await?, 9);
    let ledger = "SELECT count(*) FROM subak_offsets WHERE topic <> 'ranges' AND next_offset = 21";
    assert_eq!(world.number(ledger).await?, 1);
    // The bad record is one dead letter still.
    let open = "SELECT count(*) FROM dead_letter WHERE visible AND state = 'open'";
    assert_eq!(world.stack.metadata().number(open).await?, 1);
    world.find_nothing().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_without_a_load_names_its_ledger() -> Result<()> {
    let broker = broker().await?;
    let mut world = World::new(broker, &Wanted { about: "files", ..Wanted::default() }).await?;
    let file = world.stack.folder().join("out.csv");
    let write = format!(
        "  pick:\n    operator: transform\n    with: {{input: '{{{{ tasks.read.output }}}}', steps: \
         [{{drop: [name, _topic, _partition, _offset, _timestamp, _key, _headers]}}]}}\n  write:\n    \
         operator: csv.write\n    with: {{path: {}, input: '{{{{ tasks.pick.output }}}}'}}\n",
        file.display()
    );
    world.stack.replace_dag(DAG, &world.dag("ledger: warehouse", "retries: 0", &write)).await?;
    let rows = async || {
        let text = tokio::fs::read_to_string(&file).await?;
        anyhow::Ok(text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    broker.produce(&world.topic, records(0..3)).await?;
    world.succeed().await?;
    assert_eq!(rows().await?, ["0", "1", "2"]);
    broker.produce(&world.topic, records(3..5)).await?;
    world.succeed().await?;
    assert_eq!(rows().await?, ["3", "4"]);
    world.find_nothing_of(&["pick skipped", "read skipped", "write skipped"]).await?;
    assert_eq!(world.ledger().await?, "0:5");
    Ok(())
}
