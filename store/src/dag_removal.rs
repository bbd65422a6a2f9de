//! A DAG is deleted with everything of it: its runs in slices, then the DAG itself.

use sqlx::Connection as _;
use subak_core::ids::RunKey;
use uuid::Uuid;

use crate::partitions::PARTITIONED;
use crate::retention::{OF_RUNS, SLICE, delete_in_tx};
use crate::{Store, StoreError};

/// Why a DAG was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// There is none.
    Unknown,
    /// Its file is there: it would come back.
    HasFile,
    /// Runs of it go on.
    HasRuns,
    /// Ranges of topics are not in every load yet.
    HasRanges,
}

/// What has the number of a DAG, the DAG itself last.
const OF_DAGS: [&str; 11] = [
    "outbox",
    "task_state_store",
    "dead_letter",
    "topic_range",
    "pool",
    "backfill",
    "asset_reference",
    "dag_load",
    "dag_task",
    "dag_version",
    "dag",
];

/// What keeps the DAG from being deleted. $1 its id.
const STATE: &str = "
    SELECT dag, is_stale,
           EXISTS (SELECT FROM run r WHERE r.dag = d.dag AND r.state IN ('queued', 'running')),
           EXISTS (SELECT FROM topic_range t WHERE t.dag = d.dag AND t.state = 'open')
    FROM dag d WHERE dag_id = $1";

impl Store {
    /// Deletes a DAG whose file is gone, with its runs, versions and dead letters; or says what keeps it.
    pub async fn dag_delete(&self, dag_id: &str) -> Result<Option<Kept>, StoreError> {
        let found: Option<(i32, bool, bool, bool)> =
            sqlx::query_as(STATE).bind(dag_id).fetch_optional(self.pool()).await?;
        let dag = match found {
            None => return Ok(Some(Kept::Unknown)),
            Some((_, false, _, _)) => return Ok(Some(Kept::HasFile)),
            Some((_, _, true, _)) => return Ok(Some(Kept::HasRuns)),
            Some((_, _, _, true)) => return Ok(Some(Kept::HasRanges)),
            Some((dag, true, false, false)) => dag,
        };
        let mut session = self.upkeep_session().await?;
        loop {
            let mut tx = session.begin().await?;
            // Locked, so that nobody clears one of them in between.
            let runs: Vec<(i64, Uuid)> = sqlx::query_as(
                "SELECT run_key, uuid FROM run WHERE dag = $1 AND state IN ('success', 'failed')
                 ORDER BY run_key LIMIT $2 FOR UPDATE",
            )
            .bind(dag)
            .bind(SLICE)
            .fetch_all(&mut *tx)
            .await?;
            let keys: Vec<i64> = runs.iter().map(|(key, _)| *key).collect();
            delete_in_tx(&mut tx, &keys, &PARTITIONED).await?;
            delete_in_tx(&mut tx, &keys, &OF_RUNS).await?;
            tx.commit().await?;
            if runs.is_empty() {
                break;
            }
            for (key, uuid) in &runs {
                if let Some(storage) = &self.storage {
                    storage.run_drop(RunKey(*key), *uuid).await?;
                }
            }
        }
        let mut tx = session.begin().await?;
        // The file may have come back meanwhile, and a run may have been cleared.
        let gone: Option<(i32,)> = sqlx::query_as(
            "SELECT dag FROM dag d WHERE dag = $1 AND is_stale
               AND NOT EXISTS (SELECT FROM run r WHERE r.dag = d.dag) FOR UPDATE",
        )
        .bind(dag)
        .fetch_optional(&mut *tx)
        .await?;
        if gone.is_none() {
            return Ok(Some(Kept::HasRuns));
        }
        for table in OF_DAGS {
            let delete = format!("DELETE FROM {table} WHERE dag = $1");
            sqlx::query(sqlx::AssertSqlSafe(delete)).bind(dag).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        session.close().await?;
        Ok(None)
    }
}
