//! Operator `kafka.produce`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::data::OnSkip;
use super::{Input, Rules};

/// `kafka.produce`: writes the rows of a dataset into a topic, each as a record, in one transaction.
///
/// Rows that came from a topic of the same cluster (`kafka.consume`) are there exactly once: their
/// offsets are committed in the transaction of the records, for the group
/// `subak.<installation>.<DAG>.<task that reads>.<this task>`, which is where the next range begins and
/// which tools for consumer lag show. Between two clusters nothing can be committed together: rows of a
/// topic of another one are there **at least once**, which the log says; the offsets of the group are
/// committed in the cluster that was read, once the records have arrived. Rows that came from elsewhere
/// (a file, a query) are there all or not at all, but a retry after the answer to the commit was lost
/// writes them once more.
///
/// A broker forgets the offsets of a group after `offsets.retention.minutes` (a week) without a commit:
/// a run that is cleared later than that is written once more. The XCom is `{topic, records}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaProduce {
    /// Name of a Kafka connection.
    pub connection: String,
    pub input: Input,
    /// Where the records go.
    pub topic: String,
    /// The topic is made with so many partitions if there is none. Left out: it must exist.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// What a record's value is.
    #[serde(default)]
    pub format: ValueFormat,
    /// The column whose text or bytes are the record's key, which decides about its partition: `_key`
    /// keeps that of the record that was read. Left out, or null in a row: no key.
    #[serde(default)]
    pub key: Option<String>,
    /// What becomes of a topic's records when a branch leaves the task out.
    #[serde(default)]
    pub on_skip: OnSkip,
}

/// What the value of a record is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueFormat {
    /// The row as a JSON object, without the columns that say where a record came from.
    #[default]
    Json,
    /// Text or bytes, as they are, of the column `value`; null is a tombstone.
    Raw,
}

impl Rules for KafkaProduce {
    fn broken_rules(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        partitions(self.partitions)
    }
}

/// A topic has one partition at least.
pub(super) fn partitions(partitions: Option<u32>) -> Vec<(&'static str, Cow<'static, str>)> {
    match partitions {
        Some(0) => vec![("partitions", "\"partitions\" is 0".into())],
        _ => Vec::new(),
    }
}
