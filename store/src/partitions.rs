//! Partitions by the day of a run's creation, made before they are needed.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};

use crate::{Store, StoreError};

/// Tables partitioned by the day of the run. The one by which expired days are found comes last: a
/// drop that was cut short is found again.
pub(crate) const PARTITIONED: [&str; 5] =
    ["xcom", "dataset", "log_chunk", "log_spill", "try_history"];

/// How often a lock is asked for that somebody holds for long; the next round asks again.
const ROUNDS: u32 = 5;

/// Between two rounds: whoever waited behind this one goes first.
const PAUSE: Duration = Duration::from_millis(200);

/// Tables without a partition of one of the days from today on, and of days whose rows lie in a default
/// partition because theirs was not there in time.
const MISSING: &str = "
    SELECT parent, day FROM (
        SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, $2) AS n
        UNION
        SELECT DATE '1970-01-01' + (run_key >> 40)::integer FROM (
            SELECT run_key FROM try_history_default
            UNION ALL SELECT run_key FROM xcom_default
            UNION ALL SELECT run_key FROM dataset_default
            UNION ALL SELECT run_key FROM log_chunk_default
            UNION ALL SELECT run_key FROM log_spill_default
        ) AS strays
    ) AS days
    CROSS JOIN unnest($1::text[]) AS parents (parent)
    WHERE to_regclass(parent || '_' || to_char(day, 'YYYYMMDD')) IS NULL
    ORDER BY day, parent";

impl Store {
    /// Makes the partitions of today and of `days` days more, and those of days whose rows found none.
    pub async fn partitions_make(&self, days: i32) -> Result<(), StoreError> {
        let mut session = self.upkeep_session().await?;
        let missing: Vec<(String, NaiveDate)> = sqlx::query_as(MISSING)
            .bind(PARTITIONED.as_slice())
            .bind(days)
            .fetch_all(&mut session)
            .await?;
        // Each in a transaction of its own, so that two tables' locks are never held together.
        let mut failed = Ok(());
        for (parent, day) in missing {
            let make = format!("SELECT partition_make('{parent}', '{day}')");
            let made = patiently(&mut session, make);
            failed = failed.and(made.await);
        }
        session.close().await?;
        failed
    }
}

/// Runs a statement that needs a lock which others wait behind: it is asked for briefly, and some
/// times.
pub(crate) async fn patiently(session: &mut PgConnection, sql: String) -> Result<(), StoreError> {
    let sql: Arc<str> = sql.into();
    let mut round = 0;
    loop {
        round += 1;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut *session).await {
            Err(error) if is_locked(&error) && round < ROUNDS => tokio::time::sleep(PAUSE).await,
            done => return Ok(done.map(drop)?),
        }
    }
}

/// Whether somebody held a lock for longer than this session waits.
fn is_locked(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(LOCK_NOT_AVAILABLE)
}
