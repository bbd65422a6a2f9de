//! Rows by the hundred thousand, by one statement a table.

use subak_testkit::TestDatabase;

/// Adds this many rows to every table that grows, of runs of their own.
pub(super) async fn rows(database: &TestDatabase, rows: i64) -> anyhow::Result<()> {
    let mut connection = database.connect().await?;
    let known: i64 =
        sqlx::query_scalar("SELECT count(*) FROM run").fetch_one(&mut connection).await?;
    for sql in TABLES {
        sqlx::query(sql).bind(known).bind(known + rows - 1).execute(&mut connection).await?;
    }
    Ok(())
}

/// Lets the planner know.
pub(super) async fn analyse(database: &TestDatabase) -> anyhow::Result<()> {
    sqlx::query("ANALYZE").execute(&mut database.connect().await?).await?;
    Ok(())
}

/// `$1` the first number, `$2` the last one. A fifth of the tasks is ready, one in a thousand waits
/// on a timer, the others run.
const TABLES: [&str; 10] = [
    "INSERT INTO run (run_key, uuid, dag, version, run_id, run_type, triggered_by, state, run_after,
                      tasks_open, deadline_at, started_at, logical_date)
     SELECT ((now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01')::bigint * (1::bigint << 40) + n,
            gen_random_uuid(), n % 100, 1, n::text, 'manual', 'test', 'running', now(), 1,
            CASE WHEN n % 1000 = 0 THEN now() + interval '1 hour' END, now(), now() + n * interval '1 minute'
     FROM generate_series($1::bigint, $2) AS n",
    "INSERT INTO live (run_key, task, map_index, state, priority, queue, session, token, queued_at,
                       started_at, due_at)
     SELECT run_key, 1, -1,
            (CASE WHEN n % 5 = 0 THEN 'queued' WHEN n % 1000 = 1 THEN 'up_for_retry'
                  ELSE 'running' END)::task_state,
            1, 'default',
            CASE WHEN n % 5 <> 0 AND n % 1000 <> 1 THEN n % 40 END,
            CASE WHEN n % 5 <> 0 AND n % 1000 <> 1 THEN n END,
            now(), now(), CASE WHEN n % 1000 = 1 THEN now() END
     FROM run CROSS JOIN LATERAL (SELECT run_id::bigint AS n) AS number WHERE n BETWEEN $1 AND $2",
    "INSERT INTO join_state (run_key, task, map_index, needed)
     SELECT run_key, 2, -1, 3 FROM run WHERE run_id::bigint BETWEEN $1 AND $2",
    "INSERT INTO mapped (run_key, task, instances, made, verdict)
     SELECT run_key, 3, 10, 4, 'running' FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2 AND run_id::bigint % 4 = 0",
    "INSERT INTO task_reset (run_key, task, map_index, token, tries, resets)
     SELECT run_key, 0, -1, 1, 1, 1 FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2 AND run_id::bigint % 20 = 0",
    "INSERT INTO try_history (run_key, task, map_index, token, state, try_number, resets, ended_at)
     SELECT run_key, 0, -1, run_id::bigint, 'success', 1, 0, now() FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2",
    "INSERT INTO xcom (run_key, task, map_index, key, value)
     SELECT run_key, 0, -1, 'return_value', '1' FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2 AND run_id::bigint % 4 = 0",
    "INSERT INTO log_chunk (run_key, task, map_index, token, sequence, first_line, lines, lz4)
     SELECT run_key, 0, -1, 1, 0, 0, 1, 'x' FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2 AND run_id::bigint % 4 = 0",
    "INSERT INTO outbox (kind, run_key, payload)
     SELECT 'cascade', run_key, '{}' FROM run
     WHERE run_id::bigint BETWEEN $1 AND $2 AND run_id::bigint % 20 = 0",
    "INSERT INTO topic_range (dag, task, sequence, cluster, topic, partitions, has_gap, sinks, state,
                              run_key)
     SELECT n % 100, 1, n, 'c', 't', '[]', false, '{load}',
            CASE WHEN n % 50 = 0 THEN 'open' ELSE 'committed' END, run_key
     FROM run CROSS JOIN LATERAL (SELECT run_id::bigint AS n) AS number WHERE n BETWEEN $1 AND $2",
];
