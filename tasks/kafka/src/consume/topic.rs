//! What brokers know of a topic: its partitions, how far they go, and the records read last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use subak_core::operators::kafka::Start;
use subak_core::range::{LastRecord, Partition, Range};
use subak_task::TaskError;

use super::Consume;
use super::plan::{self, Before, Choices, Found, Limits, Watermarks};
use crate::mock;
use crate::target::Client;

/// For one answer of a broker.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks for a topic that was just made.
const APPEARS: Duration = Duration::from_millis(100);

/// An open topic.
pub(super) struct Topic {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) cluster: String,
    partitions: Vec<i32>,
}

impl Topic {
    /// Connects, and finds the topic's partitions. Blocks.
    pub(super) fn open(consume: &Consume) -> Result<Self, TaskError> {
        let client = consume.target.consumer(&consume.group())?;
        let name = consume.params.topic.clone();
        let mut partitions = partitions(consume, &client)?;
        if let (true, Some(wanted)) = (partitions.is_empty(), consume.params.partitions) {
            consume.target.make_topic(&name, wanted)?;
            let until = Instant::now() + PATIENCE;
            // Brokers tell of it a moment later.
            while partitions.is_empty() && Instant::now() < until {
                std::thread::sleep(APPEARS);
                partitions = self::partitions(consume, &client)?;
            }
        }
        if partitions.is_empty() {
            return Err(TaskError::permanent(format!(
                "{} has no topic `{name}`: create it, let `partitions` do so, or correct its name",
                consume.target
            )));
        }
        let cluster = client.client().fetch_cluster_id(PATIENCE).ok_or_else(|| {
            TaskError::transient(format!("{} does not tell its cluster's id", consume.target))
        })?;
        if mock::is_mock(&cluster) {
            consume.ctx.log(format!("{} is no broker but the {}", consume.target, mock::WHAT));
        }
        Ok(Self { client, name, cluster, partitions })
    }

    /// The parts of the next range. Blocks.
    pub(super) fn next(
        &self,
        consume: &Consume,
        before: Before,
        limits: &Limits,
    ) -> Result<Vec<Partition>, TaskError> {
        let choices = Choices {
            start: consume.params.start,
            on_lost: consume.params.on_lost,
            on_recreated: consume.params.on_recreated,
        };
        let marks: Result<Vec<Watermarks>, TaskError> =
            self.partitions.iter().map(|partition| self.watermarks(consume, *partition)).collect();
        let marks = marks?;
        let found = self.find(consume, &before, &marks)?;
        let begin = self.begin(consume, choices.start, &marks)?;
        let mut parts = Vec::with_capacity(marks.len());
        for mark in marks {
            let found = found.get(&mark.partition).copied();
            let begin = begin.get(&mark.partition).copied().unwrap_or(mark.low);
            let next = plan::next(&before, mark, begin, found, choices)?;
            next.note.iter().for_each(|note| consume.ctx.log(note));
            parts.push(next.part);
        }
        limits.apply(&mut parts);
        parts.iter_mut().for_each(Partition::keep_apart);
        Ok(parts)
    }

    /// How far a partition goes now, up to the last committed transaction. Blocks.
    pub(super) fn watermarks(
        &self,
        consume: &Consume,
        partition: i32,
    ) -> Result<Watermarks, TaskError> {
        let (low, high) = self
            .client
            .fetch_watermarks(&self.name, partition, PATIENCE)
            .map_err(|error| consume.target.failure(&error, &self.client))?;
        Ok(Watermarks { partition, low, high })
    }

    /// Where the first range begins.
    fn begin(
        &self,
        consume: &Consume,
        start: Start,
        marks: &[Watermarks],
    ) -> Result<BTreeMap<i32, i64>, TaskError> {
        let at = match start {
            Start::Earliest => return Ok(marks.iter().map(|it| (it.partition, it.low)).collect()),
            Start::Latest => return Ok(marks.iter().map(|it| (it.partition, it.high)).collect()),
            Start::At(at) => at,
        };
        let mut wanted = TopicPartitionList::new();
        let failure = |error: KafkaError| consume.target.failure(&error, &self.client);
        for mark in marks {
            wanted
                .add_partition_offset(
                    &self.name,
                    mark.partition,
                    Offset::Offset(at.timestamp_millis()),
                )
                .map_err(failure)?;
        }
        let found = self.client.offsets_for_times(wanted, PATIENCE).map_err(failure)?;
        let high: BTreeMap<i32, i64> = marks.iter().map(|it| (it.partition, it.high)).collect();
        let offset = |partition: i32, offset: Offset| match offset {
            Offset::Offset(offset) => offset,
            // Nothing is as young.
            _ => high.get(&partition).copied().unwrap_or(0),
        };
        let elements = found.elements();
        Ok(elements
            .iter()
            .map(|it| (it.partition(), offset(it.partition(), it.offset())))
            .collect())
    }

