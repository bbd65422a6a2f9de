//! One transaction: records, and the offsets of the ranges that they were made of.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _};
use subak_core::letter::REPLAY_CLUSTER;
use subak_task::TaskError;
use tokio::sync::mpsc::Receiver;

use super::ledger::{Group, writer};
use super::values::{Record, Values};
use super::{Batches, Produce};
use crate::enqueue::{NotTaken, enqueue};
use crate::target::Writer;

/// For one answer of the brokers; a commit waits for all records.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records between two looks at what was delivered.
const LOOK_EVERY: u64 = 1_000;

/// What became of the rows.
pub(super) enum Written {
    Now(u64),
    /// An earlier try, or another run, has written the range.
    Earlier,
}

impl Produce {
    /// Writes all batches, or finds that it was done. Blocks.
    pub(super) fn transact(
        &self,
        schema: &SchemaRef,
        batches: Receiver<Batches>,
    ) -> Result<Written, TaskError> {
        let values = Values::new(&self.params, schema)?;
        let groups =
            self.ranges.iter().map(|range| self.group(range)).collect::<Result<Vec<_>, _>>()?;
        let mut supply = Supply::new(batches)?;
        if self.crosses()? {
            return self.send_across(&groups, &values, &mut supply);
        }
        loop {
            let mut producer = self.target.producer(&self.transactional_id())?;
            let written = self.attempt(&producer, &groups, &values, &mut supply);
            match written {
                // Another worker has written since it was kept, so that it cannot any more.
                Err(_) if producer.is_kept && supply.can_begin_again() => {}
                Ok(_) if !groups.is_empty() => {
                    producer.keep();
                    return written;
                }
                written => return written,
            }
        }
    }

    fn attempt(
        &self,
        producer: &Writer,
        groups: &[Group],
        values: &Values,
        supply: &mut Supply,
    ) -> Result<Written, TaskError> {
        let failure = |error: KafkaError| self.target.write_failure(&error, producer);
        self.target.check_topic(producer, &self.params.topic, self.params.partitions)?;
        if !producer.is_kept {
            // From here on an earlier try, should it still be at work, cannot commit any more. One that
            // was kept cannot itself, should a later one have done the same.
            producer.init_transactions(PATIENCE).map_err(failure)?;
        }
        if self.is_written(groups)? {
            return Ok(Written::Earlier);
        }
        producer.begin_transaction().map_err(failure)?;
        let written = self
            .send_all(producer, values, supply)
            .and_then(|records| self.commit(producer, groups).map(|()| Written::Now(records)));
        if written.is_err() {
            // What cannot be aborted now is aborted by the next try, or by the broker in time.
            let _ = producer.abort_transaction(PATIENCE);
        }
        written
    }

    /// Whether the records come from another cluster.
    fn crosses(&self) -> Result<bool, TaskError> {
        // Dead letters come from no cluster.
        let read = self.ranges.iter().find(|range| range.cluster != REPLAY_CLUSTER);
        let Some(range) = read else { return Ok(false) };
        let client = self.target.consumer("subak.produce")?;
        self.target.metadata(&client, Some(&self.params.topic), PATIENCE)?;
        let cluster = client.client().fetch_cluster_id(PATIENCE).ok_or_else(|| {
            TaskError::transient(format!("{} does not tell its cluster's id", self.target))
        })?;
        Ok(cluster != range.cluster)
    }

    /// Writes all batches into another cluster than that of their topic, and commits the offsets behind
    /// them afterwards: each record at least once.
    fn send_across(
        &self,
        groups: &[Group],
        values: &Values,
        supply: &mut Supply,
    ) -> Result<Written, TaskError> {
        if self.is_written(groups)? {
            return Ok(Written::Earlier);
        }
        self.ctx.log(format!(
            "{} is another cluster than the one that was read: each record is written at least once, \
             some twice if this try is interrupted",
            self.target
        ));
        let producer = self.target.feeder()?;
        self.target.check_topic(&producer, &self.params.topic, self.params.partitions)?;
        let records = self.send_all(&producer, values, supply)?;
        let failure = |error: KafkaError| self.target.write_failure(&error, &producer);
        producer.flush(PATIENCE).map_err(failure)?;
        if let Some((error, reason)) = producer.context().refused() {
            return Err(self.target.refusal(&error, reason));
        }
        for (range, group) in self.ranges.iter().zip(groups) {
            group.commit(range)?;
        }
        Ok(Written::Now(records))
    }

    /// Without a range it is the run's own: nothing tells of two which is the later one.
    fn transactional_id(&self) -> String {
        let id = &self.ctx.identity;
        let sink = writer(&self.ctx, &id.task_id);
        match self.ranges.is_empty() {
            false => sink,
            true => format!("{sink}.{}.{}", id.run_uuid, id.map_index),
        }
    }

