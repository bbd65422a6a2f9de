//! The side that makes rows of records, on a thread of its own: the next ones are fetched meanwhile.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use rdkafka::message::{BorrowedMessage, Message as _};
use subak_task::{BadRow, DatasetWriter, TaskError};
use tokio::runtime::Handle;

use super::Consume;
use super::read::Totals;
use super::rejects::Rejects;
use super::topic::{Topic, known};
use crate::record::{Record, Rows, Taken};

/// Records that were fetched one after the other.
pub(super) type Fetched<'a> = Vec<BorrowedMessage<'a>>;

/// Rows being made.
pub(super) struct Taking<'a> {
    consume: &'a Consume,
    topic: &'a Topic,
    rows: Rows,
    writer: Box<dyn DatasetWriter>,
    /// The last record of each partition so far; librdkafka keeps its bytes.
    last: BTreeMap<i32, BorrowedMessage<'a>>,
    rejects: Rejects<'a>,
    totals: Totals,
}

impl<'a> Taking<'a> {
    pub(super) fn new(
        consume: &'a Consume,
        topic: &'a Topic,
        rows: Rows,
        writer: Box<dyn DatasetWriter>,
        handle: Handle,
    ) -> Self {
        Self {
            consume,
            topic,
            rows,
            writer,
            last: BTreeMap::new(),
            rejects: Rejects::new(consume, handle),
            totals: Totals::default(),
        }
    }

    /// Takes records as long as there are more. Blocks.
    pub(super) fn take_all(mut self, records: &Receiver<Fetched<'a>>) -> Result<Self, TaskError> {
        for message in records.iter().flatten() {
            self.take(message)?;
        }
        Ok(self)
    }

    /// After the last record of the range. Blocks.
    pub(super) fn finish(mut self) -> Result<(Box<dyn DatasetWriter>, Totals), TaskError> {
        self.write()?;
        self.rows.others().iter().for_each(|others| self.consume.ctx.log(others));
        self.rejects.send()?;
        self.totals.rejected = self.rejects.count;
        let last = self.last.iter().map(|(partition, message)| (*partition, known(message)));
        self.totals.last = last.collect();
        Ok((self.writer, self.totals))
    }

    fn take(&mut self, message: BorrowedMessage<'a>) -> Result<(), TaskError> {
        let record = Record::of(&message);
        self.totals.records += 1;
        self.totals.bytes += record.bytes() as u64;
        match self.rows.push(&record) {
            Taken::Row => {}
            Taken::Tombstone => self.totals.tombstones += 1,
            Taken::Rejected(reasons) => self.rejects.take(BadRow {
                source: self.topic.name.clone(),
                partition: message.partition(),
                position: message.offset(),
                reasons,
                raw: message.payload().unwrap_or_default().to_vec(),
                metadata: record.metadata(),
                replay_of: None,
            })?,
        }
        self.last.insert(message.partition(), message);
        if self.rows.is_full() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), TaskError> {
        let batch = self.rows.take()?;
        self.writer.write(&batch)
    }
}
