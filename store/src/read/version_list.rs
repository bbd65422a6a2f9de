//! A DAG's versions as lists show them.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{Page, TextFilter, page};
use crate::{Store, StoreError};

/// A version without its contents.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct VersionHead {
    pub version: i32,
    pub file: String,
    pub created_at: DateTime<Utc>,
    pub tasks: i64,
}

impl Store {
    /// Returns a page of a DAG's versions.
    pub async fn version_list(
        &self,
        dag: i32,
        descending: bool,
        limit: i64,
        offset: i64,
    ) -> Result<Page<VersionHead>, StoreError> {
        let items = sqlx::query_as(
            "SELECT version, file, created_at,
                    jsonb_array_length(canonical -> 'tasks')::bigint AS tasks
             FROM dag_version WHERE dag = $1
             ORDER BY CASE WHEN $2 THEN -version ELSE version END LIMIT $3 OFFSET $4",
        )
        .bind(dag)
        .bind(descending)
        .bind(limit)
        .bind(offset)
        .fetch_all(self.pool())
        .await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM dag_version WHERE dag = $1")
            .bind(dag)
            .fetch_one(self.pool())
            .await?;
        Ok(Page { items, total })
    }

    /// Returns a page of those that have this in their number or their file's name, the newest first.
    pub async fn version_page(
        &self,
        dag: i32,
        wanted: &TextFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<VersionHead>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(" FROM dag_version WHERE dag = ").push_bind(dag);
            wanted.push(query, "(version::text || ' ' || file)");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY version DESC");
        };
        let columns = "SELECT version, file, created_at,
                    jsonb_array_length(canonical -> 'tasks')::bigint AS tasks";
        page(self.pool(), columns, of, by, (limit, offset)).await
    }
}
