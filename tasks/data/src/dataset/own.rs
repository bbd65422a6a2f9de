//! The dataset of a try whose operator has no formats of its own.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::Value;
use subak_task::{DatasetRef, DatasetStats, DatasetWriter, TaskContext, TaskError};

use super::ipc::{self, PartWriter};
use crate::error::DataError;

/// Batches that wait to be written.
const AHEAD: usize = 2;

/// One file of Arrow IPC, written on a thread of its own: whoever reads a topic waits neither for the
/// disk nor for the statistics.
pub(crate) struct OwnDataset {
    name: String,
    folder: PathBuf,
    schema: SchemaRef,
    batches: Option<SyncSender<RecordBatch>>,
    thread: Option<JoinHandle<Result<PartWriter, DataError>>>,
}

impl OwnDataset {
    pub(crate) fn new(schema: SchemaRef, ctx: &TaskContext) -> Result<Self, DataError> {
        let folder = ipc::folder(ctx)?;
        let part = PartWriter::new(&folder, 0, &schema)?;
        let (sender, batches) = sync_channel(AHEAD);
        let thread = thread::Builder::new()
            .name("dataset".to_owned())
            .spawn(move || write_all(part, &batches))
            .map_err(|error| DataError::permanent(format!("starting a thread: {error}")))?;
        let name = ctx.identity.task_id.clone();
        Ok(Self { name, folder, schema, batches: Some(sender), thread: Some(thread) })
    }

    /// Waits until all that was given is written.
    fn written(&mut self) -> Result<PartWriter, TaskError> {
        self.batches = None;
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(part)) => Ok(part?),
            // It had failed before, and said so.
            None => Err(TaskError::permanent("the dataset could not be written")),
            Some(Err(_)) => Err(TaskError::permanent("writing the dataset panicked")),
        }
    }
}

fn write_all(
    mut part: PartWriter,
    batches: &Receiver<RecordBatch>,
) -> Result<PartWriter, DataError> {
    for batch in batches {
        part.write(&batch)?;
    }
    Ok(part)
}

impl DatasetWriter for OwnDataset {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TaskError> {
        let sent = self.batches.as_ref().map(|batches| batches.send(batch.clone()));
        match sent {
            Some(Ok(())) => Ok(()),
            // Nobody takes it any more: a write has failed.
            _ => self.written().map(drop),
        }
    }

    fn finish(
        mut self: Box<Self>,
        provenance: Vec<Value>,
    ) -> Result<(DatasetRef, DatasetStats), TaskError> {
        let part = self.written()?.finish()?;
        let (mut dataset, stats) =
            ipc::dataset(&self.name, &self.folder, &self.schema, vec![part])?;
        dataset.provenance = provenance;
        Ok((dataset, stats))
    }
}

impl Drop for OwnDataset {
    /// What a try leaves behind does not change any more.
    fn drop(&mut self) {
        let _ = self.written();
    }
}
