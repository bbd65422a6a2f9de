//! Worker sessions: one lease each, on the database's clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use crate::engine::Fence;
use crate::statement::statements;
use crate::{Store, StoreError};

/// A worker session that begins.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub session: i64,
    pub worker: String,
    pub state_folder: String,
    pub version: String,
    pub server: String,
    /// `[{queue, slots}]`
    pub queues: Value,
    pub lease: Duration,
}

/// A try that a session holds according to the database.
#[derive(Debug, Clone, FromRow)]
pub struct SessionTry {
    pub run_key: i64,
    pub task: i32,
    pub map_index: i32,
    pub session: i64,
    pub token: i64,
    pub try_number: i32,
    pub resets: i32,
    pub queue: String,
    pub started_at: DateTime<Utc>,
    pub restarting: bool,
}

/// A try that a session holds although it should end.
#[derive(Debug, Clone)]
pub struct TryToStop {
    pub fence: Fence,
    pub cause: String,
}

/// A worker, as the UI and `explain` show it.
#[derive(Debug, Clone, FromRow)]
pub struct WorkerRow {
    pub session: i64,
    pub worker: String,
    pub version: String,
    pub server: String,
    pub queues: Value,
    pub draining: bool,
    pub started_at: DateTime<Utc>,
    pub lease_until: DateTime<Utc>,
}

statements! {
    Points SESSION_BEGIN = "
        INSERT INTO worker_session
            (session, worker, state_folder, version, server, queues, lease_until, lease_micros)
        VALUES ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 microsecond', $7)";

    Points SESSION_RESUME = "
        UPDATE worker_session
        SET server = $2, lease_until = now() + lease_micros * interval '1 microsecond'
        WHERE session = $1 AND dead_at IS NULL";

    Points SESSION_END = "
        UPDATE worker_session SET dead_at = now(), dead_cause = $2
        WHERE session = $1 AND dead_at IS NULL";

    Whole SESSIONS_EXPIRE = "
        UPDATE worker_session SET dead_at = now(), dead_cause = 'lease expired'
        WHERE dead_at IS NULL AND lease_until < now()
        RETURNING session, worker";

    Whole SESSIONS_DEAD = "
        SELECT session FROM worker_session
        WHERE dead_at IS NOT NULL AND ($1 OR dead_at > now() - interval '5 minutes')";

    Whole TRIES_ORPHANED = "
        SELECT run_key, task, map_index, session, token, try_number, resets, queue, started_at,
               state = 'restarting' AS restarting
        FROM live WHERE session = ANY ($1) LIMIT $2";

    Whole TRIES_OF_SESSION = "
        SELECT run_key, task, map_index, session, token, try_number, resets, queue, started_at,
               state = 'restarting' AS restarting
        FROM live WHERE session = $1";

    /// `$1` runs. A cleared try is restarting, whatever became of its run.
    Points TRIES_TO_STOP = "
        SELECT l.run_key, l.task, l.map_index, l.session, l.token,
               CASE WHEN l.state = 'restarting' THEN 'cleared'
                    ELSE coalesce(r.cancel_cause, 'cancelled') END
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT cancelled_at, cancel_cause FROM run WHERE run.run_key = want.run_key
        ) AS r
        CROSS JOIN LATERAL (
            SELECT * FROM live
            WHERE live.run_key = want.run_key AND live.session IS NOT NULL
              AND (live.state = 'restarting' OR r.cancelled_at IS NOT NULL)
        ) AS l";

    Whole SESSIONS_FORGET = "
        DELETE FROM worker_session AS s
        WHERE s.dead_at < now() - interval '1 day'
          AND s.session NOT IN (SELECT session FROM live WHERE session IS NOT NULL)";

    Whole WORKERS = "
        SELECT session, worker, version, server, queues, draining, started_at, lease_until
        FROM worker_session WHERE dead_at IS NULL ORDER BY worker, session";

    Points LEASES_RENEW = "
        UPDATE worker_session AS s
        SET lease_until = now() + s.lease_micros * interval '1 microsecond'
        FROM unnest($1::bigint[]) AS want (session)
        WHERE s.session = want.session AND s.dead_at IS NULL
        RETURNING s.session, now()";
}

impl SessionTry {
    /// What fences it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence {
            instance: InstanceKey {
                run: RunKey(self.run_key),
                task: TaskNo(self.task),
                map_index: MapIndex(self.map_index),
            },
            session: self.session,
            token: self.token,
        }
    }
}

