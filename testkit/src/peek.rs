//! Looks into the metadata database, for what tests assert of it.

use chrono::{DateTime, Utc};
use subak_core::ids::{RunKey, TaskNo};
use subak_store::Store;

/// The state of a run, as the schema spells it.
pub async fn run_state(store: &Store, run: RunKey) -> anyhow::Result<String> {
    let (state,): (String,) = sqlx::query_as("SELECT state::text FROM run WHERE run_key = $1")
        .bind(run.0)
        .fetch_one(store.pool())
        .await?;
    Ok(state)
}

/// `task_id state` of every task of a run that has ended since its last clear, sorted.
pub async fn ended_tasks(store: &Store, run: RunKey) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT ON (t.task_id) t.task_id, h.state::text
         FROM try_history h
         JOIN run USING (run_key)
         JOIN dag_task t ON t.dag = run.dag AND t.task = h.task
         LEFT JOIN task_reset r
           ON (r.run_key, r.task, r.map_index) = (h.run_key, h.task, h.map_index)
         WHERE h.run_key = $1 AND h.token > coalesce(r.token, 0)
           AND h.state NOT IN ('up_for_retry', 'restarting')
         ORDER BY t.task_id, h.token DESC",
    )
    .bind(run.0)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(task, state)| format!("{task} {state}")).collect())
}

/// The numbers of the tasks of a run's DAG, by id.
pub async fn task_numbers(
    store: &Store,
    run: RunKey,
) -> anyhow::Result<std::collections::BTreeMap<String, TaskNo>> {
    let rows: Vec<(String, i32)> = sqlx::query_as(
        "SELECT t.task_id, t.task FROM run JOIN dag_task t USING (dag) WHERE run.run_key = $1",
    )
    .bind(run.0)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(id, task)| (id, TaskNo(task))).collect())
}

/// Every row of history of a run, `task_id#try_number state`, in the order of the fencing tokens.
pub async fn history(store: &Store, run: RunKey) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(String, i32, String)> = sqlx::query_as(
        "SELECT t.task_id, h.try_number, h.state::text
         FROM try_history h
         JOIN run USING (run_key)
         JOIN dag_task t ON t.dag = run.dag AND t.task = h.task
         WHERE h.run_key = $1 ORDER BY h.token",
    )
    .bind(run.0)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(task, number, state)| format!("{task}#{number} {state}")).collect())
}

/// How many tasks wait for the run before theirs.
pub async fn waiting_for_past(store: &Store) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM past_wait").fetch_one(store.pool()).await?)
}

/// Slots of a pool: how many, taken, and asked for by what waits.
pub async fn pool(store: &Store, name: &str) -> anyhow::Result<(i32, i32, i64)> {
    let pool = "SELECT slots, used, (SELECT coalesce(sum(pool_slots), 0) FROM live
                                     WHERE pool = name AND waits_pool)::bigint
                FROM pool WHERE name = $1";
    Ok(sqlx::query_as(pool).bind(name).fetch_one(store.pool()).await?)
}

/// Whether a DAG is paused, and why, if nobody did it.
pub async fn pause(store: &Store, dag_id: &str) -> anyhow::Result<(bool, Option<String>)> {
    let pause = "SELECT is_paused, pause_cause FROM dag WHERE dag_id = $1";
    Ok(sqlx::query_as(pause).bind(dag_id).fetch_one(store.pool()).await?)
}

/// Rows that are left in `live` and `join_state`.
pub async fn left_behind(store: &Store) -> anyhow::Result<(i64, i64)> {
    Ok(sqlx::query_as("SELECT (SELECT count(*) FROM live), (SELECT count(*) FROM join_state)")
        .fetch_one(store.pool())
        .await?)
}

/// How many tries of a run workers hold.
pub async fn running(store: &Store, run: RunKey) -> anyhow::Result<i64> {
    let held = "SELECT count(*) FROM live WHERE run_key = $1 AND state = 'running'";
    Ok(sqlx::query_scalar(held).bind(run.0).fetch_one(store.pool()).await?)
}

