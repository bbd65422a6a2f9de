//! One file of a dataset being written on a thread of its own, while the next rows are computed.

use arrow::array::RecordBatch;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::ipc::PartWriter;
use crate::error::DataError;

/// Batches that wait to be written.
const AHEAD: usize = 2;

/// Ended by [`Self::ended`], also after an error: what has failed changes no file any more once that is
/// said.
pub(crate) struct Writing {
    batches: Sender<RecordBatch>,
    thread: JoinHandle<Result<PartWriter, DataError>>,
}

impl Writing {
    pub(crate) fn new(mut writer: PartWriter) -> Self {
        let (sender, mut batches) = channel(AHEAD);
        let thread = spawn_blocking(move || {
            while let Some(batch) = batches.blocking_recv() {
                writer.write(&batch)?;
            }
            Ok(writer)
        });
        Self { batches: sender, thread }
    }

    /// Hands a batch over; `false`: a write has failed, and [`Self::ended`] says how.
    pub(crate) async fn write(&self, batch: RecordBatch) -> bool {
        self.batches.send(batch).await.is_ok()
    }

    /// Waits until all that was handed over is written. The file is not finished: what filled it may
    /// have failed.
    pub(crate) async fn ended(self) -> Result<PartWriter, DataError> {
        drop(self.batches);
        self.thread
            .await
            .map_err(|error| DataError::permanent(format!("writing failed: {error}")))?
    }
}
