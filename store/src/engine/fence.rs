//! Locks runs, then the live rows of tries that end.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{RunState, TaskState};

use super::EngineTx;
use crate::statement::statements;
use crate::{StoreError, mutation};

/// A run whose row is locked.
#[derive(Debug, Clone)]
pub struct LockedRun {
    pub key: RunKey,
    pub dag: i32,
    pub version: i32,
    pub state: RunState,
    pub cancelled: bool,
    pub tasks_open: i32,
    pub tasks_active: i32,
    pub tasks_held: i32,
    pub leaves_failed: i32,
    pub has_resets: bool,
    /// The backfill that it counts for; `None`: it counts for its DAG.
    pub backfill: Option<i64>,
    /// It is not due yet, and does not count for its DAG.
    pub waits: bool,
    /// A run of another version waits for tasks of it whose ends its own version does not tell of.
    pub awaited: bool,
    /// Its DAG is: nothing of it may start.
    pub is_paused: bool,
}

/// What names a try: the instance, and who may end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    pub instance: InstanceKey,
    pub session: i64,
    pub token: i64,
}

/// A try that its fence still holds; its run is locked.
#[derive(Debug, Clone)]
pub struct HeldTry {
    /// Place in the list that was asked for.
    pub index: usize,
    pub live: LiveRow,
}

/// A row of `live`, locked.
#[derive(Debug, Clone)]
pub struct LiveRow {
    /// Its place in the table, for the statement that changes it in this transaction.
    pub ctid: String,
    pub key: InstanceKey,
    pub state: TaskState,
    pub priority: i32,
    pub queue: String,
    pub try_number: i32,
    pub failed: i16,
    pub lost: i16,
    pub resets: i32,
    pub session: Option<i64>,
    pub token: Option<i64>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// `None`: `default_pool`.
    pub pool: Option<String>,
    pub pool_slots: i32,
    /// One that its task has to itself besides: it takes one slot.
    pub own_pool: Option<String>,
    /// Scheduled until its pool has room.
    pub waits_pool: bool,
}

impl LiveRow {
    /// The pools of which it holds slots, and how many.
    pub fn holds(&self) -> impl Iterator<Item = (&str, i32)> {
        let holds =
            matches!(self.state, TaskState::Queued | TaskState::Running | TaskState::Restarting);
        let pool = self.pool.as_deref().map(|pool| (pool, self.pool_slots));
        let own = self.own_pool.as_deref().map(|pool| (pool, 1));
        pool.into_iter().chain(own).filter(move |_| holds)
    }
}

#[derive(FromRow)]
struct LockedRunRow {
    run_key: i64,
    dag: i32,
    version: i32,
    state: String,
    cancelled: bool,
    tasks_open: i32,
    tasks_active: i32,
    tasks_held: i32,
    leaves_failed: i32,
    has_resets: bool,
    backfill: Option<i64>,
    waits: bool,
    awaited: bool,
    is_paused: bool,
}

#[derive(FromRow)]
pub(super) struct LiveSqlRow {
    n: i64,
    ctid: String,
    run_key: i64,
    task: i32,
    map_index: i32,
    state: String,
    priority: i32,
    queue: String,
    try_number: i32,
    failed: i16,
    lost: i16,
    resets: i32,
    session: Option<i64>,
    token: Option<i64>,
    queued_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    pool: Option<String>,
    pool_slots: i32,
    own_pool: Option<String>,
    waits_pool: bool,
}

