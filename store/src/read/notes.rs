//! What people noted about task instances.

use std::collections::BTreeMap;

use subak_core::ids::{Instance, MapIndex, RunKey, TaskId, TaskNo};

use super::InstanceRecord;
use crate::{Store, StoreError};

/// Notes of one run that are read.
const NOTES_MOST: i64 = 10_000;

/// What a note on a task of a run is about: one instance, if one is named, or all of them. Of a mapped
/// task that is the task as a whole, too, whose page shows its note. Empty: there is no such instance.
#[must_use]
pub fn noted(all: &[InstanceRecord], task: &TaskId, named: Option<MapIndex>) -> Vec<Instance> {
    let is_meant =
        |it: &&InstanceRecord| it.task_id == *task && named.is_none_or(|at| it.map_index == at);
    let mut of: Vec<Instance> = all
        .iter()
        .filter(is_meant)
        .map(|it| Instance { task: TaskNo(it.task), map_index: it.map_index })
        .collect();
    if named.is_none()
        && let Some(first) = of.first().copied()
        && !first.map_index.is_none()
    {
        of.push(Instance::single(first.task));
    }
    of
}

impl Store {
    /// Sets the note of task instances of a run, each of which is named once; an empty one removes it.
    pub async fn task_note_set(
        &self,
        run: RunKey,
        of: &[Instance],
        note: &str,
        by: &str,
    ) -> Result<(), StoreError> {
        let (tasks, indexes): (Vec<i32>, Vec<i32>) =
            of.iter().map(|it| (it.task.0, it.map_index.0)).unzip();
        if note.is_empty() {
            sqlx::query(
                "DELETE FROM task_note AS n
                 USING unnest($2::int[], $3::int[]) AS named (task, map_index)
                 WHERE n.run_key = $1 AND n.task = named.task AND n.map_index = named.map_index",
            )
            .bind(run.0)
            .bind(tasks)
            .bind(indexes)
            .execute(self.pool())
            .await?;
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO task_note (run_key, task, map_index, note, noted_by)
             SELECT r.run_key, named.task, named.map_index, $4, $5
             FROM run AS r, unnest($2::int[], $3::int[]) AS named (task, map_index)
             WHERE r.run_key = $1
             ON CONFLICT (run_key, task, map_index)
             DO UPDATE SET note = EXCLUDED.note, noted_by = EXCLUDED.noted_by, noted_at = now()",
        )
        .bind(run.0)
        .bind(tasks)
        .bind(indexes)
        .bind(note)
        .bind(by)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// The notes of several runs, by run, task and map index.
    pub async fn notes_of(
        &self,
        runs: &[RunKey],
    ) -> Result<BTreeMap<(RunKey, i32, i32), String>, StoreError> {
        let keys: Vec<i64> = runs.iter().map(|run| run.0).collect();
        let rows: Vec<(i64, i32, i32, String)> = sqlx::query_as(
            "SELECT run_key, task, map_index, note FROM task_note WHERE run_key = ANY ($1)
             ORDER BY run_key, task, map_index LIMIT $2",
        )
        .bind(keys)
        .bind(NOTES_MOST)
        .fetch_all(self.pool())
        .await?;
        let row = |(run, task, index, note)| ((RunKey(run), task, index), note);
        Ok(rows.into_iter().map(row).collect())
    }

    /// The notes of a run, by task and map index.
    pub async fn task_notes(
        &self,
        run: RunKey,
    ) -> Result<BTreeMap<(i32, i32), String>, StoreError> {
        let rows: Vec<(i32, i32, String)> = sqlx::query_as(
            "SELECT task, map_index, note FROM task_note WHERE run_key = $1
             ORDER BY task, map_index LIMIT $2",
        )
        .bind(run.0)
        .bind(NOTES_MOST)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(|(task, index, note)| ((task, index), note)).collect())
    }
}
