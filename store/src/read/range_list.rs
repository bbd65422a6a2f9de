//! Lists of ranges.

use std::collections::BTreeMap;

use sqlx::{FromRow, Postgres, QueryBuilder};
use subak_core::range::Partition;

use super::{Page, page, push_within};
use crate::{Store, StoreError};

/// States of ranges.
pub const RANGE_STATES: [&str; 3] = ["open", "committed", "abandoned"];

/// Which ranges; all conditions together.
#[derive(Debug, Clone, Default)]
pub struct RangeFilter {
    pub dag_id: Option<String>,
    /// Those of these DAGs; `None`: of any.
    pub within: Option<Vec<String>>,
    pub task_id: Option<String>,
    pub topic: Option<String>,
    /// One of [`RANGE_STATES`].
    pub state: Option<String>,
}

/// A range as it is listed.
#[derive(Debug, Clone, FromRow)]
pub struct RangeRow {
    pub id: i64,
    pub dag_id: String,
    pub task_id: String,
    pub sequence: i64,
    pub topic: String,
    pub state: String,
    pub run_id: Option<String>,
    pub sinks: Vec<String>,
    pub committed: Vec<String>,
    /// Every partition that the topic had.
    #[sqlx(json)]
    pub partitions: Vec<Partition>,
    /// Records that were read, once all of them were; of these those that did not fit, and those that
    /// were left out because they have no value.
    pub records: Option<i64>,
    pub rejected: Option<i64>,
    pub filtered: Option<i64>,
    /// Rows that sinks have because of it, of those that told.
    #[sqlx(json)]
    pub loaded: BTreeMap<String, i64>,
    /// Of the DAG, once a sink has it.
    pub version: Option<i32>,
}

impl RangeRow {
    /// The parts by which it moves a ledger: those with records, or with a gap.
    pub fn parts(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(|part| part.moves())
    }
}

const COLUMNS: &str = "
    SELECT r.id, dag.dag_id, t.task_id, r.sequence, r.topic, r.state,
           (SELECT run.run_id FROM run WHERE run.run_key = r.run_key) AS run_id,
           r.sinks, r.committed, r.partitions, r.records, r.rejected, r.filtered, r.loaded, r.version";

const FROM: &str = "
    FROM topic_range AS r
    JOIN dag ON dag.dag = r.dag
    JOIN dag_task AS t ON t.dag = r.dag AND t.task = r.task
    WHERE true";

impl Store {
    /// Returns a page of the ranges that are kept, the newest first.
    pub async fn range_list(
        &self,
        filter: &RangeFilter,
        limit: i64,
        offset: i64,
    ) -> Result<Page<RangeRow>, StoreError> {
        let of = |query: &mut QueryBuilder<Postgres>| {
            query.push(FROM);
            for (column, wanted) in [
                ("dag.dag_id", &filter.dag_id),
                ("t.task_id", &filter.task_id),
                ("r.topic", &filter.topic),
                ("r.state", &filter.state),
            ] {
                if let Some(wanted) = wanted {
                    query.push(" AND ").push(column).push(" = ").push_bind(wanted.clone());
                }
            }
            push_within(query, "dag.dag_id", filter.within.as_deref());
        };
        let by = |query: &mut QueryBuilder<Postgres>| {
            query.push("ORDER BY r.id DESC");
        };
        page(self.pool(), COLUMNS, of, by, (limit, offset)).await
    }
}