statements! {
    /// `$1` keys, sorted: so two transactions lock in the same order. Whether the DAG is paused is asked
    /// once the lock is had: whoever pauses it, or lets it go on, then looks at its runs by the same locks.
    Points RUNS_LOCK = "
        SELECT r.run_key, r.dag, r.version, r.state::text, r.cancelled_at IS NOT NULL AS cancelled,
               r.tasks_open, r.tasks_active, r.tasks_held, r.leaves_failed, r.has_resets,
               r.backfill, r.waits_until IS NOT NULL AS waits, r.awaited,
               dag_is_paused(r.dag) AS is_paused
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT * FROM run WHERE run.run_key = want.run_key FOR NO KEY UPDATE
        ) AS r";

    /// The same, leaving out runs that another transaction holds.
    Points RUNS_LOCK_FREE = "
        SELECT r.run_key, r.dag, r.version, r.state::text, r.cancelled_at IS NOT NULL AS cancelled,
               r.tasks_open, r.tasks_active, r.tasks_held, r.leaves_failed, r.has_resets,
               r.backfill, r.waits_until IS NOT NULL AS waits, r.awaited,
               dag_is_paused(r.dag) AS is_paused
        FROM unnest($1::bigint[]) AS want (run_key)
        CROSS JOIN LATERAL (
            SELECT * FROM run WHERE run.run_key = want.run_key FOR NO KEY UPDATE SKIP LOCKED
        ) AS r";

    /// Takes no row lock: whoever changes a row that a session holds has locked its run, as the caller has.
    Points TRIES_FENCE = "
        SELECT want.n, l.*
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[])
             WITH ORDINALITY AS want (run_key, task, map_index, session, token, n)
        CROSS JOIN LATERAL (
            SELECT live.ctid::text AS ctid, run_key, task, map_index, state::text AS state, priority, queue,
                   try_number, failed, lost, resets, session, token, queued_at, started_at,
                   pool, pool_slots, own_pool, waits_pool
            FROM live
            WHERE live.run_key = want.run_key AND live.task = want.task
              AND live.map_index = want.map_index
              AND (live.session, live.token) = (want.session, want.token)
        ) AS l";

    Points LIVE_LOCK_TASKS = "
        SELECT want.n, l.*
        FROM unnest($2::integer[]) WITH ORDINALITY AS want (task, n)
        CROSS JOIN LATERAL (
            SELECT live.ctid::text AS ctid, run_key, task, map_index, state::text AS state, priority, queue,
                   try_number, failed, lost, resets, session, token, queued_at, started_at,
                   pool, pool_slots, own_pool, waits_pool
            FROM live
            WHERE live.run_key = $1 AND live.task = want.task
            ORDER BY live.map_index
            FOR UPDATE
        ) AS l";

    Points LIVE_LOCK_RUN = "
        SELECT 0::bigint AS n, live.ctid::text AS ctid, run_key, task, map_index, state::text AS state,
               priority, queue, try_number, failed, lost, resets, session, token, queued_at, started_at,
                   pool, pool_slots, own_pool, waits_pool
        FROM live
        WHERE run_key = $1
        ORDER BY task, map_index
        FOR UPDATE";

    /// `IS TRUE` keeps the index of timers out of it: the rows are named.
    Points LIVE_LOCK_DUE = "
        SELECT want.n, l.*
        FROM unnest($1::bigint[], $2::integer[], $3::integer[])
             WITH ORDINALITY AS want (run_key, task, map_index, n)
        CROSS JOIN LATERAL (
            SELECT live.ctid::text AS ctid, run_key, task, map_index, state::text AS state, priority, queue,
                   try_number, failed, lost, resets, session, token, queued_at, started_at,
                   pool, pool_slots, own_pool, waits_pool
            FROM live
            WHERE live.run_key = want.run_key AND live.task = want.task
              AND live.map_index = want.map_index AND (live.due_at <= now()) IS TRUE
            FOR UPDATE
        ) AS l";

    /// Which of these tokens have ended before.
    Points HISTORY_HAS = "
        SELECT want.n
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[])
             WITH ORDINALITY AS want (run_key, task, map_index, token, n)
        CROSS JOIN LATERAL (
            SELECT 1 FROM try_history h
            WHERE h.run_key = want.run_key AND h.task = want.task
              AND h.map_index = want.map_index AND h.token = want.token
        ) AS h";
}

