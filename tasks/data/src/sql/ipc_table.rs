//! Arrow IPC files as a table. Its rows are in order, those of a partition before those of the next.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;

use crate::dataset::ipc;
use crate::error::DataError;

/// Files of one schema.
#[derive(Debug)]
pub(crate) struct IpcTable {
    files: Arc<Vec<PathBuf>>,
    schema: SchemaRef,
}

impl IpcTable {
    pub(crate) fn new(files: Vec<PathBuf>, schema: SchemaRef) -> Self {
        Self { files: Arc::new(files), schema }
    }

    /// How many batches the files have.
    fn batches(&self) -> Result<usize, DataError> {
        let counts = self.files.iter().map(|path| Ok(ipc::open(path, Vec::new())?.num_batches()));
        counts.sum()
    }
}

#[async_trait::async_trait]
impl TableProvider for IpcTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let places =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema: SchemaRef = Arc::new(self.schema.project(&places)?);
        let batches = self.batches()?;
        let count = state.config().target_partitions();
        let partitions = (0..count)
            .map(|number| {
                let partition = Partition {
                    files: Arc::clone(&self.files),
                    places: places.clone(),
                    schema: Arc::clone(&schema),
                    batches: batches * number / count..batches * (number + 1) / count,
                };
                Arc::new(partition) as _
            })
            .collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

/// Batches that follow one another.
#[derive(Debug)]
struct Partition {
    files: Arc<Vec<PathBuf>>,
    places: Vec<usize>,
    schema: SchemaRef,
    /// Counted over all files.
    batches: Range<usize>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut sorted = self.places.clone();
        sorted.sort_unstable();
        let mut reading = Reading {
            files: Arc::clone(&self.files),
            order: self
                .places
                .iter()
                .filter_map(|place| sorted.binary_search(place).ok())
                .collect(),
            sorted,
            current: None,
            next_file: 0,
            before: self.batches.start,
            left: self.batches.len(),
        };
        let batches =
            std::iter::from_fn(move || reading.next().map_err(DataFusionError::from).transpose());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

/// A partition being read.
struct Reading {
    files: Arc<Vec<PathBuf>>,
    sorted: Vec<usize>,
    /// From the files' order of columns to the wanted one.
    order: Vec<usize>,
    current: Option<FileReader<File>>,
    next_file: usize,
    /// Batches of files not opened yet that are another partition's.
    before: usize,
    /// Batches still to come.
    left: usize,
}

impl Reading {
    fn next(&mut self) -> Result<Option<RecordBatch>, DataError> {
        while self.left > 0 {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                self.left -= 1;
                return Ok(Some(batch?.project(&self.order)?));
            }
            let Some(path) = self.files.get(self.next_file) else { break };
            self.next_file += 1;
            let mut file = ipc::open(path, self.sorted.clone())?;
            let skipped = self.before.min(file.num_batches());
            self.before -= skipped;
            self.current = if skipped < file.num_batches() {
                file.set_index(skipped)?;
                Some(file)
            } else {
                None
            };
        }
        Ok(None)
    }
}
