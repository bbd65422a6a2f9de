//! The metadata database: every query on it, and its migrations. Nothing else holds SQL on metadata.
//! What is too large for it (the rest of large logs) lies under the storage URL, behind the same calls.

pub mod access;
mod assets;
mod audit;
mod connect;
mod connections;
mod dag_removal;
mod dags;
pub mod engine;
mod error;
mod letter_ends;
mod log_append;
pub mod mutation;
mod news;
mod notifications;
mod partitions;
mod pools;
mod range_life;
mod ranges;
pub mod read;
mod replays;
mod results;
mod retention;
mod runs;
mod schedule;
mod sessions;
mod statement;
mod storage;
mod timers;
mod upkeep;
mod variables;

pub use access::PasswordProblem;
pub use assets::NewAssetEvent;
pub use audit::{Audit, AuditFilter, AuditOrder, AuditText, NewAudit};
pub use connect::{PoolUse, Store};
pub use connections::{ConnectionError, ConnectionHead, EncryptionKey, Sealed};
pub use dag_removal::Kept;
pub use dags::{DagHead, DagVersion, NewVersion, SavedVersion};
pub use error::StoreError;
pub use news::{News, NewsListener};
pub use notifications::{NewNotification, Notification};
pub use pools::Pool;
pub use range_life::PastRange;
pub use replays::{LetterGroup, NewReplay, NotReplayable};
pub use results::{NewDataset, NewDeadLetter, NewLogChunk, NewScanCount, NewXCom, XComRow};
pub use runs::{RunFacts, SuccessfulRun};
pub use schedule::LockedSchedule;
pub use sessions::{NewSession, Renewed, SessionTry, TryToStop, WorkerRow, leases_renew};
pub use statement::{Reads, Statement, every_statement};
pub use storage::{Storage, StorageError};
pub use timers::{NextDue, OutboxRow};
pub use upkeep::Strain;
pub use variables::{ListedVariable, Variable, VariableOrder};

/// The schema, embedded.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
