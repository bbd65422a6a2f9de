//! What is known of one task instance and of what it may wait for. Each statement is bounded; together
//! they are no snapshot: what has just changed may be told of as it was.

mod rows;

use subak_core::decide::{Past, Plan, PlanTask};
use subak_core::explain::{
    COUNT_MOST, Facts, OtherFacts, PastFacts, PoolFacts, QueueFacts, WorkerFacts,
};
use subak_core::ids::{Instance, InstanceKey, MapIndex, RunKey, TaskNo};
use subak_core::state::TaskState;

use self::rows::{DagAndRunRow, EndRow, HolderRow, LiveRow, WorkerRow};
use super::RunRecord;
use crate::engine::JoinSqlRow;
use crate::{Store, StoreError};

/// Upstreams and guards whose states are read.
const OTHERS_MOST: i64 = 10_000;
/// Holders of a pool that are named.
const HOLDERS_MOST: i64 = 10;

/// $1 run.
const DAG_AND_RUN: &str = "
    SELECT d.is_paused OR b.holds AS is_paused,
           CASE WHEN b.holds AND NOT d.is_paused THEN 'its backfill is paused'
                ELSE d.pause_cause END AS pause_cause,
           d.is_stale, coalesce(b.max_active_runs, d.max_active_runs) AS max_active_runs,
           coalesce(b.runs_active, l.runs_active, 0) AS runs_active,
           r.tasks_active, r.tasks_held, r.deadline_at,
           r.run_after, r.waits_until,
           CASE WHEN r.cancelled_at IS NOT NULL THEN coalesce(r.cancel_cause, 'cancelled') END
               AS cancelled,
           (SELECT count(*) FROM (
                SELECT FROM run q
                WHERE q.dag = r.dag AND q.state = 'queued'
                  AND q.backfill IS NOT DISTINCT FROM r.backfill AND q.waits_until IS NULL
                  AND coalesce(q.backfill_place, q.run_key) < coalesce(r.backfill_place, r.run_key)
                LIMIT $2
            ) AS ahead) AS runs_ahead,
           EXISTS (SELECT FROM outbox o WHERE o.run_key = r.run_key) AS rest
    FROM run r
    JOIN dag d ON d.dag = r.dag
    LEFT JOIN dag_load l ON l.dag = r.dag
    LEFT JOIN backfill ON backfill.backfill = r.backfill
    CROSS JOIN LATERAL (
        SELECT backfill.max_active_runs, backfill.runs_active,
               r.state = 'queued'
               AND coalesce(backfill.is_paused AND backfill.completed_at IS NULL, false) AS holds
    ) AS b
    WHERE r.run_key = $1";

/// $1 run, $2 task, $3 map index, $4 count no further.
const LIVE: &str = "
    SELECT l.state::text AS state, l.waits_pool, l.priority, l.queue, l.try_number,
           l.failed::integer AS failed, l.lost::integer AS lost, l.queued_at, l.started_at, l.due_at,
           w.worker, p.error, p.exit_code, coalesce(p.cause = 'worker_lost', false) AS was_lost,
           CASE WHEN l.state = 'scheduled' AND NOT l.waits_pool THEN (
               SELECT count(*) FROM (
                   SELECT FROM live h
                   WHERE h.run_key = l.run_key AND h.state = 'scheduled' AND NOT h.waits_pool
                     AND (-h.priority, h.task, h.map_index) < (-l.priority, l.task, l.map_index)
                   LIMIT $4
               ) AS ahead)
           ELSE 0 END AS held_ahead,
           CASE WHEN l.state = 'scheduled' AND NOT l.waits_pool THEN (
               SELECT count(*) FROM (
                   SELECT FROM live a
                   WHERE a.run_key = l.run_key AND a.task = l.task
                     AND (a.waits_pool OR a.state IN ('queued', 'running', 'restarting'))
                   LIMIT $4
               ) AS active)
           ELSE 0 END AS own_active
    FROM live l
    LEFT JOIN worker_session w ON w.session = l.session
    LEFT JOIN LATERAL (
        SELECT h.error, h.exit_code, h.cause FROM try_history h
        WHERE h.run_key = l.run_key AND h.task = l.task AND h.map_index = l.map_index
          AND h.resets = l.resets
        ORDER BY h.token DESC LIMIT 1
    ) p ON true
    WHERE l.run_key = $1 AND l.task = $2 AND l.map_index = $3";