/// How many tries of a run were lost with their worker.
pub async fn lost(store: &Store, run: RunKey) -> anyhow::Result<i64> {
    let lost = "SELECT count(*) FROM try_history WHERE run_key = $1 AND cause = 'worker_lost'";
    Ok(sqlx::query_scalar(lost).bind(run.0).fetch_one(store.pool()).await?)
}

/// Event and whole text of each record of the audit log.
pub async fn audit(store: &Store) -> anyhow::Result<Vec<(String, String)>> {
    let sql = "SELECT event, audit::text FROM audit ORDER BY audit_id";
    Ok(sqlx::query_as(sql).fetch_all(store.pool()).await?)
}

/// Everything that people change: runs and their states, pauses, users and how often they are
/// signed in.
pub async fn runs_and_users(store: &Store) -> anyhow::Result<Vec<String>> {
    let rows = sqlx::query_scalar(
        "SELECT 'run ' || run_id || ' ' || state::text || ' ' || coalesce(note, '') FROM run
         UNION ALL SELECT 'dag ' || dag_id || ' ' || is_paused FROM dag
         UNION ALL SELECT 'user ' || username FROM app_user
         UNION ALL SELECT 'sessions ' || count(*) FROM web_session
         UNION ALL SELECT 'tokens ' || count(*) FROM api_token
         UNION ALL SELECT 'resets ' || count(*) FROM task_reset
         ORDER BY 1",
    );
    Ok(rows.fetch_all(store.pool()).await?)
}

/// Bytes of a run's logs in the database, and how many objects have the rest.
pub async fn log_places(store: &Store, run: RunKey) -> anyhow::Result<(i64, i64)> {
    let places =
        "SELECT (SELECT coalesce(sum(length(lz4)), 0)::bigint FROM log_chunk WHERE run_key = $1),
                         (SELECT count(*) FROM log_spill WHERE run_key = $1)";
    Ok(sqlx::query_as(places).bind(run.0).fetch_one(store.pool()).await?)
}

/// Name and rows of each dataset of a run, as far as they are known, sorted.
pub async fn dataset_rows(
    store: &Store,
    run: RunKey,
) -> anyhow::Result<Vec<(String, Option<i64>)>> {
    let rows =
        "SELECT name, (stats->>'rows')::bigint FROM dataset WHERE run_key = $1 ORDER BY name";
    Ok(sqlx::query_as(rows).bind(run.0).fetch_all(store.pool()).await?)
}

/// Position, reasons and bytes of the dead letters that are visible.
pub async fn dead_letters(store: &Store) -> anyhow::Result<Vec<(i64, serde_json::Value, Vec<u8>)>> {
    let letters = "SELECT position, reasons, raw FROM dead_letter WHERE visible ORDER BY position";
    Ok(sqlx::query_as(letters).fetch_all(store.pool()).await?)
}

/// `task_id state` of every task of a run that is ready, runs or waits on a timer, sorted.
pub async fn live_tasks(store: &Store, run: RunKey) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.task_id, l.state::text FROM live l
         JOIN run USING (run_key)
         JOIN dag_task t ON t.dag = run.dag AND t.task = l.task
         WHERE l.run_key = $1 ORDER BY t.task_id",
    )
    .bind(run.0)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(task, state)| format!("{task} {state}")).collect())
}

/// Seconds between the end of a run's last try and the retry that waits.
pub async fn retry_delay(store: &Store, run: RunKey) -> anyhow::Result<f64> {
    let sql = "SELECT extract(epoch FROM due_at - queued_at)::float8 FROM live
               WHERE run_key = $1 AND state = 'up_for_retry'";
    Ok(sqlx::query_scalar(sql).bind(run.0).fetch_one(store.pool()).await?)
}

/// Logical dates of a DAG's runs, in their order.
pub async fn logical_dates(store: &Store, dag_id: &str) -> anyhow::Result<Vec<DateTime<Utc>>> {
    let sql = "SELECT logical_date FROM run JOIN dag USING (dag)
               WHERE dag_id = $1 AND logical_date IS NOT NULL ORDER BY logical_date";
    Ok(sqlx::query_scalar(sql).bind(dag_id).fetch_all(store.pool()).await?)
}

