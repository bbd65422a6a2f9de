//! The columns of a range whose task names none: taken from its first records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use subak_core::letter::{Letter, Replay};
use subak_core::operators::kafka::{KafkaConsume, RecordColumn};
use subak_core::range::Range;
use subak_task::TaskError;

use super::Consume;
use super::topic::Topic;
use crate::record::Sample;
use crate::target::Client;

/// Records and bytes that are looked at, of all partitions together. Each has its own share, so that a
/// retry finds the same.
const RECORDS: i64 = 10_000;
const BYTES: usize = 8 << 20;
/// For the next record.
const SILENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Columns that the log names.
const NAMED: usize = 40;

impl Consume {
    /// The parameters with columns: those of the range's first records, if none are named.
    pub(super) async fn with_columns(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        range: &Range,
    ) -> Result<KafkaConsume, TaskError> {
        if !self.params.infers_columns() {
            return Ok(self.params.clone());
        }
        let (topic, range) = (Arc::clone(topic), range.clone());
        let sample = self.blocking(move |this| this.sample(&topic, &range)).await?;
        Ok(self.sampled(&sample))
    }

    /// The same, of dead letters that are taken again.
    pub(super) async fn with_columns_of_letters(
        &self,
        replay: &Replay,
    ) -> Result<KafkaConsume, TaskError> {
        if !self.params.infers_columns() || replay.task != self.ctx.identity.task_id {
            return Ok(self.params.clone());
        }
        let asking = self.ctx.pipeline.letters(replay, 0);
        let letters: Vec<Letter> = self
            .ctx
            .cancel
            .run_until_cancelled(asking)
            .await
            .unwrap_or_else(|| Err(TaskError::cancelled()))?;
        let mut sample = Sample::default();
        letters.iter().for_each(|letter| sample.add(&letter.raw));
        Ok(self.sampled(&sample))
    }

    fn sampled(&self, sample: &Sample) -> KafkaConsume {
        let (columns, is_cut) = sample.columns();
        let named = columns.iter().take(NAMED).map(shown).collect::<Vec<_>>().join(", ");
        let more = columns.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        self.ctx.log(format!("columns taken from {} records: {named}{more}", sample.records));
        if is_cut {
            self.ctx.log("there are more fields: name those that are wanted by `columns`");
        }
        KafkaConsume { columns, ..self.params.clone() }
    }

    /// Reads the first records of each partition. Blocks.
    fn sample(&self, topic: &Topic, range: &Range) -> Result<Sample, TaskError> {
        // One of its own, which need not be told to begin again.
        let client = self.target.consumer(&self.group())?;
        let parts = range.partitions.iter().filter(|part| part.from < part.to);
        let wanted = i64::try_from(parts.clone().count()).unwrap_or(i64::MAX).max(1);
        let (records, bytes) =
            ((RECORDS / wanted).max(1), BYTES / usize::try_from(wanted).unwrap_or(BYTES));
        let mut open: BTreeMap<i32, Share> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for part in parts {
            let low = topic.watermarks(self, part.partition)?.low;
            let from = part.from.max(low);
            list.add_partition_offset(&topic.name, part.partition, Offset::Offset(from))
                .map_err(|error| self.target.failure(&error, &client))?;
            if from < part.to {
                open.insert(part.partition, Share { end: part.to, records, bytes });
            }
        }
        client.assign(&list).map_err(|error| self.target.failure(&error, &client))?;
        self.fill(&client, topic, open)
    }

    fn fill(
        &self,
        client: &Client,
        topic: &Topic,
        mut open: BTreeMap<i32, Share>,
    ) -> Result<Sample, TaskError> {
        let mut sample = Sample::default();
        let mut heard = Instant::now();
        while !open.is_empty() {
            if self.ctx.cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let ended = match client.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let Some(share) = open.get_mut(&message.partition()) else { continue };
                    if message.offset() < share.end {
                        sample.add(message.payload().unwrap_or_default());
                    }
                    share.take(message.offset(), message.payload_len()).then(|| message.partition())
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    Some(partition)
                }
                Some(Err(_)) | None if heard.elapsed() > SILENCE => {
                    let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                    return Err(self.target.failure(&error, client));
                }
                Some(Err(_)) | None => None,
            };
            if let Some(partition) = ended.filter(|partition| open.remove(partition).is_some()) {
                let mut list = TopicPartitionList::new();
                list.add_partition(&topic.name, partition);
                client.pause(&list).map_err(|error| self.target.failure(&error, client))?;
            }
        }
        Ok(sample)
    }
}

/// What is still wanted of a partition.
struct Share {
    end: i64,
    records: i64,
    bytes: usize,
}

impl Share {
    /// Counts a record; true if that was enough.
    fn take(&mut self, offset: i64, bytes: usize) -> bool {
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records <= 0 || self.bytes == 0 || offset + 1 >= self.end
    }
}

fn shown((name, column): (&String, &RecordColumn)) -> String {
    let path = column.path(name);
    let path = if path == name { String::new() } else { format!(" ({path})") };
    let data_type = serde_json::to_value(column.data_type()).unwrap_or_default();
    format!("{name}{path} {}", data_type.as_str().unwrap_or_default())
}
