//! What a running try can see and reach.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;
use subak_core::letter::Letter;
use tokio_util::sync::CancellationToken;

use crate::{
    Connection, DatasetRef, DatasetStats, FileAccess, Pipeline, RecordBatchStream, TaskError,
    Topics,
};

/// Which try this is, in words that outside systems keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    /// Id of this installation of Subak (a UUID).
    pub installation: String,
    pub dag_id: String,
    pub run_id: String,
    /// The run's UUID.
    pub run_uuid: String,
    pub task_id: String,
    /// -1: not mapped.
    pub map_index: i32,
    pub try_number: u32,
    /// How often the task was cleared; part of the key of a load.
    pub resets: u32,
    /// Whoever cleared it wants rows that are appended to be appended once more.
    pub load_again: bool,
}

/// Everything that a try may use. Cheap to clone.
#[derive(Clone)]
pub struct TaskContext {
    pub identity: Arc<TaskIdentity>,
    /// Cancelled when the try is to end: by a user, a timeout, a lost lease.
    pub cancel: CancellationToken,
    /// Cancelled when a try that runs until it is stopped is to end well at its next checkpoint: its
    /// worker drains, its DAG has a newer version or was paused.
    pub yields: CancellationToken,
    /// The DAG is `@continuous`: it runs again as soon as this run has ended, so that the task may
    /// wait for what it works on as long as it takes.
    pub is_continuous: bool,
    /// The slot that it takes at its worker.
    pub slot: Arc<dyn Slot>,
    pub log: Arc<dyn LogSink>,
    pub progress: Arc<dyn ProgressSink>,
    pub state: Arc<dyn StateStore>,
    pub dead_letters: Arc<dyn DeadLetterSink>,
    pub datasets: Arc<dyn DatasetReader>,
    /// Topics that it feeds.
    pub topics: Arc<dyn Topics>,
    pub processes: Arc<dyn ProcessGroups>,
    /// Those that the task names, by id.
    pub connections: Arc<BTreeMap<String, Connection>>,
    /// Where paths of its parameters may lead.
    pub files: Arc<FileAccess>,
    /// A private folder of this try, dropped when it ends.
    pub scratch: PathBuf,
    /// Where this task's dataset goes: an object store URL ending in `/`, of this try alone.
    pub storage: String,
    /// Rows of other tasks' scans, where this try counts them.
    pub counts: Arc<ScanCounts>,
    /// Ranges and ledgers, of tasks between a topic and its sinks.
    pub pipeline: Arc<Pipeline>,
    /// Bytes that the try may hold before it spills or refuses to grow.
    pub memory_bytes: usize,
    /// Values of `env:` and of the DAG's context for processes.
    pub env: Arc<BTreeMap<String, String>>,
}

impl TaskContext {
    /// Writes a line into the try's log.
    pub fn log(&self, line: impl AsRef<str>) {
        self.log.line(line.as_ref());
    }

    /// Awaits something outside without holding a slot meanwhile.
    pub async fn without_slot<T>(&self, waiting: impl Future<Output = T>) -> T {
        struct Left<'a>(&'a dyn Slot);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.take();
            }
        }
        self.slot.leave();
        let _left = Left(&*self.slot);
        waiting.await
    }

    /// Returns a connection that the task names, or the error to show.
    pub fn connection(&self, id: &str) -> Result<&Connection, TaskError> {
        self.connections.get(id).ok_or_else(|| {
            TaskError::permanent(format!(
                "connection `{id}` does not exist: add it with `subak connections add {id}`"
            ))
        })
    }
}

/// The slot of a try. Another try may have it while this one waits; afterwards there may be one more
/// than the worker has slots, for a moment.
pub trait Slot: Send + Sync {
    /// Gives it back for a while.
    fn leave(&self);
    /// Has it again.
    fn take(&self);
}

/// The slot of a try that nobody counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Uncounted;

impl Slot for Uncounted {
    fn leave(&self) {}
    fn take(&self) {}
}

