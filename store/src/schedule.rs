//! When schedules are due, and how they move on.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use subak_core::ids::RunKey;
use subak_core::schedule::{Interval, Tick};

use crate::engine::EngineTx;
use crate::{Store, StoreError};

/// A locked schedule: what its DAG was last given, and how much it may be given now.
#[derive(Debug, Clone, FromRow)]
pub struct LockedSchedule {
    pub dag: i32,
    pub dag_id: String,
    pub version: i32,
    /// When the newest version was saved.
    pub version_at: DateTime<Utc>,
    last_tick: Option<DateTime<Utc>>,
    last_interval_end: Option<DateTime<Utc>>,
    /// Runs that may be made before `max_active_runs` are active.
    pub room: i32,
    /// The time at which it was found due.
    pub now: DateTime<Utc>,
}

impl LockedSchedule {
    /// The data interval of the newest scheduled run.
    #[must_use]
    pub fn last(&self) -> Option<Interval> {
        let start = self.last_tick?;
        Some((start, self.last_interval_end.unwrap_or(start)))
    }
}

impl Store {
    /// Sets the next run of a DAG whose file was read anew.
    pub async fn schedule_set(&self, dag: i32, next: Option<Tick>) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE dag SET next_run_at = $2, next_interval_start = $3, next_interval_end = $4,
                            schedule_due_at = $2
             WHERE dag = $1 AND (next_run_at, next_interval_start, next_interval_end)
                                IS DISTINCT FROM ($2, $3, $4)",
        )
        .bind(dag)
        .bind(next.map(|tick| tick.run_after))
        .bind(next.map(|tick| tick.data_interval_start))
        .bind(next.map(|tick| tick.data_interval_end))
        .execute(self.engine())
        .await?;
        Ok(())
    }

    /// DAGs whose next run is due at `now`, the database's time if left out.
    pub async fn schedules_due(
        &self,
        most: i64,
        now: Option<DateTime<Utc>>,
    ) -> Result<Vec<i32>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT dag FROM dag
             WHERE schedule_due_at <= coalesce($2, now()) AND schedule_due_at IS NOT NULL
               AND NOT is_paused AND NOT is_stale
             ORDER BY schedule_due_at LIMIT $1",
        )
        .bind(most)
        .bind(now)
        .fetch_all(self.engine())
        .await?)
    }

    /// Lets schedules go on that wait for a run to end, where there is room now. Returns whether there
    /// was one.
    pub async fn schedules_release(&self) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE dag SET schedule_due_at = next_run_at
             FROM dag_load l
             WHERE l.dag = dag.dag
               AND dag.schedule_due_at IS NULL AND dag.next_run_at IS NOT NULL
               AND l.runs_active + l.runs_queued < dag.max_active_runs",
        )
        .execute(self.engine())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The oldest runs of a DAG that have not ended and are due.
    pub async fn runs_unfinished(&self, dag: i32, most: i64) -> Result<Vec<RunKey>, StoreError> {
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT run_key FROM run
             WHERE dag = $1 AND state IN ('queued', 'running') AND cancelled_at IS NULL
               AND waits_until IS NULL
             ORDER BY run_key LIMIT $2",
        )
        .bind(dag)
        .bind(most)
        .fetch_all(self.engine())
        .await?;
        Ok(keys.into_iter().map(RunKey).collect())
    }
}

impl EngineTx<'_> {
    /// Pauses a DAG if its last `most` runs have failed; returns its id then. It waits for those that are
    /// starting runs of the DAG.
    pub async fn dag_pause_failed(
        &mut self,
        dag: i32,
        most: u32,
        cause: &str,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(
            "WITH changed AS (
                 UPDATE dag SET is_paused = true, pause_cause = $3
                 WHERE dag = $1 AND NOT is_paused
                   AND (SELECT count(*) FILTER (WHERE last.state = 'failed')
                        FROM (SELECT state FROM run WHERE run.dag = $1
                              ORDER BY run_key DESC LIMIT $2) AS last) = $2
                 RETURNING dag, dag_id
             ), load AS (
                 SELECT dag FROM dag_load WHERE dag = (SELECT dag FROM changed) FOR NO KEY UPDATE
             )
             SELECT dag_id FROM changed LEFT JOIN load USING (dag)",
        )
        .bind(dag)
        .bind(i64::from(most))
        .bind(cause)
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(row.map(|(dag_id,)| dag_id))
    }

    /// How many runs have failed since one ended otherwise, ten at most, and when the last one ended:
    /// of runs that ended after `since`.
    pub async fn failures_in_a_row(
        &mut self,
        dag: i32,
        since: DateTime<Utc>,
    ) -> Result<(u32, Option<DateTime<Utc>>), StoreError> {
        let rows: Vec<(String, Option<DateTime<Utc>>)> = sqlx::query_as(
            "SELECT state::text, ended_at FROM run WHERE dag = $1 ORDER BY run_key DESC LIMIT 10",
        )
        .bind(dag)
        .fetch_all(&mut *self.tx)
        .await?;
        let is_failed = |(state, ended): &&(String, Option<DateTime<Utc>>)| {
            state == "failed" && ended.is_some_and(|at| at > since)
        };
        let failed = rows.iter().take_while(is_failed).count();
        let last = rows.first().filter(|_| failed > 0).and_then(|(_, ended)| *ended);
        Ok((u32::try_from(failed).unwrap_or(u32::MAX), last))
    }

    /// Locks a DAG's schedule if it is due at `now`, the database's time if left out, and nobody else
    /// is at it.
    pub async fn schedule_lock(
        &mut self,
        dag: i32,
        now: Option<DateTime<Utc>>,
    ) -> Result<Option<LockedSchedule>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT d.dag, d.dag_id, d.version, coalesce(v.created_at, d.created_at) AS version_at,
                    d.last_tick, greatest(d.last_interval_end, d.last_tick) AS last_interval_end,
                    d.max_active_runs - coalesce(l.runs_active + l.runs_queued, 0) AS room,
                    coalesce($2, now()) AS now
             FROM dag d
             LEFT JOIN dag_version v ON v.dag = d.dag AND v.version = d.version
             LEFT JOIN dag_load l ON l.dag = d.dag
             WHERE d.dag = $1 AND d.schedule_due_at <= coalesce($2, now())
               AND NOT d.is_paused AND NOT d.is_stale
             FOR NO KEY UPDATE OF d SKIP LOCKED",
        )
        .bind(dag)
        .bind(now)
        .fetch_optional(&mut *self.tx)
        .await?)
    }

    /// Moves a locked schedule on: the newest run it made, the next one, and when to look again.
    pub async fn schedule_advance(
        &mut self,
        dag: i32,
        last: Option<Interval>,
        next: Option<Tick>,
        due_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE dag SET last_tick = $2, last_interval_end = $3, next_run_at = $4,
                            next_interval_start = $5, next_interval_end = $6, schedule_due_at = $7
             WHERE dag = $1",
        )
        .bind(dag)
        .bind(last.map(|(start, _)| start))
        .bind(last.map(|(_, end)| end))
        .bind(next.map(|tick| tick.run_after))
        .bind(next.map(|tick| tick.data_interval_start))
        .bind(next.map(|tick| tick.data_interval_end))
        .bind(due_at)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
