//! Reads any dataset from its beginning, in order.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt, TryStreamExt};
use subak_task::{
    DatasetReader, DatasetRef, DatasetWriter, RecordBatchStream, ScanCounts, Source, TaskContext,
    TaskError,
};
use subak_tasks_csv::{CsvOptions, OnBad};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::own::OwnDataset;
use super::plain::{plain_batch, plain_schema};
use super::{ipc, parquet, reference};
use crate::csv::scan::{self, Counters, CsvFiles};
use crate::csv::whole::Whole;
use crate::error::DataError;
use crate::runtime::runtime;

/// Knows files and formats.
pub(crate) struct Reader;

#[async_trait::async_trait]
impl DatasetReader for Reader {
    async fn read(
        &self,
        dataset: &DatasetRef,
        columns: Option<&[String]>,
        ctx: &TaskContext,
    ) -> Result<RecordBatchStream, TaskError> {
        let mut stream = open(dataset, columns, Some(&ctx.counts))?;
        let cancelled = ctx.cancel.clone().cancelled_owned();
        stream.batches = stream.batches.take_until(cancelled).boxed();
        let cancel = ctx.cancel.clone();
        let ending = futures::stream::iter(std::iter::from_fn(move || {
            cancel.is_cancelled().then(|| Err(TaskError::cancelled()))
        }));
        stream.batches = stream.batches.chain(ending.take(1)).boxed();
        Ok(stream)
    }

    fn writer(
        &self,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Box<dyn DatasetWriter>, TaskError> {
        Ok(Box::new(OwnDataset::new(schema, ctx)?))
    }
}

/// Opens a dataset; `columns` names those wanted, in that order. The rows of a scan that is read to
/// its end are noted in `counts`.
pub(crate) fn open(
    dataset: &DatasetRef,
    columns: Option<&[String]>,
    counts: Option<&Arc<ScanCounts>>,
) -> Result<RecordBatchStream, DataError> {
    match &dataset.source {
        Source::Csv { urls, options } => {
            let options = csv_options(options)?;
            let places = reference::places(&*options.schema()?, columns, &dataset.name)?;
            let files = CsvFiles {
                files: reference::paths(urls)?,
                layout: Arc::new(options.layout(Some(&places))?),
                counters: Arc::new(Counters::default()),
                whole: counts.map(|counts| Whole {
                    dataset: dataset.name.clone(),
                    counts: Arc::clone(counts),
                }),
            };
            let schema = Arc::clone(&files.layout.schema);
            let batches = scan::batches(files.in_order(OnBad::Fail)?);
            Ok(stream(schema, batches))
        }
        Source::Ipc { urls } => {
            files(dataset, columns, urls, |path, places| ipc::open(path, places.to_vec()))
        }
        Source::Parquet { urls } => files(dataset, columns, urls, parquet::read),
    }
}

/// Returns the options of a scan from its reference.
pub(crate) fn csv_options(options: &serde_json::Value) -> Result<CsvOptions, DataError> {
    serde_json::from_value(options.clone())
        .map_err(|error| DataError::permanent(format!("options of a CSV dataset: {error}")))
}

/// Reads files one after the other on a blocking thread; it is two batches ahead at most.
fn files<R>(
    dataset: &DatasetRef,
    columns: Option<&[String]>,
    urls: &[String],
    open: impl Fn(&std::path::Path, &[usize]) -> Result<R, DataError> + Send + 'static,
) -> Result<RecordBatchStream, DataError>
where
    R: Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>>,
{
    let whole = plain_schema(&*reference::schema(dataset)?);
    let places = reference::places(&whole, columns, &dataset.name)?;
    let schema: SchemaRef = Arc::new(whole.project(&places)?);
    // Files give columns in their own order.
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let order: Vec<usize> =
        places.iter().filter_map(|place| sorted.binary_search(place).ok()).collect();
    let sorted_schema: SchemaRef = Arc::new(whole.project(&sorted)?);
    let paths: Vec<PathBuf> = reference::paths(urls)?;
    let (sender, receiver) = mpsc::channel(2);
    runtime()?.spawn_blocking(move || {
        let read = || -> Result<(), DataError> {
            for path in &paths {
                for batch in open(path, &sorted)? {
                    let batch = plain_batch(&batch?, &sorted_schema)?.project(&order)?;
                    if sender.blocking_send(Ok(batch)).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            // A reader that is gone needs no error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok(stream(schema, ReceiverStream::new(receiver)))
}

fn stream(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, DataError>> + Send + 'static,
) -> RecordBatchStream {
    RecordBatchStream { schema, batches: batches.map_err(TaskError::from).boxed() }
}
