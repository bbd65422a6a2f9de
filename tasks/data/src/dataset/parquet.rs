//! Parquet files: their schema and their rows.

use std::fs::File;
use std::path::Path;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::error::DataError;

/// Opens a file and reads its footer.
pub(crate) fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, DataError> {
    let file = File::open(path).map_err(|error| DataError::io("opening", path, error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| not_parquet(path, &error))
}

/// Reads the columns at `places`, which are in the order of the file.
pub(crate) fn read(path: &Path, places: &[usize]) -> Result<ParquetRecordBatchReader, DataError> {
    let builder = open(path)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places.iter().copied());
    builder
        .with_projection(mask)
        .with_batch_size(8192)
        .build()
        .map_err(|error| not_parquet(path, &error))
}

fn not_parquet(path: &Path, error: &ParquetError) -> DataError {
    DataError::permanent(format!("{} is not a readable Parquet file: {error}", path.display()))
}
