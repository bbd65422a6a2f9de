//! What has been kept long enough is dropped by the day, once no run of the day is open.

use chrono::Days;
use subak_core::ids::RunKey;
use subak_server::engine::Outcome;
use subak_testkit::{peek, poke};

use crate::world::{World, work};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_dropped_once_no_run_of_it_is_open() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags("{dag_id: kept, tasks: {a: {operator: noop}}}").await?;
    work(world.worker(1).await?, |_, _| Outcome::Success);
    let run = world.trigger("kept").await?;
    world.ended(run).await?;
    let today = peek::now(&world.store).await?.date_naive();
    // Engines of these tests keep 30 days.
    let days = [31, 33, 29].map(|back| today - Days::new(back));
    let old = poke::copy_to_day(&world.store, run, days[0], "success").await?;
    let open = poke::copy_to_day(&world.store, run, days[1], "running").await?;
    let young = poke::copy_to_day(&world.store, run, days[2], "success").await?;
    let has = async |run: RunKey, day: chrono::NaiveDate| -> anyhow::Result<(bool, bool)> {
        let table = format!("try_history_{}", day.format("%Y%m%d"));
        let state = peek::run_state(&world.store, run).await;
        Ok((state.is_ok(), peek::has_table(&world.store, &table).await?))
    };

    // A server tidies up when it starts, and each hour; two at once do no harm.
    let (one, two) = (world.other("one").await?, world.other("two").await?);
    world.until("the old day to be dropped", async || Ok(!has(old, days[0]).await?.1)).await?;
    assert_eq!(has(old, days[0]).await?, (false, false));
    assert_eq!(has(open, days[1]).await?, (true, true), "a run of it is open");
    assert_eq!(has(young, days[2]).await?, (true, true), "it is young");
    assert_eq!(has(run, today).await?, (true, true));

    world.engine.run_cancel(open, "cancelled").await?;
    let three = world.other("three").await?;
    world.until("the other day to be dropped", async || Ok(!has(open, days[1]).await?.1)).await?;
    assert_eq!(has(young, days[2]).await?, (true, true));
    for server in [one, two, three] {
        server.close().await?;
    }
    world.close().await
}
