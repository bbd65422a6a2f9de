//! Task instances: the current one of each task, whatever table holds it, and all tries of one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::ids::{InstanceKey, MapIndex, RunKey, TaskId, TaskNo};
use subak_core::state::TaskState;

use super::{RunRecord, VersionRecord};
use crate::{Store, StoreError};

/// A task instance as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRecord {
    pub task_id: TaskId,
    /// Number of the task.
    pub task: i32,
    pub map_index: MapIndex,
    /// `None`: nothing has happened to it yet.
    pub state: Option<TaskState>,
    pub try_number: i32,
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When a waiting retry is due.
    pub due_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub exit_code: Option<i32>,
    /// Name of the worker that has or had it.
    pub worker: Option<String>,
    pub rows_rejected: Option<i64>,
}

/// One try of a task instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryRecord {
    pub try_number: i32,
    pub state: TaskState,
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub exit_code: Option<i32>,
    pub worker: Option<String>,
    /// The arguments once rendered, as people see them.
    pub rendered: Option<Value>,
}

#[derive(sqlx::FromRow)]
struct TryRow {
    rendered: Option<Value>,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) task: i32,
    pub(super) map_index: i32,
    state: String,
    try_number: i32,
    queued_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    error: Option<String>,
    cause: Option<String>,
    exit_code: Option<i32>,
    worker: Option<String>,
    rows_rejected: Option<i64>,
}

/// A live row is current; without one, the newest final row later than the task's reset is. Of a run,
/// those of which a condition holds: `it` has the task and the map index.
macro_rules! current {
    ($run:literal, $which:literal) => {
        concat!(
            "
    SELECT it.task, it.map_index, it.state::text AS state, it.try_number,
           it.queued_at, it.started_at, NULL::timestamptz AS ended_at, it.due_at,
           CASE WHEN it.state IN ('up_for_retry', 'scheduled', 'queued') THEN p.error END AS error,
           NULL::text AS cause, NULL::integer AS exit_code, w.worker, NULL::bigint AS rows_rejected
    FROM live it
    LEFT JOIN worker_session w ON w.session = it.session
    LEFT JOIN LATERAL (
        SELECT h.error FROM try_history h
        WHERE h.run_key = ",
            $run,
            " AND h.task = it.task AND h.map_index = it.map_index
          AND h.resets = it.resets
        ORDER BY h.token DESC LIMIT 1
    ) p ON true
    WHERE it.run_key = ",
            $run,
            " AND ",
            $which,
            "
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (it.task, it.map_index)
               it.task, it.map_index, it.state::text AS state, it.try_number,
               it.queued_at, it.started_at, it.ended_at, NULL::timestamptz AS due_at,
               it.error, it.cause, it.exit_code, w.worker, it.rows_rejected
        FROM try_history it
        LEFT JOIN task_reset x USING (run_key, task, map_index)
        LEFT JOIN worker_session w ON w.session = it.session
        WHERE it.run_key = ",
            $run,
            " AND ",
            $which,
            "
          AND it.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          AND it.token > coalesce(x.token, -1)
          AND NOT EXISTS (SELECT 1 FROM live l WHERE l.run_key = ",
            $run,
            " AND l.task = it.task
                          AND l.map_index = it.map_index)
        ORDER BY it.task, it.map_index, it.token DESC
    ) AS ended",
        )
    };
}
pub(super) use current;

/// $1 run, $2 tasks (null: all), $3 and $4 the first and the last map index.
const CURRENT: &str = current!(
    "$1",
    "($2::integer[] IS NULL OR it.task = ANY ($2)) AND it.map_index BETWEEN $3 AND $4"
);

/// Of mapped tasks and of those that are not.
pub(super) const EVERY_INDEX: RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// Every try, the first one first. $1 run, $2 task, $3 map index.
const TRIES: &str = "
    SELECT * FROM (
        SELECT h.task, h.map_index, h.state::text AS state, h.try_number,
               h.queued_at, h.started_at, h.ended_at, NULL::timestamptz AS due_at,
               h.error, h.cause, h.exit_code, w.worker, h.rows_rejected, h.rendered, h.token
        FROM try_history h LEFT JOIN worker_session w ON w.session = h.session
        WHERE h.run_key = $1 AND h.task = $2 AND h.map_index = $3 AND h.try_number > 0
        UNION ALL
        SELECT l.task, l.map_index, l.state::text, l.try_number, l.queued_at, l.started_at, NULL,
               NULL, NULL, NULL, NULL, w.worker, NULL, NULL, l.token
        FROM live l LEFT JOIN worker_session w ON w.session = l.session
        WHERE l.run_key = $1 AND l.task = $2 AND l.map_index = $3
          AND l.state IN ('running', 'restarting', 'deferred')
    ) AS tries
    ORDER BY try_number, token
    LIMIT 1000";

