//! Backfills: the runs of a schedule over a span of time, so many at a time.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use subak_core::decide::TryEnd;
use subak_core::ids::{DagId, RunKey};
use subak_server::engine::{Backfill, BackfillError, Outcome, Reprocess, Trigger};
use subak_store::read::BackfillRecord;
use subak_testkit::peek;

use crate::hands::{Hands, Held};
use crate::world::World;

const DAILY: &str = "
dag_id: daily
schedule: '0 0 * * *'
max_active_runs: 1
params: {most: {type: integer, default: 3}}
tasks: {a: {operator: noop}}
";

fn day(day: u32) -> DateTime<Utc> {
    format!("2020-03-{day:02}T00:00:00Z").parse().unwrap()
}

/// The days of March 2020 from one to another.
fn wanted(dag: &str, from: u32, to: u32) -> Backfill {
    Backfill {
        dag_id: DagId::from(dag),
        from_date: day(from),
        to_date: day(to),
        run_backwards: false,
        conf: None,
        reprocess: Reprocess::None,
        max_active_runs: 2,
        user: Some("ana".to_owned()),
    }
}

async fn run_of(world: &World, dag: &str, date: DateTime<Utc>) -> anyhow::Result<RunKey> {
    let manual = Trigger::manual(DagId::from(dag), "test", Value::Null);
    let trigger = Trigger { logical_date: Some(date), run_after: Some(date), ..manual };
    Ok(world.engine.run_trigger(trigger).await?.run)
}

/// The states of a DAG's runs that have a logical date, in the order of these.
async fn states(world: &World) -> anyhow::Result<String> {
    let sql = "SELECT string_agg(state::text, ' ' ORDER BY logical_date) FROM run
               WHERE logical_date IS NOT NULL";
    Ok(peek::text(&world.store, sql).await?.unwrap_or_default())
}

async fn of(world: &World, id: i64) -> anyhow::Result<BackfillRecord> {
    Ok(world.store.backfill_get(id).await?.expect("it was made"))
}

async fn completed(world: &World, id: i64) -> anyhow::Result<()> {
    let over = async || Ok(of(world, id).await?.completed_at.is_some());
    world.until("the backfill to be completed", over).await
}

/// The day that a try's run is about.
async fn about(world: &World, held: &Held) -> anyhow::Result<DateTime<Utc>> {
    let run = world.store.runs_of(&[held.fence.instance.run]).await?.remove(0);
    Ok(run.logical_date.expect("a run of a backfill has one"))
}

/// Ends every run well, one after the other; returns their days.
async fn all(world: &World, hands: &mut Hands, runs: usize) -> anyhow::Result<Vec<DateTime<Utc>>> {
    let mut days = Vec::new();
    for _ in 0..runs {
        let held = hands.given("a").await;
        days.push(about(world, &held).await?);
        hands.end(&held, Outcome::Success).await;
    }
    Ok(days)
}

