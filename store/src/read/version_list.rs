//! Versions of DAGs as lists show them.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{Orders, Page, TextFilter, page, push_within};
use crate::{Store, StoreError};

/// A version without its contents.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct VersionHead {
    pub dag_id: String,
    pub version: i32,
    pub file: String,
    pub created_at: DateTime<Utc>,
    pub tasks: i64,
}

/// Which versions, and in which order.
#[derive(Debug, Clone, Default)]
pub struct VersionFilter {
    pub dag_id: Option<String>,
    /// Those of these DAGs; `None`: of any.
    pub within: Option<Vec<String>>,
    pub number: Option<i32>,
    pub orders: Orders<VersionOrder>,
}

/// What versions are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VersionOrder {
    /// Those of one number in the order of their DAGs.
    #[default]
    Number,
    Created,
    /// All are alike in it.
    Nothing,
}

impl VersionOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Number => "v.version",
            Self::Created => "v.created_at",
            Self::Nothing => "NULL::text",
        }
    }
}

const COLUMNS: &str = "SELECT d.dag_id, v.version, v.file, v.created_at,
            (v.summary ->> 'task_count')::bigint AS tasks";

const FROM: &str = " FROM dag_version v JOIN dag d ON d.dag = v.dag WHERE true";

impl Store {
    /// Returns a page of versions, of one DAG or of several.
    pub async fn version_list(
        &self,
        filter: &VersionFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<VersionHead>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(FROM);
            if let Some(dag_id) = &filter.dag_id {
                query.push(" AND d.dag_id = ").push_bind(dag_id.clone());
            }
            push_within(query, "d.dag_id", filter.within.as_deref());
            if let Some(number) = filter.number {
                query.push(" AND v.version = ").push_bind(number);
            }
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            filter.orders.push(query, VersionOrder::column, &["v.version", "v.dag"]);
        };
        page(self.pool(), COLUMNS, of, by, (limit, offset)).await
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
            query.push(FROM).push(" AND v.dag = ").push_bind(dag);
            wanted.push(query, "(v.version::text || ' ' || v.file)");
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY v.version DESC");
        };
        page(self.pool(), COLUMNS, of, by, (limit, offset)).await
    }
}
