//! DAGs, their versions, the numbers of their tasks, and files that do not parse.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use subak_core::dag::model::Dag;
use subak_core::ids::{DagId, TaskId, TaskNo};
use subak_core::schedule::Interval;

use crate::{Store, StoreError};

/// A DAG as it was read from its file.
#[derive(Debug, Clone)]
pub struct NewVersion<'a> {
    pub dag: &'a Dag,
    /// SHA-256 of the canonical form.
    pub hash: &'a [u8],
    /// The YAML document.
    pub source: &'a str,
    pub file: &'a str,
}

/// One version of a DAG with its tasks' numbers.
#[derive(Debug, Clone)]
pub struct DagVersion {
    pub dag: i32,
    pub version: i32,
    pub model: Dag,
    pub numbers: HashMap<TaskId, TaskNo>,
}

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedVersion {
    pub dag: i32,
    pub version: i32,
    /// False: this very version was the newest already.
    pub is_new: bool,
}

/// What the scheduler needs of a DAG.
#[derive(Debug, Clone, FromRow)]
pub struct DagHead {
    pub dag: i32,
    pub dag_id: String,
    pub version: i32,
    pub is_paused: bool,
    pub is_stale: bool,
    pub next_run_at: Option<DateTime<Utc>>,
    pub last_tick: Option<DateTime<Utc>>,
    pub last_interval_end: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// When the newest version was saved.
    pub version_at: DateTime<Utc>,
}

const HEAD: &str = "SELECT dag, dag_id, version, is_paused, is_stale, next_run_at, last_tick,
            greatest(last_interval_end, last_tick) AS last_interval_end, created_at,
            coalesce((SELECT v.created_at FROM dag_version v
                      WHERE v.dag = dag.dag AND v.version = dag.version), created_at) AS version_at
     FROM dag";

/// Makes the pools that tasks have of their own, or changes them. Runs of older versions keep to them,
/// too; what a wider one lets start a look of the engine finds.
async fn own_pools_put(tx: &mut PgConnection, dag: i32, of: &Dag) -> Result<(), StoreError> {
    let limits = of.tasks.iter().filter_map(|task| {
        let most = task.max_active_tis_per_dag?;
        Some((task.own_pool(&of.dag_id)?, i32::try_from(most).unwrap_or(i32::MAX)))
    });
    let (names, slots): (Vec<String>, Vec<i32>) = limits.unzip();
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO pool (name, slots, dag)
         SELECT name, slots, $1 FROM unnest($2::text[], $3::integer[]) AS own (name, slots)
         ORDER BY name
         ON CONFLICT (name) DO UPDATE SET slots = EXCLUDED.slots",
    )
    .bind(dag)
    .bind(names)
    .bind(slots)
    .execute(tx)
    .await?;
    Ok(())
}

impl DagHead {
    /// The data interval of the newest scheduled run.
    #[must_use]
    pub fn last_interval(&self) -> Option<Interval> {
        self.last_tick.zip(self.last_interval_end)
    }
}

impl Store {
    /// Saves a DAG: a new version if it differs from the newest one. Two servers that save the same
    /// file at once make one version.
    pub async fn version_save(&self, new: &NewVersion<'_>) -> Result<SavedVersion, StoreError> {
        let mut tx = self.engine().begin().await?;
        let canonical = serde_json::to_value(new.dag)
            .map_err(|source| StoreError::Corrupt { what: "a DAG".to_owned(), source })?;
        let limit = i32::try_from(new.dag.max_active_runs).unwrap_or(i32::MAX);
        // The row's lock keeps other savers of this DAG out until the commit.
        let (dag, newest, inserted): (i32, i32, bool) = sqlx::query_as(
            "INSERT INTO dag AS d (dag_id, version, file, is_paused, tags, max_active_runs)
             VALUES ($1, 0, $2, $3, $4, $5)
             ON CONFLICT (dag_id) DO UPDATE
             SET file = EXCLUDED.file, is_stale = false, parsed_at = now()
             RETURNING dag, version, version = 0",
        )
        .bind(&new.dag.dag_id.0)
        .bind(new.file)
        .bind(new.dag.is_paused_upon_creation)
        .bind(&new.dag.tags)
        .bind(limit)
        .fetch_one(&mut *tx)
        .await?;
        let known: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT hash FROM dag_version WHERE dag = $1 AND version = $2")
                .bind(dag)
                .bind(newest)
                .fetch_optional(&mut *tx)
                .await?;
        if !inserted && known.is_some_and(|(hash,)| hash == new.hash) {
            tx.commit().await?;
            return Ok(SavedVersion { dag, version: newest, is_new: false });
        }
        let version = newest + 1;
        sqlx::query(
            "INSERT INTO dag_version (dag, version, hash, canonical, source, file)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(dag)
        .bind(version)
        .bind(new.hash)
        .bind(&canonical)
        .bind(new.source)
        .bind(new.file)
        .execute(&mut *tx)
        .await?;
        let ids: Vec<&str> = new.dag.tasks.iter().map(|task| task.task_id.0.as_str()).collect();
        sqlx::query(
            "INSERT INTO dag_task (dag, task, task_id)
             SELECT $1, base.most + row_number() OVER (ORDER BY n), task_id
             FROM unnest($2::text[]) WITH ORDINALITY AS t (task_id, n)
             CROSS JOIN (SELECT coalesce(max(task), -1) AS most FROM dag_task WHERE dag = $1) AS base
             WHERE NOT EXISTS (
                 SELECT FROM dag_task k WHERE k.dag = $1 AND k.task_id = t.task_id
             )",
        )
        .bind(dag)
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE dag SET version = $2, tags = $3, max_active_runs = $4 WHERE dag = $1")
            .bind(dag)
            .bind(version)
            .bind(&new.dag.tags)
            .bind(limit)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO dag_load (dag) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(dag)
            .execute(&mut *tx)
            .await?;
        own_pools_put(&mut tx, dag, new.dag).await?;
        crate::assets::register_in_tx(&mut tx, dag, new.dag).await?;
        tx.commit().await?;
        Ok(SavedVersion { dag, version, is_new: true })
    }

    /// Loads one version; `None` if there is no such one.
    pub async fn version_load(
        &self,
        dag: i32,
        version: i32,
    ) -> Result<Option<DagVersion>, StoreError> {
        let found: Option<(serde_json::Value,)> =
            sqlx::query_as("SELECT canonical FROM dag_version WHERE dag = $1 AND version = $2")
                .bind(dag)
                .bind(version)
                .fetch_optional(self.engine())
                .await?;
        let Some((canonical,)) = found else { return Ok(None) };
        let model = serde_json::from_value(canonical).map_err(|source| StoreError::Corrupt {
            what: format!("version {version} of DAG {dag}"),
            source,
        })?;
        let numbers: Vec<(String, i32)> =
            sqlx::query_as("SELECT task_id, task FROM dag_task WHERE dag = $1")
                .bind(dag)
                .fetch_all(self.engine())
                .await?;
        let numbers = numbers.into_iter().map(|(id, no)| (TaskId(id), TaskNo(no))).collect();
        Ok(Some(DagVersion { dag, version, model, numbers }))
    }

    /// The DAG of this id.
    pub async fn dag_head(&self, dag_id: &DagId) -> Result<Option<DagHead>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{HEAD} WHERE dag_id = $1"));
        Ok(sqlx::query_as(sql).bind(&dag_id.0).fetch_optional(self.engine()).await?)
    }

