//! Reads CSV files in parallel: as a table of DataFusion, or in order as a stream.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use subak_tasks_csv::{Chunk, CsvOptions, Layout, OnBad, Parsed, Parser, Splitter};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use super::whole::{Tally, Whole};
use crate::error::DataError;
use crate::runtime::{runtime, threads};

/// Bytes of a chunk: small enough to stay in a core's cache from reading to parsing.
const CHUNK_BYTES: usize = 512 << 10;

/// How much was read.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
}

impl Counters {
    fn add(&self, chunk: &Chunk, parsed: &Parsed) {
        let rows: usize = parsed.batches.iter().map(RecordBatch::num_rows).sum();
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(chunk.bytes().len() as u64, Ordering::Relaxed);
    }
}

/// Files and how they are read.
#[derive(Debug, Clone)]
pub(crate) struct CsvFiles {
    pub files: Vec<PathBuf>,
    pub layout: Arc<Layout>,
    pub counters: Arc<Counters>,
    /// Whom to tell how many rows the files have, once all of them were read.
    pub whole: Option<Whole>,
}

impl CsvFiles {
    fn splitter(&self) -> Splitter {
        Splitter::new(self.files.clone(), self.layout.dialect, self.layout.header, CHUNK_BYTES)
    }

    /// Reads the files in order, parsing on all threads.
    pub(crate) fn in_order(
        self,
        on_bad: OnBad,
    ) -> Result<impl Stream<Item = Result<Parsed, DataError>> + Send, DataError> {
        let (sender, receiver) = mpsc::channel(1);
        let reading = AbortOnDropHandle::new(runtime()?.spawn(async move {
            if let Err(error) = read_in_order(self, on_bad, &sender).await {
                // A reader that is gone needs no error.
                let _ = sender.send(Err(error)).await;
            }
        }));
        Ok(ReceiverStream::new(receiver).map(move |parsed| {
            let _ended_with_the_stream = &reading;
            parsed
        }))
    }
}

/// Sends parsed chunks; as many are parsed at once as there are threads.
async fn read_in_order(
    files: CsvFiles,
    on_bad: OnBad,
    sender: &mpsc::Sender<Result<Parsed, DataError>>,
) -> Result<(), DataError> {
    let mut splitter = files.splitter();
    let tally = Arc::new(Tally::new(files.whole.clone()));
    let mut parsing = VecDeque::new();
    let mut spare: Vec<Chunk> = Vec::new();
    loop {
        let mut chunk = spare.pop().unwrap_or_default();
        let more = splitter.next(&mut chunk)?;
        if more {
            tally.given();
            let (files, tally) = (files.clone(), Arc::clone(&tally));
            parsing.push_back(AbortOnDropHandle::new(runtime()?.spawn(async move {
                let parsed = Parser::new(Arc::clone(&files.layout), on_bad).parse(&chunk)?;
                files.counters.add(&chunk, &parsed);
                tally.parsed(&parsed);
                Ok::<_, DataError>((chunk, parsed))
            })));
        }
        while !parsing.is_empty() && (!more || parsing.len() > threads()) {
            let Some(handle) = parsing.pop_front() else { break };
            let (chunk, parsed) = handle
                .await
                .map_err(|error| DataError::permanent(format!("parsing failed: {error}")))??;
            spare.push(chunk);
            if sender.send(Ok(parsed)).await.is_err() {
                return Ok(());
            }
        }
        if !more {
            tally.ended();
            return Ok(());
        }
    }
}

/// CSV files as a table. With one partition its rows are in order.
#[derive(Debug)]
pub(crate) struct CsvTable {
    pub files: Vec<PathBuf>,
    pub options: CsvOptions,
    pub schema: SchemaRef,
    pub counters: Arc<Counters>,
    pub whole: Option<Whole>,
}

