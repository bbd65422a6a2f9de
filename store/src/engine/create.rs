//! Makes runs, and starts those that waited for `max_active_runs`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::RunKey;
use subak_core::state::{RunState, RunType};
use uuid::Uuid;

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub uuid: Uuid,
    pub dag: i32,
    pub version: i32,
    pub run_id: String,
    pub run_type: RunType,
    pub triggered_by: String,
    pub triggered_user: Option<String>,
    pub state: RunState,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub conf: Value,
    pub note: Option<String>,
    /// Of `dagrun_timeout`, from its start.
    pub timeout_micros: Option<i64>,
    pub tasks_open: i32,
    pub tasks_active: i32,
    pub tasks_held: i32,
    /// The backfill that makes it, and its turn there.
    pub backfill: Option<(i64, i32)>,
    /// It is not due before.
    pub waits_until: Option<DateTime<Utc>>,
}

/// How many runs of a DAG are there, its row locked.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct DagLoad {
    pub dag: i32,
    pub runs_active: i32,
    pub runs_queued: i32,
    pub max_active_runs: i32,
    pub is_paused: bool,
    /// The database's time, at which the transaction began.
    pub now: DateTime<Utc>,
}

/// A run that waits for its turn.
#[derive(Debug, Clone, Copy)]
pub struct QueuedRun {
    pub key: RunKey,
}

