//! Topics as commands show them, spelt as the API spells them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use subak_core::topic::{
    Content, GroupMarks, PartitionMarks, TopicHead, TopicLook, TopicRecord, lag,
};
use subak_store::read::PipelineRecord;

use crate::output::Row;

/// Characters of a record that a table shows.
const SHOWN: usize = 100;

/// A topic in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Topic {
    topic: String,
    partitions: u32,
    replicas: u32,
    pipelines: Vec<Pipeline>,
}

/// A task that reads a topic.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pipeline {
    dag_id: String,
    task_id: String,
    partitions: Vec<Lag>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lag {
    partition: i32,
    position: Option<i64>,
    loaded: Option<i64>,
    lag: Option<i64>,
}

/// A topic, looked at closely.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Look {
    topic: String,
    cluster: Option<String>,
    pub(super) partitions: Vec<Partition>,
    pub(super) records: Vec<Record>,
    /// Why there may be more records.
    pub(super) missing: Option<String>,
    pipelines: Vec<Pipeline>,
    #[serde(default)]
    groups: Vec<Group>,
    /// Why there may be more groups.
    #[serde(default)]
    pub(super) groups_missing: Option<String>,
}

/// A consumer group, as brokers know it.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    group: String,
    partitions: Vec<GroupPartition>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GroupPartition {
    partition: i32,
    committed_offset: i64,
    lag: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Partition {
    partition: i32,
    leader: Option<i32>,
    replicas: u32,
    in_sync: u32,
    low_watermark: Option<i64>,
    high_watermark: Option<i64>,
    missing: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    partition: i32,
    offset: i64,
    timestamp: Option<DateTime<Utc>>,
    key: Option<Bytes>,
    /// Null: a tombstone.
    value: Option<Bytes>,
}

/// As text, or in hexadecimal digits; cut if they are long.
#[derive(Debug, Serialize, Deserialize)]
struct Bytes {
    text: Option<String>,
    hex: Option<String>,
    size_bytes: u64,
}

impl Topic {
    pub(super) fn new(head: TopicHead, readers: &[PipelineRecord]) -> Self {
        let own = readers.iter().filter(|it| it.topic == head.name);
        Self {
            pipelines: own.map(|it| Pipeline::new(it, &[])).collect(),
            topic: head.name,
            partitions: head.partitions,
            replicas: head.replicas,
        }
    }
}

impl Row for Topic {
    const HEADING: &'static [&'static str] = &["topic", "partitions", "copies", "read by"];

    fn cells(&self) -> Vec<String> {
        let readers: Vec<String> = self.pipelines.iter().map(Pipeline::name).collect();
        vec![
            self.topic.clone(),
            self.partitions.to_string(),
            self.replicas.to_string(),
            readers.join(", "),
        ]
    }
}

impl Pipeline {
    fn new(record: &PipelineRecord, partitions: &[PartitionMarks]) -> Self {
        let of = |part: &PartitionMarks| {
            // One that was added after the newest range is read from its beginning.
            let begun = if record.newest.is_empty() { None } else { part.low };
            let loaded = record.loaded(part.partition).or(begun);
            Lag {
                partition: part.partition,
                position: record.position(part.partition).or(begun),
                loaded,
                lag: lag(part.high, loaded),
            }
        };
        Self {
            dag_id: record.dag_id.clone(),
            task_id: record.task_id.clone(),
            partitions: partitions.iter().map(of).collect(),
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.dag_id, self.task_id)
    }
}

impl Look {
    pub(super) fn new(look: TopicLook, readers: &[PipelineRecord]) -> Self {
        let parts = &look.marks.partitions;
        let own = readers.iter().filter(|it| it.topic == look.marks.name);
        Self {
            pipelines: own.map(|it| Pipeline::new(it, parts)).collect(),
            groups: look.marks.groups.iter().map(|it| Group::new(it, parts)).collect(),
            groups_missing: look.marks.groups_missing.clone(),
            partitions: parts.iter().map(Partition::from).collect(),
            records: look.records.iter().map(Record::from).collect(),
            cluster: look.cluster,
            missing: look.missing,
            topic: look.marks.name,
        }
    }

