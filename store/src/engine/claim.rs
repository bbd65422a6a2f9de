//! Hands ready task instances of the backlog to sessions, and lets held-back ones become ready.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskNo};

use super::fence::column;
use super::turns::first_turn;
use super::{EngineTx, HandedOver};
use crate::StoreError;
use crate::statement::statements;

/// A held-back task that is ready now, or waits for its pool.
#[derive(Debug, Clone)]
pub struct Promoted {
    pub run: RunKey,
    pub task: TaskNo,
    pub queue: String,
    pub pool: Option<String>,
}

type PromotedRow = (i64, i32, String, Option<String>);

impl From<PromotedRow> for Promoted {
    fn from((run, task, queue, pool): PromotedRow) -> Self {
        Self { run: RunKey(run), task: TaskNo(task), queue, pool }
    }
}

/// Lets held-back rows join their lines, one turn behind each other; of each line the first one is looked
/// up for one of them.
macro_rules! promote {
    ($want:literal, $which:literal) => {
        concat!(
            "
        UPDATE live
        SET state = CASE WHEN live.pool IS NULL THEN 'queued' ELSE 'scheduled' END::task_state,
            waits_pool = live.pool IS NOT NULL, queued_at = now(), turn = joining.turn
        FROM (
            SELECT ctid, ahead + coalesce(max(first) OVER line, 0) AS turn
            FROM (
                SELECT ctid, pool, queue, priority, ahead,
                       CASE WHEN row_number() OVER line = 1 THEN ",
            first_turn!("held.pool", "held.queue", "held.priority"),
            " END AS first
                FROM (
                    SELECT held.*, want.active + held.n AS ahead
                    FROM ",
            $want,
            "
                    CROSS JOIN LATERAL (
                        SELECT *, row_number() OVER () AS n FROM (
                            SELECT l.ctid, l.pool, l.queue, l.priority FROM live AS l
                            WHERE l.run_key = want.run_key AND l.state = 'scheduled' AND NOT l.waits_pool
                              AND ",
            $which,
            "
                            ORDER BY l.priority DESC, l.task, l.map_index
                            LIMIT want.most
                            FOR UPDATE
                        ) AS first
                    ) AS held
                ) AS held
                WINDOW line AS (PARTITION BY pool, queue, priority)
            ) AS looked
            WINDOW line AS (PARTITION BY pool, queue, priority)
        ) AS joining
        WHERE live.ctid = joining.ctid
        RETURNING live.run_key, live.task, live.queue, live.pool"
        )
    };
}

statements! {
    /// `$1` the queue, `$2` one session for each slot to fill. Concurrent callers never get the same row.
    Points CLAIM = "
        WITH next AS MATERIALIZED (
            SELECT run_key, task, map_index
            FROM live
            WHERE state = 'queued' AND queue = $1
            ORDER BY priority DESC, turn, run_key, task, map_index
            LIMIT cardinality($2::bigint[])
            FOR UPDATE SKIP LOCKED
        ), numbered AS (
            SELECT *, row_number() OVER () AS n FROM next
        )
        UPDATE live
        SET state = 'running', session = ($2::bigint[])[n], token = nextval('fencing_token'),
            try_number = live.try_number + 1, started_at = clock_timestamp()
        FROM numbered AS next
        WHERE (live.run_key, live.task, live.map_index) = (next.run_key, next.task, next.map_index)
        RETURNING live.run_key, live.task, live.map_index, live.session, live.token, live.try_number,
                  live.resets, live.queue, live.queued_at, live.started_at";

    /// Lets up to `$2` held-back tasks of each run `$1`, of which `$3` are active, become ready; none of
    /// those tasks `$5` of runs `$4` that have a limit of their own.
    Points PROMOTE = promote!(
        "unnest($1::bigint[], $2::integer[], $3::integer[]) AS want (run_key, most, active)",
        "NOT EXISTS (
             SELECT FROM unnest($4::bigint[], $5::integer[]) AS own (run_key, task)
             WHERE own.run_key = l.run_key AND own.task = l.task)"
    );

    /// The same of one task `$4` alone.
    Points PROMOTE_ONE = promote!(
        "(VALUES ($1::bigint, $2::integer, $3::integer, $4::integer)) AS want (run_key, most, active, task)",
        "l.task = want.task"
    );

    /// How many instances of tasks `$2` of runs `$1` are active.
    Points ACTIVE = "
        SELECT want.run_key, want.task,
               (SELECT count(*)::integer FROM live AS l
                WHERE l.run_key = want.run_key AND l.task = want.task
                  AND (l.waits_pool OR l.state IN ('queued', 'running', 'restarting')))
        FROM unnest($1::bigint[], $2::integer[]) AS want (run_key, task)";

    /// A hand-over that the worker refused: ready again, and no try counted.
    Points REFUSE = "
        UPDATE live
        SET state = 'queued', session = NULL, token = NULL, started_at = NULL,
            try_number = live.try_number - 1
        FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[])
             AS want (run_key, task, map_index, session, token)
        WHERE (live.run_key, live.task, live.map_index) = (want.run_key, want.task, want.map_index)
          AND live.session = want.session AND live.token = want.token AND live.state = 'running'";
}