/// $1 run, $2 task, $3 map index.
const ENDED: &str = "
    SELECT h.state::text AS state, h.try_number, h.started_at, h.ended_at, h.cause, h.error,
           h.exit_code, w.worker
    FROM try_history h
    LEFT JOIN task_reset x USING (run_key, task, map_index)
    LEFT JOIN worker_session w ON w.session = h.session
    WHERE h.run_key = $1 AND h.task = $2 AND h.map_index = $3
      AND h.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
      AND h.token > coalesce(x.token, -1)
    ORDER BY h.token DESC LIMIT 1";

const JOIN: &str = "SELECT * FROM join_state WHERE run_key = $1 AND task = $2 AND map_index = $3";

/// What tasks of a run are now. $1 run, $2 tasks, $3 limit, $4 those of which only one instance, or the
/// task that is not expanded, matters, $5 that instance's map index.
const OTHERS: &str = "
    SELECT l.task, l.map_index, l.state::text AS state FROM live l
    WHERE l.run_key = $1 AND l.task = ANY ($2)
      AND (l.task <> ALL ($4) OR l.map_index IN (-1, $5))
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (h.task, h.map_index) h.task, h.map_index, h.state::text AS state
        FROM try_history h
        LEFT JOIN task_reset x USING (run_key, task, map_index)
        WHERE h.run_key = $1 AND h.task = ANY ($2)
          AND (h.task <> ALL ($4) OR h.map_index IN (-1, $5))
          AND h.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          AND h.token > coalesce(x.token, -1)
          AND NOT EXISTS (SELECT FROM live l WHERE l.run_key = $1 AND l.task = h.task
                          AND l.map_index = h.map_index)
        ORDER BY h.task, h.map_index, h.token DESC
    ) AS ended
    LIMIT $3";

/// $1 pool, $2 run, $3 task, $4 map index, $5 count no further.
const POOL_AHEAD: &str = "
    SELECT count(*) FROM (
        SELECT FROM live l
        WHERE (l.pool = $1 OR l.own_pool = $1) AND l.waits_pool
          AND (-l.priority, l.turn, l.run_key, l.task, l.map_index) < (
              SELECT -own.priority, own.turn, own.run_key, own.task, own.map_index FROM live own
              WHERE (own.run_key, own.task, own.map_index) = ($2, $3, $4))
        LIMIT $5
    ) AS ahead";

/// $1 pool, $2 limit.
const POOL_HOLDERS: &str = "
    SELECT d.dag_id, r.run_id, t.task_id, l.map_index,
           CASE WHEN l.pool = $1 THEN l.pool_slots ELSE 1 END AS slots, l.state::text AS state
    FROM live l
    JOIN run r ON r.run_key = l.run_key
    JOIN dag d ON d.dag = r.dag
    JOIN dag_task t ON t.dag = r.dag AND t.task = l.task
    WHERE (l.pool = $1 OR l.own_pool = $1) AND l.state IN ('queued', 'running', 'restarting')
    ORDER BY l.started_at NULLS LAST, l.run_key, l.task, l.map_index
    LIMIT $2";

/// As [`POOL_AHEAD`], of a queue.
const QUEUE_AHEAD: &str = "
    SELECT count(*) FROM (
        SELECT FROM live l
        WHERE l.queue = $1 AND l.state = 'queued'
          AND (-l.priority, l.turn, l.run_key, l.task, l.map_index) < (
              SELECT -own.priority, own.turn, own.run_key, own.task, own.map_index FROM live own
              WHERE (own.run_key, own.task, own.map_index) = ($2, $3, $4))
        LIMIT $5
    ) AS ahead";

/// $1 queue.
const WORKERS: &str = "
    SELECT w.worker, w.queues, w.draining, coalesce(busy.tries, 0) AS busy
    FROM worker_session w
    LEFT JOIN (
        SELECT session, count(*) AS tries FROM live
        WHERE session IS NOT NULL AND queue = $1 GROUP BY session
    ) AS busy ON busy.session = w.session
    WHERE w.dead_at IS NULL ORDER BY w.worker, w.session LIMIT 1000";

/// $1 run, $2 whether manual ones count.
const RUN_BEFORE: &str = "
    SELECT b.run_key, b.run_id, b.dag, b.version FROM run r
    JOIN run b ON b.dag = r.dag AND b.logical_date < r.logical_date
              AND ($2 OR b.run_type <> 'manual')
    WHERE r.run_key = $1
    ORDER BY b.logical_date DESC LIMIT 1";