impl Store {
    /// Begins a session with a full lease.
    pub async fn session_begin(&self, new: &NewSession) -> Result<(), StoreError> {
        sqlx::query(SESSION_BEGIN)
            .bind(new.session)
            .bind(&new.worker)
            .bind(&new.state_folder)
            .bind(&new.version)
            .bind(&new.server)
            .bind(&new.queues)
            .bind(i64::try_from(new.lease.as_micros()).unwrap_or(i64::MAX))
            .execute(&self.engine)
            .await?;
        Ok(())
    }

    /// Moves a session's stream to `server` and renews its lease; false if it is dead or unknown.
    pub async fn session_resume(&self, session: i64, server: &str) -> Result<bool, StoreError> {
        let done =
            sqlx::query(SESSION_RESUME).bind(session).bind(server).execute(&self.engine).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks a session dead: its tries are up for the reaper. Death is this commit.
    pub async fn session_end(&self, session: i64, cause: &str) -> Result<(), StoreError> {
        sqlx::query(SESSION_END).bind(session).bind(cause).execute(&self.engine).await?;
        Ok(())
    }

    /// Marks every session dead whose lease is over.
    pub async fn sessions_expire(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as(SESSIONS_EXPIRE).fetch_all(&self.engine).await?)
    }

    /// Tries still held by dead sessions, at most `most`.
    ///
    /// There is no index on sessions: every hand-over would pay for what is asked only when a worker
    /// has died. A hand-over to a session that dies commits soon after its death, so that only the
    /// lately dead are looked for in every cycle; `all` looks for every one.
    pub async fn tries_orphaned(
        &self,
        most: i64,
        all: bool,
    ) -> Result<Vec<SessionTry>, StoreError> {
        let dead: Vec<(i64,)> =
            sqlx::query_as(SESSIONS_DEAD).bind(all).fetch_all(&self.engine).await?;
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let dead: Vec<i64> = dead.into_iter().map(|(session,)| session).collect();
        let mut tx = self.begin_whole().await?;
        Ok(sqlx::query_as(TRIES_ORPHANED).bind(dead).bind(most).fetch_all(&mut *tx).await?)
    }

    /// Tries that a session holds.
    pub async fn tries_of_session(&self, session: i64) -> Result<Vec<SessionTry>, StoreError> {
        let mut tx = self.begin_whole().await?;
        Ok(sqlx::query_as(TRIES_OF_SESSION).bind(session).fetch_all(&mut *tx).await?)
    }

    /// Tries of these runs that workers hold although the run was cancelled or they were cleared.
    pub async fn tries_to_stop(&self, runs: &[RunKey]) -> Result<Vec<TryToStop>, StoreError> {
        let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let rows: Vec<(i64, i32, i32, i64, i64, String)> =
            sqlx::query_as(TRIES_TO_STOP).bind(keys).fetch_all(&self.engine).await?;
        let stop = |(run, task, map_index, session, token, cause)| {
            let instance = InstanceKey {
                run: RunKey(run),
                task: TaskNo(task),
                map_index: MapIndex(map_index),
            };
            TryToStop { fence: Fence { instance, session, token }, cause }
        };
        Ok(rows.into_iter().map(stop).collect())
    }

    /// Removes dead sessions that no live row names.
    pub async fn sessions_forget(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_whole().await?;
        sqlx::query(SESSIONS_FORGET).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Workers with a live session.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        Ok(sqlx::query_as(WORKERS).fetch_all(&self.pool).await?)
    }

    /// Opens a session whose commits do not wait for the disk: for leases alone, where a lost
    /// renewal only shortens a lease.
    pub async fn lease_session(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.engine_session().await?;
        sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection).await?;
        Ok(connection)
    }
}

/// Renews leases; returns those that are alive, and the database's time.
pub async fn leases_renew(
    connection: &mut PgConnection,
    sessions: &[i64],
) -> Result<(Vec<i64>, DateTime<Utc>), StoreError> {
    let rows: Vec<(i64, DateTime<Utc>)> =
        sqlx::query_as(LEASES_RENEW).bind(sessions).fetch_all(connection).await?;
    let now = rows.first().map_or(DateTime::UNIX_EPOCH, |(_, now)| *now);
    Ok((rows.into_iter().map(|(session, _)| session).collect(), now))
}
