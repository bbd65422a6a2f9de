//! Mapped tasks of a run, folded: how many instances are in which state. And the instances of one, a
//! page at a time.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use subak_core::dag::model::Task;
use subak_core::ids::{MapIndex, TaskId};
use subak_core::state::TaskState;

use super::instances::{EVERY_INDEX, InstanceRecord, Row};
use super::{RunRecord, VersionRecord};
use crate::{Store, StoreError};

/// A mapped task that is expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRecord {
    pub task_id: TaskId,
    /// Number of the task.
    pub task: i32,
    pub instances: i64,
    /// `None`: nothing has happened to them yet.
    pub states: BTreeMap<Option<TaskState>, i64>,
    pub started_at: Option<DateTime<Utc>>,
    /// Once all have ended.
    pub ended_at: Option<DateTime<Utc>>,
    pub rows_rejected: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    task: i32,
    state: String,
    count: i64,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    rows_rejected: i64,
}

/// What instances of mapped tasks are now, counted. $1 run, $2 tasks.
const COUNTS: &str = "
    SELECT task, state, count(*) AS count, min(started_at) AS started_at, max(ended_at) AS ended_at,
           coalesce(sum(rows_rejected), 0)::bigint AS rows_rejected
    FROM (
        SELECT l.task, l.state::text AS state, l.started_at, NULL::timestamptz AS ended_at,
               0::bigint AS rows_rejected
        FROM live l
        WHERE l.run_key = $1 AND l.task = ANY ($2) AND l.map_index >= 0
        UNION ALL
        SELECT h.task, h.state::text, h.started_at, h.ended_at, h.rows_rejected
        FROM try_history h
        LEFT JOIN task_reset x USING (run_key, task, map_index)
        WHERE h.run_key = $1 AND h.task = ANY ($2) AND h.map_index >= 0
          AND h.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          AND h.token > coalesce(x.token, -1)
    ) AS instances
    GROUP BY task, state";

impl Store {
    /// Returns how many instances each expanded mapped task of a run has.
    pub async fn map_sizes(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
    ) -> Result<BTreeMap<i32, i32>, StoreError> {
        let mapped = || version.model.tasks.iter().filter(|task| task.expand.is_some());
        let mut sizes: BTreeMap<i32, i32> = mapped()
            .filter_map(|task| Some((*version.numbers.get(&task.task_id)?, literal(task)?)))
            .collect();
        if mapped().next().is_some() {
            let rows: Vec<(i32, i32)> = sqlx::query_as(
                "SELECT task, instances FROM mapped
                 WHERE run_key = $1 AND instances IS NOT NULL",
            )
            .bind(run.run_key.0)
            .fetch_all(self.pool())
            .await?;
            sizes.extend(rows);
        }
        Ok(sizes)
    }

    /// Returns the expanded mapped tasks of a run, their instances counted, in the order of its version.
    pub async fn map_list(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
    ) -> Result<Vec<MapRecord>, StoreError> {
        let sizes = self.map_sizes(run, version).await?;
        if sizes.is_empty() {
            return Ok(Vec::new());
        }
        let tasks: Vec<i32> = sizes.keys().copied().collect();
        let rows: Vec<CountRow> =
            sqlx::query_as(COUNTS).bind(run.run_key.0).bind(&tasks).fetch_all(self.pool()).await?;
        let mut maps = Vec::new();
        for task in &version.model.tasks {
            let Some(number) = version.numbers.get(&task.task_id) else { continue };
            let Some(size) = sizes.get(number) else { continue };
            let rows = rows.iter().filter(|row| row.task == *number);
            maps.push(MapRecord::of(task.task_id.clone(), *number, i64::from(*size), rows));
        }
        Ok(maps)
    }

    /// Returns all instances of one task of a run, those to which nothing has happened too.
    pub async fn instances_of(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
        task_id: &TaskId,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        let Some(number) = version.numbers.get(task_id).copied() else { return Ok(Vec::new()) };
        let size = self.map_sizes(run, version).await?.get(&number).copied();
        let rows = self.rows_of(run, Some(&[number]), EVERY_INDEX).await?;
        Ok(filled(task_id, number, indexes(size), rows))
    }

