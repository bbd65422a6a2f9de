//! Backfills in the engine's transactions: they are made, counted, and their runs start. The order of
//! locks has them right after the loads of DAGs.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::RunKey;
use subak_core::state::RunState;

use super::EngineTx;
use super::fence::column;
use crate::StoreError;
use crate::statement::statements;

/// A backfill to be made.
#[derive(Debug, Clone)]
pub struct NewBackfill {
    pub dag: i32,
    pub from_date: DateTime<Utc>,
    pub to_date: DateTime<Utc>,
    pub conf: Option<Value>,
    /// `none`, `failed`, `completed`.
    pub reprocess: &'static str,
    pub max_active_runs: i32,
    pub triggered_user: Option<String>,
}

/// How many runs of a backfill are there, its row locked.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct BackfillLoad {
    pub max_active_runs: i32,
    pub runs_active: i32,
    pub runs_queued: i32,
    /// It is, or its DAG.
    pub is_paused: bool,
    /// All its runs have ended once, or it was cancelled.
    pub is_completed: bool,
}

/// A run with one of the logical dates that were asked for.
#[derive(Debug, Clone, Copy)]
pub struct RunAt {
    pub key: RunKey,
    pub logical_date: DateTime<Utc>,
    pub state: RunState,
}

statements! {
    /// None, if the DAG has one that is not completed.
    Points BACKFILL_INSERT = "
        INSERT INTO backfill
            (dag, from_date, to_date, conf, reprocess, max_active_runs, triggered_user)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (dag) WHERE completed_at IS NULL DO NOTHING
        RETURNING backfill";

    /// It is completed when nothing of it is left; what is cleared later does not change that.
    Points BACKFILLS_ADD = "
        UPDATE backfill AS b
        SET runs_active = b.runs_active + c.active, runs_queued = b.runs_queued + c.queued,
            updated_at = now(),
            completed_at = coalesce(b.completed_at, CASE
                WHEN b.runs_active + c.active + b.runs_queued + c.queued = 0 THEN now() END)
        FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS c (backfill, active, queued)
        WHERE b.backfill = c.backfill
        RETURNING b.dag, b.runs_queued > 0";

    /// What a completed one has left was cleared by people: its pause does not matter any more.
    Points BACKFILL_LOCK = "
        SELECT b.max_active_runs, b.runs_active, b.runs_queued,
               dag_is_paused(b.dag) OR (b.is_paused AND b.completed_at IS NULL) AS is_paused,
               b.completed_at IS NOT NULL AS is_completed
        FROM backfill b JOIN dag ON dag.dag = b.dag
        WHERE b.backfill = $1
        FOR NO KEY UPDATE OF b";

    /// `<=` is `=` here, and keeps the index of DAGs' queued runs out of it.
    Points BACKFILL_RUNS_LOCK = "
        SELECT run_key FROM run
        WHERE backfill = $1 AND state <= 'queued' AND cancelled_at IS NULL
        ORDER BY backfill_place LIMIT $2
        FOR NO KEY UPDATE SKIP LOCKED";

    Points RUNS_AT = "
        SELECT run.run_key, run.logical_date, run.state
        FROM unnest($2::timestamptz[]) AS want (date)
        CROSS JOIN LATERAL (
            SELECT run_key, logical_date, state::text FROM run
            WHERE run.dag = $1 AND run.logical_date = want.date
        ) AS run";

    /// The locked run is the backfill's from now on.
    Points RUN_TAKE = "UPDATE run SET backfill = $2, backfill_place = $3 WHERE run_key = $1";

    Points OUTBOX_PUT_ALL = "
        INSERT INTO outbox (kind, dag, payload)
        SELECT $1, $2, payload FROM unnest($3::jsonb[]) AS rest (payload)";
}

impl EngineTx<'_> {
    /// Makes a backfill without runs; none, if its DAG has one already that is not completed.
    pub async fn backfill_insert(&mut self, new: &NewBackfill) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(BACKFILL_INSERT)
            .bind(new.dag)
            .bind(new.from_date)
            .bind(new.to_date)
            .bind(&new.conf)
            .bind(new.reprocess)
            .bind(new.max_active_runs)
            .bind(&new.triggered_user)
            .fetch_optional(&mut *self.tx)
            .await?)
    }

    /// Adds to the loads of backfills `(backfill, active, queued)`; returns the DAGs of those that have
    /// a queued run now.
    pub async fn backfills_add(
        &mut self,
        changes: &[(i64, i32, i32)],
    ) -> Result<Vec<i32>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut sorted = changes.to_vec();
        sorted.sort_unstable();
        let rows: Vec<(i32, bool)> = sqlx::query_as(BACKFILLS_ADD)
            .bind(column(&sorted, |(backfill, _, _)| *backfill))
            .bind(column(&sorted, |(_, active, _)| *active))
            .bind(column(&sorted, |(_, _, queued)| *queued))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().filter(|(_, waits)| *waits).map(|(dag, _)| dag).collect())
    }

    /// A locked run that had ended waits for its turn again: its DAG's or its backfill's load has it.
    pub async fn run_waits_again(
        &mut self,
        dag: i32,
        backfill: Option<i64>,
    ) -> Result<(), StoreError> {
        match backfill {
            Some(backfill) => self.backfills_add(&[(backfill, 0, 1)]).await.map(drop),
            None => self.dag_loads_add(&[(dag, 0, 1)]).await.map(drop),
        }
    }

    /// Locks a backfill.
    pub async fn backfill_lock(
        &mut self,
        backfill: i64,
    ) -> Result<Option<BackfillLoad>, StoreError> {
        let found = sqlx::query_as(BACKFILL_LOCK).bind(backfill);
        Ok(found.fetch_optional(&mut *self.tx).await?)
    }

    /// The next queued runs of a backfill that nobody else holds, locked.
    pub async fn backfill_runs_lock(
        &mut self,
        backfill: i64,
        most: i32,
    ) -> Result<Vec<RunKey>, StoreError> {
        let keys: Vec<i64> = sqlx::query_scalar(BACKFILL_RUNS_LOCK)
            .bind(backfill)
            .bind(most)
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(keys.into_iter().map(RunKey).collect())
    }

    /// Runs of a DAG that have these logical dates.
    pub async fn runs_at(
        &mut self,
        dag: i32,
        dates: &[DateTime<Utc>],
    ) -> Result<Vec<RunAt>, StoreError> {
        let rows: Vec<(i64, DateTime<Utc>, String)> =
            sqlx::query_as(RUNS_AT).bind(dag).bind(dates).fetch_all(&mut *self.tx).await?;
        let read = |(key, logical_date, state): (i64, DateTime<Utc>, String)| {
            Some(RunAt { key: RunKey(key), logical_date, state: RunState::parse(&state)? })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Gives a locked run that has ended to a backfill.
    pub async fn run_take(
        &mut self,
        run: RunKey,
        backfill: i64,
        place: i32,
    ) -> Result<(), StoreError> {
        sqlx::query(RUN_TAKE).bind(run.0).bind(backfill).bind(place).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Leaves work of one kind, each part for a transaction of its own.
    pub async fn outbox_put_all(
        &mut self,
        kind: &str,
        dag: i32,
        payloads: &[Value],
    ) -> Result<(), StoreError> {
        sqlx::query(OUTBOX_PUT_ALL)
            .bind(kind)
            .bind(dag)
            .bind(payloads)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}
