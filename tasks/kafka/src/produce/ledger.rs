//! The ledger of a topic that is written: a group's offsets, in the cluster that is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use subak_core::dag::model::Sink;
use subak_task::{LedgerName, LedgerTopic, Ledgers, Positions, RangeRef, TaskContext, TaskError};

use crate::target::{Client, Target};

/// For one answer of a broker.
const PATIENCE: Duration = Duration::from_secs(20);

/// After this, offsets that are held back are so by a transaction whose writer is gone: all of its records
/// have arrived before it touches them, and what is left takes a moment.
const HELD_BACK: Duration = Duration::from_secs(5);

/// Between two questions while groups are on their way to another broker.
const MOVING: Duration = Duration::from_millis(100);

/// Reads offsets for the tasks that read topics.
pub(crate) struct KafkaLedgers;

/// The group of one pipeline and one sink.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) name: String,
    /// The transactional id with which its offsets are moved.
    writer: String,
    target: Target,
    pub(super) client: Arc<Client>,
    topic: LedgerTopic,
    /// Of a replay of dead letters: the topic that is written, and the replay's partition.
    replay: Option<(String, i32)>,
}

impl Group {
    /// That of the task `sink`; nothing is connected yet.
    pub(super) fn new(
        target: &Target,
        ctx: &TaskContext,
        sink: &str,
        topic: &LedgerTopic,
    ) -> Result<Self, TaskError> {
        let id = &ctx.identity;
        let name = format!("subak.{}.{}.{}.{sink}", id.installation, id.dag_id, topic.consume_task);
        let (client, writer) = (Arc::new(target.consumer(&name)?), writer(ctx, sink));
        Ok(Self {
            name,
            writer,
            target: target.clone(),
            client,
            topic: topic.clone(),
            replay: None,
        })
    }

    /// That of a replay: dead letters have no topic whose offsets could be committed. So each replay has
    /// a group of its own, with one offset: that of the first partition of the topic `written`.
    pub(super) fn of_replay(
        target: &Target,
        ctx: &TaskContext,
        range: &RangeRef,
        written: &str,
    ) -> Result<Self, TaskError> {
        let (id, task) = (&ctx.identity, &range.task);
        let sequence = range.sequence;
        let name = format!(
            "subak.{}.{}.{task}.{}.replay.{sequence}",
            id.installation, id.dag_id, id.task_id
        );
        let (client, writer) = (Arc::new(target.consumer(&name)?), writer(ctx, &id.task_id));
        let partition = range.partitions.first().map_or(0, |part| part.partition);
        let replay = Some((written.to_owned(), partition));
        let topic = range.ledger_topic();
        Ok(Self { name, writer, target: target.clone(), client, topic, replay })
    }