impl Store {
    /// Reads what an explanation of one task instance rests on; `None`: the run's version has no such
    /// task, or the run is gone.
    pub async fn explain_facts(
        &self,
        run: &RunRecord,
        plan: &Plan,
        at: Instance,
    ) -> Result<Option<Facts>, StoreError> {
        let key = InstanceKey { run: run.run_key, task: at.task, map_index: at.map_index };
        let Some(task) = plan.task(at.task) else { return Ok(None) };
        let around: Option<DagAndRunRow> = sqlx::query_as(DAG_AND_RUN)
            .bind(run.run_key.0)
            .bind(COUNT_MOST)
            .fetch_optional(self.pool())
            .await?;
        let Some(around) = around else { return Ok(None) };
        let live = self.explain_live(key).await?;
        let ended = if live.is_none() { self.explain_end(key).await? } else { None };
        let (mut pool, mut queue) = (None, None);
        if let Some(live) = &live {
            if live.waits_pool {
                pool = Some(self.explain_pool(key, task).await?);
            } else if live.state == TaskState::Queued.as_str() {
                queue = Some(self.explain_queue(key, &live.queue).await?);
            }
        }
        let (shape, made) = self.shape(run.run_key, plan).await?;
        let is_named = !at.map_index.is_none();
        if is_named && live.is_none() && ended.is_none() && !shape.has(at) {
            return Ok(None);
        }
        // The rule of a mapped task is judged once, for all of its instances, unless it follows others
        // index by index.
        let judged = shape.judged_for(task, at);
        let join: Option<JoinSqlRow> = sqlx::query_as(JOIN)
            .bind(key.run.0)
            .bind(key.task.0)
            .bind(judged.map_index.0)
            .fetch_optional(self.pool())
            .await?;
        let around_it = Around::of(plan, task, judged.map_index);
        let is_open = live.is_none() && ended.is_none();
        Ok(Some(Facts {
            at,
            run: around.run(run),
            rest: around.rest,
            dag: around.into_dag(),
            live: live.map(LiveRow::into_facts),
            ended: ended.map(EndRow::into_facts),
            join: join.map(JoinSqlRow::into_counts),
            others: self.explain_others(run.run_key, &around_it).await?,
            shape,
            made: made.get(&at.task).copied().unwrap_or(0),
            against: self.explain_against(key).await?,
            past: match is_open && task.past != Past::Nothing {
                true => Some(self.explain_past(key, plan, task).await?),
                false => None,
            },
            pool,
            queue,
        }))
    }

    async fn explain_live(&self, key: InstanceKey) -> Result<Option<LiveRow>, StoreError> {
        Ok(sqlx::query_as(LIVE)
            .bind(key.run.0)
            .bind(key.task.0)
            .bind(key.map_index.0)
            .bind(COUNT_MOST)
            .fetch_optional(self.pool())
            .await?)
    }

    async fn explain_end(&self, key: InstanceKey) -> Result<Option<EndRow>, StoreError> {
        Ok(sqlx::query_as(ENDED)
            .bind(key.run.0)
            .bind(key.task.0)
            .bind(key.map_index.0)
            .fetch_optional(self.pool())
            .await?)
    }

    async fn explain_others(
        &self,
        run: RunKey,
        around: &Around,
    ) -> Result<Vec<OtherFacts>, StoreError> {
        let numbers = |tasks: &[TaskNo]| Vec::from_iter(tasks.iter().map(|task| task.0));
        let rows: Vec<(i32, i32, String)> = sqlx::query_as(OTHERS)
            .bind(run.0)
            .bind(numbers(&around.tasks))
            .bind(OTHERS_MOST)
            .bind(numbers(&around.by_index))
            .bind(around.index.0)
            .fetch_all(self.pool())
            .await?;
        let other = |(task, map_index, state): (i32, i32, String)| {
            let at = Instance::mapped(TaskNo(task), map_index);
            Some(OtherFacts { at, state: TaskState::parse(&state)? })
        };
        Ok(rows.into_iter().filter_map(other).collect())
    }