    /// Looks at the records that were read last, of partitions that have new ones.
    fn find(
        &self,
        consume: &Consume,
        before: &Before,
        marks: &[Watermarks],
    ) -> Result<BTreeMap<i32, Found>, TaskError> {
        let mut found = BTreeMap::new();
        let mut wanted: BTreeMap<i32, LastRecord> = BTreeMap::new();
        for mark in marks {
            let Some(last) = before.records.get(&mark.partition) else { continue };
            let position = before.positions.get(&mark.partition).copied().unwrap_or_default();
            if last.offset < mark.low {
                found.insert(mark.partition, Found::Absent);
            } else if position < mark.high && last.offset < position {
                wanted.insert(mark.partition, *last);
            }
        }
        found.extend(self.look(consume, wanted)?);
        Ok(found)
    }

    /// Refuses a range that was recorded of an earlier topic of the same name: the record that was read last
    /// before it or, by an earlier try, in it is another one now. Blocks.
    pub(super) fn check_same(&self, consume: &Consume, range: &Range) -> Result<(), TaskError> {
        let mut wanted = BTreeMap::new();
        for part in range.partitions.iter().filter(|part| part.from < part.to) {
            let Some(last) = part.last else { continue };
            let Watermarks { low, high, .. } = self.watermarks(consume, part.partition)?;
            if (low..high).contains(&last.offset) {
                wanted.insert(part.partition, last);
            }
        }
        let found = self.look(consume, wanted)?;
        match found.into_iter().find(|(_, found)| *found == Found::Other) {
            None => Ok(()),
            Some((partition, _)) => Err(TaskError::permanent(format!(
                "partition {partition} of topic {}: the topic was removed and made anew since range {} was \
                 recorded, and its records are not those of the range; if it is open, give it up with \
                 `subak ranges abandon {}`",
                self.name, range.sequence, range.id
            ))),
        }
    }

    /// Compares the records at these offsets with those that were read there.
    fn look(
        &self,
        consume: &Consume,
        mut wanted: BTreeMap<i32, LastRecord>,
    ) -> Result<BTreeMap<i32, Found>, TaskError> {
        let mut found = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        self.assign(consume, wanted.iter().map(|(partition, last)| (*partition, last.offset)))?;
        let until = Instant::now() + PATIENCE;
        while !wanted.is_empty() {
            if consume.ctx.cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            if Instant::now() > until {
                let error = KafkaError::MessageConsumption(
                    rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
                );
                return Err(consume.target.failure(&error, &self.client));
            }
            match self.client.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    if let Some(last) = wanted.remove(&message.partition()) {
                        found.insert(message.partition(), compare(&message, last));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if wanted.remove(&partition).is_some() {
                        found.insert(partition, Found::Absent);
                    }
                }
                Some(Err(_)) | None => {}
            }
        }
        Ok(found)
    }

    /// Reads these partitions from these offsets on.
    pub(super) fn assign(
        &self,
        consume: &Consume,
        positions: impl Iterator<Item = (i32, i64)>,
    ) -> Result<(), TaskError> {
        let failure = |error: KafkaError| consume.target.failure(&error, &self.client);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(&self.name, partition, Offset::Offset(offset))
                .map_err(failure)?;
        }
        self.client.assign(&list).map_err(failure)
    }
}

/// The topic's partitions, in order; none if there is no such topic.
fn partitions(consume: &Consume, client: &Client) -> Result<Vec<i32>, TaskError> {
    let name = &consume.params.topic;
    let metadata = consume.target.metadata(client, Some(name), PATIENCE)?;
    client.context().forget();
    let found = metadata.topics().iter().find(|topic| topic.name() == name);
    let found = found.iter().flat_map(|topic| topic.partitions());
    let mut partitions: Vec<i32> = found.map(|partition| partition.id()).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

fn compare(message: &BorrowedMessage<'_>, last: LastRecord) -> Found {
    if message.offset() != last.offset {
        Found::Absent
    } else if known(message) == last {
        Found::Same
    } else {
        Found::Other
    }
}

/// What a record is known by.
pub(super) fn known(message: &BorrowedMessage<'_>) -> LastRecord {
    let hash = [message.key(), message.payload()].into_iter().fold(OFFSET_BASIS, fnv);
    LastRecord {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        hash: hash.cast_signed(),
    }
}

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over a part of a record and its length: the same for ever, as it is kept.
fn fnv(hash: u64, part: Option<&[u8]>) -> u64 {
    let length = part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes();
    let bytes = length.iter().chain(part.unwrap_or_default());
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_stays_the_same_and_tells_parts_apart() {
        let hash = |key, value| [key, value].into_iter().fold(OFFSET_BASIS, fnv);
        let some = |text: &'static str| Some(text.as_bytes());
        assert_eq!(hash(None, some("a")), 0xd474_8d17_8924_fc87);
        assert_ne!(hash(some("a"), some("b")), hash(some("ab"), some("")));
        assert_ne!(hash(None, some("")), hash(some(""), None));
    }
}
