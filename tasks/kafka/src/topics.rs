//! What brokers tell of topics: for the page of topics, the API, and whoever watches the lag.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};
use subak_core::topic::{
    ClusterMarks, Content, PartitionMarks, TopicHead, TopicHeads, TopicLook, TopicMarks,
    TopicRecord,
};
use subak_task::{Connection, TaskError};

use crate::target::{Client, Target};
use crate::{groups, mock};

/// Topics in one answer: what is beyond is counted.
const TOPICS_MOST: usize = 1_000;
/// Partitions that one answer asks the brokers about: each is a question of its own.
const PARTITIONS_MOST: usize = 500;
/// Records of one answer, and bytes that are shown of a part of one.
const RECORDS_MOST: usize = 100;
const SHOWN_BYTES: usize = 2 << 10;
/// Between two looks at the clock.
const POLL: Duration = Duration::from_millis(50);

/// Who asks brokers, and until when.
pub(crate) struct Asking {
    pub(crate) target: Target,
    pub(crate) client: Client,
    until: Instant,
}

/// Lists the topics of a connection's cluster.
pub async fn topics(connection: &Connection, patience: Duration) -> Result<TopicHeads, TaskError> {
    asking(connection, patience, Asking::heads).await
}

/// Tells how far topics go.
pub async fn marks(
    connection: &Connection,
    topics: Vec<String>,
    patience: Duration,
) -> Result<ClusterMarks, TaskError> {
    asking(connection, patience, move |asking| {
        let mut left = PARTITIONS_MOST;
        let found = topics.iter().map(|topic| asking.marks(topic, &mut left));
        let mut topics = found.collect::<Result<Vec<_>, _>>()?;
        groups::find(asking, &mut topics);
        Ok(ClusterMarks { cluster: asking.cluster(), topics })
    })
    .await
}

/// Tells how far a topic goes, and shows its latest records.
pub async fn look(
    connection: &Connection,
    topic: String,
    records: usize,
    patience: Duration,
) -> Result<TopicLook, TaskError> {
    asking(connection, patience, move |asking| {
        let mut marks = asking.marks(&topic, &mut PARTITIONS_MOST.clone())?;
        if marks.partitions.is_empty() {
            return Err(TaskError::permanent(format!("{} has no topic `{topic}`", asking.target)));
        }
        groups::find(asking, std::slice::from_mut(&mut marks));
        let (records, missing) = asking.latest(&marks, records.min(RECORDS_MOST))?;
        Ok(TopicLook { cluster: asking.cluster(), marks, records, missing })
    })
    .await
}

/// Asks on a thread where waiting for brokers holds up nobody.
async fn asking<T: Send + 'static>(
    connection: &Connection,
    patience: Duration,
    work: impl FnOnce(&Asking) -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    let target = Target::new("", connection)?;
    let working = tokio::task::spawn_blocking(move || {
        let client = target.consumer("subak.look")?;
        work(&Asking { target, client, until: Instant::now() + patience })
    });
    working.await.map_err(|error| TaskError::permanent(format!("asking brokers: {error}")))?
}

impl Asking {
    /// What is left of the time; never nothing, so that a broker's word is heard.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }

    pub(crate) fn failure(&self, error: &KafkaError) -> TaskError {
        self.target.failure(error, &self.client)
    }

    fn cluster(&self) -> Option<String> {
        self.client.client().fetch_cluster_id(self.left()).map(mock::shown)
    }

    fn heads(&self) -> Result<TopicHeads, TaskError> {
        let metadata = self.target.metadata(&self.client, None, self.left())?;
        let head = |topic: &MetadataTopic| TopicHead {
            name: topic.name().to_owned(),
            partitions: size(topic.partitions().len()),
            replicas: size(topic.partitions().first().map_or(0, |it| it.replicas().len())),
        };
        let theirs = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        let mut topics: Vec<TopicHead> = theirs.map(head).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let more = size(topics.len().saturating_sub(TOPICS_MOST));
        topics.truncate(TOPICS_MOST);
        let brokers = size(metadata.brokers().len());
        Ok(TopicHeads { cluster: self.cluster(), brokers, topics, more })
    }

