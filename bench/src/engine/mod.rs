//! Measures the engine: separate server, worker and PostgreSQL processes, fsync on, shipped defaults.
//!
//! A hop is the end of one task's function to the start of the next one's. What is measured is the cycle
//! of a chain of tasks of no length, hand-over to hand-over on the database's clock: the hop and the
//! function itself, a few microseconds, so it is never less than the hop.

mod actions;
mod measure;
mod report;
mod stack;
mod watched;

pub use measure::{Sizes, measure, measure_watched};
pub use report::Row;
pub use stack::Stack;
