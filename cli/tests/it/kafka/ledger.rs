//! A worker dies while its load writes the ledger.

use anyhow::{Context as _, Result, ensure};
use subak_testkit::kafka::broker;

use super::world::{Wanted, World, records};

/// The ledger takes long to write, so that a kill falls into it.
const SLOW: &str = "
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$;
    CREATE TRIGGER slowly BEFORE UPDATE ON subak_offsets FOR EACH ROW EXECUTE FUNCTION slowly()";

/// A session is in it.
const WRITES: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

const END: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

/// Kills the worker there, and checks that each record is in the table once, as the ledger says. `env` is
/// what workers find in their environment.
pub(super) async fn killed_while_it_is_written(env: &[(&'static str, &'static str)]) -> Result<()> {
    let broker = broker().await?;
    let defaults = "retries: 3, retry_delay: 0.1s";
    let wanted = Wanted { about: "ledger", defaults, env, ..Wanted::default() };
    let mut world = World::new(broker, &wanted).await?;
    broker.produce(&world.topic, records(0..50)).await?;
    world.succeed().await?;
    world.warehouse.run(SLOW).await?;
    broker.produce(&world.topic, records(50..120)).await?;
    let (run, run_id) = world.trigger().await?;
    let warehouse = &world.warehouse;
    let writes = world
        .stack
        .until("the ledger to be written", async || Ok(warehouse.number(WRITES).await? > 0));
    writes.await?;
    world.stack.kill_worker(0)?;
    // PostgreSQL finds out that its client is gone only when it answers.
    world.warehouse.run(END).await?;
    world.warehouse.run("DROP TRIGGER slowly ON subak_offsets").await.context("the trigger")?;
    world.stack.start_worker(0, false)?;
    let ended = world.end_of(run, run_id).await?;
    ensure!(ended.tasks.iter().all(|task| task.ends_with(" success")), "{ended:#?}");
    world.check(120).await?;
    ensure!(world.ledger().await? == "0:120", "the ledger is at {}", world.ledger().await?);
    Ok(())
}