    /// Returns one instance of a task of a run, if there is one of this map index.
    pub async fn instance_one(
        &self,
        run: &RunRecord,
        version: &VersionRecord,
        task_id: &TaskId,
        map_index: MapIndex,
    ) -> Result<Option<InstanceRecord>, StoreError> {
        let Some(number) = version.numbers.get(task_id).copied() else { return Ok(None) };
        let is_in_version = version.model.task(task_id).is_some();
        let size = self.map_sizes(run, version).await?.get(&number).copied();
        if !is_in_version || !indexes(size).contains(&map_index.0) {
            return Ok(None);
        }
        let this = map_index.0;
        let rows = self.rows_of(run, Some(&[number]), this..=this).await?;
        Ok(filled(task_id, number, this..this + 1, rows).pop())
    }
}

/// The map indexes of a task; without a size it is not expanded.
pub(super) fn indexes(size: Option<i32>) -> Range<i32> {
    size.map_or(-1..0, |size| 0..size)
}

/// Instances of a task as people see them: one for each index, whatever has happened.
pub(super) fn filled(
    task_id: &TaskId,
    number: i32,
    indexes: Range<i32>,
    rows: Vec<Row>,
) -> Vec<InstanceRecord> {
    let mut by_index: BTreeMap<i32, InstanceRecord> =
        rows.into_iter().map(|row| (row.map_index, row.into_instance(task_id.clone()))).collect();
    let untouched = |index: i32| InstanceRecord {
        map_index: MapIndex(index),
        ..InstanceRecord::untouched(task_id.clone(), number)
    };
    indexes.map(|index| by_index.remove(&index).unwrap_or_else(|| untouched(index))).collect()
}

/// Instances of a task that is mapped over lists in its file; none of an empty one.
fn literal(task: &Task) -> Option<i32> {
    let sources = &task.expand.as_ref()?.arguments;
    let mut lengths = sources.iter().map(|(_, source)| source.literal_length());
    let size = lengths.try_fold(1_usize, |all, length| Some(all.saturating_mul(length?)))?;
    i32::try_from(size).ok().filter(|size| *size > 0)
}

impl MapRecord {
    fn of<'r>(
        task_id: TaskId,
        task: i32,
        instances: i64,
        rows: impl Iterator<Item = &'r CountRow>,
    ) -> Self {
        let mut record = Self {
            task_id,
            task,
            instances,
            states: BTreeMap::new(),
            started_at: None,
            ended_at: None,
            rows_rejected: 0,
        };
        for row in rows {
            *record.states.entry(TaskState::parse(&row.state)).or_default() += row.count;
            record.started_at = earlier(record.started_at, row.started_at);
            record.ended_at = record.ended_at.max(row.ended_at);
            record.rows_rejected += row.rows_rejected;
        }
        let known: i64 = record.states.values().sum();
        if known < instances {
            *record.states.entry(None).or_default() += instances - known;
        }
        if record.done() < instances {
            record.ended_at = None;
        }
        record
    }

    /// How many instances have ended.
    #[must_use]
    pub fn done(&self) -> i64 {
        let is_final = |state: &Option<TaskState>| state.is_some_and(TaskState::is_final);
        self.states.iter().filter(|(state, _)| is_final(state)).map(|(_, count)| count).sum()
    }

    /// What the task as a whole is: what runs and what failed comes first.
    #[must_use]
    pub fn state(&self) -> Option<TaskState> {
        use TaskState as S;
        const ORDER: [TaskState; 13] = [
            S::Failed,
            S::UpstreamFailed,
            S::Running,
            S::Restarting,
            S::UpForRetry,
            S::UpForReschedule,
            S::Deferred,
            S::AwaitingInput,
            S::Queued,
            S::Scheduled,
            S::Success,
            S::Skipped,
            S::Removed,
        ];
        let has = |state: &TaskState| self.states.contains_key(&Some(*state));
        let first = ORDER.into_iter().find(has)?;
        // Some have ended well, and others have not begun.
        let goes_on = first.is_final() && self.states.contains_key(&None);
        let well = matches!(first, S::Success | S::Skipped | S::Removed);
        if goes_on && well { Some(S::Running) } else { Some(first) }
    }
}

fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
