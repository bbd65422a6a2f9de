//! Writes what was decided: ends of tries, new live rows, retries, the runs' counters. One statement
//! for what every completion needs, the rest only where there is something to write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::{RunState, TaskState};

use super::EngineTx;
use super::fence::column;
use super::turns::{Line, Lines, first_turns};
use crate::StoreError;
use crate::statement::statements;

/// Everything that one transaction changes of its locked runs.
#[derive(Debug, Default)]
pub struct Apply {
    /// `ctid`s of live rows that go, locked in this transaction.
    pub live_gone: Vec<String>,
    pub history: Vec<HistoryRow>,
    pub live_new: Vec<LiveNew>,
    pub live_retry: Vec<LiveRetry>,
    pub runs: Vec<RunUpdate>,
    pub joins_decided: Vec<InstanceKey>,
    pub joins_gone: Vec<InstanceKey>,
    /// Instances that an upstream had failed, and that are skipped after all.
    pub overruled: Vec<InstanceKey>,
}

/// The end of a try, or a task settled by a rule.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    pub key: InstanceKey,
    /// `None`: nothing ran; a token is drawn.
    pub token: Option<i64>,
    pub state: TaskState,
    pub try_number: i32,
    pub resets: i32,
    pub exit_code: Option<i32>,
    pub session: Option<i64>,
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub rows_rejected: Option<i64>,
    /// The arguments once rendered, as people see them.
    pub rendered: Option<Value>,
    pub cause: Option<String>,
    pub error: Option<String>,
    /// The whole log (LZ4), where it is one small chunk.
    pub log: Option<Vec<u8>>,
}

/// A task that became ready, is held back, or is handed over at once.
#[derive(Debug, Clone)]
pub struct LiveNew {
    pub key: InstanceKey,
    /// `queued`, `scheduled`, or `running` with a session.
    pub state: TaskState,
    pub priority: i32,
    pub queue: String,
    /// The running try's number, or the last one's.
    pub try_number: i32,
    pub resets: i32,
    pub session: Option<i64>,
    /// `None`: `default_pool`.
    pub pool: Option<String>,
    pub pool_slots: i32,
    /// One that its task has to itself besides.
    pub own_pool: Option<String>,
    /// Scheduled until its pool has room.
    pub waits_pool: bool,
    /// Tasks of its run that were active before it: so many turns later is its own.
    pub ahead: i32,
}

/// A live row that stays, and waits or is ready again.
#[derive(Debug, Clone)]
pub struct LiveRetry {
    pub ctid: String,
    pub task: TaskNo,
    /// `up_for_retry`, `queued` or `scheduled`.
    pub state: TaskState,
    pub try_number: i32,
    pub failed: i16,
    pub lost: i16,
    /// From now, for `up_for_retry`.
    pub delay: Option<Duration>,
    /// Scheduled until its pool has room.
    pub waits_pool: bool,
    /// As for [`LiveNew`].
    pub ahead: i32,
    pub priority: i32,
    pub queue: String,
    pub pool: Option<String>,
}

/// A run's counters after this transaction.
#[derive(Debug, Clone)]
pub struct RunUpdate {
    pub key: RunKey,
    pub state: RunState,
    pub tasks_open: i32,
    pub tasks_active: i32,
    pub tasks_held: i32,
    pub leaves_failed: i32,
    /// What is to be judged may have ended before: it is looked at first.
    pub has_resets: bool,
}

/// A task instance that a session now holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    pub key: InstanceKey,
    pub session: i64,
    pub token: i64,
    pub try_number: i32,
    pub resets: i32,
    pub queue: String,
    /// When it became ready. `None`: the transaction that made it ready handed it over.
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: DateTime<Utc>,
}

#[derive(FromRow)]
pub(super) struct HandedOverRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    session: i64,
    token: i64,
    try_number: i32,
    resets: i32,
    queue: String,
    started_at: DateTime<Utc>,
}

