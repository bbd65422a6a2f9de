//! Operators on Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::data::{DataType, OnBadRow};
use super::letters::LetterCopies;
use crate::dag::duration;

/// Columns of a dataset of `kafka.consume` that say where a record comes from, and, where they are kept,
/// its own bytes.
pub const METADATA: [&str; 7] =
    ["_topic", "_partition", "_offset", "_timestamp", "_key", "_headers", OWN_BYTES];

/// The column of the records' own bytes.
pub const OWN_BYTES: &str = "_record";

/// The path that means the whole record.
pub const WHOLE_RECORD: &str = "$record";

/// `kafka.consume`: reads what a topic has gained since the last run into a dataset, each record once.
///
/// It reads a range of offsets that is recorded before its first record is read: a retry, a clear and
/// the next run after a failure read exactly that range again. The loads downstream keep in table
/// `subak_offsets` of their databases how far they are, in the transaction of the rows; that is where
/// a new range begins. A topic without new records skips the task.
///
/// Besides its columns the dataset has `_topic`, `_partition`, `_offset`, `_timestamp`, `_key` and
/// `_headers`, and with `keep_records` also `_record`. Records of aborted transactions are not read, and
/// tombstones are left out and counted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConsume {
    /// Name of a Kafka connection.
    pub connection: String,
    /// The topic.
    pub topic: String,
    /// The topic is made with so many partitions if there is none. Left out: it must exist.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// What a record's value is.
    #[serde(default)]
    pub format: RecordFormat,
    /// Column to path in the record: `first_name: name.first`, or `{path, type, format}`. A number in
    /// a path counts the elements of a list from 0; `$record` is the whole record as text; what a
    /// record lacks is null. Left out: of `csv` all `names` as text; of `json` the fields that the first
    /// 10,000 records of the range have, nested ones as `name_first`. What later records have besides is
    /// left out, and the log names it: name the columns where a table takes them.
    #[serde(default)]
    pub columns: BTreeMap<String, RecordColumn>,
    /// JSON Schema that a record of format `json` must match, besides its columns: in the file, or the
    /// path of a file that the worker reads. A record that does not match is a bad one, with all reasons.
    #[serde(default)]
    pub schema: Option<RecordSchema>,
    /// The fields of a CSV record, in order.
    #[serde(default)]
    pub names: Vec<String>,
    /// The character between two fields of a CSV record.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Hands on each record's own bytes, too, as `_record`: that is what dead letters of the tasks below
    /// then hold. It doubles what lies between the tasks. Format `raw` has them as `value` anyway.
    #[serde(default)]
    pub keep_records: bool,
    /// Where the first range begins: `earliest`, `latest` (the topic's end at the first run, which
    /// reads nothing), or an instant such as `2026-11-01T00:00:00Z`.
    #[serde(default)]
    pub start: Start,
    /// Offsets that a range spans at most: at least as many as it has records.
    #[serde(default)]
    pub max_messages: Option<u64>,
    /// Bytes that a range has at most, reckoned by the records of the range before it.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// How long to wait for a record if there is none: `30s`. In a `@continuous` DAG the task waits for
    /// the first record as long as it takes, without a slot, and for this long for more: 500 ms.
    #[serde(default)]
    pub max_wait: Option<Wait>,
    /// Where the pipeline is kept that has no load of its own, such as one into files: the name of a
    /// PostgreSQL connection. A range is done with once a run that read it has succeeded; a run that
    /// fails leaves it to the next one, which hands on the same records.
    #[serde(default)]
    pub ledger: Option<String>,
    /// What becomes of a record that is not of its format, or does not fit its columns' types.
    #[serde(default)]
    pub on_bad_record: OnBadRow,
    /// A topic that gets a copy of every dead letter, at least once: `kafka://<connection>/<topic>`.
    #[serde(default)]
    pub dead_letter: Option<LetterCopies>,
    /// What to do about records that the broker has dropped before they were read.
    #[serde(default)]
    pub on_lost: OnLost,
    /// What to do if the topic was removed and made anew.
    #[serde(default)]
    pub on_recreated: OnRecreated,
}

/// What the value of a record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    /// One JSON object.
    #[default]
    Json,
    /// One line of CSV.
    Csv,
    /// Bytes, as they are: the column `value`.
    Raw,
}

/// A JSON Schema, or the path of one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a JSON Schema, or the path of a file with one")]
pub enum RecordSchema {
    File(String),
    Inline(serde_json::Map<String, serde_json::Value>),
}

/// Where a column's values are in a record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path such as name.first, or {path, type, format}")]
pub enum RecordColumn {
    /// Text.
    Path(String),
    Typed(TypedColumn),
}

/// A column that is not text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedColumn {
    /// Left out: the column's name.
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default = "text", rename = "type")]
    pub data_type: DataType,
    /// `strftime` format of a date or timestamp.
    #[serde(default)]
    pub format: Option<String>,
}

/// What becomes of the pipeline when records are lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// The task fails and says how many.
    #[default]
    Fail,
    /// They are left behind, counted and logged.
    Skip,
}

/// What becomes of the pipeline when its topic is another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRecreated {
    /// The task fails.
    #[default]
    Fail,
    /// The new topic is read from its beginning.
    Restart,
}

/// Where a pipeline begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Earliest,
    Latest,
    At(DateTime<Utc>),
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl KafkaConsume {
    /// Whether the columns are those of the records.
    #[must_use]
    pub fn infers_columns(&self) -> bool {
        self.format == RecordFormat::Json && self.columns.is_empty()
    }
}

impl RecordColumn {
    /// Where the values are; `name` is the column's.
    #[must_use]
    pub fn path<'a>(&'a self, name: &'a str) -> &'a str {
        match self {
            Self::Path(path) => path,
            Self::Typed(typed) => typed.path.as_deref().unwrap_or(name),
        }
    }

    /// The column's type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Path(_) => DataType::String,
            Self::Typed(typed) => typed.data_type,
        }
    }

    /// The `strftime` format.
    #[must_use]
    pub fn format(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Typed(typed) => typed.format.as_deref(),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            instant => DateTime::parse_from_rfc3339(instant)
                .map(|instant| Self::At(instant.to_utc()))
                .map_err(|_| {
                    de::Error::custom(format!(
                        "expected earliest, latest or an instant such as 2026-11-01T00:00:00Z, found {instant:?}"
                    ))
                }),
        }
    }
}

impl JsonSchema for Start {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "default": "earliest" })
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Wait {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Wait".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

fn comma() -> char {
    ','
}

fn text() -> DataType {
    DataType::String
}
