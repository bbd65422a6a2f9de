//! The worker: takes tries from the servers over one gRPC stream, runs them, ships their logs and
//! reports their ends.
//!
//! It holds no metadata credentials and sees only the connections that its tries name. It survives a
//! server's absence shorter than its lease and loses nothing; if it is longer, it ends what runs.
//! What an operator does is the business of `tasks/*`, except for those that start a process.

mod clock;
mod config;
mod exports;
mod host;
pub mod keeper;
mod large;
mod ledgers;
pub mod local;
mod local_ranges;
mod log;
mod operators;
mod registry;
mod requests;
mod session;
mod spool;
mod state_folder;
mod tries;
mod worker;

pub use config::{Config, ConfigError, FEEDS_AT_ONCE, Queue};
pub use exports::LetterSink;
pub use requests::{probe, topic, topics};
pub use subak_task::ExportedLetter;
pub use subak_tasks_kafka::{MOCK_KAFKA, MockKafka};
pub use worker::Worker;

// Data of known shape, for a first run: the command line sees no task crate itself.
pub use subak_tasks_feed::generate;
