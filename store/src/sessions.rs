//! Worker sessions: one lease each, on the database's clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use crate::engine::{Fence, place};
use crate::results::column;
use crate::statement::statements;
use crate::{Store, StoreError};

/// Workers that are read at once.
const WORKERS_SLICE: i64 = 1_000;

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
    /// Of a cancel: the version, whose teardowns go on.
    pub unless_cleaning: Option<(i32, i32)>,
}

#[derive(FromRow)]
struct ToStopRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    session: i64,
    token: i64,
    cause: String,
    cleared: bool,
    dag: i32,
    version: i32,
}

/// A lease that was renewed.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Renewed {
    pub session: i64,
    /// The worker is to take no more tries.
    pub draining: bool,
    /// The database's time.
    pub now: DateTime<Utc>,
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
        WHERE session = $1 AND state_folder = $3 AND dead_at IS NULL
        RETURNING draining";

    Points SESSION_DRAIN = "
        UPDATE worker_session SET draining = true
        WHERE session = $1 AND dead_at IS NULL AND NOT draining";

    /// Asked when a draining worker's stream has ended.
    Whole SESSION_DRAINED = "
        UPDATE worker_session SET dead_at = now(), dead_cause = 'drained'
        WHERE session = $1 AND draining AND dead_at IS NULL
          AND NOT EXISTS (SELECT FROM live WHERE live.session = $1)";

    Whole WORKER_DRAIN = "
        UPDATE worker_session SET draining = true
        WHERE worker = $1 AND dead_at IS NULL RETURNING session";

    Points SESSION_END = "
        UPDATE worker_session SET dead_at = now(), dead_cause = $2
        WHERE session = $1 AND dead_at IS NULL";

    Points SESSION_TAKEN_OVER = "
        UPDATE worker_session SET dead_at = now(), dead_cause = 'the worker was restarted'
        WHERE session = $1 AND state_folder = $2 AND dead_at IS NULL";

    /// Rows of the last day: of a worker that is started again and again, a few hundred at most.
    Whole SESSIONS_OF_FOLDER = "
        SELECT session FROM worker_session WHERE state_folder = $1 AND state_folder <> ''
        ORDER BY started_at DESC LIMIT 1000";

    Whole SESSIONS_EXPIRE = "
        UPDATE worker_session SET dead_at = now(), dead_cause = 'lease expired'
        WHERE session IN (SELECT session FROM worker_session
                          WHERE dead_at IS NULL AND lease_until < now() LIMIT 1000)
          AND dead_at IS NULL AND lease_until < now()
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
                    ELSE coalesce(r.cancel_cause, 'cancelled') END AS cause,
               l.state = 'restarting' AS cleared, r.dag, r.version
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT cancelled_at, cancel_cause, dag, version FROM run WHERE run.run_key = want.run_key
        ) AS r
        CROSS JOIN LATERAL (
            SELECT * FROM live
            WHERE live.run_key = want.run_key AND live.session IS NOT NULL
              AND (live.state = 'restarting' OR r.cancelled_at IS NOT NULL)
        ) AS l";

    /// Which of these tries have ended without their worker, and why.
    Points TRIES_ENDED = "
        SELECT want.n, coalesce(h.cause, 'superseded')
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[])
             WITH ORDINALITY AS want (run_key, task, map_index, token, n)
        CROSS JOIN LATERAL (
            SELECT cause FROM try_history
            WHERE try_history.run_key = want.run_key AND try_history.task = want.task
              AND try_history.map_index = want.map_index AND try_history.token = want.token
        ) AS h";

    Whole SESSIONS_FORGET = "
        DELETE FROM worker_session AS s
        WHERE s.dead_at < now() - interval '1 day'
          AND s.session NOT IN (SELECT session FROM live WHERE session IS NOT NULL)";

    Whole WORKERS = "
        SELECT session, worker, version, server, queues, draining, started_at, lease_until
        FROM worker_session WHERE dead_at IS NULL AND (worker, session) > ($1, $2)
        ORDER BY worker, session LIMIT $3";

    Points LEASES_RENEW = "
        UPDATE worker_session AS s
        SET lease_until = now() + s.lease_micros * interval '1 microsecond'
        FROM unnest($1::bigint[]) AS want (session)
        WHERE s.session = want.session AND s.dead_at IS NULL
        RETURNING s.session, s.draining, now()";
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
            .execute(self.engine())
            .await?;
        Ok(())
    }

    /// Moves a session's stream to `server` and renews its lease; returns whether it is draining, and
    /// nothing if it is dead, unknown, or of a worker with another state folder.
    pub async fn session_resume(
        &self,
        session: i64,
        server: &str,
        state_folder: &str,
    ) -> Result<Option<bool>, StoreError> {
        Ok(sqlx::query_scalar(SESSION_RESUME)
            .bind(session)
            .bind(server)
            .bind(state_folder)
            .fetch_optional(self.engine())
            .await?)
    }

    /// Notes that a session's worker takes no more tries.
    pub async fn session_drain(&self, session: i64) -> Result<(), StoreError> {
        sqlx::query(SESSION_DRAIN).bind(session).execute(self.engine()).await?;
        Ok(())
    }

    /// Marks a draining session dead that holds nothing any more: its worker has ended.
    pub async fn session_drained(&self, session: i64) -> Result<(), StoreError> {
        let mut tx = self.begin_whole().await?;
        sqlx::query(SESSION_DRAINED).bind(session).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Lets the workers of a name take no more tries; returns their sessions, which the servers are
    /// to be told of.
    pub async fn worker_drain(&self, worker: &str) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.begin_whole().await?;
        let sessions = sqlx::query_scalar(WORKER_DRAIN).bind(worker).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(sessions)
    }

    /// Marks the former session of a worker dead that took its state folder over.
    pub async fn session_taken_over(
        &self,
        session: i64,
        state_folder: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(SESSION_TAKEN_OVER)
            .bind(session)
            .bind(state_folder)
            .execute(self.engine())
            .await?;
        Ok(())
    }

    /// The sessions that workers of a state folder have had lately.
    pub async fn sessions_of_folder(&self, state_folder: &str) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.begin_whole().await?;
        Ok(sqlx::query_scalar(SESSIONS_OF_FOLDER).bind(state_folder).fetch_all(&mut *tx).await?)
    }

    /// Marks a session dead: its tries are up for the reaper. Death is this commit.
    pub async fn session_end(&self, session: i64, cause: &str) -> Result<(), StoreError> {
        sqlx::query(SESSION_END).bind(session).bind(cause).execute(self.engine()).await?;
        Ok(())
    }

    /// Marks sessions dead whose lease is over, a thousand at a time.
    pub async fn sessions_expire(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(sqlx::query_as(SESSIONS_EXPIRE).fetch_all(self.engine()).await?)
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
            sqlx::query_as(SESSIONS_DEAD).bind(all).fetch_all(self.engine()).await?;
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
        let rows: Vec<ToStopRow> =
            sqlx::query_as(TRIES_TO_STOP).bind(keys).fetch_all(self.engine()).await?;
        let stop = |row: ToStopRow| TryToStop {
            fence: Fence {
                instance: InstanceKey {
                    run: RunKey(row.run_key),
                    task: TaskNo(row.task),
                    map_index: MapIndex(row.map_index),
                },
                session: row.session,
                token: row.token,
            },
            cause: row.cause,
            unless_cleaning: (!row.cleared).then_some((row.dag, row.version)),
        };
        Ok(rows.into_iter().map(stop).collect())
    }

    /// Those of these tries, which workers are believed to run, that have ended: another task failed, and
    /// their DAG fails fast.
    pub async fn tries_ended(&self, held: &[Fence]) -> Result<Vec<TryToStop>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(TRIES_ENDED)
            .bind(column(held, |fence| fence.instance.run.0))
            .bind(column(held, |fence| fence.instance.task.0))
            .bind(column(held, |fence| fence.instance.map_index.0))
            .bind(column(held, |fence| fence.token))
            .fetch_all(self.engine())
            .await?;
        let stop = rows.into_iter().map(|(n, cause)| TryToStop {
            fence: held[place(n)],
            cause,
            unless_cleaning: None,
        });
        Ok(stop.collect())
    }

    /// Removes dead sessions that no live row names.
    pub async fn sessions_forget(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_whole().await?;
        sqlx::query(SESSIONS_FORGET).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Workers with a live session, by name.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let mut all: Vec<WorkerRow> = Vec::new();
        loop {
            let last = all.last().map(|it| (it.worker.clone(), it.session));
            let (worker, session) = last.unwrap_or_default();
            let some: Vec<WorkerRow> = sqlx::query_as(WORKERS)
                .bind(worker)
                .bind(session)
                .bind(WORKERS_SLICE)
                .fetch_all(self.pool())
                .await?;
            let is_last = some.len() < usize::try_from(WORKERS_SLICE).unwrap_or(usize::MAX);
            all.extend(some);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Opens a session whose commits do not wait for the disk: for leases alone, where a lost
    /// renewal only shortens a lease.
    pub async fn lease_session(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.engine_session().await?;
        sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection).await?;
        Ok(connection)
    }
}

/// Renews leases; returns those that are alive.
pub async fn leases_renew(
    connection: &mut PgConnection,
    sessions: &[i64],
) -> Result<Vec<Renewed>, StoreError> {
    Ok(sqlx::query_as(LEASES_RENEW).bind(sessions).fetch_all(connection).await?)
}