impl EngineTx<'_> {
    /// Locks runs, in the order of their keys; those that do not exist are missing in the answer.
    pub async fn runs_lock(&mut self, keys: &[RunKey]) -> Result<Vec<LockedRun>, StoreError> {
        self.lock_with(RUNS_LOCK, keys).await
    }

    /// Locks those of the runs that nobody else holds.
    pub async fn runs_lock_free(&mut self, keys: &[RunKey]) -> Result<Vec<LockedRun>, StoreError> {
        self.lock_with(RUNS_LOCK_FREE, keys).await
    }

    async fn lock_with(
        &mut self,
        sql: &'static str,
        keys: &[RunKey],
    ) -> Result<Vec<LockedRun>, StoreError> {
        let mut sorted: Vec<i64> = keys.iter().map(|key| key.0).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let rows: Vec<LockedRunRow> =
            sqlx::query_as(mutation::statement(sql)).bind(sorted).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(LockedRun::from).collect())
    }

    /// The live rows that these fences still hold, in runs that this transaction has locked. A fence without a row was superseded, or its
    /// end is recorded already.
    pub async fn tries_fence(&mut self, fences: &[Fence]) -> Result<Vec<HeldTry>, StoreError> {
        let rows: Vec<LiveSqlRow> = sqlx::query_as(mutation::statement(TRIES_FENCE))
            .bind(column(fences, |f| f.instance.run.0))
            .bind(column(fences, |f| f.instance.task.0))
            .bind(column(fences, |f| f.instance.map_index.0))
            .bind(column(fences, |f| f.session))
            .bind(column(fences, |f| f.token))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(held(rows))
    }

    /// Locks every live row of a run whose row is locked, waiting for a claim that holds one.
    pub async fn live_lock(&mut self, run: RunKey) -> Result<Vec<LiveRow>, StoreError> {
        let rows: Vec<LiveSqlRow> =
            sqlx::query_as(LIVE_LOCK_RUN).bind(run.0).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(LiveRow::from).collect())
    }

    /// Locks the live rows of some tasks of a run whose row is locked, in the order of `tasks`.
    pub async fn live_lock_tasks(
        &mut self,
        run: RunKey,
        tasks: &[TaskNo],
    ) -> Result<Vec<LiveRow>, StoreError> {
        let rows: Vec<LiveSqlRow> = sqlx::query_as(LIVE_LOCK_TASKS)
            .bind(run.0)
            .bind(column(tasks, |task| task.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(LiveRow::from).collect())
    }

    /// Locks those of these rows whose timer is still due.
    pub async fn live_lock_due(
        &mut self,
        keys: &[InstanceKey],
    ) -> Result<Vec<HeldTry>, StoreError> {
        let rows: Vec<LiveSqlRow> = sqlx::query_as(LIVE_LOCK_DUE)
            .bind(column(keys, |k| k.run.0))
            .bind(column(keys, |k| k.task.0))
            .bind(column(keys, |k| k.map_index.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(held(rows))
    }

    /// Which of these tokens have a history row already, by their place in the list.
    pub async fn history_has(&mut self, fences: &[Fence]) -> Result<Vec<usize>, StoreError> {
        let rows: Vec<(i64,)> = sqlx::query_as(HISTORY_HAS)
            .bind(column(fences, |f| f.instance.run.0))
            .bind(column(fences, |f| f.instance.task.0))
            .bind(column(fences, |f| f.instance.map_index.0))
            .bind(column(fences, |f| f.token))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(|(n,)| place(n)).collect())
    }
}

/// One array parameter of a statement.
pub(super) fn column<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn held(rows: Vec<LiveSqlRow>) -> Vec<HeldTry> {
    rows.into_iter()
        .map(|row| HeldTry { index: if row.n > 0 { place(row.n) } else { 0 }, live: row.into() })
        .collect()
}

/// SQL counts from one.
pub(crate) fn place(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).expect("WITH ORDINALITY counts from one")
}

impl From<LockedRunRow> for LockedRun {
    fn from(row: LockedRunRow) -> Self {
        Self {
            key: RunKey(row.run_key),
            dag: row.dag,
            version: row.version,
            state: RunState::parse(&row.state).expect("the enum of the schema"),
            cancelled: row.cancelled,
            tasks_open: row.tasks_open,
            tasks_active: row.tasks_active,
            tasks_held: row.tasks_held,
            leaves_failed: row.leaves_failed,
            has_resets: row.has_resets,
            backfill: row.backfill,
            waits: row.waits,
            awaited: row.awaited,
            is_paused: row.is_paused,
        }
    }
}

impl From<LiveSqlRow> for LiveRow {
    fn from(row: LiveSqlRow) -> Self {
        Self {
            ctid: row.ctid,
            key: InstanceKey {
                run: RunKey(row.run_key),
                task: TaskNo(row.task),
                map_index: MapIndex(row.map_index),
            },
            state: TaskState::parse(&row.state).expect("the enum of the schema"),
            priority: row.priority,
            queue: row.queue,
            try_number: row.try_number,
            failed: row.failed,
            lost: row.lost,
            resets: row.resets,
            session: row.session,
            token: row.token,
            queued_at: row.queued_at,
            started_at: row.started_at,
            pool: row.pool,
            pool_slots: row.pool_slots,
            own_pool: row.own_pool,
            waits_pool: row.waits_pool,
        }
    }
}