    /// Ids of the DAGs that were last read from these files.
    pub async fn dags_of_files(&self, files: &[String]) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT dag_id FROM dag WHERE file = ANY ($1) AND NOT is_stale")
                .bind(files)
                .fetch_all(self.engine())
                .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Marks DAGs whose file is gone; `present` are the ids that some file still has.
    pub async fn dags_mark_stale(&self, present: &[String]) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "UPDATE dag SET is_stale = true
             WHERE NOT is_stale AND NOT dag_id = ANY ($1) RETURNING dag_id",
        )
        .bind(present)
        .fetch_all(self.engine())
        .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Pauses a DAG or lets it go on, and has its runs looked at; returns its number, `None` if there is
    /// none. It waits for those that are starting runs of the DAG, so that the look finds these.
    pub async fn dag_pause(&self, dag_id: &DagId, paused: bool) -> Result<Option<i32>, StoreError> {
        let row: Option<(i32,)> = sqlx::query_as(
            "WITH changed AS (
                 UPDATE dag SET is_paused = $2, pause_cause = NULL WHERE dag_id = $1 RETURNING dag
             ), looks AS (
                 INSERT INTO outbox (kind, dag) SELECT 'pause', dag FROM changed
             ), load AS (
                 SELECT dag FROM dag_load WHERE dag = (SELECT dag FROM changed) FOR NO KEY UPDATE
             )
             SELECT dag FROM changed LEFT JOIN load USING (dag)",
        )
        .bind(&dag_id.0)
        .bind(paused)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(|(dag,)| dag))
    }

    /// Replaces the import errors by those of the files as they are now: `(file, message)`.
    pub async fn import_errors_replace(
        &self,
        errors: &[(String, String)],
    ) -> Result<(), StoreError> {
        let (files, messages): (Vec<_>, Vec<_>) = errors.iter().cloned().unzip();
        let mut tx = self.engine().begin().await?;
        sqlx::query("DELETE FROM import_error WHERE NOT file = ANY ($1)")
            .bind(&files)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO import_error AS e (file, message)
             SELECT * FROM unnest($1::text[], $2::text[])
             ON CONFLICT (file) DO UPDATE SET message = EXCLUDED.message, occurred_at = now()
             WHERE e.message <> EXCLUDED.message",
        )
        .bind(&files)
        .bind(&messages)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// DAGs that have queued runs, of their own or of backfills, and room for them.
    pub async fn dags_waiting(&self) -> Result<Vec<i32>, StoreError> {
        let rows: Vec<(i32,)> = sqlx::query_as(
            "SELECT l.dag FROM dag_load l JOIN dag ON dag.dag = l.dag
             WHERE l.runs_queued > 0 AND l.runs_active < dag.max_active_runs AND NOT dag.is_paused
             UNION
             SELECT b.dag FROM backfill b JOIN dag ON dag.dag = b.dag
             WHERE b.runs_queued > 0 AND b.runs_active < b.max_active_runs AND NOT dag.is_paused
               AND (b.completed_at IS NOT NULL OR NOT b.is_paused)",
        )
        .fetch_all(self.engine())
        .await?;
        Ok(rows.into_iter().map(|(dag,)| dag).collect())
    }
}