statements! {
    /// Those that do not belong to a backfill count for their DAG, which is locked.
    Points RUNS_INSERT = "
        WITH made AS (
            INSERT INTO run
                (run_key, uuid, dag, version, run_id, run_type, triggered_by, triggered_user, state,
                 logical_date, data_interval_start, data_interval_end, run_after, conf, note, started_at,
                 deadline_at, tasks_open, tasks_active, tasks_held, backfill, backfill_place,
                 waits_until)
            SELECT (((now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01')::bigint << 40) + nextval('run_key'),
                   uuid, dag, version, run_id, run_type, triggered_by, triggered_user, state::run_state,
                   logical_date, data_interval_start, data_interval_end, run_after, conf, note,
                   CASE WHEN state = 'running' THEN now() END,
                   CASE WHEN state = 'running' THEN now() + timeout_micros * interval '1 microsecond' END,
                   tasks_open, tasks_active, tasks_held, backfill, backfill_place, waits_until
            FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::text[],
                        $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                        $12::timestamptz[], $13::jsonb[], $14::text[], $15::bigint[], $16::integer[],
                        $17::integer[], $18::integer[], $19::bigint[], $20::integer[],
                        $21::timestamptz[])
                 AS r (uuid, dag, version, run_id, run_type, triggered_by, triggered_user, state,
                       logical_date, data_interval_start, data_interval_end, run_after, conf, note,
                       timeout_micros, tasks_open, tasks_active, tasks_held, backfill, backfill_place,
                       waits_until)
            ON CONFLICT DO NOTHING
            RETURNING uuid, run_key, dag, state, backfill, waits_until
        ), counted AS (
            UPDATE dag_load AS l
            SET runs_active = l.runs_active + c.active, runs_queued = l.runs_queued + c.queued
            FROM (SELECT dag, count(*) FILTER (WHERE state = 'running') AS active,
                         count(*) FILTER (WHERE state = 'queued' AND waits_until IS NULL) AS queued
                  FROM made WHERE backfill IS NULL GROUP BY dag) AS c
            WHERE l.dag = c.dag
        )
        SELECT uuid, run_key FROM made";

    /// `$1` DAGs, sorted. Whoever pauses one waits for this lock.
    Points DAG_LOADS_LOCK = "
        SELECT l.dag, l.runs_active, l.runs_queued, dag.max_active_runs,
               dag_is_paused(l.dag) AS is_paused, now() AS now
        FROM unnest($1::integer[]) AS want (dag)
        CROSS JOIN LATERAL (
            SELECT * FROM dag_load WHERE dag_load.dag = want.dag FOR NO KEY UPDATE
        ) AS l
        JOIN dag ON dag.dag = l.dag";

    Points DAG_LOADS_ADD = "
        UPDATE dag_load AS l
        SET runs_active = l.runs_active + c.active, runs_queued = l.runs_queued + c.queued
        FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS c (dag, active, queued)
        WHERE l.dag = c.dag
        RETURNING l.dag, l.runs_queued > 0
            OR coalesce((SELECT d.next_run_at IS NOT NULL AND d.schedule_due_at IS NULL
                         FROM dag d WHERE d.dag = l.dag), false)";

    Points RUNS_QUEUED_LOCK = "
        SELECT run_key FROM run
        WHERE dag = $1 AND state = 'queued' AND backfill IS NULL AND cancelled_at IS NULL
          AND waits_until IS NULL
        ORDER BY run_key LIMIT $2
        FOR NO KEY UPDATE SKIP LOCKED";

    Points RUNS_DUE = "
        UPDATE run SET waits_until = NULL
        FROM unnest($1::bigint[]) AS r (run_key)
        WHERE run.run_key = r.run_key";

    Points RUNS_START = "
        UPDATE run
        SET state = 'running', started_at = coalesce(run.started_at, now()), ended_at = NULL,
            deadline_at = now() + r.timeout_micros * interval '1 microsecond', touched_at = now()
        FROM unnest($1::bigint[], $2::bigint[]) AS r (run_key, timeout_micros)
        WHERE run.run_key = r.run_key";

    Points RUN_CANCEL_MARK = "
        UPDATE run SET cancelled_at = clock_timestamp(), cancel_cause = $2, deadline_at = NULL
        WHERE run_key = $1";

    Points RUN_CANCEL_CAUSE = "SELECT cancel_cause FROM run WHERE run_key = $1";

    /// An ended run counts as failed, whatever its tasks are.
    Points RUN_FAIL = "
        UPDATE run SET state = 'failed', cancelled_at = clock_timestamp(), cancel_cause = $2
        WHERE run_key = $1 AND state = 'success'";

    /// One that waits for its turn again starts anew: it takes as long as it takes from then on.
    Points RUN_REOPEN = "
        UPDATE run
        SET state = $2::run_state, ended_at = NULL, cancelled_at = NULL, cancel_cause = NULL,
            started_at = CASE WHEN $2::run_state = 'queued' THEN NULL ELSE started_at END,
            has_resets = true, touched_at = now()
        WHERE run_key = $1";
}

impl EngineTx<'_> {
    /// Locks the loads of DAGs, in the order of their numbers.
    pub async fn dag_loads_lock(&mut self, dags: &[i32]) -> Result<Vec<DagLoad>, StoreError> {
        let mut sorted = dags.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        Ok(sqlx::query_as(DAG_LOADS_LOCK).bind(sorted).fetch_all(&mut *self.tx).await?)
    }

    /// Adds to the loads of DAGs `(dag, active, queued)`; returns those that now have a queued run, or a
    /// schedule that waits for one to end.
    pub async fn dag_loads_add(
        &mut self,
        changes: &[(i32, i32, i32)],
    ) -> Result<Vec<i32>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut sorted = changes.to_vec();
        sorted.sort_unstable();
        let rows: Vec<(i32, bool)> = sqlx::query_as(DAG_LOADS_ADD)
            .bind(column(&sorted, |(dag, _, _)| *dag))
            .bind(column(&sorted, |(_, active, _)| *active))
            .bind(column(&sorted, |(_, _, queued)| *queued))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().filter(|(_, waits)| *waits).map(|(dag, _)| dag).collect())
    }

    /// Inserts runs, and counts them for their DAGs, whose loads are locked, but for those of backfills and
    /// those that are not due yet. One whose run id or logical date its DAG has already is missing in the
    /// answer, and not counted.
    pub async fn runs_insert(
        &mut self,
        runs: &[NewRun],
    ) -> Result<Vec<(Uuid, RunKey)>, StoreError> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(RUNS_INSERT)
            .bind(column(runs, |r| r.uuid))
            .bind(column(runs, |r| r.dag))
            .bind(column(runs, |r| r.version))
            .bind(column(runs, |r| r.run_id.clone()))
            .bind(column(runs, |r| r.run_type.as_str()))
            .bind(column(runs, |r| r.triggered_by.clone()))
            .bind(column(runs, |r| r.triggered_user.clone()))
            .bind(column(runs, |r| r.state.as_str()))
            .bind(column(runs, |r| r.logical_date))
            .bind(column(runs, |r| r.data_interval_start))
            .bind(column(runs, |r| r.data_interval_end))
            .bind(column(runs, |r| r.run_after))
            .bind(column(runs, |r| r.conf.clone()))
            .bind(column(runs, |r| r.note.clone()))
            .bind(column(runs, |r| r.timeout_micros))
            .bind(column(runs, |r| r.tasks_open))
            .bind(column(runs, |r| r.tasks_active))
            .bind(column(runs, |r| r.tasks_held))
            .bind(column(runs, |r| r.backfill.map(|(backfill, _)| backfill)))
            .bind(column(runs, |r| r.backfill.map(|(_, place)| place)))
            .bind(column(runs, |r| r.waits_until))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(|(uuid, key)| (uuid, RunKey(key))).collect())
    }

    /// The oldest queued runs of a DAG that nobody else holds, locked; those of backfills are counted
    /// by these.
    pub async fn runs_queued_lock(
        &mut self,
        dag: i32,
        most: i32,
    ) -> Result<Vec<QueuedRun>, StoreError> {
        let rows: Vec<(i64,)> =
            sqlx::query_as(RUNS_QUEUED_LOCK).bind(dag).bind(most).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(|(key,)| QueuedRun { key: RunKey(key) }).collect())
    }

    /// Locked runs have come to their time: they wait for their turn from now on.
    pub async fn runs_due(&mut self, runs: &[RunKey]) -> Result<(), StoreError> {
        let keys = column(runs, |key| key.0);
        sqlx::query(RUNS_DUE).bind(keys).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Marks locked queued runs as running, with their deadline from now.
    pub async fn runs_start(&mut self, runs: &[(RunKey, Option<i64>)]) -> Result<(), StoreError> {
        sqlx::query(RUNS_START)
            .bind(column(runs, |(key, _)| key.0))
            .bind(column(runs, |(_, timeout)| *timeout))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Remembers that a locked run is cancelled, and why. The instant is the clock's: the transaction
    /// waited for what was being started, and nothing starts after it.
    pub async fn run_cancel_mark(&mut self, run: RunKey, cause: &str) -> Result<(), StoreError> {
        sqlx::query(RUN_CANCEL_MARK).bind(run.0).bind(cause).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Why a locked run was cancelled, if it was.
    pub async fn run_cancel_cause(&mut self, run: RunKey) -> Result<Option<String>, StoreError> {
        let cause: Option<Option<String>> =
            sqlx::query_scalar(RUN_CANCEL_CAUSE).bind(run.0).fetch_optional(&mut *self.tx).await?;
        Ok(cause.flatten())
    }

    /// Makes a locked run that has ended count as failed.
    pub async fn run_fail(&mut self, run: RunKey, cause: &str) -> Result<(), StoreError> {
        sqlx::query(RUN_FAIL).bind(run.0).bind(cause).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Makes a locked run that had ended, or was cancelled, wait for its turn again.
    pub async fn run_reopen(&mut self, run: RunKey, state: RunState) -> Result<(), StoreError> {
        sqlx::query(RUN_REOPEN).bind(run.0).bind(state.as_str()).execute(&mut *self.tx).await?;
        Ok(())
    }
}
