//! Keeps hot tables small and fast: their indexes made anew, and what holds up vacuum found.

use sqlx::{Connection, FromRow, PgConnection};

use crate::{Store, StoreError};

/// A number that no other advisory lock of this program has; partitions have the one before.
const LOCK: i64 = 7_310_027_461;

/// Tables whose rows come and go: their indexes grow, and do not shrink by themselves.
const CHURNED: [&str; 5] = ["live", "join_state", "mapped", "outbox", "worker_session"];

/// Of a table that keeps its rows, the indexes that rows leave again.
const CHURNED_INDEXES: [&str; 2] = ["run_queued", "run_deadline"];

/// Making an index anew waits for transactions that were there before; nobody waits behind it.
const PATIENCE: &str = "SET lock_timeout = '60s'";

/// What slows the engine down before anybody notices.
///
/// Sessions of other users are seen by a role that may read all statistics only.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Strain {
    /// Age of the oldest transaction that keeps dead rows from being taken; zero: there is none.
    pub snapshot_secs: f64,
    /// Whose it is: an application's name, with its process id.
    pub snapshot_of: Option<String>,
    /// Rows of `live` that vacuum has not taken yet.
    pub dead_rows: i64,
}

const STRAIN: &str = "
    SELECT coalesce(extract(epoch FROM clock_timestamp() - oldest.since), 0)::float8 AS snapshot_secs,
           oldest.owner AS snapshot_of,
           coalesce((SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'live'::regclass), 0)
               AS dead_rows
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT since, owner FROM (
            SELECT xact_start AS since, application_name || ' (process ' || pid || ')' AS owner
            FROM pg_stat_activity
            WHERE backend_xmin IS NOT NULL AND xact_start IS NOT NULL
              AND datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'
            UNION ALL
            SELECT prepared, 'the prepared transaction ' || gid FROM pg_prepared_xacts
            WHERE database = current_database()
        ) AS every
        ORDER BY since LIMIT 1
    ) AS oldest ON true";

impl Store {
    /// What holds up vacuum, and what came of it.
    pub async fn strain(&self) -> Result<Strain, StoreError> {
        Ok(sqlx::query_as(STRAIN).fetch_one(self.pool()).await?)
    }

    /// Makes the indexes of hot tables anew if the last time is `every_days` ago, on one server at a
    /// time; returns whether it was done. Nobody waits for it.
    pub async fn reindex(&self, every_days: i32) -> Result<bool, StoreError> {
        let mut session = self.upkeep_session().await?;
        let (is_ours,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut session)
            .await?;
        // Read once the lock is held: another server may just have done it.
        let (is_due,): (bool,) = sqlx::query_as(
            "SELECT NOT EXISTS (SELECT FROM upkeep
                                WHERE name = 'reindex' AND done_at > now() - $1 * interval '1 day')",
        )
        .bind(every_days)
        .fetch_one(&mut session)
        .await?;
        if is_ours && is_due {
            reindex_all(&mut session).await?;
        }
        session.close().await?;
        Ok(is_ours && is_due)
    }
}

async fn reindex_all(session: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql(PATIENCE).execute(&mut *session).await?;
    leftovers_drop(session).await?;
    let tables = CHURNED.iter().map(|table| ("TABLE", table));
    let indexes = CHURNED_INDEXES.iter().map(|index| ("INDEX", index));
    for (kind, name) in tables.chain(indexes) {
        // Each by itself: among others it would be in a transaction.
        let anew = format!("REINDEX {kind} CONCURRENTLY {name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(anew)).execute(&mut *session).await?;
    }
    sqlx::query(
        "INSERT INTO upkeep (name) VALUES ('reindex')
         ON CONFLICT (name) DO UPDATE SET done_at = now()",
    )
    .execute(session)
    .await?;
    Ok(())
}

/// Drops the half-made indexes that an interrupted round left.
async fn leftovers_drop(session: &mut PgConnection) -> Result<(), StoreError> {
    let left: Vec<(String,)> = sqlx::query_as(
        "SELECT indexrelid::regclass::text FROM pg_index
         WHERE NOT indisvalid AND indexrelid::regclass::text ~ '_cc(new|old)[0-9]*$'
           AND indrelid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS tables (name)
                            UNION SELECT 'run'::regclass)",
    )
    .bind(CHURNED.as_slice())
    .fetch_all(&mut *session)
    .await?;
    for (index,) in left {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut *session).await?;
    }
    Ok(())
}
