//! A database that fails for a moment, and rows that always do: nothing is lost or held up by them.

use subak_server::engine::Outcome;
use subak_testkit::peek;

use crate::world::{World, work};

/// The first calls of `blip()` fail as PostgreSQL does while it starts. A sequence counts them: what
/// a transaction drew stays drawn.
const BLIP: &str = "
    CREATE SEQUENCE blips;
    CREATE FUNCTION blip() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
    BEGIN
        IF nextval('blips') <= 2 THEN
            RAISE 'the database system is starting up' USING ERRCODE = '57P03';
        END IF;
        RETURN true;
    END $$;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blip_while_a_task_is_handed_over_costs_no_try() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags(
            "
dag_id: pair
tasks:
  a: {operator: noop}
  b: {operator: bash, depends_on: [a], with: {command: echo, env: {A: \"{{ ti.xcom_pull(task_ids='a') }}\"}}}
",
        )
        .await?;
    let view =
        "ALTER TABLE xcom RENAME TO xcoms; CREATE VIEW xcom AS SELECT * FROM xcoms WHERE blip();";
    peek::meddle(&world.store, &format!("{BLIP} {view}")).await?;
    work(world.worker(1).await?, |_, _| Outcome::Success);
    let run = world.trigger("pair").await?;
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(peek::history(&world.store, run).await?, ["a#1 success", "b#1 success"]);
    let drawn = peek::text(&world.store, "SELECT last_value::text FROM blips").await?;
    assert_eq!(drawn.as_deref(), Some("3"), "the fault was met");
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_run_could_not_be_made_is_not_skipped() -> anyhow::Result<()> {
    let world = World::new().await?;
    let hook = "
        CREATE FUNCTION blip_row() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM blip(); RETURN NEW; END $$;
        CREATE TRIGGER blip BEFORE INSERT ON run FOR EACH ROW EXECUTE FUNCTION blip_row();";
    peek::meddle(&world.store, &format!("{BLIP} {hook}")).await?;
    world.dags("{dag_id: yearly, schedule: '0 0 1 1 *', tasks: {a: {operator: noop}}}").await?;
    work(world.worker(1).await?, |_, _| Outcome::Success);
    // The last tick was years ago: the newest one is due.
    let due = "UPDATE dag SET last_tick = '2020-01-01T00:00:00Z', next_run_at = now(), schedule_due_at = now();";
    peek::meddle(&world.store, due).await?;
    world.engine.timers_wake();
    let made = async {
        let count = "SELECT count(*)::text FROM run WHERE state = 'success'";
        while peek::text(&world.store, count).await?.as_deref() != Some("1") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), made).await??;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_always_fails_holds_up_no_other() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: idle, tasks: {a: {operator: noop, queue: nobodys}}}").await?;
    world.trigger("idle").await?;
    let bad = "INSERT INTO outbox (kind, run_key, due_at) SELECT 'cascade', run_key, '2020-01-01' FROM run";
    peek::meddle(&world.store, bad).await?;
    // More than one transaction settles: the rest goes through the outbox.
    let mut text = "dag_id: wide\ntasks:\n  a: {operator: noop}\n".to_owned();
    for n in 0..1_100 {
        text += &format!("  m{n}: {{operator: noop, depends_on: [a]}}\n");
    }
    let middle: Vec<String> = (0..1_100).map(|n| format!("m{n}")).collect();
    text += &format!("  z: {{operator: noop, depends_on: [{}]}}\n", middle.join(", "));
    world.dags(&text).await?;
    work(world.worker(1).await?, |_, _| Outcome::Failed(subak_core::decide::TryEnd::Permanent));
    let run = world.trigger("wide").await?;
    assert_eq!(world.ended(run).await?, "failed");
    assert_eq!(world.states(run).await?.len(), 1_102);
    let failures = peek::text(&world.store, "SELECT string_agg(failures::text, ' ') FROM outbox");
    let failures = failures.await?.unwrap_or_default();
    assert!(failures.parse::<i32>()? > 0, "{failures}");
    world.close().await
}