impl Store {
    /// Returns the task instances of a run in the order of its version, those to which nothing has
    /// happened too.
    pub async fn instance_list(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        let sizes = self.map_sizes(run, version).await?;
        self.instances(run, version, &sizes, None).await
    }

    /// Returns the task instances of a run but for those of mapped tasks that are expanded.
    pub async fn single_list(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        let sizes = self.map_sizes(run, version).await?;
        let tasks = version.numbers.values().filter(|task| !sizes.contains_key(task));
        let tasks = (!sizes.is_empty()).then(|| tasks.copied().collect());
        self.instances(run, version, &sizes, tasks).await
    }

    async fn instances(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
        sizes: &BTreeMap<i32, i32>,
        tasks: Option<Vec<i32>>,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        let rows = self.rows_of(run, tasks.as_deref(), EVERY_INDEX).await?;
        let mut by_task: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for row in rows {
            by_task.entry(row.task).or_default().push(row);
        }
        let mut instances = Vec::with_capacity(version.model.tasks.len());
        for task in &version.model.tasks {
            let number = version.numbers.get(&task.task_id).copied().unwrap_or(-1);
            if tasks.is_none() || !sizes.contains_key(&number) {
                let rows = by_task.remove(&number).unwrap_or_default();
                let indexes = super::maps::indexes(sizes.get(&number).copied());
                instances.extend(super::maps::filled(&task.task_id, number, indexes, rows));
            }
        }
        Ok(instances)
    }

    /// Returns what is known of the instances of tasks (none given: all) with these map indexes.
    pub(super) async fn rows_of(
        &self,
        run: &RunRecord,
        tasks: Option<&[i32]>,
        indexes: RangeInclusive<i32>,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(sqlx::query_as(CURRENT)
            .bind(run.run_key.0)
            .bind(tasks)
            .bind(indexes.start())
            .bind(indexes.end())
            .fetch_all(self.pool())
            .await?)
    }

    /// Returns the tries of one task instance, the first one first.
    pub async fn try_list(
        &self,
        run: &RunRecord,
        task: i32,
        map_index: MapIndex,
    ) -> Result<Vec<TryRecord>, StoreError> {
        let rows: Vec<TryRow> = sqlx::query_as(TRIES)
            .bind(run.run_key.0)
            .bind(task)
            .bind(map_index.0)
            .fetch_all(self.pool())
            .await?;
        Ok(rows.into_iter().filter_map(TryRow::into_try).collect())
    }
}

impl InstanceRecord {
    pub(super) fn untouched(task_id: TaskId, task: i32) -> Self {
        Self {
            task_id,
            task,
            map_index: MapIndex::NONE,
            state: None,
            try_number: 0,
            queued_at: None,
            started_at: None,
            ended_at: None,
            due_at: None,
            error: None,
            cause: None,
            exit_code: None,
            worker: None,
            rows_rejected: None,
        }
    }

    /// Its key in a run.
    #[must_use]
    pub fn key(&self, run: RunKey) -> InstanceKey {
        InstanceKey { run, task: TaskNo(self.task), map_index: self.map_index }
    }

    /// Whether a worker has it now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state.is_some_and(TaskState::is_held)
    }
}

impl Row {
    pub(super) fn into_instance(self, task_id: TaskId) -> InstanceRecord {
        InstanceRecord {
            task_id,
            task: self.task,
            map_index: MapIndex(self.map_index),
            state: TaskState::parse(&self.state),
            try_number: self.try_number,
            queued_at: self.queued_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            due_at: self.due_at,
            error: self.error,
            cause: self.cause,
            exit_code: self.exit_code,
            worker: self.worker,
            rows_rejected: self.rows_rejected,
        }
    }
}

impl TryRow {
    fn into_try(self) -> Option<TryRecord> {
        let Self { rendered, row } = self;
        Some(TryRecord {
            try_number: row.try_number,
            state: TaskState::parse(&row.state)?,
            queued_at: row.queued_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            error: row.error,
            cause: row.cause,
            exit_code: row.exit_code,
            worker: row.worker,
            rendered,
        })
    }
}
