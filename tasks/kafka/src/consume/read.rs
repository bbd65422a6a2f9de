//! The loop that reads a range: from each partition's `from` to its `to`, by position.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use subak_core::operators::kafka::OnLost;
use subak_core::range::{LastRecord, Partition, Range};
use subak_task::TaskError;

use super::Consume;
use super::make::Fetched;
use super::topic::Topic;

/// For the next record, or the news that there is none. A broker that is killed and started again
/// is back by then.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether the try is to end.
const POLL: Duration = Duration::from_millis(100);
/// Between two words on how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Records that become a batch of rows, or bytes of them: a few such batches are on their way.
const BATCH: usize = 8_192;
const BATCH_BYTES: u64 = 2 << 20;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) rejected: u64,
    pub(super) tombstones: u64,
    pub(super) last: BTreeMap<i32, LastRecord>,
    pub(super) took: Duration,
}

/// A range being read.
pub(super) struct Reading<'a> {
    consume: &'a Consume,
    topic: &'a Topic,
    /// Partitions that are not at their end: next offset, and end.
    open: BTreeMap<i32, (i64, i64)>,
    /// Records to be handed on, and their bytes.
    fetched: Fetched<'a>,
    fetched_bytes: u64,
    /// Batches that were handed on.
    batches: usize,
    /// Records so far, and their bytes.
    records: u64,
    bytes: u64,
    began: Instant,
    shown: Instant,
}

impl<'a> Reading<'a> {
    /// Prepares to read; records that are not there any more are an error, or left behind.
    pub(super) fn new(
        consume: &'a Consume,
        topic: &'a Topic,
        range: &Range,
    ) -> Result<Self, TaskError> {
        let mut open = BTreeMap::new();
        for part in range.partitions.iter().filter(|part| part.from < part.to) {
            let from = first(consume, topic, part)?;
            if from < part.to {
                open.insert(part.partition, (from, part.to));
            }
        }
        topic.assign(consume, open.iter().map(|(partition, (from, _))| (*partition, *from)))?;
        let now = Instant::now();
        Ok(Self {
            consume,
            topic,
            open,
            fetched: Fetched::new(),
            fetched_bytes: 0,
            batches: 0,
            records: 0,
            bytes: 0,
            began: now,
            shown: now,
        })
    }

    /// How long it has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Fetches all records for `makers`, who are given some in turn; fewer, if they are not taken any
    /// more. Blocks.
    pub(super) fn fetch(&mut self, makers: &[SyncSender<Fetched<'a>>]) -> Result<(), TaskError> {
        let mut heard = Instant::now();
        while !self.open.is_empty() {
            if self.consume.ctx.cancel.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            match self.topic.client.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    self.add(message)?;
                    let is_enough =
                        self.fetched.len() >= BATCH || self.fetched_bytes >= BATCH_BYTES;
                    if is_enough && !self.hand_on(makers) {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    self.at_end(partition)?;
                }
                Some(Err(error)) if !passes(&error) => {
                    return Err(self.consume.target.failure(&error, &self.topic.client));
                }
                // librdkafka goes on by itself, as soon as it can.
                Some(Err(_)) | None => {
                    if heard.elapsed() > SILENCE {
                        let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                        return Err(self.consume.target.failure(&error, &self.topic.client));
                    }
                }
            }
            self.show();
        }
        self.hand_on(makers);
        Ok(())
    }

    /// Returns whether more is wanted.
    fn hand_on(&mut self, makers: &[SyncSender<Fetched<'a>>]) -> bool {
        let maker = &makers[self.batches % makers.len()];
        self.batches += 1;
        self.fetched_bytes = 0;
        maker.send(std::mem::take(&mut self.fetched)).is_ok()
    }

    fn add(&mut self, message: BorrowedMessage<'a>) -> Result<(), TaskError> {
        let (partition, offset) = (message.partition(), message.offset());
        let Some((next, end)) = self.open.get_mut(&partition) else { return Ok(()) };
        if offset >= *end {
            // Compacted away, or a mark of a transaction: nothing more below the end.
            return self.close(partition);
        }
        if offset < *next {
            return Ok(());
        }
        *next = offset + 1;
        let is_last = *next >= *end;
        let length = (message.payload_len() + message.key_len()) as u64;
        self.records += 1;
        self.bytes += length;
        self.fetched_bytes += length;
        self.fetched.push(message);
        if is_last { self.close(partition) } else { Ok(()) }
    }

    /// There is nothing more in a partition: all of the range, if the partition goes as far.
    fn at_end(&mut self, partition: i32) -> Result<(), TaskError> {
        let Some((_, end)) = self.open.get(&partition).copied() else { return Ok(()) };
        let marks = self.topic.watermarks(self.consume, partition)?;
        if marks.high >= end {
            return self.close(partition);
        }
        Err(TaskError::permanent(format!(
            "partition {partition} of topic {} ends at {}, before the range's end {end}: the topic was \
             removed and made anew, or its brokers have lost records; give the range up with `subak \
             ranges abandon`",
            self.topic.name, marks.high
        )))
    }

    fn close(&mut self, partition: i32) -> Result<(), TaskError> {
        self.open.remove(&partition);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic.name, partition);
        let paused = self.topic.client.pause(&list);
        paused.map_err(|error| self.consume.target.failure(&error, &self.topic.client))
    }

    fn show(&mut self) {
        if self.shown.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.shown = Instant::now();
        let left: i64 = self.open.values().map(|(next, end)| end - next).sum();
        let note = format!("records read, {left} offsets left");
        self.consume.ctx.progress.progress(self.records, self.bytes, &note);
    }
}

/// Where a part begins, if some of its records are gone.
fn first(consume: &Consume, topic: &Topic, part: &Partition) -> Result<i64, TaskError> {
    let marks = topic.watermarks(consume, part.partition)?;
    if marks.low <= part.from {
        return Ok(part.from);
    }
    let said = format!(
        "partition {} of topic {}: the broker has dropped records of the range ({}–{}) before they \
         were read",
        part.partition,
        topic.name,
        part.from,
        marks.low.min(part.to)
    );
    match consume.params.on_lost {
        OnLost::Fail => Err(TaskError::permanent(format!(
            "{said}: lengthen the topic's retention; to go on without them set `on_lost: skip`"
        ))),
        OnLost::Skip => {
            consume.ctx.log(format!("{said}; they are left behind"));
            Ok(marks.low)
        }
    }
}

/// Whether librdkafka goes on after an error by itself.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::NetworkException
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::RequestTimedOut
                | Code::BrokerNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
        )
    )
}

impl Totals {
    /// Records that became rows.
    pub(super) fn rows(&self) -> u64 {
        self.records - self.rejected - self.tombstones
    }

    /// The range's parts, with the records read last.
    pub(super) fn partitions(&self, range: &Range) -> Vec<Partition> {
        let part = |part: &Partition| Partition {
            last: self.last.get(&part.partition).copied().or(part.last),
            ..part.clone()
        };
        range.partitions.iter().map(part).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.records as f64 / self.took.as_secs_f64().max(0.001);
        write!(f, "{} records read, {} KiB, {rate:.0} a second", self.records, self.bytes >> 10)?;
        if self.rejected > 0 {
            write!(f, "; {} rejected", self.rejected)?;
        }
        if self.tombstones > 0 {
            write!(f, "; {} tombstones left out", self.tombstones)?;
        }
        Ok(())
    }
}
