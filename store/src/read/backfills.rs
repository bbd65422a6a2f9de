//! Backfills as people see them, and how people hold them up.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, QueryBuilder};
use subak_core::ids::RunKey;

use super::{COUNT_LIMIT, Page, push_within};
use crate::{Store, StoreError};

/// A backfill.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct BackfillRecord {
    pub id: i64,
    pub dag_id: String,
    pub from_date: DateTime<Utc>,
    pub to_date: DateTime<Utc>,
    pub conf: Option<Value>,
    pub is_paused: bool,
    /// `none`, `failed`, `completed`.
    pub reprocess: String,
    pub max_active_runs: i32,
    pub runs_active: i32,
    pub runs_queued: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// Which backfills.
#[derive(Debug, Clone, Default)]
pub struct BackfillFilter {
    pub dag_id: Option<String>,
    /// Those of these DAGs; `None`: of any.
    pub within: Option<Vec<String>>,
    pub descending: bool,
}

const BACKFILLS: &str = "
    SELECT b.backfill AS id, d.dag_id, b.from_date, b.to_date, b.conf, b.is_paused, b.reprocess,
           b.max_active_runs, b.runs_active, b.runs_queued, b.created_at, b.updated_at,
           b.completed_at";

const FROM: &str = " FROM backfill b JOIN dag d ON d.dag = b.dag WHERE true";

impl BackfillFilter {
    fn push(&self, query: &mut QueryBuilder<sqlx::Postgres>) {
        if let Some(dag_id) = &self.dag_id {
            query.push(" AND d.dag_id = ").push_bind(dag_id.clone());
        }
        push_within(query, "d.dag_id", self.within.as_deref());
    }
}

impl Store {
    /// Returns a page of backfills, by number.
    pub async fn backfill_list(
        &self,
        filter: &BackfillFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<BackfillRecord>, StoreError> {
        let mut query = QueryBuilder::new(BACKFILLS);
        query.push(FROM);
        filter.push(&mut query);
        query.push(if filter.descending { " ORDER BY 1 DESC" } else { " ORDER BY 1" });
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let items = query.build_query_as().fetch_all(self.pool()).await?;
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        count.push(FROM);
        filter.push(&mut count);
        count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        Ok(Page { items, total: count.build_query_scalar().fetch_one(self.pool()).await? })
    }

    /// Returns one backfill.
    pub async fn backfill_get(&self, id: i64) -> Result<Option<BackfillRecord>, StoreError> {
        let mut query = QueryBuilder::new(BACKFILLS);
        query.push(FROM).push(" AND b.backfill = ").push_bind(id);
        Ok(query.build_query_as().fetch_optional(self.pool()).await?)
    }

    /// Holds up a backfill, or lets it go on; returns its DAG's number, `None` if none goes on.
    pub async fn backfill_pause(&self, id: i64, paused: bool) -> Result<Option<i32>, StoreError> {
        Ok(sqlx::query_scalar(
            "UPDATE backfill SET is_paused = $2, updated_at = now()
             WHERE backfill = $1 AND completed_at IS NULL RETURNING dag",
        )
        .bind(id)
        .bind(paused)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Says that a backfill is over, whatever of it still runs.
    pub async fn backfill_complete(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE backfill SET completed_at = now(), updated_at = now()
             WHERE backfill = $1 AND completed_at IS NULL",
        )
        .bind(id)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Runs of a backfill that wait for their turn.
    pub async fn backfill_runs_queued(&self, id: i64) -> Result<Vec<RunKey>, StoreError> {
        let keys: Vec<i64> = sqlx::query_scalar(
            "SELECT run_key FROM run
             WHERE backfill = $1 AND state = 'queued' AND cancelled_at IS NULL
             ORDER BY backfill_place LIMIT 1000",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await?;
        Ok(keys.into_iter().map(RunKey).collect())
    }

    /// Backfills of a DAG that have runs which wait for their turn.
    pub async fn backfills_waiting(&self, dag: i32) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT backfill FROM backfill WHERE dag = $1 AND runs_queued > 0 ORDER BY backfill",
        )
        .bind(dag)
        .fetch_all(self.engine())
        .await?)
    }
}
