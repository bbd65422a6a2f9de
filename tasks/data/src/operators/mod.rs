//! The operators of this crate, one file each.

mod csv_again;
mod csv_copy;
pub(crate) mod csv_read;
pub(crate) mod csv_write;
pub(crate) mod files_list;
pub(crate) mod parquet_read;
pub(crate) mod parquet_write;
pub(crate) mod sql_transform;
pub(crate) mod validate;

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use serde_json::json;
use subak_core::operators::Input;
use subak_task::{
    DatasetRef, RecordBatchStream, ScanCounts, TaskContext, TaskError, TaskIdentity, TaskOutput,
    bytes_text, rows_text,
};

use crate::dataset::{reader, reference};
use crate::error::DataError;
use crate::location::permitted;
use crate::runtime::run;

/// A file that batches are written to, one after the other.
trait BatchWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), DataError>;
    /// Puts the file in its place; returns its size in bytes.
    fn finish(self: Box<Self>) -> Result<u64, DataError>;
}

/// Writes a dataset into one file, replaced whole; `open` begins it.
async fn write_file<W: BatchWriter + 'static>(
    input: &Input,
    path: &str,
    ctx: &TaskContext,
    open: impl FnOnce(&Path, &TaskIdentity, &SchemaRef) -> Result<W, DataError> + Send + 'static,
) -> Result<TaskOutput, TaskError> {
    let dataset = reference::dataset(input)?;
    let path = permitted(path, &ctx.files)?;
    let (target, task) = (path.clone(), Arc::clone(&ctx.identity));
    let counts = Arc::clone(&ctx.counts);
    let (rows, bytes) = run(&ctx.cancel, async move {
        write_dataset(dataset, counts, |stream| Ok(Box::new(open(&target, &task, &stream.schema)?)))
            .await
    })
    .await?;
    let (counted, size) = (rows_text(rows, "row"), bytes_text(bytes));
    ctx.log(format!("{counted} written to {} ({size})", path.display()));
    let value = Some(json!({"path": path, "rows": rows, "bytes": bytes}));
    Ok(TaskOutput { value, ..TaskOutput::default() })
}

/// Writes a whole dataset; returns its rows and the file's bytes.
async fn write_dataset(
    dataset: DatasetRef,
    counts: Arc<ScanCounts>,
    open: impl FnOnce(&RecordBatchStream) -> Result<Box<dyn BatchWriter>, DataError>,
) -> Result<(u64, u64), DataError> {
    let mut stream = reader::open(&dataset, None, Some(&counts))?;
    let mut writer = open(&stream)?;
    let mut rows = 0;
    while let Some(batch) = stream.batches.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    Ok((rows, writer.finish()?))
}
