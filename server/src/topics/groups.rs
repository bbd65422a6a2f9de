//! How far consumer groups lag behind a topic, whoever they belong to.

use subak_core::topic::{TopicMarks, lag};

/// A consumer group and a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupLag {
    pub(crate) connection: String,
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partitions: Vec<GroupPartition>,
}

/// A consumer group and a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupPartition {
    pub(crate) partition: i32,
    /// The offset that the group reads next.
    pub(crate) committed: i64,
    /// Offsets from there to the partition's end, if that is known.
    pub(crate) lag: Option<i64>,
}

impl GroupLag {
    /// The groups of a topic, as brokers told.
    pub(crate) fn of(connection: &str, topic: &TopicMarks) -> Vec<Self> {
        let high = |partition: i32| {
            topic.partitions.iter().find(|it| it.partition == partition).and_then(|it| it.high)
        };
        let part = |(partition, committed): (&i32, &i64)| GroupPartition {
            partition: *partition,
            committed: *committed,
            lag: lag(high(*partition), Some(*committed)),
        };
        let group = |it: &subak_core::topic::GroupMarks| Self {
            connection: connection.to_owned(),
            group: it.group.clone(),
            topic: topic.name.clone(),
            partitions: it.committed.iter().map(part).collect(),
        };
        topic.groups.iter().map(group).collect()
    }

    /// Of all its partitions together, if it is known of each.
    pub(crate) fn total(&self) -> Option<i64> {
        self.partitions.iter().map(|it| it.lag).sum()
    }
}