    /// How far each consumer group is with each partition.
    pub(super) fn groups(&self) -> Vec<[String; 4]> {
        let row = |group: &Group, it: &GroupPartition| {
            let (partition, committed) =
                (it.partition.to_string(), it.committed_offset.to_string());
            [group.group.clone(), partition, committed, known(it.lag)]
        };
        let of = |it: &Group| it.partitions.iter().map(|part| row(it, part)).collect::<Vec<_>>();
        self.groups.iter().flat_map(of).collect()
    }

    /// How far each reader is with each partition.
    pub(super) fn readers(&self) -> Vec<[String; 5]> {
        let row = |pipeline: &Pipeline, it: &Lag| {
            [
                pipeline.name(),
                it.partition.to_string(),
                known(it.position),
                known(it.loaded),
                known(it.lag),
            ]
        };
        let of = |it: &Pipeline| it.partitions.iter().map(|lag| row(it, lag)).collect::<Vec<_>>();
        self.pipelines.iter().flat_map(of).collect()
    }
}

impl Group {
    fn new(marks: &GroupMarks, partitions: &[PartitionMarks]) -> Self {
        let of = |(partition, committed): (&i32, &i64)| {
            let marks = partitions.iter().find(|it| it.partition == *partition);
            let lag = lag(marks.and_then(|it| it.high), Some(*committed));
            GroupPartition { partition: *partition, committed_offset: *committed, lag }
        };
        let partitions = marks.committed.iter().map(of).collect();
        Self { group: marks.group.clone(), partitions }
    }
}

impl Row for Partition {
    const HEADING: &'static [&'static str] =
        &["partition", "first", "end", "leader", "in sync", "missing"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.partition.to_string(),
            known(self.low_watermark),
            known(self.high_watermark),
            known(self.leader),
            format!("{} of {}", self.in_sync, self.replicas),
            self.missing.clone().unwrap_or_default(),
        ]
    }
}

impl Row for Record {
    const HEADING: &'static [&'static str] = &["record", "when", "key", "value"];

    fn cells(&self) -> Vec<String> {
        let when = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
        vec![
            format!("{}:{}", self.partition, self.offset),
            self.timestamp.map_or_else(String::new, when),
            self.key.as_ref().map(Bytes::in_one_line).unwrap_or_default(),
            self.value.as_ref().map_or_else(|| "(tombstone)".to_owned(), Bytes::in_one_line),
        ]
    }
}

impl Bytes {
    fn in_one_line(&self) -> String {
        let (mark, whole, bytes) = match (&self.text, &self.hex) {
            (Some(text), _) => ("", text.as_str(), text.len()),
            (None, Some(hex)) => ("0x", hex.as_str(), hex.len() / 2),
            (None, None) => ("", "", 0),
        };
        let text: String = whole.chars().take(SHOWN).collect();
        let cut = text.len() < whole.len() || (bytes as u64) < self.size_bytes;
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{mark}{text}{}", if cut { "…" } else { "" })
    }
}

impl From<&Content> for Bytes {
    fn from(it: &Content) -> Self {
        let shown = Some(it.shown.clone());
        let (text, hex) = if it.is_text { (shown, None) } else { (None, shown) };
        Self { text, hex, size_bytes: it.size_bytes }
    }
}

impl From<&TopicRecord> for Record {
    fn from(it: &TopicRecord) -> Self {
        Self {
            partition: it.partition,
            offset: it.offset,
            timestamp: it.timestamp.and_then(DateTime::from_timestamp_millis),
            key: it.key.as_ref().map(Bytes::from),
            value: it.value.as_ref().map(Bytes::from),
        }
    }
}

impl From<&PartitionMarks> for Partition {
    fn from(it: &PartitionMarks) -> Self {
        Self {
            partition: it.partition,
            leader: it.leader,
            replicas: it.replicas,
            in_sync: it.in_sync,
            low_watermark: it.low,
            high_watermark: it.high,
            missing: it.missing.clone(),
        }
    }
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