    async fn explain_against(&self, key: InstanceKey) -> Result<Vec<TaskNo>, StoreError> {
        let rows: Vec<i32> = sqlx::query_scalar(
            "SELECT branch FROM task_against WHERE run_key = $1 AND task = $2 ORDER BY branch LIMIT 100",
        )
        .bind(key.run.0)
        .bind(key.task.0)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(TaskNo).collect())
    }

    async fn explain_past(
        &self,
        key: InstanceKey,
        plan: &Plan,
        task: &PlanTask,
    ) -> Result<PastFacts, StoreError> {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM past_wait p JOIN run r ON r.dag = p.dag AND r.run_key = p.run_key
                            WHERE p.run_key = $1 AND p.task = $2 AND p.map_index IN (-1, $3))",
        )
        .bind(key.run.0)
        .bind(key.task.0)
        .bind(key.map_index.0)
        .fetch_one(self.pool())
        .await?;
        let before: Option<(i64, String, i32, i32)> = sqlx::query_as(RUN_BEFORE)
            .bind(key.run.0)
            .bind(!plan.dag.catchup)
            .fetch_optional(self.pool())
            .await?;
        let Some((before, run_id, dag, version)) = before else {
            return Ok(PastFacts { waits, ..PastFacts::default() });
        };
        let mut tasks = vec![task.no];
        if task.past == Past::WithDownstream {
            let had = self.version_get(dag, version).await?;
            let had = |no: &TaskNo| {
                had.as_ref().is_none_or(|it| {
                    let id =
                        it.numbers.iter().find(|(_, number)| **number == no.0).map(|(id, _)| id);
                    id.is_some_and(|id| it.model.task(id).is_some())
                })
            };
            // What is below and was not in the run before does not count.
            tasks.extend(task.downstream.iter().copied().filter(had));
        }
        let around = Around { tasks, by_index: Vec::new(), index: MapIndex::NONE };
        let there = self.explain_others(RunKey(before), &around).await?;
        let (shape, _) = self.shape(RunKey(before), plan).await?;
        // Of a mapped task the first that is not as it must be, or has not begun.
        let state = |no: TaskNo| {
            let of_task = |it: &&OtherFacts| it.at.task == no;
            let is_good = |state| matches!(state, TaskState::Success | TaskState::Skipped);
            let mut states = there.iter().filter(of_task).map(|it| it.state);
            let bad = states.clone().find(|state| !is_good(*state));
            let all = usize::try_from(shape.instances(no).unwrap_or(1)).unwrap_or(usize::MAX);
            bad.or_else(|| if states.clone().count() < all { None } else { states.next() })
        };
        let tasks = around.tasks.iter().map(|no| (*no, state(*no))).collect();
        Ok(PastFacts { run_id: Some(run_id), tasks, waits })
    }

    async fn explain_pool(
        &self,
        key: InstanceKey,
        task: &PlanTask,
    ) -> Result<PoolFacts, StoreError> {
        let (mut name, mut pool) = (task.pool.as_deref().unwrap_or_default(), None);
        // A task that is limited besides may wait for that alone.
        for beside in [Some(name), task.own_pool.as_deref()].into_iter().flatten() {
            let room: Option<(i32, i32)> =
                sqlx::query_as("SELECT slots, used FROM pool WHERE name = $1")
                    .bind(beside)
                    .fetch_optional(self.pool())
                    .await?;
            let is_full = room.is_some_and(|(slots, used)| slots >= 0 && used >= slots);
            if beside == name || is_full {
                (name, pool) = (beside, room);
            }
        }
        let holders: Vec<HolderRow> = sqlx::query_as(POOL_HOLDERS)
            .bind(name)
            .bind(HOLDERS_MOST)
            .fetch_all(self.pool())
            .await?;
        Ok(PoolFacts {
            name: name.to_owned(),
            slots: pool.map(|(slots, _)| slots),
            used: pool.map_or(0, |(_, used)| used),
            ahead: self.explain_ahead(POOL_AHEAD, name, key).await?,
            holders: holders.into_iter().filter_map(HolderRow::into_holder).collect(),
        })
    }

    async fn explain_queue(&self, key: InstanceKey, queue: &str) -> Result<QueueFacts, StoreError> {
        let rows: Vec<WorkerRow> =
            sqlx::query_as(WORKERS).bind(queue).fetch_all(self.pool()).await?;
        let all = rows.len();
        let workers: Vec<WorkerFacts> =
            rows.into_iter().filter_map(|row| row.serving(queue)).collect();
        Ok(QueueFacts {
            ahead: self.explain_ahead(QUEUE_AHEAD, queue, key).await?,
            others: all - workers.len(),
            workers,
        })
    }

    async fn explain_ahead(
        &self,
        sql: &'static str,
        name: &str,
        key: InstanceKey,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(sql)
            .bind(name)
            .bind(key.run.0)
            .bind(key.task.0)
            .bind(key.map_index.0)
            .bind(COUNT_MOST)
            .fetch_one(self.pool())
            .await?)
    }
}

/// Tasks whose states matter.
struct Around {
    tasks: Vec<TaskNo>,
    /// Those of them that matter only by this index.
    by_index: Vec<TaskNo>,
    index: MapIndex,
}

impl Around {
    /// Its upstreams, and what guards it.
    fn of(plan: &Plan, task: &PlanTask, index: MapIndex) -> Self {
        let guards = plan.tasks().filter(|guard| guard.watchers.contains(&task.no));
        let tasks = task.upstream.iter().copied().chain(guards.map(|guard| guard.no)).collect();
        let by_index = if index.is_none() { Vec::new() } else { task.by_index.clone() };
        Self { tasks, by_index, index }
    }
}
