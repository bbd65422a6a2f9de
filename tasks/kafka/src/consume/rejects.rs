//! Records that do not fit: an error, or logged, counted, and kept as dead letters where asked.

use subak_core::operators::data::OnBadRow;
use subak_task::{BadRow, TaskError};
use tokio::runtime::Handle;

use super::Consume;

/// Rejected records that are logged one by one, sent at once, and their bytes.
const LOGGED: u64 = 10;
const SENT_AT_ONCE: usize = 500;
const SENT_BYTES: usize = 1 << 20;

/// The rejected records of a try.
pub(super) struct Rejects<'a> {
    consume: &'a Consume,
    handle: Handle,
    letters: Vec<BadRow>,
    bytes: usize,
    pub(super) count: u64,
}

impl<'a> Rejects<'a> {
    pub(super) fn new(consume: &'a Consume, handle: Handle) -> Self {
        Self { consume, handle, letters: Vec::new(), bytes: 0, count: 0 }
    }

    /// Takes a record; fails if there may be none. Blocks.
    pub(super) fn take(&mut self, row: BadRow) -> Result<(), TaskError> {
        let BadRow { source, partition, position, reasons, .. } = &row;
        let said =
            format!("{source}, partition {partition}, offset {position}: {}", reasons.join("; "));
        let choice = self.consume.params.on_bad_record;
        if choice == OnBadRow::Fail {
            return Err(TaskError::permanent(format!(
                "{said}; correct the producer, or set on_bad_record to skip or dead_letter"
            )));
        }
        self.count += 1;
        match self.count {
            ..=LOGGED => self.consume.ctx.log(said),
            count if count == LOGGED + 1 => {
                self.consume.ctx.log("more bad records follow; they are counted");
            }
            _ => {}
        }
        if choice == OnBadRow::DeadLetter {
            self.bytes += row.raw.len();
            self.letters.push(row);
            if self.letters.len() >= SENT_AT_ONCE || self.bytes >= SENT_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Sends what is not sent yet. Blocks.
    pub(super) fn send(&mut self) -> Result<(), TaskError> {
        self.bytes = 0;
        let letters = std::mem::take(&mut self.letters);
        if letters.is_empty() {
            return Ok(());
        }
        let sending = self.consume.ctx.dead_letters.send(letters);
        let sent = self.handle.block_on(self.consume.ctx.cancel.run_until_cancelled(sending));
        sent.unwrap_or_else(|| Err(TaskError::cancelled()))
    }
}
