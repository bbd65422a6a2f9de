//! What has been kept long enough is dropped: runs in slices, their partitions whole.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};
use subak_core::ids::RunKey;
use uuid::Uuid;

use crate::partitions::{PARTITIONED, patiently};
use crate::{Store, StoreError};

/// Runs that one transaction drops: whoever waits for one of them waits for no more.
pub(crate) const SLICE: i64 = 1_000;

/// What belongs to runs and lies in no partition of a day, the runs themselves last.
pub(crate) const OF_RUNS: [&str; 9] = [
    "task_reset",
    "task_against",
    "task_note",
    "notification",
    "join_state",
    "mapped",
    "past_wait",
    "outbox",
    "run",
];

/// Runs of `@continuous` DAGs that went well and ended `$1` hours ago, but for each DAG's newest.
const BRIEF: &str = "
    SELECT run.run_key, run.uuid, run.dag FROM dag
    JOIN dag_version AS v ON v.dag = dag.dag AND v.version = dag.version
                         AND v.canonical ->> 'schedule' = 'continuous'
    JOIN run ON run.dag = dag.dag AND run.state = 'success' AND run.run_type = 'scheduled'
            AND run.ended_at < now() - make_interval(hours => $1)
            AND run.run_key < (SELECT max(newest.run_key) FROM run AS newest WHERE newest.dag = dag.dag)
    LIMIT $2
    FOR UPDATE OF run SKIP LOCKED";

/// Days with partitions older than `$1` days of which no run is open.
const EXPIRED: &str = "
    SELECT day FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'try_history'::regclass AND c.relname ~ '_[0-9]{8}$'
    ) AS days
    WHERE day < (now() AT TIME ZONE 'UTC')::date - $1
      AND NOT EXISTS (
          SELECT FROM run
          WHERE run_key >= (day - DATE '1970-01-01')::bigint << 40
            AND run_key < (day + 1 - DATE '1970-01-01')::bigint << 40
            AND state IN ('queued', 'running')
      )
    ORDER BY day";

impl Store {
    /// Days with partitions that are older than `keep_days` and have no open run.
    pub async fn days_expired(&self, keep_days: i32) -> Result<Vec<NaiveDate>, StoreError> {
        let mut session = self.upkeep_session().await?;
        let rows: Vec<(NaiveDate,)> =
            sqlx::query_as(EXPIRED).bind(keep_days).fetch_all(&mut session).await?;
        session.close().await?;
        Ok(rows.into_iter().map(|(day,)| day).collect())
    }

    /// Drops everything of the runs that were created on `day`; false if one of them was opened again
    /// meanwhile, or is being looked at: what is left of the day goes another time.
    pub async fn day_drop(&self, day: NaiveDate) -> Result<bool, StoreError> {
        let first = RunKey::first_of(day);
        let next = RunKey::first_of(day.succ_opt().unwrap_or(NaiveDate::MAX));
        let mut session = self.upkeep_session().await?;
        while runs_drop(&mut session, first, next).await? {}
        let left: Option<(i64,)> =
            sqlx::query_as("SELECT run_key FROM run WHERE run_key >= $1 AND run_key < $2 LIMIT 1")
                .bind(first.0)
                .bind(next.0)
                .fetch_optional(&mut session)
                .await?;
        if left.is_none() {
            for table in PARTITIONED {
                let partition = format!("{table}_{}", day.format("%Y%m%d"));
                patiently(&mut session, format!("DROP TABLE IF EXISTS {partition}")).await?;
            }
        }
        session.close().await?;
        Ok(left.is_none())
    }

    /// Drops everything of the successful runs of `@continuous` DAGs that ended `hours` ago: of those
    /// there may be several a second. Returns how many.
    pub async fn brief_runs_drop(&self, hours: i32) -> Result<u64, StoreError> {
        let mut session = self.upkeep_session().await?;
        let mut dropped = 0;
        loop {
            let mut tx = session.begin().await?;
            let runs: Vec<(i64, Uuid, i32)> =
                sqlx::query_as(BRIEF).bind(hours).bind(SLICE).fetch_all(&mut *tx).await?;
            let keys: Vec<i64> = runs.iter().map(|(key, ..)| *key).collect();
            delete_in_tx(&mut tx, &keys, &PARTITIONED).await?;
            delete_in_tx(&mut tx, &keys, &OF_RUNS).await?;
            tell_next(&mut tx, runs.iter().map(|(.., dag)| *dag)).await?;
            tx.commit().await?;
            if runs.is_empty() {
                break;
            }
            dropped += runs.len() as u64;
            for (key, uuid, _) in &runs {
                if let Some(storage) = &self.storage {
                    storage.run_drop(RunKey(*key), *uuid).await?;
                }
            }
        }
        session.close().await?;
        Ok(dropped)
    }
}

/// Drops some ended runs of a day; false if there was none that nobody holds.
async fn runs_drop(
    session: &mut PgConnection,
    first: RunKey,
    next: RunKey,
) -> Result<bool, StoreError> {
    let mut tx = session.begin().await?;
    // Locked, so that nobody clears one of them in between.
    let runs: Vec<(i64, i32)> = sqlx::query_as(
        "SELECT run_key, dag FROM run
         WHERE run_key >= $1 AND run_key < $2 AND state IN ('success', 'failed')
         ORDER BY run_key LIMIT $3
         FOR UPDATE SKIP LOCKED",
    )
    .bind(first.0)
    .bind(next.0)
    .bind(SLICE)
    .fetch_all(&mut *tx)
    .await?;
    let keys: Vec<i64> = runs.iter().map(|(key, _)| *key).collect();
    delete_in_tx(&mut tx, &keys, &OF_RUNS).await?;
    tell_next(&mut tx, runs.iter().map(|(_, dag)| *dag)).await?;
    tx.commit().await?;
    Ok(!runs.is_empty())
}

/// Runs of these DAGs went: what waited for one of them has another run before it now, or none.
async fn tell_next(
    db: &mut PgConnection,
    dags: impl Iterator<Item = i32>,
) -> Result<(), StoreError> {
    let dags: Vec<i32> = dags.collect::<BTreeSet<i32>>().into_iter().collect();
    sqlx::query(
        "INSERT INTO outbox (kind, dag, payload)
         SELECT 'past', dag, '{}' FROM unnest($1::integer[]) AS gone (dag)",
    )
    .bind(dags)
    .execute(db)
    .await?;
    Ok(())
}

pub(crate) async fn delete_in_tx(
    db: &mut PgConnection,
    runs: &[i64],
    tables: &[&str],
) -> Result<(), StoreError> {
    for table in tables {
        let delete = format!("DELETE FROM {table} WHERE run_key = ANY ($1)");
        sqlx::query(sqlx::AssertSqlSafe(delete)).bind(runs).execute(&mut *db).await?;
    }
    Ok(())
}