#[derive(FromRow)]
struct ClaimedRow {
    run_key: i64,
    task: i32,
    map_index: i32,
    session: i64,
    token: i64,
    try_number: i32,
    resets: i32,
    queue: String,
    queued_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
}

impl EngineTx<'_> {
    /// Hands the ready tasks of `queue` that come first to `sessions`, one to each entry.
    pub async fn tasks_claim(
        &mut self,
        queue: &str,
        sessions: &[i64],
    ) -> Result<Vec<HandedOver>, StoreError> {
        let rows: Vec<ClaimedRow> =
            sqlx::query_as(CLAIM).bind(queue).bind(sessions).fetch_all(&mut *self.tx).await?;
        Ok(rows.into_iter().map(HandedOver::from).collect())
    }

    /// Lets held-back tasks become ready, `(run, at most, active already)`, but for those that have a
    /// limit of their own.
    pub async fn tasks_promote(
        &mut self,
        most: &[(RunKey, i32, i32)],
        limited: &[(RunKey, TaskNo)],
    ) -> Result<Vec<Promoted>, StoreError> {
        let rows: Vec<PromotedRow> = sqlx::query_as(PROMOTE)
            .bind(column(most, |(run, ..)| run.0))
            .bind(column(most, |(_, count, _)| *count))
            .bind(column(most, |(.., active)| *active))
            .bind(column(limited, |(run, _)| run.0))
            .bind(column(limited, |(_, task)| task.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(Promoted::from).collect())
    }

    /// Lets held-back instances of one task become ready.
    pub async fn task_promote(
        &mut self,
        run: RunKey,
        task: TaskNo,
        most: i32,
        active: i32,
    ) -> Result<Vec<Promoted>, StoreError> {
        let rows: Vec<PromotedRow> = sqlx::query_as(PROMOTE_ONE)
            .bind(run.0)
            .bind(most)
            .bind(active)
            .bind(task.0)
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(Promoted::from).collect())
    }

    /// How many instances of tasks of locked runs are active.
    pub async fn tasks_active(
        &mut self,
        tasks: &[(RunKey, TaskNo)],
    ) -> Result<Vec<(RunKey, TaskNo, i32)>, StoreError> {
        let rows: Vec<(i64, i32, i32)> = sqlx::query_as(ACTIVE)
            .bind(column(tasks, |(run, _)| run.0))
            .bind(column(tasks, |(_, task)| task.0))
            .fetch_all(&mut *self.tx)
            .await?;
        Ok(rows.into_iter().map(|(run, task, count)| (RunKey(run), TaskNo(task), count)).collect())
    }

    /// Makes refused hand-overs ready again.
    pub async fn tasks_refuse(&mut self, fences: &[super::Fence]) -> Result<(), StoreError> {
        sqlx::query(REFUSE)
            .bind(column(fences, |f| f.instance.run.0))
            .bind(column(fences, |f| f.instance.task.0))
            .bind(column(fences, |f| f.instance.map_index.0))
            .bind(column(fences, |f| f.session))
            .bind(column(fences, |f| f.token))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl From<ClaimedRow> for HandedOver {
    fn from(row: ClaimedRow) -> Self {
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
            queued_at: Some(row.queued_at),
            started_at: row.started_at,
        }
    }
}
