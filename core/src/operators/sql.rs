//! Operators on SQL databases.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Input;
use super::data::{OnBadRow, OnSkip};
use super::letters::LetterCopies;

/// `sql`: runs statements on a PostgreSQL connection, in one transaction. The rows of the last one
/// are its XCom, a list of objects (at most 1,000 and 1 MiB; more is an error, and nothing is changed).
///
/// Numbers that a JSON number cannot hold exactly become text; timestamps are RFC 3339. A statement
/// that ends the transaction itself (`COMMIT`) is refused. Stopping the task stops the statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Name of a PostgreSQL connection.
    pub connection: String,
    /// One statement, or several separated by `;`. Values go in by `parameters` as `$1`, `$2`, ….
    pub sql: String,
    /// Values of `$1`, `$2`, … of a single statement, which gives them their types: lists become
    /// arrays, and any value becomes JSON where the statement wants JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Value>,
}

/// `postgres.load`: loads a dataset into a table with binary COPY, in one transaction.
///
/// Each load is recorded in table `subak_loads` of the same database, in the same transaction: a retry
/// after a lost connection finds it and loads nothing twice. After a clear of the task `upsert` and
/// `replace` load again; `append` does so only if the clear says that it should (`subak runs clear
/// --load-again`). Values that would change on their way (`1.5` into `integer`, a number out of range)
/// are errors that name row and column; nested values become `jsonb`, `json` or text. The XCom is
/// `{table, mode, rows, rows_read, rows_rejected, rows_filtered}`: of the rows read, those whose key a
/// later row has (`upsert`), and those that a trigger of the table left out, are filtered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresLoad {
    /// Name of a PostgreSQL connection.
    pub connection: String,
    pub input: Input,
    /// `table` or `schema.table`, in the letter case that PostgreSQL has; a part with a dot in
    /// double quotes. It must exist, unless `create` says otherwise.
    pub table: String,
    #[serde(default)]
    pub mode: LoadMode,
    /// Columns of a unique index of the table, for `upsert`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Column of the table to what fills it, for all that are loaded: a column of the dataset, a path
    /// into a nested one (`name.first`), `$record` (the whole row as JSON) or `$run_id`. Left out: all
    /// columns of the dataset, by the same names. Columns of the table that are not loaded get their
    /// defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// Creates the table from the dataset's columns if it does not exist, with `key` as its primary
    /// key for `upsert`.
    #[serde(default)]
    pub create: bool,
    /// What becomes of a row with a value that does not fit its column, such as a number out of range.
    #[serde(default)]
    pub on_bad_row: OnBadRow,
    /// A topic that gets a copy of every dead letter, at least once: `kafka://<connection>/<topic>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<LetterCopies>,
    /// What becomes of a topic's records when a branch leaves the load out.
    #[serde(default)]
    pub on_skip: OnSkip,
}

/// What becomes of the rows that the table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// They stay; the dataset's are added.
    #[default]
    Append,
    /// Those with the same key are replaced; in a dataset the later row wins, of records of a topic the
    /// later by timestamp, partition and offset.
    Upsert,
    /// They are all replaced, in one transaction: a reader sees the old or the new table.
    Replace,
}