    /// The next offset by partition; a partition that was never committed, or long ago, has none.
    /// Waits for transactions that are being committed, and ends one whose writer is gone: brokers would
    /// keep it open, and hold the offsets back, for a quarter of an hour. Blocks.
    pub(super) fn committed(&self) -> Result<BTreeMap<i32, i64>, TaskError> {
        let failure = |error| self.target.failure(&error, &self.client);
        let wanted = self.wanted()?;
        if wanted.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let committed = match self.ask(&wanted, HELD_BACK) {
            Err(error) if is_unanswered(&error) => {
                self.end_transaction()?;
                self.ask(&wanted, PATIENCE)
            }
            answer => answer,
        };
        let committed = committed.map_err(failure)?;
        let elements = committed.elements();
        let offsets = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        });
        Ok(match &self.replay {
            None => offsets.collect(),
            Some((_, own)) => offsets.map(|(_, offset)| (*own, offset)).collect(),
        })
    }

    fn ask(
        &self,
        wanted: &TopicPartitionList,
        patience: Duration,
    ) -> Result<TopicPartitionList, KafkaError> {
        let until = Instant::now() + patience;
        loop {
            match self.client.committed_offsets(wanted.clone(), patience) {
                // A cluster that was just started has to settle where groups are kept.
                Err(error) if is_moving(&error) && Instant::now() < until => {
                    std::thread::sleep(MOVING);
                }
                answer => return answer,
            }
        }
    }

    fn end_transaction(&self) -> Result<(), TaskError> {
        tracing::info!(group = self.name, "ending the transaction that holds offsets back");
        self.target.end_transaction(&self.writer, PATIENCE).map_err(|error| {
            let message = format!(
                "the offsets of group {} were not told within {} s, and the transaction that may hold \
                 them back could not be ended: {}",
                self.name,
                HELD_BACK.as_secs(),
                error.message
            );
            TaskError { message, ..error }
        })
    }

    /// The partitions whose offsets are the ledger. Blocks.
    fn wanted(&self) -> Result<TopicPartitionList, TaskError> {
        let mut wanted = TopicPartitionList::new();
        if let Some((written, _)) = &self.replay {
            wanted.add_partition(written, 0);
            return Ok(wanted);
        }
        let failure = |error| self.target.failure(&error, &self.client);
        let topic = &self.topic.topic;
        let metadata = self.client.fetch_metadata(Some(topic), PATIENCE).map_err(failure)?;
        self.check_cluster()?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            wanted.add_partition(topic, partition.id());
        }
        Ok(wanted)
    }

    /// The offsets behind a range.
    pub(super) fn ends(&self, range: &RangeRef) -> Result<TopicPartitionList, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        for part in &range.partitions {
            let (topic, partition) = match &self.replay {
                None => (&range.topic, part.partition),
                Some((written, _)) => (written, 0),
            };
            offsets.add_partition_offset(topic, partition, Offset::Offset(part.to))?;
        }
        Ok(offsets)
    }

    /// Commits the offsets behind a range, outside of any transaction. Blocks.
    pub(super) fn commit(&self, range: &RangeRef) -> Result<(), TaskError> {
        let failure = |error| self.target.failure(&error, &self.client);
        let offsets = self.ends(range).map_err(failure)?;
        self.client.commit(&offsets, CommitMode::Sync).map_err(failure)
    }

    /// How messages name it.
    pub(super) fn ledger_name(&self) -> LedgerName {
        LedgerName { target: self.target.to_string(), ledger: format!("group {}", self.name) }
    }

    /// The topic's offsets are kept in the cluster that it was read from.
    fn check_cluster(&self) -> Result<(), TaskError> {
        let cluster = self.client.client().fetch_cluster_id(PATIENCE).ok_or_else(|| {
            TaskError::transient(format!("{} does not tell its cluster's id", self.target))
        })?;
        if cluster == self.topic.cluster {
            return Ok(());
        }
        Err(TaskError::permanent(format!(
            "{} is another cluster now than the one that topic {} was read from: what was written of it \
             cannot be known; point the connection to that cluster again, or give the range up with \
             `subak ranges abandon`",
            self.target, self.topic.topic
        )))
    }
}

/// The transactional id of the task `sink`. The same for every try and run that moves the same offsets, so
/// that of two only the later one can commit.
pub(super) fn writer(ctx: &TaskContext, sink: &str) -> String {
    let id = &ctx.identity;
    format!("subak.{}.{}.{sink}", id.installation, id.dag_id)
}

fn is_unanswered(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// Whether the broker that keeps the group is only not known yet.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    let code = error.rdkafka_error_code();
    matches!(code, Some(NotCoordinator | CoordinatorLoadInProgress | CoordinatorNotAvailable))
}

#[async_trait]
impl Positions for Group {
    async fn read(&mut self, _: &RangeRef) -> Result<BTreeMap<i32, i64>, TaskError> {
        let group = self.clone();
        let reading = tokio::task::spawn_blocking(move || group.committed());
        reading.await.map_err(|error| TaskError::permanent(format!("asking brokers: {error}")))?
    }
}

#[async_trait]
impl Ledgers for KafkaLedgers {
    async fn read(
        &self,
        sink: &Sink,
        topic: &LedgerTopic,
        ctx: &TaskContext,
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        let target = Target::named(&sink.connection, ctx)?;
        let group = Group::new(&target, ctx, &sink.task_id, topic)?;
        let reading = tokio::task::spawn_blocking(move || group.committed());
        reading.await.map_err(|error| TaskError::permanent(format!("asking brokers: {error}")))?
    }

    async fn pass(
        &self,
        sink: &Sink,
        range: &RangeRef,
        ctx: &TaskContext,
    ) -> Result<(), TaskError> {
        let target = Target::named(&sink.connection, ctx)?;
        let group = Group::new(&target, ctx, &sink.task_id, &range.ledger_topic())?;
        let range = range.clone();
        let passing = tokio::task::spawn_blocking(move || {
            let is_there = range.is_committed(&group.ledger_name(), &group.committed()?)?;
            if is_there { Ok(()) } else { group.commit(&range) }
        });
        passing.await.map_err(|error| TaskError::permanent(format!("asking brokers: {error}")))?
    }
}
