//! Operators over files and datasets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Input;

/// `csv.read`: offers CSV files as a dataset, read where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvRead {
    /// A file, or a pattern with `*`; `.gz` files are decompressed as they are read. A relative path
    /// is below the worker's work folder: `--work-dir`, or where the worker was started.
    pub path: String,
    /// Column name to type. The types of columns left out are taken from the first 1,000 rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<BTreeMap<String, ColumnType>>,
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// Names of the columns, in order, of a file without a header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The character between two fields.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The character around a field that holds delimiters or line breaks; doubled, it stands for itself.
    #[serde(default = "double_quote")]
    pub quote: char,
    /// Texts that mean null, besides the empty field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null_values: Vec<String>,
    #[serde(default)]
    pub on_bad_row: OnBadRow,
}

/// A column's type: its name alone, or with a format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected string, integer, bigint, double, boolean, date, timestamp or {type, format}"
)]
pub enum ColumnType {
    Plain(DataType),
    Formatted {
        #[serde(rename = "type")]
        data_type: DataType,
        /// `strftime` format of a date or timestamp: `%m/%d/%Y %H:%M`.
        format: String,
    },
}

/// Types of columns, by SQL's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    String,
    Integer,
    Bigint,
    Double,
    Boolean,
    Date,
    Timestamp,
}

/// What becomes of a row that does not fit its columns' types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// The task fails and names file and line.
    #[default]
    Fail,
    /// The row is left out, counted and logged.
    Skip,
    /// The row is kept as a dead letter, with its reasons.
    DeadLetter,
}

/// `parquet.read`: offers Parquet files as a dataset, read where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetRead {
    /// A file, or a pattern with `*`. A relative path is below the worker's work folder.
    pub path: String,
}

/// `aggregate` and `transform`: SQL over other tasks' datasets, each a table named by its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlTransform {
    /// One dataset; either this or `inputs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// Several datasets: table name to dataset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// One `SELECT`, in DataFusion's dialect.
    pub sql: String,
}

/// `csv.write`: writes a dataset into one CSV file, replaced whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvWrite {
    pub input: Input,
    /// The file; `.gz` compresses it. A relative path is below the worker's work folder.
    pub path: String,
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// The character between two fields.
    #[serde(default = "comma")]
    pub delimiter: char,
}

/// `parquet.write`: writes a dataset into one Parquet file, replaced whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetWrite {
    pub input: Input,
    /// The file. A relative path is below the worker's work folder.
    pub path: String,
    #[serde(default)]
    pub compression: ParquetCompression,
}

/// Compression of a Parquet file's pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParquetCompression {
    None,
    Snappy,
    #[default]
    Zstd,
    Lz4,
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

fn double_quote() -> char {
    '"'
}