/// Ends, new live rows and counters in one round trip; each array takes time, so that there is a short form
/// ([`SETTLE`]) and a long one ([`SETTLE_LINED`]).
macro_rules! settle {
    (columns: $columns:literal, arrays: $arrays:literal, names: $names:literal, turn: $turn:expr) => {
        concat!(
            "
        WITH gone AS (
            DELETE FROM live WHERE ctid = ANY ($1::text[]::tid[])
        ), history AS (
            INSERT INTO try_history
                (run_key, task, map_index, token, state, try_number, resets, exit_code, session,
                 queued_at, started_at, ended_at, rows_rejected, cause, error, log, rendered)
            SELECT run_key, task, map_index, coalesce(token, nextval('fencing_token')),
                   state::task_state, try_number, resets, exit_code, session, queued_at, started_at,
                   greatest(now(), started_at), rows_rejected, cause, error, log, rendered
            FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::text[],
                        $7::integer[], $8::integer[], $9::integer[], $10::bigint[],
                        $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::text[],
                        $15::text[], $16::bytea[], $17::jsonb[])
                 AS h (run_key, task, map_index, token, state, try_number, resets, exit_code, session,
                       queued_at, started_at, rows_rejected, cause, error, log, rendered)
        ), counted AS (
            UPDATE run
            SET state = u.state::run_state,
                tasks_open = u.tasks_open, tasks_active = u.tasks_active, tasks_held = u.tasks_held,
                leaves_failed = u.leaves_failed, has_resets = u.has_resets,
                ended_at = CASE WHEN u.state IN ('success', 'failed') THEN coalesce(run.ended_at, now()) END,
                deadline_at = CASE WHEN u.state IN ('success', 'failed') THEN NULL ELSE run.deadline_at END,
                waits_until = CASE WHEN u.state IN ('success', 'failed') THEN NULL ELSE run.waits_until END
            FROM unnest($18::bigint[], $19::text[], $20::integer[], $21::integer[], $22::integer[],
                        $23::integer[], $24::boolean[])
                 AS u (run_key, state, tasks_open, tasks_active, tasks_held, leaves_failed, has_resets)
            WHERE run.run_key = u.run_key
        )
        INSERT INTO live
            (run_key, task, map_index, state, priority, queue, try_number, resets, session, token, queued_at,
             started_at, turn",
            $columns,
            ")
        SELECT run_key, task, map_index, state::task_state, priority, queue, try_number, resets, session,
               CASE WHEN session IS NOT NULL THEN nextval('fencing_token') END, now(),
               CASE WHEN session IS NOT NULL THEN clock_timestamp() END, l.ahead + 1",
            $turn,
            $columns,
            "
        FROM unnest($25::bigint[], $26::integer[], $27::integer[], $28::text[], $29::integer[],
                    $30::text[], $31::integer[], $32::integer[], $33::bigint[], $34::integer[]",
            $arrays,
            ")
             AS l (run_key, task, map_index, state, priority, queue, try_number, resets, session, ahead",
            $names,
            ")
        RETURNING run_key, task, map_index, session, token, try_number, resets, queue, started_at"
        )
    };
}

statements! {
    /// Where no new row joins a line or has a pool. `started_at` is the clock's, not the transaction's: the
    /// transaction may have waited for locks. So a try that it stops may have started after it began.
    Points SETTLE = settle!(columns: "", arrays: "", names: "", turn: "");

    /// The same with pools and lines.
    Points SETTLE_LINED = settle!(
        columns: ", pool, pool_slots, own_pool, waits_pool",
        arrays: ", $35::text[], $36::integer[], $37::text[], $38::boolean[], $39::integer[]",
        names: ", pool, pool_slots, own_pool, waits_pool, line",
        turn: concat!(
            " + CASE WHEN l.line > 0 THEN (",
            first_turns!("$40", "$41", "$42"),
            ")[l.line] ELSE 0 END"
        )
    );

    /// The newest end of an instance, which an upstream had failed, becomes a skip.
    Points OVERRULE = "
        UPDATE try_history AS h
        SET state = 'skipped', cause = 'overruled'
        FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS want (run_key, task, map_index)
        CROSS JOIN LATERAL (
            SELECT x.token FROM try_history AS x
            WHERE x.run_key = want.run_key AND x.task = want.task AND x.map_index = want.map_index
              AND x.state = 'upstream_failed'
            ORDER BY x.token DESC
            LIMIT 1
        ) AS newest
        WHERE h.run_key = want.run_key AND h.task = want.task AND h.map_index = want.map_index
          AND h.token = newest.token";

    Points LIVE_RETRY = concat!("
        UPDATE live
        SET state = u.state::task_state, try_number = u.try_number, failed = u.failed, lost = u.lost,
            session = NULL, token = NULL, started_at = NULL, queued_at = now(),
            waits_pool = u.waits_pool,
            due_at = now() + u.delay_micros * interval '1 microsecond',
            turn = u.ahead + 1
                 + CASE WHEN u.line > 0 THEN (", first_turns!("$9", "$10", "$11"), ")[u.line] ELSE 0 END
        FROM unnest($1::text[], $2::text[], $3::integer[], $4::smallint[], $5::smallint[], $6::bigint[],
                    $7::boolean[], $8::integer[], $12::integer[])
             AS u (ctid, state, try_number, failed, lost, delay_micros, waits_pool, ahead, line)
        WHERE live.ctid = u.ctid::tid");
}

impl HandedOver {
    /// What fences the try.
    #[must_use]
    pub fn fence(&self) -> super::Fence {
        super::Fence { instance: self.key, session: self.session, token: self.token }
    }
}

impl LiveNew {
    /// Whether it joins a line, or has a pool.
    fn is_lined(&self) -> bool {
        let has_pool = self.pool.is_some() || self.own_pool.is_some() || self.pool_slots != 1;
        has_pool || self.waits_pool || self.line().is_some()
    }

    fn line(&self) -> Option<Line> {
        let pool = self.pool.as_deref();
        Line::joined(self.state, self.waits_pool, pool, &self.queue, self.priority)
    }
}

impl LiveRetry {
    fn line(&self) -> Option<Line> {
        let pool = self.pool.as_deref();
        Line::joined(self.state, self.waits_pool, pool, &self.queue, self.priority)
    }
}

impl HistoryRow {
    /// A task that ended without a try: settled by a rule or a cancel.
    #[must_use]
    pub fn without_try(key: InstanceKey, state: TaskState, try_number: i32, resets: i32) -> Self {
        Self {
            key,
            token: None,
            state,
            try_number,
            resets,
            exit_code: None,
            session: None,
            queued_at: None,
            started_at: None,
            rows_rejected: None,
            rendered: None,
            cause: None,
            error: None,
            log: None,
        }
    }
}

impl EngineTx<'_> {
    /// Writes the changes; returns what was handed over.
    pub async fn apply(&mut self, apply: &Apply) -> Result<Vec<HandedOver>, StoreError> {
        self.joins_decide(&apply.joins_decided).await?;
        self.joins_drop(&apply.joins_gone).await?;
        self.live_retry(&apply.live_retry).await?;
        self.overrule(&apply.overruled).await?;
        self.settle(apply).await
    }

    async fn settle(&mut self, apply: &Apply) -> Result<Vec<HandedOver>, StoreError> {
        let (history, live, runs) = (&apply.history, &apply.live_new, &apply.runs);
        let is_lined = live.iter().any(LiveNew::is_lined);
        let mut lines = Lines::default();
        let line: Vec<i32> = live.iter().map(|l| lines.number(l.line())).collect();
        let (pools, queues, priorities) = lines.columns();
        let sql = if is_lined { SETTLE_LINED } else { SETTLE };
        let mut query = sqlx::query_as(sql)
            .bind(&apply.live_gone)
            .bind(column(history, |h| h.key.run.0))
            .bind(column(history, |h| h.key.task.0))
            .bind(column(history, |h| h.key.map_index.0))
            .bind(column(history, |h| h.token))
            .bind(column(history, |h| h.state.as_str()))
            .bind(column(history, |h| h.try_number))
            .bind(column(history, |h| h.resets))
            .bind(column(history, |h| h.exit_code))
            .bind(column(history, |h| h.session))
            .bind(column(history, |h| h.queued_at))
            .bind(column(history, |h| h.started_at))
            .bind(column(history, |h| h.rows_rejected))
            .bind(column(history, |h| h.cause.clone()))
            .bind(column(history, |h| h.error.clone()))
            .bind(column(history, |h| h.log.clone()))
            .bind(column(history, |h| h.rendered.clone()))
            .bind(column(runs, |r| r.key.0))
            .bind(column(runs, |r| r.state.as_str()))
            .bind(column(runs, |r| r.tasks_open))
            .bind(column(runs, |r| r.tasks_active))
            .bind(column(runs, |r| r.tasks_held))
            .bind(column(runs, |r| r.leaves_failed))
            .bind(column(runs, |r| r.has_resets))
            .bind(column(live, |l| l.key.run.0))
            .bind(column(live, |l| l.key.task.0))
            .bind(column(live, |l| l.key.map_index.0))
            .bind(column(live, |l| l.state.as_str()))
            .bind(column(live, |l| l.priority))
            .bind(column(live, |l| l.queue.clone()))
            .bind(column(live, |l| l.try_number))
            .bind(column(live, |l| l.resets))
            .bind(column(live, |l| l.session))
            .bind(column(live, |l| l.ahead));
        if is_lined {
            query = query
                .bind(column(live, |l| l.pool.clone()))
                .bind(column(live, |l| l.pool_slots))
                .bind(column(live, |l| l.own_pool.clone()))
                .bind(column(live, |l| l.waits_pool))
                .bind(line)
                .bind(pools)
                .bind(queues)
                .bind(priorities);
        }
        let rows: Vec<SettleRow> = query.fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().filter_map(SettleRow::handed_over).collect())
    }

    async fn overrule(&mut self, keys: &[InstanceKey]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        sqlx::query(OVERRULE)
            .bind(column(keys, |key| key.run.0))
            .bind(column(keys, |key| key.task.0))
            .bind(column(keys, |key| key.map_index.0))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn live_retry(&mut self, retries: &[LiveRetry]) -> Result<(), StoreError> {
        if retries.is_empty() {
            return Ok(());
        }
        let mut lines = Lines::default();
        let line: Vec<i32> = retries.iter().map(|r| lines.number(r.line())).collect();
        let (pools, queues, priorities) = lines.columns();
        sqlx::query(LIVE_RETRY)
            .bind(column(retries, |r| r.ctid.clone()))
            .bind(column(retries, |r| r.state.as_str()))
            .bind(column(retries, |r| r.try_number))
            .bind(column(retries, |r| r.failed))
            .bind(column(retries, |r| r.lost))
            .bind(column(retries, |r| r.delay.map(micros)))
            .bind(column(retries, |r| r.waits_pool))
            .bind(column(retries, |r| r.ahead))
            .bind(pools)
            .bind(queues)
            .bind(priorities)
            .bind(line)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

/// Microseconds of a duration, bounded by what PostgreSQL can add to a timestamp.
fn micros(delay: Duration) -> i64 {
    const CENTURY_SECS: u64 = 100 * 366 * 24 * 60 * 60;
    let bounded = delay.min(Duration::from_secs(CENTURY_SECS));
    i64::try_from(bounded.as_micros()).expect("a century fits")
}

/// Rows that were only readied come back without a session.
#[derive(FromRow)]
struct SettleRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    session: Option<i64>,
    token: Option<i64>,
    try_number: i32,
    resets: i32,
    queue: String,
    started_at: Option<DateTime<Utc>>,
}

impl SettleRow {
    fn handed_over(self) -> Option<HandedOver> {
        let row = HandedOverRow {
            run_key: self.run_key,
            task: self.task,
            map_index: self.map_index,
            session: self.session?,
            token: self.token?,
            try_number: self.try_number,
            resets: self.resets,
            queue: self.queue,
            started_at: self.started_at?,
        };
        Some(row.into())
    }
}

impl From<HandedOverRow> for HandedOver {
    fn from(row: HandedOverRow) -> Self {
        Self {
            key: InstanceKey {
                run: RunKey(row.run_key),
                task: TaskNo(row.task),
                map_index: MapIndex(row.map_index),
            },
            session: row.session,
            token: row.token,
            try_number: row.try_number,
            resets: row.resets,
            queue: row.queue,
            queued_at: None,
            started_at: row.started_at,
        }
    }
}
