//! The audit log: who did what, when. Records are appended, and go after a year.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use crate::read::{COUNT_LIMIT, Orders, Page, TextFilter};
use crate::{Store, StoreError};

/// How long records are kept; the database itself guards those of the last 365 days.
const KEPT_DAYS: i32 = 400;

/// Records that one statement drops.
const SLICE: i64 = 5_000;

/// What somebody did.
#[derive(Debug, Clone, Default)]
pub struct NewAudit {
    pub username: String,
    /// `web`, `api` or `cli`.
    pub via: &'static str,
    /// Such as `trigger_dag_run`: as Airflow calls it, where it has it.
    pub event: &'static str,
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    /// What else it was about, such as `pool warehouse`.
    pub subject: Option<String>,
    pub request_id: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// What was asked for, without secrets.
    pub extra: Option<Value>,
}

/// A record of the audit log.
#[derive(Debug, Clone, FromRow)]
pub struct Audit {
    pub audit_id: i64,
    pub at: DateTime<Utc>,
    pub username: String,
    pub via: String,
    pub event: String,
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    pub subject: Option<String>,
    pub request_id: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub extra: Option<Value>,
}

/// Which records are asked for. What is left out is not asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub dag_id: Option<String>,
    pub run_id: Option<String>,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    pub username: Option<String>,
    pub event: Option<String>,
    /// Only these events, if any is named.
    pub included: Vec<String>,
    pub excluded: Vec<String>,
    pub before: Option<DateTime<Utc>>,
    pub after: Option<DateTime<Utc>>,
    /// What texts are like, by column.
    pub texts: Vec<(AuditText, TextFilter)>,
    /// Nothing said: the newest first.
    pub orders: Orders<AuditOrder>,
}

/// What records are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditOrder {
    /// As they were made.
    #[default]
    Id,
    DagId,
    TaskId,
    RunId,
    Event,
    Username,
    Extra,
    /// What no record has.
    Nothing,
}

impl AuditOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "audit_id",
            Self::DagId => "dag_id",
            Self::TaskId => "task_id",
            Self::RunId => "run_id",
            Self::Event => "event",
            Self::Username => "username",
            Self::Extra => "extra",
            Self::Nothing => "NULL::text",
        }
    }
}

/// A column of the audit log that patterns may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditText {
    DagId,
    RunId,
    TaskId,
    Username,
    Event,
}

impl AuditText {
    fn column(self) -> &'static str {
        match self {
            Self::DagId => "dag_id",
            Self::RunId => "run_id",
            Self::TaskId => "task_id",
            Self::Username => "username",
            Self::Event => "event",
        }
    }
}

impl Store {
    /// Appends a record.
    pub async fn audit_add(&self, audit: &NewAudit) -> Result<(), StoreError> {
        let mut db = self.pool().acquire().await?;
        add_in_tx(&mut db, audit).await
    }

    /// Lists records.
    pub async fn audit_list(
        &self,
        filter: &AuditFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<Audit>, StoreError> {
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM audit");
        filter.push_to(&mut count);
        count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS found");
        let total: i64 = count.build_query_scalar().fetch_one(self.pool()).await?;
        let mut list = QueryBuilder::new("SELECT * FROM audit");
        filter.push_to(&mut list);
        let newest = Orders::descending();
        let orders = if filter.orders.is_empty() { &newest } else { &filter.orders };
        orders.push(&mut list, AuditOrder::column, &["audit_id"]);
        list.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let items = list.build_query_as().fetch_all(self.pool()).await?;
        Ok(Page { items, total })
    }

    /// Returns a record; `None` if there is none of this number.
    pub async fn audit_get(&self, id: i64) -> Result<Option<Audit>, StoreError> {
        let found = sqlx::query_as("SELECT * FROM audit WHERE audit_id = $1");
        Ok(found.bind(id).fetch_optional(self.pool()).await?)
    }

    /// Drops records that have been kept long enough, and returns how many.
    pub async fn audit_drop_old(&self) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM audit WHERE audit_id IN (
                     SELECT audit_id FROM audit WHERE at < now() - make_interval(days => $1)
                     ORDER BY at LIMIT $2)",
            )
            .bind(KEPT_DAYS)
            .bind(SLICE)
            .execute(self.pool())
            .await?;
            dropped += done.rows_affected();
            if done.rows_affected() == 0 {
                return Ok(dropped);
            }
        }
    }
}

/// Appends a record together with what it tells.
pub(crate) async fn add_in_tx(db: &mut PgConnection, audit: &NewAudit) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (username, via, event, dag_id, run_id, task_id, map_index, subject,
                            request_id, before, after, extra)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&audit.username)
    .bind(audit.via)
    .bind(audit.event)
    .bind(&audit.dag_id)
    .bind(&audit.run_id)
    .bind(&audit.task_id)
    .bind(audit.map_index)
    .bind(&audit.subject)
    .bind(&audit.request_id)
    .bind(&audit.before)
    .bind(&audit.after)
    .bind(&audit.extra)
    .execute(db)
    .await?;
    Ok(())
}

impl AuditFilter {
    fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" WHERE true");
        let equal = [
            ("dag_id", &self.dag_id),
            ("run_id", &self.run_id),
            ("task_id", &self.task_id),
            ("username", &self.username),
            ("event", &self.event),
        ];
        for (column, wanted) in equal {
            if let Some(wanted) = wanted {
                query.push(format!(" AND {column} = ")).push_bind(wanted.clone());
            }
        }
        if let Some(map_index) = self.map_index {
            query.push(" AND map_index = ").push_bind(map_index);
        }
        if !self.included.is_empty() {
            query.push(" AND event = ANY (").push_bind(self.included.clone()).push(")");
        }
        if !self.excluded.is_empty() {
            query.push(" AND event <> ALL (").push_bind(self.excluded.clone()).push(")");
        }
        if let Some(before) = self.before {
            query.push(" AND at < ").push_bind(before);
        }
        if let Some(after) = self.after {
            query.push(" AND at > ").push_bind(after);
        }
        for (column, text) in &self.texts {
            text.push(query, column.column());
        }
    }
}
