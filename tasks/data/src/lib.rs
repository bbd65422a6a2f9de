//! Operators over files and datasets: CSV, Parquet, and SQL by DataFusion.
//!
//! A dataset is either a scan of files where they lie, or Arrow IPC files that a task wrote. Other
//! crates reach datasets only through [`reader`].

mod csv;
mod dataset;
mod error;
mod location;
mod operators;
mod runtime;
mod sql;
mod staged;
mod suggest;
mod validate;

use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::Value;
use subak_task::{DatasetReader, DatasetRef, ErasedOperator, FileAccess, Source, TaskError};

/// Returns the operators of this crate.
#[must_use]
pub fn operators() -> Vec<Arc<dyn ErasedOperator>> {
    vec![
        Arc::new(operators::csv_read::CsvReader),
        Arc::new(operators::csv_write::CsvWriter),
        Arc::new(operators::files_list::FilesLister),
        Arc::new(operators::parquet_read::ParquetReader),
        Arc::new(operators::parquet_write::ParquetWriter),
        Arc::new(operators::sql_transform::Aggregate),
        Arc::new(operators::sql_transform::Transform),
        Arc::new(operators::validate::Validator),
    ]
}

/// Returns the reader of datasets that the worker hands to every try.
#[must_use]
pub fn reader() -> Arc<dyn DatasetReader> {
    Arc::new(dataset::reader::Reader)
}

/// The folder of a storage URL, where it is one.
#[must_use]
pub fn storage_folder(url: &str) -> Option<PathBuf> {
    location::to_path(url).ok()
}

/// Reads all rows of a small dataset, as JSON objects; one that has more than `most`, or `most_bytes` of
/// them, is an error.
pub async fn rows(
    dataset: &DatasetRef,
    most: usize,
    most_bytes: usize,
) -> Result<Vec<Value>, TaskError> {
    /// Rows that are looked at together.
    const SLICE: usize = 1_000;
    let too_large = |what: String| TaskError::permanent(format!("it has more than {what}"));
    let mut stream = dataset::reader::open(dataset, None, None)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.batches.try_next().await? {
        for first in (0..batch.num_rows()).step_by(SLICE) {
            let slice = batch.slice(first, SLICE.min(batch.num_rows() - first));
            let rows = dataset::statistics::json_rows(&[slice])?;
            bytes += rows.iter().map(|row| row.to_string().len() + 1).sum::<usize>();
            found.extend(rows);
            if found.len() > most {
                return Err(too_large(format!("{most} rows")));
            }
            if bytes > most_bytes {
                return Err(too_large(format!("{} MiB of rows", most_bytes >> 20)));
            }
        }
    }
    Ok(found)
}

/// Reads the first rows of a dataset, as JSON objects; its files must be where `access` leads.
pub async fn preview(
    dataset: &DatasetRef,
    rows: usize,
    access: &FileAccess,
) -> Result<Vec<Value>, TaskError> {
    let (Source::Ipc { urls } | Source::Parquet { urls } | Source::Csv { urls, .. }) =
        &dataset.source;
    for url in urls {
        location::permitted(url, access)?;
    }
    let mut stream = dataset::reader::open(dataset, None, None)?;
    let mut batches = Vec::new();
    let mut missing = rows;
    while missing > 0
        && let Some(batch) = stream.batches.try_next().await?
    {
        let taken = missing.min(batch.num_rows());
        batches.push(batch.slice(0, taken));
        missing -= taken;
    }
    Ok(dataset::statistics::json_rows(&batches)?)
}