#[async_trait::async_trait]
impl TableProvider for CsvTable {
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
        let layout =
            Arc::new(self.options.layout(projection.map(Vec::as_slice)).map_err(DataError::from)?);
        let schema = Arc::clone(&layout.schema);
        let files = CsvFiles {
            files: self.files.clone(),
            layout,
            counters: Arc::clone(&self.counters),
            whole: self.whole.clone(),
        };
        let partitions: Vec<Arc<dyn PartitionStream>> = match state.config().target_partitions() {
            1 => vec![Arc::new(InOrder(files))],
            count => {
                let shared = Arc::new(Shared { files, executions: Mutex::default() });
                (0..count).map(|_| Arc::new(Partition::new(&shared)) as _).collect()
            }
        };
        let plan = StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// All rows, in order.
#[derive(Debug)]
struct InOrder(CsvFiles);

impl PartitionStream for InOrder {
    fn schema(&self) -> &SchemaRef {
        &self.0.layout.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.0.layout.schema);
        let batches = match self.0.clone().in_order(OnBad::Fail) {
            Ok(parsed) => batches(parsed).map_err(DataFusionError::from).boxed(),
            Err(error) => stream::iter([Err(error.into())]).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// Flattens chunks into their batches.
pub(crate) fn batches(
    parsed: impl Stream<Item = Result<Parsed, DataError>> + Send,
) -> impl Stream<Item = Result<RecordBatch, DataError>> + Send {
    parsed.map_ok(|parsed| stream::iter(parsed.batches.into_iter().map(Ok))).try_flatten()
}

/// What the partitions of one table share.
#[derive(Debug)]
struct Shared {
    files: CsvFiles,
    /// One splitter for each time that the plan is executed.
    executions: Mutex<Vec<SharedSplitter>>,
}

type SharedSplitter = Arc<(Mutex<Splitter>, Tally)>;

impl Shared {
    fn splitter(&self, execution: usize) -> SharedSplitter {
        let mut executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        while executions.len() <= execution {
            let tally = Tally::new(self.files.whole.clone());
            executions.push(Arc::new((Mutex::new(self.files.splitter()), tally)));
        }
        Arc::clone(&executions[execution])
    }
}

/// One of several that take chunks in turn.
#[derive(Debug)]
struct Partition {
    shared: Arc<Shared>,
    executed: AtomicUsize,
}

impl Partition {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), executed: AtomicUsize::new(0) }
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.shared.files.layout.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let files = self.shared.files.clone();
        let schema = Arc::clone(&files.layout.schema);
        let mut reading = Reading {
            splitter: self.shared.splitter(self.executed.fetch_add(1, Ordering::Relaxed)),
            parser: Parser::new(Arc::clone(&files.layout), OnBad::Fail),
            chunk: Chunk::default(),
            pending: Vec::new().into_iter(),
            counters: files.counters,
        };
        let batches =
            std::iter::from_fn(move || reading.next().map_err(DataFusionError::from).transpose());
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

/// A partition being read.
struct Reading {
    splitter: SharedSplitter,
    parser: Parser,
    chunk: Chunk,
    pending: std::vec::IntoIter<RecordBatch>,
    counters: Arc<Counters>,
}

impl Reading {
    fn next(&mut self) -> Result<Option<RecordBatch>, DataError> {
        loop {
            if let Some(batch) = self.pending.next() {
                return Ok(Some(batch));
            }
            let (splitter, tally) = &*self.splitter;
            {
                let mut splitter = splitter.lock().unwrap_or_else(PoisonError::into_inner);
                if !splitter.next(&mut self.chunk)? {
                    tally.ended();
                    return Ok(None);
                }
                // Under the lock: nobody may see the end before this chunk is known.
                tally.given();
            }
            let parsed = self.parser.parse(&self.chunk)?;
            self.counters.add(&self.chunk, &parsed);
            tally.parsed(&parsed);
            self.pending = parsed.batches.into_iter();
        }
    }
}
