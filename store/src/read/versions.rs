//! Immutable versions of DAGs: what a run is pinned to.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::dag::model::Dag;
use subak_core::decide::{Plan, PlanError};
use subak_core::ids::{TaskId, TaskNo};

use super::from_json;
use crate::{Store, StoreError};

/// One version of a DAG.
#[derive(Debug, Clone)]
pub struct VersionRecord {
    pub dag: i32,
    pub version: i32,
    pub model: Dag,
    /// Numbers of its tasks.
    pub numbers: BTreeMap<TaskId, i32>,
    /// The YAML document as it was read.
    pub source: String,
    pub file: String,
    pub created_at: DateTime<Utc>,
}

impl VersionRecord {
    /// Compiles it, as the engine does.
    pub fn plan(&self) -> Result<Plan, PlanError> {
        let numbers = self.numbers.iter().map(|(task, no)| (task.clone(), TaskNo(*no))).collect();
        Plan::new(Arc::new(self.model.clone()), numbers)
    }
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    canonical: Value,
    source: String,
    file: String,
    created_at: DateTime<Utc>,
}

impl Store {
    /// Returns one version of a DAG. It never changes: keep it.
    pub async fn version_get(
        &self,
        dag: i32,
        version: i32,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let row: Option<VersionRow> = sqlx::query_as(
            "SELECT canonical, source, file, created_at FROM dag_version
             WHERE dag = $1 AND version = $2",
        )
        .bind(dag)
        .bind(version)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let model: Dag = from_json(row.canonical, || format!("version {version} of DAG {dag}"))?;
        let numbers: Vec<(i32, String)> =
            sqlx::query_as("SELECT task, task_id FROM dag_task WHERE dag = $1")
                .bind(dag)
                .fetch_all(self.pool())
                .await?;
        let numbers = numbers.into_iter().map(|(task, id)| (TaskId(id), task)).collect();
        Ok(Some(VersionRecord {
            dag,
            version,
            model,
            numbers,
            source: row.source,
            file: row.file,
            created_at: row.created_at,
        }))
    }
}
