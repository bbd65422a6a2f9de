//! What tasks hand on: `XComs`, and datasets with what is known of them.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use subak_core::ids::{InstanceKey, MapIndex, RunKey};
use subak_core::xcom;

use super::{Page, TextFilter, page};
use crate::{Store, StoreError};

/// A value that a task handed on.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct XComRecord {
    pub key: String,
    pub value: Value,
    /// Where a large value lies, and its bytes: `value` is not it then.
    pub object: Option<String>,
    pub size_bytes: Option<i64>,
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

const DATASETS: &str = "SELECT name, ref, stats, preview, created_at";

impl Store {
    /// Returns what a task instance handed on, by key, as people may see it: secrets are hidden.
    pub async fn xcom_list(
        &self,
        run: RunKey,
        task: i32,
        map_index: MapIndex,
    ) -> Result<Vec<XComRecord>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT key, coalesce(shown, value) AS value, object, size_bytes, created_at FROM xcom
             WHERE run_key = $1 AND task = $2 AND map_index = $3 ORDER BY key LIMIT 1000",
        )
        .bind(run.0)
        .bind(task)
        .bind(map_index.0)
        .fetch_all(self.pool())
        .await?)
    }

    /// Returns what tasks of a run returned, by task and map index, as people may see it: the first
    /// thousand. Of values that are large together the later ones are only told of.
    pub async fn results_of(
        &self,
        run: RunKey,
        tasks: &[i32],
    ) -> Result<Vec<(i32, MapIndex, Value)>, StoreError> {
        type Row = (i32, i32, Value, Option<String>, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT task, map_index, coalesce(shown, value), object, size_bytes FROM xcom
             WHERE run_key = $1 AND task = ANY ($2) AND key = 'return_value'
             ORDER BY task, map_index LIMIT 1000",
        )
        .bind(run.0)
        .bind(tasks)
        .fetch_all(self.pool())
        .await?;
        let (mut all, mut room) = (Vec::with_capacity(rows.len()), xcom::MOST_BYTES as i64);
        for (task, index, value, object, size) in rows {
            let size = size.unwrap_or(0);
            let value = match object {
                Some(object) if size <= room => {
                    room -= size;
                    self.xcom_large(&object).await?.into_shown()
                }
                Some(_) => Value::from(format!("{size} bytes: ask for this XCom by itself")),
                None => value,
            };
            all.push((task, MapIndex(index), value));
        }
        Ok(all)
    }

    /// Returns a value as people may see it, wherever it lies.
    pub async fn xcom_value(&self, xcom: XComRecord) -> Result<Value, StoreError> {
        match xcom.object {
            Some(object) => Ok(self.xcom_large(&object).await?.into_shown()),
            None => Ok(xcom.value),
        }
    }

    /// Returns a page of what a task instance handed on, by key, as people may see it.
    pub async fn xcom_page(
        &self,
        instance: InstanceKey,
        limit: i64,
        offset: i64,
    ) -> Result<Page<XComRecord>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM xcom");
            push_of(query, instance);
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY key");
        };
        let columns = "SELECT key, coalesce(shown, value) AS value, object, size_bytes, created_at";
        page(self.pool(), columns, of, by, (limit, offset)).await
    }

    /// Returns a page of the datasets of a task instance that are named so, by name.
    pub async fn dataset_list(
        &self,
        instance: InstanceKey,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<DatasetRecord>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM dataset");
            push_of(query, instance);
            wanted.push(query, "name");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY name");
        };
        page(self.pool(), DATASETS, of, by, (limit, offset)).await
    }

    /// Returns the dataset of a task instance that has this name.
    pub async fn dataset_get(
        &self,
        instance: InstanceKey,
        name: &str,
    ) -> Result<Option<DatasetRecord>, StoreError> {
        let mut query = QueryBuilder::new(DATASETS);
        query.push(" FROM dataset");
        push_of(&mut query, instance);
        query.push(" AND name = ").push_bind(name.to_owned());
        Ok(query.build_query_as().fetch_optional(self.pool()).await?)
    }
}

/// Adds that it is of this task instance.
fn push_of(query: &mut QueryBuilder<Postgres>, instance: InstanceKey) {
    query.push(" WHERE run_key = ").push_bind(instance.run.0);
    query.push(" AND task = ").push_bind(instance.task.0);
    query.push(" AND map_index = ").push_bind(instance.map_index.0);
}