    /// Whether all ranges are in the topic.
    fn is_written(&self, groups: &[Group]) -> Result<bool, TaskError> {
        let mut written = 0;
        for (range, group) in self.ranges.iter().zip(groups) {
            let name = group.ledger_name();
            written += usize::from(range.is_committed(&name, &group.committed()?)?);
        }
        match written {
            0 => Ok(false),
            all if all == self.ranges.len() => Ok(true),
            _ => Err(TaskError::permanent(format!(
                "{}: some of the ranges that the dataset was made of are written already, others are \
                 not: write each in a task of its own",
                self.target
            ))),
        }
    }

    fn send_all(
        &self,
        producer: &Writer,
        values: &Values,
        supply: &mut Supply,
    ) -> Result<u64, TaskError> {
        let mut records = 0;
        supply.begin();
        while let Some(batch) = supply.next()? {
            let columns = values.of(&batch)?;
            let mut rows = columns.rows()?;
            for row in 0..batch.num_rows() {
                self.send(producer, rows.record(row), records + 1)?;
                records += 1;
                if records.is_multiple_of(LOOK_EVERY) {
                    producer.poll(Duration::ZERO);
                }
            }
            self.ctx.progress.progress(records, 0, "records sent");
            if producer.is_kept && supply.can_begin_again() {
                // Whether it still may is known once brokers have taken the first records.
                let failure = |error: KafkaError| self.target.write_failure(&error, producer);
                producer.flush(PATIENCE).map_err(failure)?;
                if let Some((error, reason)) = producer.context().refused() {
                    return Err(self.target.refusal(&error, reason));
                }
            }
        }
        Ok(records)
    }

    fn send(&self, producer: &Writer, record: Record<'_>, row: u64) -> Result<(), TaskError> {
        let mut next = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.params.topic, 0);
        (next.key, next.payload) = (record.key, record.value);
        enqueue(producer, next, || self.ctx.cancel.is_cancelled()).map_err(|why| {
            let NotTaken::Refused(error) = why else { return TaskError::cancelled() };
            let bytes = record.value.map_or(0, <[u8]>::len);
            let failure = self.target.write_failure(&error, producer);
            let message = format!("row {row} ({bytes} bytes): {}", failure.message);
            TaskError { message, ..failure }
        })
    }

    /// Commits the records with the offsets behind the ranges.
    fn commit(&self, producer: &Writer, groups: &[Group]) -> Result<(), TaskError> {
        let failure = |error: KafkaError| self.target.write_failure(&error, producer);
        // Once the transaction has offsets, others who want them wait for its end.
        producer.flush(PATIENCE).map_err(failure)?;
        for (range, group) in self.ranges.iter().zip(groups) {
            let offsets = group.ends(range).map_err(failure)?;
            let member = group.client.group_metadata().ok_or_else(|| {
                TaskError::permanent(format!("{}: a group without a name", self.target))
            })?;
            producer.send_offsets_to_transaction(&offsets, &member, PATIENCE).map_err(failure)?;
        }
        producer.commit_transaction(PATIENCE).map_err(failure)
    }
}

/// Batches in order. The first one is held, so that a client which turns out to be of no use can be
/// replaced as long as there was no other.
struct Supply {
    first: Option<RecordBatch>,
    rest: Receiver<Batches>,
    /// Batches that were taken since the beginning.
    taken: usize,
    is_at_end: bool,
}

impl Supply {
    /// Waits for the first batch. Blocks.
    fn new(batches: Receiver<Batches>) -> Result<Self, TaskError> {
        let mut supply = Self { first: None, rest: batches, taken: 0, is_at_end: false };
        supply.first = supply.receive()?;
        Ok(supply)
    }

    fn begin(&mut self) {
        self.taken = 0;
    }

    fn can_begin_again(&self) -> bool {
        self.taken <= 1
    }

    /// The next batch; `None`: that were all. Blocks.
    fn next(&mut self) -> Result<Option<RecordBatch>, TaskError> {
        self.taken += 1;
        match self.taken {
            1 => Ok(self.first.clone()),
            _ => self.receive(),
        }
    }

    fn receive(&mut self) -> Result<Option<RecordBatch>, TaskError> {
        if self.is_at_end {
            return Ok(None);
        }
        match self.rest.blocking_recv() {
            Some(Batches::More(batch)) => Ok(Some(batch)),
            Some(Batches::End) => {
                self.is_at_end = true;
                Ok(None)
            }
            None => Err(TaskError::cancelled()),
        }
    }
}
