//! Partitions made ahead, and what has been kept long enough dropped whole.

use chrono::NaiveDate;
use subak_core::ids::RunKey;

use crate::{Store, StoreError};

/// Tables partitioned by the day of the run.
const PARTITIONED: [&str; 5] = ["try_history", "xcom", "dataset", "log_chunk", "log_spill"];

impl Store {
    /// Makes the partitions of `days` days from today on.
    pub async fn partitions_make(&self, days: i32) -> Result<(), StoreError> {
        sqlx::query(
            "SELECT partitions_make((now() AT TIME ZONE 'UTC')::date + n)
             FROM generate_series(0, $1) AS n
             WHERE to_regclass('try_history_'
                 || to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD')) IS NULL",
        )
        .bind(days)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Days with partitions that are older than `keep_days` and have no open run.
    pub async fn days_expired(&self, keep_days: i32) -> Result<Vec<NaiveDate>, StoreError> {
        let rows: Vec<(NaiveDate,)> = sqlx::query_as(
            "SELECT day FROM (
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
             ORDER BY day",
        )
        .bind(keep_days)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(day,)| day).collect())
    }

    /// Drops everything of the runs that were created on `day`.
    pub async fn day_drop(&self, day: NaiveDate) -> Result<(), StoreError> {
        let first = RunKey::first_of(day);
        let next = RunKey::first_of(day.succ_opt().unwrap_or(NaiveDate::MAX));
        let mut tx = self.pool.begin().await?;
        // Nobody clears a run of that day in between.
        let open: Option<(i64,)> = sqlx::query_as(
            "SELECT run_key FROM (
                 SELECT run_key, state FROM run WHERE run_key >= $1 AND run_key < $2 FOR UPDATE
             ) AS locked WHERE state IN ('queued', 'running') LIMIT 1",
        )
        .bind(first.0)
        .bind(next.0)
        .fetch_optional(&mut *tx)
        .await?;
        if open.is_some() {
            return Ok(());
        }
        for table in ["task_reset", "join_state", "run"] {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "DELETE FROM {table} WHERE run_key >= $1 AND run_key < $2"
            )))
            .bind(first.0)
            .bind(next.0)
            .execute(&mut *tx)
            .await?;
        }
        for table in PARTITIONED {
            let partition = format!("{table}_{}", day.format("%Y%m%d"));
            sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE IF EXISTS {partition}")))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
