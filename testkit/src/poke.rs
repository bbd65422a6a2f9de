//! Changes the metadata database as time would, so that no test waits for it.

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use subak_core::ids::RunKey;
use subak_store::Store;

/// The lease of a session is over.
pub async fn lease_over(store: &Store, session: i64) -> anyhow::Result<()> {
    let sql = "UPDATE worker_session SET lease_until = now() - interval '1 second'
               WHERE session = $1";
    sqlx::query(sql).bind(session).execute(store.pool()).await?;
    Ok(())
}

/// Lets nobody read or write XComs, until the connection ends.
pub async fn block_xcoms(url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect(url).await?;
    let lock = "BEGIN; LOCK TABLE xcom IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut connection).await?;
    Ok(connection)
}

/// Lets no server look at its timers, though the database answers, until the transaction ends.
pub async fn block_timers(store: &Store) -> anyhow::Result<Transaction<'static, Postgres>> {
    let mut tx = store.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await?;
    Ok(tx)
}

/// Keeps what a table holds now, as a forgotten transaction does, until the connection ends.
pub async fn hold_snapshot(url: &str, table: &str) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect(url).await?;
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut connection).await?;
    Ok(connection)
}

/// Everything of a run that waits on a timer is due.
pub async fn timers_due(store: &Store, run: RunKey) -> anyhow::Result<()> {
    let sql = "UPDATE live SET due_at = now() WHERE run_key = $1 AND due_at IS NOT NULL";
    sqlx::query(sql).bind(run.0).execute(store.pool()).await?;
    Ok(())
}

/// The run has taken as long as it may.
pub async fn deadline_over(store: &Store, run: RunKey) -> anyhow::Result<()> {
    let sql = "UPDATE run SET deadline_at = now() WHERE run_key = $1 AND deadline_at IS NOT NULL";
    sqlx::query(sql).bind(run.0).execute(store.pool()).await?;
    Ok(())
}

/// A run that was asked for later is due after so long.
pub async fn due_after(store: &Store, run: RunKey, wait_secs: f64) -> anyhow::Result<()> {
    let sql = "UPDATE run SET waits_until = now() + $2 * interval '1 second'
               WHERE run_key = $1 AND waits_until IS NOT NULL";
    sqlx::query(sql).bind(run.0).bind(wait_secs).execute(store.pool()).await?;
    Ok(())
}

/// The partition with a run's history was dropped, as retention drops it.
pub async fn history_gone(store: &Store, run: RunKey) -> anyhow::Result<()> {
    sqlx::query("DELETE FROM try_history WHERE run_key = $1")
        .bind(run.0)
        .execute(store.pool())
        .await?;
    Ok(())
}

/// Copies a run to an earlier day, with its history and that day's partitions, in this state.
pub async fn copy_to_day(
    store: &Store,
    run: RunKey,
    day: NaiveDate,
    state: &str,
) -> anyhow::Result<RunKey> {
    let copy = RunKey::first_of(day).0 + 1;
    // One by one, as servers do: two tables' locks are never held together.
    for table in ["xcom", "dataset", "log_chunk", "log_spill", "try_history"] {
        let make = sqlx::query("SELECT partition_make($1, $2)");
        make.bind(table).bind(day).execute(store.pool()).await?;
    }
    sqlx::query(
        "INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state,
                          run_after, tasks_open, ended_at)
         SELECT $1, gen_random_uuid(), dag, version, $2, run_type, triggered_by, $3::run_state,
                run_after, tasks_open, CASE WHEN $3 IN ('success', 'failed') THEN ended_at END
         FROM run WHERE run_key = $4",
    )
    .bind(copy)
    .bind(format!("copy-{day}"))
    .bind(state)
    .bind(run.0)
    .execute(store.pool())
    .await?;
    sqlx::query(
        "UPDATE dag_load SET runs_active = runs_active + 1
         WHERE dag = (SELECT dag FROM run WHERE run_key = $1) AND $2 = 'running'",
    )
    .bind(copy)
    .bind(state)
    .execute(store.pool())
    .await?;
    sqlx::query(
        "INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, ended_at)
         SELECT $1, task, map_index, token, state, try_number, resets, ended_at
         FROM try_history WHERE run_key = $2",
    )
    .bind(copy)
    .bind(run.0)
    .execute(store.pool())
    .await?;
    Ok(RunKey(copy))
}

/// A pool counts this many slots as taken.
pub async fn pool_used(store: &Store, name: &str, used: i32) -> anyhow::Result<()> {
    let sql = "UPDATE pool SET used = $2 WHERE name = $1";
    sqlx::query(sql).bind(name).bind(used).execute(store.pool()).await?;
    Ok(())
}
