//! What people noted about task instances.

use std::collections::BTreeMap;

use subak_core::ids::{InstanceKey, RunKey};

use crate::{Store, StoreError};

/// Notes of one run that are read.
const NOTES_MOST: i64 = 10_000;

impl Store {
    /// Sets the note of a task instance; an empty one removes it.
    pub async fn task_note_set(
        &self,
        of: InstanceKey,
        note: &str,
        by: &str,
    ) -> Result<(), StoreError> {
        if note.is_empty() {
            sqlx::query(
                "DELETE FROM task_note WHERE run_key = $1 AND task = $2 AND map_index = $3",
            )
            .bind(of.run.0)
            .bind(of.task.0)
            .bind(of.map_index.0)
            .execute(self.pool())
            .await?;
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO task_note (run_key, task, map_index, note, noted_by)
             SELECT run_key, $2, $3, $4, $5 FROM run WHERE run_key = $1
             ON CONFLICT (run_key, task, map_index)
             DO UPDATE SET note = EXCLUDED.note, noted_by = EXCLUDED.noted_by, noted_at = now()",
        )
        .bind(of.run.0)
        .bind(of.task.0)
        .bind(of.map_index.0)
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
