//! The database refuses what the engine never writes: what would let a try run twice or a run hang in every
//! database, the rest in those of tests (`testkit/src/postgres/checks.sql`).

use subak_server::engine::Outcome;
use subak_testkit::peek;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_what_the_engine_never_writes() -> anyhow::Result<()> {
    let world = World::new().await?;
    world
        .dags("{dag_id: d, tasks: {a: {operator: noop}, b: {operator: noop}, c: {operator: noop, depends_on: [a, b]}}}")
        .await?;
    let mut hands = world.hands(1).await?;
    let run = world.trigger("d").await?;
    let a = hands.given("a").await;
    hands.end(&a, Outcome::Success).await;
    // A run that goes on, with a live row, counters and history.
    hands.given("b").await;
    for (table, wrong) in [
        ("run", "tasks_open = -1"),
        ("run", "tasks_active = -1"),
        ("run", "tasks_held = -1"),
        ("run", "leaves_failed = -1"),
        ("run", "ended_at = now()"),
        ("run", "state = 'success'"),
        ("run", "state = 'failed', ended_at = now(), deadline_at = now()"),
        ("run", "run_type = 'moon'"),
        ("live", "try_number = -1"),
        ("live", "lost = -1"),
        ("live", "due_at = now()"),
        ("live", "state = 'up_for_retry', session = NULL, token = NULL"),
        ("join_state", "skipped = 2"),
        ("join_state", "failed = -1, success = 2"),
        ("join_state", "setup_success = 1"),
        ("try_history", "state = 'running'"),
        ("try_history", "try_number = -1"),
    ] {
        let refused = peek::meddle(&world.store, &format!("UPDATE {table} SET {wrong}")).await;
        let error = format!("{:#}", refused.expect_err(wrong));
        assert!(error.contains("violates check constraint"), "{table}, {wrong}: {error}");
    }
    let outbox = "INSERT INTO outbox (kind, run_key) VALUES ('moon', 1)";
    assert!(peek::meddle(&world.store, outbox).await.is_err());
    assert_eq!(peek::run_state(&world.store, run).await?, "running");
    world.close().await
}
