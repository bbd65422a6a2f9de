//! Schedules: each tick has one run, whichever server makes it.

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Utc};
use subak_core::ids::DagId;
use subak_server::Folder;
use subak_testkit::peek;

use crate::world::World;

/// Writes a DAG file into a folder of its own, and lets both servers read it.
async fn read(world: &World, other: &World, text: &str) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("dag.yaml"), text)?;
    let mut folders = [&world.engine, &other.engine]
        .map(|engine| Folder::new(engine.clone(), folder.path().to_owned()));
    // Twice: what was read is not made again.
    for _ in 0..2 {
        for folder in &mut folders {
            folder.look().await?;
        }
    }
    Ok(folder)
}

fn minute(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.duration_trunc(TimeDelta::minutes(1)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_catchup_every_tick_since_the_start_has_its_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    let other = world.other("two").await?;
    let start = minute(peek::now(&world.store).await?) - TimeDelta::minutes(30);
    let text = format!(
        "{{dag_id: all, schedule: '* * * * *', start_date: {}, catchup: true, max_active_runs: 99,
           tasks: {{a: {{operator: empty}}}}}}",
        start.format("%Y-%m-%dT%H:%M:%SZ")
    );
    let _folder = read(&world, &other, &text).await?;
    let made = async || peek::logical_dates(&world.store, "all").await;
    world.until("all ticks to have runs", async || Ok(made().await?.len() >= 31)).await?;
    let dates = made().await?;
    let expected: Vec<_> = (0..).map(|n| start + TimeDelta::minutes(n)).take(dates.len()).collect();
    assert_eq!(dates, expected, "one run a tick, in order, none left out");
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_catchup_only_the_most_recent_tick_has_a_run_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let other = world.other("two").await?;
    let text = "{dag_id: one, schedule: '0 0 1 1 *', start_date: 2001-01-01, tasks: {a: {operator: empty}}}";
    let _folder = read(&world, &other, text).await?;
    let made = async || peek::logical_dates(&world.store, "one").await;
    world.until("the run of this year", async || Ok(!made().await?.is_empty())).await?;
    // The schedule stands: what is next lies ahead.
    world.engine.timers_wake();
    world
        .until("the schedule to move on", async || {
            let head = world.store.dag_head(&DagId::from("one")).await?;
            let now = peek::now(&world.store).await?;
            Ok(head.is_some_and(|head| head.next_run_at.is_some_and(|next| next > now)))
        })
        .await?;
    let year = peek::now(&world.store).await?.format("%Y-01-01T00:00:00Z").to_string();
    assert_eq!(made().await?, [year.parse::<DateTime<Utc>>()?]);
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_without_a_start_begins_with_its_dag() -> anyhow::Result<()> {
    let world = World::new().await?;
    let other = world.other("two").await?;
    // Half a year from now: neither just before nor just after a tick, whatever the day.
    let month = (peek::now(&world.store).await?.month0() + 6) % 12 + 1;
    let text =
        format!("{{dag_id: next, schedule: '0 0 1 {month} *', tasks: {{a: {{operator: empty}}}}}}");
    let _folder = read(&world, &other, &text).await?;
    let head = world.store.dag_head(&DagId::from("next")).await?.expect("it was read");
    let now = peek::now(&world.store).await?;
    assert!(head.next_run_at.is_some_and(|next| next > now), "{head:?}");
    assert!(peek::logical_dates(&world.store, "next").await?.is_empty());
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_schedule_makes_no_run_until_it_goes_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    let other = world.other("two").await?;
    let text = "{dag_id: later, schedule: '0 0 1 1 *', start_date: 2001-01-01,
                 is_paused_upon_creation: true, tasks: {a: {operator: empty}}}";
    let _folder = read(&world, &other, text).await?;
    let dag = DagId::from("later");
    let head = world.store.dag_head(&dag).await?.expect("it was read");
    assert!(head.next_run_at.is_some_and(|next| next < head.created_at), "{head:?}");
    assert!(peek::logical_dates(&world.store, "later").await?.is_empty());
    world.engine.dag_pause(&dag, false).await?;
    let made = async || peek::logical_dates(&world.store, "later").await;
    world.until("the run of this year", async || Ok(made().await?.len() == 1)).await?;
    other.close().await?;
    world.close().await
}
