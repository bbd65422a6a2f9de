//! What goes on, over all DAGs: for the first page.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;
use subak_core::ids::RunKey;
use subak_core::state::RunState;

use crate::{Store, StoreError};

/// Runs that are looked through for what ended of late, the newest first.
const RUNS_MOST: i64 = 20_000;

/// What goes on, and what was amiss since an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Runs that go on, and runs that wait for their turn.
    pub running: i64,
    pub queued: i64,
    /// Runs that ended since, by how.
    pub success: i64,
    pub failed: i64,
    /// The newest of those that go on.
    pub goes_on: Vec<OverviewRun>,
    /// The newest of those that failed since.
    pub has_failed: Vec<OverviewRun>,
    /// What should have begun: the longest waiting first.
    pub late: Vec<LateDag>,
    /// How many there are, listed or not.
    pub late_total: i64,
}

/// A run in a short list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewRun {
    pub dag_id: String,
    pub run_id: String,
    pub state: RunState,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// A DAG whose next run is overdue, or of which runs wait for their turn.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LateDag {
    pub dag_id: String,
    /// When its next run was due; `None`: runs wait, but none is missing.
    pub due_at: Option<DateTime<Utc>>,
    pub queued: i64,
    /// Since when the first of them waits.
    pub waits_since: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Late {
    #[sqlx(flatten)]
    dag: LateDag,
    total: i64,
}

#[derive(FromRow)]
struct Run {
    dag_id: String,
    run_id: String,
    state: String,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Looks over all DAGs, or over these `only`: what ended since `since`, what is late by more than
    /// `grace`; `each` rows of each list at most.
    pub async fn overview(
        &self,
        only: Option<&[String]>,
        now: DateTime<Utc>,
        since: TimeDelta,
        grace: TimeDelta,
        each: i64,
    ) -> Result<Overview, StoreError> {
        let (running, queued) = self.overview_counts(only).await?;
        let (success, failed) = self.overview_ended(only, now - since).await?;
        let late = self.overview_late(only, now - grace, each).await?;
        Ok(Overview {
            running,
            queued,
            success,
            failed,
            goes_on: self.overview_running(only, each).await?,
            has_failed: self.overview_failed(only, now - since, each).await?,
            late_total: late.first().map_or(0, |first| first.total),
            late: late.into_iter().map(|it| it.dag).collect(),
        })
    }

    async fn overview_counts(&self, only: Option<&[String]>) -> Result<(i64, i64), StoreError> {
        Ok(sqlx::query_as(
            "SELECT coalesce(sum(l.runs_active), 0)::bigint,
                    coalesce(sum(l.runs_queued), 0)::bigint
             FROM dag_load l JOIN dag d ON d.dag = l.dag
             WHERE $1::text[] IS NULL OR d.dag_id = ANY ($1)",
        )
        .bind(only)
        .fetch_one(self.pool())
        .await?)
    }

    async fn overview_ended(
        &self,
        only: Option<&[String]>,
        since: DateTime<Utc>,
    ) -> Result<(i64, i64), StoreError> {
        Ok(sqlx::query_as(
            "SELECT count(*) FILTER (WHERE r.state = 'success'),
                    count(*) FILTER (WHERE r.state = 'failed')
             FROM (SELECT dag, state, ended_at FROM run WHERE run_key >= $2
                   ORDER BY run_key DESC LIMIT $4) r
             JOIN dag d ON d.dag = r.dag
             WHERE r.ended_at >= $3 AND ($1::text[] IS NULL OR d.dag_id = ANY ($1))",
        )
        .bind(only)
        .bind(RunKey::first_of(since.date_naive()).0)
        .bind(since)
        .bind(RUNS_MOST)
        .fetch_one(self.pool())
        .await?)
    }

    async fn overview_running(
        &self,
        only: Option<&[String]>,
        each: i64,
    ) -> Result<Vec<OverviewRun>, StoreError> {
        // A DAG's active runs are among its newest: the search ends with the last of them.
        let rows: Vec<Run> = sqlx::query_as(
            "SELECT d.dag_id, r.run_id, r.state::text AS state, r.started_at, r.ended_at
             FROM (SELECT l.dag, l.runs_active, d.dag_id FROM dag_load l JOIN dag d ON d.dag = l.dag
                   WHERE l.runs_active > 0 AND ($1::text[] IS NULL OR d.dag_id = ANY ($1))
                   LIMIT 100) d
             CROSS JOIN LATERAL (
                 SELECT * FROM run WHERE run.dag = d.dag AND run.state = 'running'
                 ORDER BY run_key DESC LIMIT least(d.runs_active, $2)
             ) r
             ORDER BY r.run_key DESC LIMIT $2",
        )
        .bind(only)
        .bind(each)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().filter_map(Run::record).collect())
    }

    async fn overview_failed(
        &self,
        only: Option<&[String]>,
        since: DateTime<Utc>,
        each: i64,
    ) -> Result<Vec<OverviewRun>, StoreError> {
        let rows: Vec<Run> = sqlx::query_as(
            "SELECT d.dag_id, r.run_id, r.state::text AS state, r.started_at, r.ended_at
             FROM (SELECT run_key, dag, run_id, state, started_at, ended_at FROM run
                   WHERE run_key >= $2 ORDER BY run_key DESC LIMIT $4) r
             JOIN dag d ON d.dag = r.dag
             WHERE r.state = 'failed' AND r.ended_at >= $3
               AND ($1::text[] IS NULL OR d.dag_id = ANY ($1))
             ORDER BY r.ended_at DESC LIMIT $5",
        )
        .bind(only)
        .bind(RunKey::first_of(since.date_naive()).0)
        .bind(since)
        .bind(RUNS_MOST)
        .bind(each)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().filter_map(Run::record).collect())
    }

    async fn overview_late(
        &self,
        only: Option<&[String]>,
        before: DateTime<Utc>,
        each: i64,
    ) -> Result<Vec<Late>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT d.dag_id, CASE WHEN d.next_run_at < $2 THEN d.next_run_at END AS due_at,
                    coalesce(l.runs_queued, 0)::bigint AS queued, q.run_after AS waits_since,
                    count(*) OVER () AS total
             FROM dag d
             LEFT JOIN dag_load l ON l.dag = d.dag
             LEFT JOIN LATERAL (
                 SELECT run_after FROM run
                 WHERE run.dag = d.dag AND run.state = 'queued' AND coalesce(l.runs_queued, 0) > 0
                   AND run.waits_until IS NULL
                 ORDER BY run_key LIMIT 1
             ) q ON true
             WHERE NOT d.is_paused AND NOT d.is_stale
               AND (d.next_run_at < $2 OR q.run_after < $2)
               AND ($1::text[] IS NULL OR d.dag_id = ANY ($1))
             ORDER BY least(d.next_run_at, q.run_after), d.dag_id LIMIT $3",
        )
        .bind(only)
        .bind(before)
        .bind(each)
        .fetch_all(self.pool())
        .await?)
    }
}

impl Run {
    fn record(self) -> Option<OverviewRun> {
        Some(OverviewRun {
            state: RunState::parse(&self.state)?,
            dag_id: self.dag_id,
            run_id: self.run_id,
            started_at: self.started_at,
            ended_at: self.ended_at,
        })
    }
}
