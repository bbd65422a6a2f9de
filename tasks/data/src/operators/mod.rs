//! The operators of this crate, one file each.

mod csv_copy;
pub(crate) mod csv_read;
pub(crate) mod csv_write;
pub(crate) mod parquet_read;
pub(crate) mod parquet_write;
mod rejected;
pub(crate) mod sql_transform;
pub(crate) mod validate;

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use subak_task::{DatasetRef, RecordBatchStream, ScanCounts};

use crate::dataset::reader;
use crate::error::DataError;

/// A file that batches are written to, one after the other.
trait BatchWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), DataError>;
    /// Puts the file in its place; returns its size in bytes.
    fn finish(self: Box<Self>) -> Result<u64, DataError>;
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
