//! What brokers tell of topics, as workers and servers speak of it. What a broker cannot tell is left
//! out, and said to be missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A topic in the list of a connection's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicHead {
    pub name: String,
    pub partitions: u32,
    /// Copies of its first partition.
    pub replicas: u32,
}

/// The topics of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicHeads {
    pub cluster: Option<String>,
    pub brokers: u32,
    /// By name; those of the brokers' own are left out.
    pub topics: Vec<TopicHead>,
    /// How many more there are.
    #[serde(default)]
    pub more: u32,
}

/// How far a topic goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMarks {
    pub name: String,
    /// None: there is no such topic.
    pub partitions: Vec<PartitionMarks>,
    /// The consumer groups that have committed offsets of it, by name: whoever reads it, not only us.
    #[serde(default)]
    pub groups: Vec<GroupMarks>,
    /// Why there may be more groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_missing: Option<String>,
}

/// How far a consumer group is in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMarks {
    pub group: String,
    /// By partition: the offset that the group reads next.
    pub committed: BTreeMap<i32, i64>,
}

/// How far a partition goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMarks {
    pub partition: i32,
    /// The broker that serves it.
    pub leader: Option<i32>,
    pub replicas: u32,
    pub in_sync: u32,
    /// The first offset that is still there.
    pub low: Option<i64>,
    /// The offset behind the last committed record.
    pub high: Option<i64>,
    /// Why the offsets are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Several topics of a cluster, as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMarks {
    pub cluster: Option<String>,
    pub topics: Vec<TopicMarks>,
}

/// A topic, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicLook {
    pub cluster: Option<String>,
    pub marks: TopicMarks,
    /// The latest ones, the newest first.
    pub records: Vec<TopicRecord>,
    /// Why there may be more than these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A record for people: long parts are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    pub key: Option<Content>,
    /// None: a tombstone.
    pub value: Option<Content>,
}

/// Bytes as people see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The text; of what is none its bytes in hexadecimal digits.
    pub shown: String,
    pub is_text: bool,
    /// Of all of it, more than what is shown if it was cut.
    pub size_bytes: u64,
}

/// How far a pipeline or a group lags behind a partition.
#[must_use]
pub fn lag(high: Option<i64>, position: Option<i64>) -> Option<i64> {
    Some((high? - position?).max(0))
}

impl Content {
    /// Shows at most `most` bytes.
    #[must_use]
    pub fn of(bytes: &[u8], most: usize) -> Self {
        let size_bytes = bytes.len() as u64;
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let shown = text[..text.floor_char_boundary(most)].to_owned();
                Self { shown, is_text: true, size_bytes }
            }
            Err(_) => {
                let shown = crate::hex::encode(&bytes[..bytes.len().min(most / 2)]);
                Self { shown, is_text: false, size_bytes }
            }
        }
    }

    /// Whether something of it is not shown.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let bytes = if self.is_text { self.shown.len() } else { self.shown.len() / 2 };
        (bytes as u64) < self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_text_or_digits_and_never_endless() {
        let content = Content::of("äö".as_bytes(), 3);
        assert_eq!((&*content.shown, content.is_text, content.is_cut()), ("ä", true, true));
        let content = Content::of(b"\xff\x00", 100);
        assert_eq!((&*content.shown, content.is_text, content.is_cut()), ("ff00", false, false));
        assert!(Content::of(&[0xff; 9], 8).is_cut());
    }

    #[test]
    fn lag_is_known_if_both_ends_are() {
        assert_eq!(lag(Some(10), Some(4)), Some(6));
        // A topic that was made anew ends before.
        assert_eq!(lag(Some(3), Some(4)), Some(0));
        assert_eq!((lag(None, Some(4)), lag(Some(4), None)), (None, None));
    }
}
