//! What an operator is: parameters, one async function, and the context it runs in.
//!
//! Retries, timeouts, leases, logs and templates belong to the worker; an operator only says whether
//! an error is transient or permanent.

mod again;
mod connection;
mod context;
mod dataset;
mod error;
mod exported;
mod files;
mod operator;
mod origin;
mod own_bytes;
mod pipeline;
mod rejected;
mod text;
mod topics;
mod turn;

pub use again::{Again, rows_again};
pub use connection::Connection;
pub use context::{
    BadRow, DatasetReader, DatasetWriter, DeadLetterSink, LogSink, Pipe, ProcessGroups,
    ProgressSink, ScanCounts, Slot, StateStore, TaskContext, TaskIdentity, Uncounted,
};
pub use dataset::{Column, ColumnStats, DatasetRef, DatasetStats, RecordBatchStream, Source};
pub use error::{ErrorClass, TaskError};
pub use exported::ExportedLetter;
pub use files::FileAccess;
pub use operator::{ErasedOperator, Operator, TaskOutput};
pub use pipeline::{LedgerTopic, Ledgers, NoPipeline, Pipeline, RangePart, RangeRef, Ranges};
pub use rejected::{Rejected, letters, whole_rows};
pub use subak_core::dag::model::Sink;
pub use text::{bytes_text, rows_text};
pub use topics::{NoTopics, Outgoing, Refused, TopicWriter, Topics};
pub use turn::{LedgerName, Positions};