/// Rows of history of a run that one transaction wrote, at most.
pub async fn settled_at_once(store: &Store, run: RunKey) -> anyhow::Result<i64> {
    let most = "SELECT coalesce(max(rows), 0) FROM (
                    SELECT count(*) AS rows FROM try_history WHERE run_key = $1 GROUP BY xmin::text
                ) AS written";
    Ok(sqlx::query_scalar(most).bind(run.0).fetch_one(store.pool()).await?)
}

/// Tasks of a run whose id is like this.
pub async fn tasks_like(store: &Store, run: RunKey, like: &str) -> anyhow::Result<Vec<TaskNo>> {
    let tasks = "SELECT t.task FROM run JOIN dag_task t USING (dag)
                 WHERE run_key = $1 AND task_id LIKE $2 ORDER BY t.task";
    let rows: Vec<i32> =
        sqlx::query_scalar(tasks).bind(run.0).bind(like).fetch_all(store.pool()).await?;
    Ok(rows.into_iter().map(TaskNo).collect())
}

/// How many tasks of a run could be handed over now, or once a place is free.
pub async fn startable(store: &Store, run: RunKey) -> anyhow::Result<i64> {
    let ready = "SELECT count(*) FROM live WHERE run_key = $1 AND session IS NULL";
    Ok(sqlx::query_scalar(ready).bind(run.0).fetch_one(store.pool()).await?)
}

/// The database's time.
pub async fn now(store: &Store) -> anyhow::Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar("SELECT now()").fetch_one(store.pool()).await?)
}

/// Rows that wait in the outbox.
pub async fn outbox(store: &Store) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(store.pool()).await?)
}

/// Sessions that are not dead.
pub async fn sessions(store: &Store) -> anyhow::Result<Vec<i64>> {
    let sql = "SELECT session FROM worker_session WHERE dead_at IS NULL ORDER BY session";
    Ok(sqlx::query_scalar(sql).fetch_all(store.pool()).await?)
}

/// Whether a table exists.
pub async fn has_table(store: &Store, name: &str) -> anyhow::Result<bool> {
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_one(store.pool()).await?)
}

/// How many sessions of this database wait for a lock.
pub async fn waiting_for_locks(store: &Store) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    Ok(sqlx::query_scalar(sql).fetch_one(store.pool()).await?)
}

/// Changes the database behind the product's back: statements that some fault would amount to.
pub async fn meddle(store: &Store, statements: &str) -> anyhow::Result<()> {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(store.pool()).await?;
    Ok(())
}

/// One text out of the database.
pub async fn text(store: &Store, query: &'static str) -> anyhow::Result<Option<String>> {
    Ok(sqlx::query_scalar(query).fetch_optional(store.pool()).await?.flatten())
}

/// All that the database keeps of the logs of a run, in order.
pub async fn log_text(store: &Store, run: RunKey) -> anyhow::Result<String> {
    let sql = "SELECT lz4 FROM log_chunk WHERE run_key = $1 ORDER BY token, sequence";
    let chunks: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(run.0).fetch_all(store.pool()).await?;
    let texts = chunks.iter().map(|lz4| lz4_flex::block::decompress_size_prepended(lz4));
    Ok(String::from_utf8(texts.collect::<Result<Vec<_>, _>>()?.concat())?)
}

/// `connection error` of every notification that was not sent, in the order in which they were left, and
/// whether it was given up.
pub async fn notifications(store: &Store) -> anyhow::Result<Vec<(String, bool)>> {
    Ok(sqlx::query_as(
        "SELECT connection || ' ' || coalesce(last_error, ''), given_up_at IS NOT NULL
         FROM notification ORDER BY id",
    )
    .fetch_all(store.pool())
    .await?)
}

/// The values of variables as they lie in the database.
pub async fn variables(store: &Store) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(sqlx::query_scalar("SELECT value FROM variable").fetch_all(store.pool()).await?)
}
