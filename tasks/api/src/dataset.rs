//! What a data task hands on, by reference.

use std::collections::BTreeMap;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TaskError;

/// A dataset: where it is and how it is read. Small; it travels as the task's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetRef {
    /// The task that made it; its name as a table in SQL.
    pub name: String,
    pub source: Source,
    pub schema: Vec<Column>,
    /// Task instances whose loads and ranges it carries; empty for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provenance: Vec<Value>,
}

/// How a dataset is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// Arrow IPC files (LZ4), written by a task under the run's storage URL.
    Ipc { urls: Vec<String> },
    /// Files read where they lie: nothing was copied. `options` are the reader's own.
    Csv { urls: Vec<String>, options: Value },
    /// Parquet files read where they lie.
    Parquet { urls: Vec<String> },
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// Arrow's name of the type, as `DataType` prints and parses it.
    #[serde(rename = "type")]
    pub data_type: String,
    pub nullable: bool,
}

/// What is known of a dataset's contents; shown in the UI.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetStats {
    /// Unknown until a reader has counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnStats>,
    /// Up to 100 rows, as JSON objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<Value>,
}

/// Statistics of one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    pub nulls: u64,
    /// Estimated number of distinct values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// A dataset being read: its schema and record batches, in order, with back-pressure.
pub struct RecordBatchStream {
    pub schema: SchemaRef,
    pub batches: Pin<Box<dyn Stream<Item = Result<RecordBatch, TaskError>> + Send>>,
}