/// Rows of scans that a try has counted, because it read them from beginning to end: what a scan's
/// own task could not know. By the dataset's name, which is its task's.
#[derive(Debug, Default)]
pub struct ScanCounts(Mutex<BTreeMap<String, u64>>);

impl ScanCounts {
    /// Notes the rows of a whole scan.
    pub fn note(&self, dataset: &str, rows: u64) {
        self.lock().insert(dataset.to_owned(), rows);
    }

    /// Returns what was noted.
    pub fn noted(&self) -> BTreeMap<String, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The try's log. Lines are masked, numbered and shipped behind it; never blocks for long.
pub trait LogSink: Send + Sync {
    /// Adds one line.
    fn line(&self, line: &str);
    /// Adds raw output of a process; lines may be split over calls, bytes need not be UTF-8. Lines of
    /// different pipes are never mixed.
    fn bytes(&self, pipe: Pipe, bytes: &[u8]);
    /// Waits until memory allows more output; who writes much calls it in between.
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// One of a process's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    Stdout,
    Stderr,
}

/// Shows how far a try is, in the log's stead for numbers that change.
pub trait ProgressSink: Send + Sync {
    /// Replaces what was said before; `note` is a few words.
    fn progress(&self, rows: u64, bytes: u64, note: &str);
}

/// A small store of JSON values that belongs to the task and outlives its tries and runs.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Returns the value of a key.
    async fn get(&self, key: &str) -> Result<Option<Value>, TaskError>;
    /// Sets the value of a key.
    async fn put(&self, key: &str, value: &Value) -> Result<(), TaskError>;
    /// Removes a key.
    async fn delete(&self, key: &str) -> Result<(), TaskError>;
}

/// A rejected record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadRow {
    /// The topic or file.
    pub source: String,
    /// 0 for a file.
    pub partition: i32,
    /// The offset, or the line (from 1).
    pub position: i64,
    pub reasons: Vec<String>,
    pub raw: Vec<u8>,
    /// What is needed besides to take the record again; null: nothing.
    pub metadata: Value,
    /// The dead letter that the record was until now.
    pub replay_of: Option<i64>,
}

impl BadRow {
    /// A dead letter that was taken again, and rejected again.
    #[must_use]
    pub fn again(letter: Letter, reasons: Vec<String>) -> Self {
        Self {
            source: letter.source,
            partition: letter.partition,
            position: letter.position,
            reasons,
            raw: letter.raw,
            metadata: letter.metadata,
            replay_of: Some(letter.id),
        }
    }
}

/// Takes rejected records; they become visible when the try's result is accepted.
#[async_trait]
pub trait DeadLetterSink: Send + Sync {
    /// Keeps them; returns once they are on their way and memory allows more.
    async fn send(&self, rows: Vec<BadRow>) -> Result<(), TaskError>;
}

/// Opens datasets of other tasks, and makes the try's own; the worker injects the one that knows files
/// and formats.
#[async_trait]
pub trait DatasetReader: Send + Sync {
    /// Reads a dataset from its beginning; `columns` names those wanted, in their order (`None`: all).
    async fn read(
        &self,
        dataset: &DatasetRef,
        columns: Option<&[String]>,
        ctx: &TaskContext,
    ) -> Result<RecordBatchStream, TaskError>;

    /// Begins the dataset of this try.
    fn writer(
        &self,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Box<dyn DatasetWriter>, TaskError>;
}

/// Writes a dataset batch by batch. Blocks.
pub trait DatasetWriter: Send {
    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TaskError>;
    /// Puts the dataset on disk and describes it.
    fn finish(
        self: Box<Self>,
        provenance: Vec<Value>,
    ) -> Result<(DatasetRef, DatasetStats), TaskError>;
}

/// Knows the process groups that the worker's keeper ends if the worker dies.
pub trait ProcessGroups: Send + Sync {
    /// A group leader was started: it and its group end with the worker.
    fn started(&self, pgid: i32);
    /// The group has ended.
    fn ended(&self, pgid: i32);
}
