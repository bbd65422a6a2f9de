//! Operators over files and datasets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Input, Rules};

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

/// What becomes of a topic's records when a branch leaves out their load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnSkip {
    /// Their range stays open: the next run reads it again. After three runs in a row that left it out,
    /// the task that reads the topic fails and names the load.
    #[default]
    Keep,
    /// They count as filtered: the next run moves the load's ledger behind them.
    Commit,
}

/// `parquet.read`: offers Parquet files as a dataset, read where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetRead {
    /// A file, or a pattern with `*`. A relative path is below the worker's work folder.
    pub path: String,
}

/// `files.list`: returns the files that a pattern names, sorted, for tasks that are mapped over them:
/// `expand: {path: "{{ ti.xcom_pull('list') }}"}`. At most 10,000.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesList {
    /// A file, or a pattern with `*` in its last part. A relative path is below the worker's work folder.
    pub path: String,
    /// Whether the task fails where no file is there; otherwise it returns an empty list, and what is
    /// mapped over it is skipped.
    #[serde(default)]
    pub must_exist: bool,
}

impl Rules for FilesList {}

/// `aggregate`: SQL over other tasks' datasets, each a table named by its task.
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

/// `transform`: steps that clean the columns of one dataset, or SQL over other tasks' datasets, each a
/// table named by its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// One dataset; either this or `inputs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// Several datasets, for `sql`: table name to dataset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// One `SELECT`, in DataFusion's dialect; either this or `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What is done to the columns of `input`, one after the other. A column may be a path into a
    /// nested one: `name.first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// A step of cleaning: one of these, and its columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Takes white space away from both ends of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trim: Vec<String>,
    /// The first letter of each word in upper case, the others in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub title_case: Vec<String>,
    /// All letters in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<String>,
    /// All letters in upper case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upper: Vec<String>,
    /// Keeps the digits 0 to 9 of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digits: Vec<String>,
    /// Column to type; a value that is not of the type fails the task. `validate` finds it before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cast: BTreeMap<String, DataType>,
    /// Column to an expression in SQL over the columns; a column that does not exist is added last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Old name to new name, of columns that are not nested.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Leaves columns out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

impl Step {
    /// How many things it does; one is right.
    pub(super) fn deeds(&self) -> usize {
        let texts =
            [&self.trim, &self.title_case, &self.lower, &self.upper, &self.digits, &self.drop];
        let maps = [&self.set, &self.rename];
        texts.iter().filter(|names| !names.is_empty()).count()
            + maps.iter().filter(|names| !names.is_empty()).count()
            + usize::from(!self.cast.is_empty())
    }
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
