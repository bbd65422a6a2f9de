//! What tasks hand on: `XComs`, and datasets with what is known of them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use subak_core::ids::{MapIndex, RunKey};

use crate::{Store, StoreError};

/// A value that a task handed on.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct XComRecord {
    pub key: String,
    pub value: Value,
    pub created_at: DateTime<Utc>,
}

/// A dataset: its reference, statistics and first rows as the worker sent them.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct DatasetRecord {
    pub name: String,
    #[sqlx(rename = "ref")]
    pub reference: Value,
    pub stats: Value,
    pub preview: Value,
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Returns what a task instance handed on, by key, as people may see it: secrets are hidden.
    pub async fn xcom_list(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
    ) -> Result<Vec<XComRecord>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT key, coalesce(shown, value) AS value, created_at FROM xcom
             WHERE run_key = $1 AND task = $2 AND map_index = $3 ORDER BY key LIMIT 1000",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Returns the datasets of a task instance, by name.
    pub async fn dataset_list(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
    ) -> Result<Vec<DatasetRecord>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT name, ref, stats, preview, created_at FROM dataset
             WHERE run_key = $1 AND task = $2 AND map_index = $3 ORDER BY name LIMIT 100",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .fetch_all(&self.pool)
        .await?)
    }
}
