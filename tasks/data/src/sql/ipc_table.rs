//! Arrow IPC files as a table. With one partition its rows are in order.

use std::fs::File;
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
        let count = state.config().target_partitions();
        let partitions = (0..count)
            .map(|number| {
                let partition = Partition {
                    files: Arc::clone(&self.files),
                    places: places.clone(),
                    schema: Arc::clone(&schema),
                    number,
                    count,
                };
                Arc::new(partition) as _
            })
            .collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

/// Every `count`th batch of each file.
#[derive(Debug)]
struct Partition {
    files: Arc<Vec<PathBuf>>,
    places: Vec<usize>,
    schema: SchemaRef,
    number: usize,
    count: usize,
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
            number: self.number,
            count: self.count,
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
    /// The open file and its next batch.
    current: Option<(FileReader<File>, usize)>,
    next_file: usize,
    number: usize,
    count: usize,
}

impl Reading {
    fn next(&mut self) -> Result<Option<RecordBatch>, DataError> {
        loop {
            if let Some((file, index)) = &mut self.current
                && *index < file.num_batches()
            {
                file.set_index(*index)?;
                *index += self.count;
                if let Some(batch) = file.next() {
                    return Ok(Some(batch?.project(&self.order)?));
                }
            }
            let Some(path) = self.files.get(self.next_file) else { return Ok(None) };
            self.next_file += 1;
            self.current = Some((ipc::open(path, self.sorted.clone())?, self.number));
        }
    }
}