fn problem(error: BackfillError) -> (&'static str, String) {
    match error {
        BackfillError::Field { field, problem } => (field, problem),
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_span_go_so_many_at_a_time() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DAILY).await?;
    let other = world.other("two").await?;
    let mut hands = world.hands(8).await?;
    // The DAG's own run is its only one; those of the backfill do not count with it.
    let own = world.trigger("daily").await?;
    let own_try = hands.given("a").await;
    assert_eq!(own_try.fence.instance.run, own);
    let five = Backfill { conf: Some(json!({"most": 5})), ..wanted("daily", 1, 5) };
    let id = other.engine.backfill_create(&five).await?;

    let mut held = vec![hands.given("a").await, hands.given("a").await];
    assert_eq!(states(&world).await?, "running running queued queued queued");
    for then in [
        "success running running queued queued",
        "success success running running queued",
        "success success success running running",
    ] {
        hands.end(&held.remove(0), Outcome::Success).await;
        held.push(hands.given("a").await);
        assert_eq!(states(&world).await?, then);
        let load = of(&world, id).await?;
        assert_eq!((load.runs_active, load.completed_at), (2, None), "{load:?}");
    }
    assert!(hands.unasked().is_empty(), "{:?}", hands.unasked());
    hands.end_at(&other.engine, &held[0], Outcome::Failed(TryEnd::Permanent)).await;
    assert_eq!(of(&world, id).await?.completed_at, None);
    hands.end(&held[1], Outcome::Success).await;
    let over = of(&world, id).await?;
    assert_eq!((over.runs_active, over.runs_queued), (0, 0));
    assert!(over.completed_at.is_some(), "it is, with the end of its last run");
    assert_eq!(states(&world).await?, "success success success failed success");
    hands.end(&own_try, Outcome::Success).await;
    assert_eq!(world.ended(own).await?, "success");

    // As Airflow makes them.
    let last = world.store.runs_of(&[held[1].fence.instance.run]).await?.remove(0);
    assert_eq!(last.run_id, "backfill__2020-03-05T00:00:00+00:00");
    assert_eq!((last.run_type.as_str(), last.triggered_by.as_str()), ("backfill", "backfill"));
    assert_eq!((last.triggered_user.as_deref(), last.conf), (Some("ana"), json!({"most": 5})));

    // Cleared later, a run waits for its turn among them, and the backfill stays completed.
    world.engine.tasks_clear(held[0].fence.instance.run, None).await?;
    assert_eq!(all(&world, &mut hands, 1).await?, [day(4)]);
    assert_eq!(world.ended(held[0].fence.instance.run).await?, "success");
    assert_eq!(of(&world, id).await?.completed_at, over.completed_at);
    assert_eq!(peek::left_behind(&world.store).await?, (0, 0));
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_there_are_go_again_as_asked() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DAILY).await?;
    let mut hands = world.hands(8).await?;
    for (date, outcome) in
        [(day(1), Outcome::Failed(TryEnd::Permanent)), (day(2), Outcome::Success)]
    {
        let run = run_of(&world, "daily", date).await?;
        let held = hands.given("a").await;
        hands.end(&held, outcome).await;
        world.ended(run).await?;
    }
    // A run that goes on is nobody else's, whatever is asked for.
    let going = run_of(&world, "daily", day(4)).await?;
    let going_try = hands.given("a").await;

    let of_all = |reprocess| Backfill { reprocess, ..wanted("daily", 1, 4) };
    for (reprocess, days) in [
        (Reprocess::None, vec![day(3)]),
        (Reprocess::Failed, vec![day(1)]),
        (Reprocess::Completed, vec![day(1), day(2), day(3)]),
    ] {
        let asked = of_all(reprocess);
        assert_eq!(world.engine.backfill_dry_run(&asked).await?, days, "{reprocess:?}");
        let id = world.engine.backfill_create(&asked).await?;
        let mut found = all(&world, &mut hands, days.len()).await?;
        found.sort();
        assert_eq!(found, days, "{reprocess:?}");
        completed(&world, id).await?;
        assert!(hands.unasked().is_empty(), "{reprocess:?}: {:?}", hands.unasked());
    }
    assert_eq!(states(&world).await?, "success success success running");
    // There is nothing left to do: it is completed at once.
    let id = world.engine.backfill_create(&of_all(Reprocess::Failed)).await?;
    assert!(of(&world, id).await?.completed_at.is_some());
    hands.end(&going_try, Outcome::Success).await;
    assert_eq!(world.ended(going).await?, "success");
    assert_eq!(peek::outbox(&world.store).await?, 0);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backwards_the_latest_run_is_the_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DAILY).await?;
    let mut hands = world.hands(8).await?;
    let backwards = Backfill { run_backwards: true, max_active_runs: 1, ..wanted("daily", 1, 3) };
    let id = world.engine.backfill_create(&backwards).await?;
    assert_eq!(all(&world, &mut hands, 3).await?, [day(3), day(2), day(1)]);
    completed(&world, id).await?;
    // Those that are there go in the same order.
    let again = Backfill { reprocess: Reprocess::Completed, ..backwards };
    world.store.dag_pause(&DagId::from("daily"), true).await?;
    let id = world.engine.backfill_create(&again).await?;
    world
        .until("all of them to wait", async || Ok(states(&world).await? == "queued queued queued"))
        .await?;
    world.engine.dag_pause(&DagId::from("daily"), false).await?;
    assert_eq!(all(&world, &mut hands, 3).await?, [day(3), day(2), day(1)]);
    completed(&world, id).await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_can_be_held_up_and_cancelled() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DAILY).await?;
    let dag = DagId::from("daily");
    let mut hands = world.hands(8).await?;
    world.engine.dag_pause(&dag, true).await?;
    let id = world.engine.backfill_create(&wanted("daily", 1, 5)).await?;
    // Its runs are there, and wait for their DAG.
    assert_eq!(states(&world).await?, "queued queued queued queued queued");
    world.engine.backfill_pause(id, true).await?;
    world.engine.dag_pause(&dag, false).await?;
    let own = world.trigger("daily").await?;
    let held = hands.given("a").await;
    assert_eq!(held.fence.instance.run, own, "the DAG goes on, its backfill does not");
    hands.end(&held, Outcome::Success).await;
    assert_eq!(world.ended(own).await?, "success");
    assert_eq!(states(&world).await?, "queued queued queued queued queued");

    world.engine.backfill_pause(id, false).await?;
    let held = [hands.given("a").await, hands.given("a").await];
    world.engine.backfill_cancel(id, "ana").await?;
    assert!(of(&world, id).await?.completed_at.is_some());
    assert_eq!(states(&world).await?, "running running failed failed failed");
    for refused in [
        world.engine.backfill_cancel(id, "ana").await,
        world.engine.backfill_pause(id, false).await,
    ] {
        assert!(matches!(refused, Err(BackfillError::Completed)), "{refused:?}");
    }
    // The next one may begin, and what runs goes on.
    let next = world.engine.backfill_create(&wanted("daily", 6, 6)).await?;
    assert_eq!(all(&world, &mut hands, 1).await?, [day(6)]);
    completed(&world, next).await?;
    for held in &held {
        hands.end(held, Outcome::Success).await;
    }
    let expected = "success success failed failed failed success";
    assert_eq!(states(&world).await?, expected);
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_backfilled_is_refused() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.dags(DAILY).await?;
    world.dags("{dag_id: never, tasks: {a: {operator: noop}}}").await?;
    world.dags("{dag_id: once, schedule: '@once', tasks: {a: {operator: noop}}}").await?;
    world.dags("{dag_id: minutes, schedule: '* * * * *', tasks: {a: {operator: noop}}}").await?;
    let past =
        "{dag_id: past, schedule: '@daily', tasks: {a: {operator: noop, depends_on_past: true}}}";
    world.dags(past).await?;
    let future = peek::now(&world.store).await? + chrono::TimeDelta::days(1);
    for (asked, field, says) in [
        (wanted("never", 1, 2), "dag_id", "has no schedule"),
        (wanted("once", 1, 2), "dag_id", "has no schedule"),
        (wanted("daily", 2, 1), "from_date", "is after `to_date`"),
        (
            Backfill { from_date: future, to_date: future, ..wanted("daily", 1, 2) },
            "from_date",
            "lies in the future",
        ),
        (
            Backfill { from_date: day(1) + chrono::TimeDelta::hours(1), ..wanted("daily", 1, 1) },
            "from_date",
            "is after `to_date`",
        ),
        (
            Backfill {
                from_date: day(1) + chrono::TimeDelta::hours(1),
                to_date: day(1) + chrono::TimeDelta::hours(2),
                ..wanted("daily", 1, 1)
            },
            "to_date",
            "no run of the schedule lies between",
        ),
        (wanted("minutes", 1, 31), "to_date", "more than 10000 runs"),
        (Backfill { max_active_runs: 0, ..wanted("daily", 1, 2) }, "max_active_runs", "at least 1"),
        (
            Backfill { conf: Some(json!({"most": "x"})), ..wanted("daily", 1, 2) },
            "dag_run_conf",
            "most",
        ),
        (wanted("past", 1, 2), "reprocess_behavior", "depends_on_past"),
        (
            Backfill { run_backwards: true, reprocess: Reprocess::Failed, ..wanted("past", 1, 2) },
            "run_backwards",
            "depends_on_past",
        ),
    ] {
        let refused = problem(world.engine.backfill_create(&asked).await.unwrap_err());
        assert!(refused.0 == field && refused.1.contains(says), "{asked:?}: {refused:?}");
        let dry = problem(world.engine.backfill_dry_run(&asked).await.unwrap_err());
        assert_eq!(dry, refused);
    }
    let absent = world.engine.backfill_create(&wanted("absent", 1, 2)).await;
    assert!(matches!(absent, Err(BackfillError::DagNotFound(_))), "{absent:?}");
    assert!(matches!(world.engine.backfill_pause(77, true).await, Err(BackfillError::NotFound)));
    // One at a time, also when two are asked for at once.
    let [one, two] = [(1, 3), (4, 6)].map(|(from, to)| wanted("daily", from, to));
    let (left, right) =
        tokio::join!(world.engine.backfill_create(&one), world.engine.backfill_create(&two));
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    let refused = left.err().or(right.err()).unwrap();
    assert!(matches!(refused, BackfillError::Unfinished(_)), "{refused:?}");
    world.close().await
}
