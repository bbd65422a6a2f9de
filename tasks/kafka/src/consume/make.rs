//! Threads that make rows of records, each of some that came one after the other: what of this takes its
//! time is to read JSON.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender};

use arrow::array::RecordBatch;
use rdkafka::message::{BorrowedMessage, Message as _};
use subak_task::{BadRow, TaskError};

use crate::record::{Record, Rows, Taken};

/// Records that were fetched one after the other.
pub(super) type Fetched<'a> = Vec<BorrowedMessage<'a>>;

/// What became of them.
pub(super) struct Made<'a> {
    pub(super) rows: RecordBatch,
    pub(super) rejected: Vec<BadRow>,
    pub(super) tombstones: u64,
    /// How many records there were, and their bytes.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The last record of each partition; librdkafka keeps its bytes.
    pub(super) last: BTreeMap<i32, BorrowedMessage<'a>>,
}

/// Makes rows as long as there are records and somebody takes the rows. Blocks.
pub(super) fn make_all<'a>(
    mut rows: Rows,
    topic: &str,
    fetched: &Receiver<Fetched<'a>>,
    made: &SyncSender<Result<Made<'a>, TaskError>>,
) -> Rows {
    for records in fetched {
        if made.send(make(&mut rows, topic, records)).is_err() {
            break;
        }
    }
    rows
}

fn make<'a>(rows: &mut Rows, topic: &str, fetched: Fetched<'a>) -> Result<Made<'a>, TaskError> {
    let (mut rejected, mut last) = (Vec::new(), BTreeMap::new());
    let (mut records, mut bytes, mut tombstones) = (0, 0, 0);
    for message in fetched {
        let record = Record::of(&message);
        records += 1;
        bytes += record.bytes() as u64;
        match rows.push(&record) {
            Taken::Row => {}
            Taken::Tombstone => tombstones += 1,
            Taken::Rejected(reasons) => rejected.push(BadRow {
                source: topic.to_owned(),
                partition: message.partition(),
                position: message.offset(),
                reasons,
                raw: message.payload().unwrap_or_default().to_vec(),
                metadata: record.metadata(),
                replay_of: None,
            }),
        }
        last.insert(message.partition(), message);
    }
    Ok(Made { rows: rows.take()?, rejected, tombstones, records, bytes, last })
}
