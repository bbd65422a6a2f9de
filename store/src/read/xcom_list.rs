//! `XComs` of many task instances, without their values.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::order::Orders;
use super::run_list::{self, RunFilter};
use super::{COUNT_LIMIT, Page, TextFilter};
use crate::{Store, StoreError};

/// Which of them, of the runs that another filter chooses.
#[derive(Debug, Clone, Default)]
pub struct XComFilter {
    pub task_id: Option<String>,
    pub task_text: TextFilter,
    pub key: Option<String>,
    pub key_text: TextFilter,
    pub map_index: Option<i32>,
    pub orders: Orders<XComOrder>,
}

/// By what they are ordered; those alike, by run, task, map index and key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XComOrder {
    #[default]
    Place,
    Key,
    DagId,
    RunId,
    TaskId,
    MapIndex,
    At,
    RunAfter,
}

/// An XCom without its value.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct XComHead {
    pub key: String,
    pub created_at: DateTime<Utc>,
    pub logical_date: Option<DateTime<Utc>>,
    pub map_index: i32,
    pub task_id: String,
    pub dag_id: String,
    pub run_id: String,
    pub run_after: DateTime<Utc>,
}

const FROM: &str = "
    FROM run r
    JOIN dag d ON d.dag = r.dag
    JOIN xcom x ON x.run_key = r.run_key
    JOIN dag_task t ON t.dag = r.dag AND t.task = x.task
    WHERE true";

impl Store {
    /// Returns a page of what task instances handed on.
    pub async fn xcoms_across(
        &self,
        runs: &RunFilter,
        filter: &XComFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<XComHead>, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT x.key, x.created_at, r.logical_date, x.map_index, t.task_id, d.dag_id, r.run_id,
                    r.run_after",
        );
        push_conditions(&mut query, runs, filter);
        let own = ["x.run_key", "x.task", "x.map_index", "x.key"];
        filter.orders.push(&mut query, XComOrder::column, &own);
        query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
        let items = query.build_query_as().fetch_all(self.pool()).await?;
        let mut count = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        push_conditions(&mut count, runs, filter);
        count.push(" LIMIT ").push_bind(COUNT_LIMIT).push(") AS counted");
        Ok(Page { items, total: count.build_query_scalar().fetch_one(self.pool()).await? })
    }
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, runs: &RunFilter, filter: &XComFilter) {
    query.push(FROM);
    run_list::push_conditions(query, runs);
    for (column, of) in [("t.task_id", &filter.task_id), ("x.key", &filter.key)] {
        if let Some(wanted) = of {
            query.push(" AND ").push(column).push(" = ").push_bind(wanted.clone());
        }
    }
    filter.task_text.push(query, "t.task_id");
    filter.key_text.push(query, "x.key");
    if let Some(map_index) = filter.map_index {
        query.push(" AND x.map_index = ").push_bind(map_index);
    }
}

impl XComOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Place => "x.run_key",
            Self::Key => "x.key",
            Self::DagId => "d.dag_id",
            Self::RunId => "r.run_id",
            Self::TaskId => "t.task_id",
            Self::MapIndex => "x.map_index",
            Self::At => "x.created_at",
            Self::RunAfter => "r.run_after",
        }
    }
}
