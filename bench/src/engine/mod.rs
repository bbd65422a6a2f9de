//! Measures the engine: separate server, worker and PostgreSQL processes, fsync on, shipped defaults.
//!
//! The cycle of a chain of tasks of no length, hand-over to hand-over on the database's clock, is its
//! hop: upstream end to downstream start.

mod measure;
mod report;
mod stack;

pub use measure::{Sizes, measure};
pub use report::Row;
pub use stack::Stack;
