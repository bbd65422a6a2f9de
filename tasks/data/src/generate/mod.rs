//! Data of known shape, for a first run, tests and benchmarks.

mod retail;

pub use retail::{RETAIL_ROWS, retail};
