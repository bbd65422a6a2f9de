//! The operators, run as a worker runs them, on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod bad_rows;
mod cleaning;
mod context;
mod queries;
mod retail;
mod validating;
mod writing;