    /// How far the partitions go, of as many as are `left` to be asked about.
    fn marks(&self, name: &str, left: &mut usize) -> Result<TopicMarks, TaskError> {
        let metadata = self.target.metadata(&self.client, Some(name), self.left())?;
        self.client.context().forget();
        let found = metadata.topics().iter().find(|topic| topic.name() == name);
        let all = found.map_or(&[][..], MetadataTopic::partitions);
        let mut partitions: Vec<PartitionMarks> = all
            .iter()
            .map(|it| {
                let asked = *left > 0;
                *left = left.saturating_sub(1);
                self.partition(name, it, asked)
            })
            .collect();
        partitions.sort_by_key(|it| it.partition);
        let (name, groups) = (name.to_owned(), Vec::new());
        Ok(TopicMarks { name, partitions, groups, groups_missing: None })
    }

    fn partition(&self, topic: &str, it: &MetadataPartition, is_asked: bool) -> PartitionMarks {
        let found = match (is_asked, it.leader()) {
            (false, _) => Err(format!("there are more than {PARTITIONS_MOST} partitions")),
            (_, ..0) => Err("no broker leads it now".to_owned()),
            (true, _) => self
                .client
                .fetch_watermarks(topic, it.id(), self.left())
                .map_err(|error| self.failure(&error).message),
        };
        let (marks, missing) = match found {
            Ok(marks) => (Some(marks), None),
            Err(why) => (None, Some(why)),
        };
        PartitionMarks {
            partition: it.id(),
            leader: Some(it.leader()).filter(|leader| *leader >= 0),
            replicas: size(it.replicas().len()),
            in_sync: size(it.isr().len()),
            low: marks.map(|(low, _)| low),
            high: marks.map(|(_, high)| high),
            missing,
        }
    }

    /// The latest `wanted` records, the newest first; and why there may be more.
    fn latest(
        &self,
        marks: &TopicMarks,
        wanted: usize,
    ) -> Result<(Vec<TopicRecord>, Option<String>), TaskError> {
        // Where each partition ends, as far as it was read.
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for part in &marks.partitions {
            let (Some(low), Some(high)) = (part.low, part.high) else { continue };
            if low < high && wanted > 0 {
                let from = low.max(high - i64::try_from(wanted).unwrap_or(i64::MAX));
                list.add_partition_offset(&marks.name, part.partition, Offset::Offset(from))
                    .map_err(|error| self.failure(&error))?;
                open.insert(part.partition, high);
            }
        }
        if open.is_empty() {
            return Ok((Vec::new(), None));
        }
        self.client.assign(&list).map_err(|error| self.failure(&error))?;
        let mut records = Vec::new();
        while !open.is_empty() && Instant::now() < self.until {
            match self.client.poll(POLL) {
                Some(Ok(message)) => {
                    let Some(end) = open.get(&message.partition()).copied() else { continue };
                    if message.offset() + 1 >= end {
                        open.remove(&message.partition());
                    }
                    if message.offset() < end {
                        records.push(record(&message));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                // librdkafka goes on by itself, until the time is over.
                Some(Err(_)) | None => {}
            }
        }
        records.sort_by_key(|it| std::cmp::Reverse((it.timestamp, it.offset, it.partition)));
        records.truncate(wanted);
        let missing = (!open.is_empty())
            .then(|| format!("{} partitions could not be read in time", open.len()));
        Ok((records, missing))
    }
}

fn record(message: &BorrowedMessage<'_>) -> TopicRecord {
    let content = |bytes| Content::of(bytes, SHOWN_BYTES);
    TopicRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().filter(|millis| *millis >= 0),
        key: message.key().map(content),
        value: message.payload().map(content),
    }
}

fn size(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
