//! A range of a topic, as the API and commands show it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subak_core::range::Partition;
use subak_store::read::RangeRow;

/// A range.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Range")]
pub struct RangeView {
    pub range_id: i64,
    pub dag_id: String,
    pub task_id: String,
    /// 1, 2, 3, … of the task.
    pub sequence: i64,
    pub topic: String,
    /// `open`, `committed`, `abandoned`.
    pub state: String,
    pub dag_run_id: Option<String>,
    /// Those without a record are left out, unless records before it were lost.
    pub partitions: Vec<RangePart>,
    /// That were read; null: not all of them yet.
    pub records: Option<i64>,
    /// Of these those that did not fit, skipped or kept as dead letters.
    pub rejected: Option<i64>,
    /// Of these those that were left out, such as tombstones.
    pub filtered: Option<i64>,
    pub loads: Vec<String>,
    pub committed: Vec<String>,
    /// Rows that a load has because of the range, if it has told: of several ranges at once it does
    /// not know.
    pub loaded: BTreeMap<String, i64>,
    pub dag_version: Option<i32>,
}

/// A range's part of a partition.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RangePartition")]
pub struct RangePart {
    pub partition: i32,
    /// Of the first record.
    pub from_offset: i64,
    /// Behind the last record.
    pub to_offset: i64,
}

impl From<RangeRow> for RangeView {
    fn from(row: RangeRow) -> Self {
        let part = |part: &Partition| RangePart {
            partition: part.partition,
            from_offset: part.from,
            to_offset: part.to,
        };
        Self {
            partitions: row.parts().map(part).collect(),
            range_id: row.id,
            dag_id: row.dag_id,
            task_id: row.task_id,
            sequence: row.sequence,
            topic: row.topic,
            state: row.state,
            dag_run_id: row.run_id,
            records: row.records,
            rejected: row.rejected,
            filtered: row.filtered,
            loads: row.sinks,
            committed: row.committed,
            loaded: row.loaded,
            dag_version: row.version,
        }
    }
}
