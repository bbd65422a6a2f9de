//! The operators, run as a worker runs them, on real files.

mod bad_input;
mod bad_rows;
mod context;
mod queries;
mod retail;
mod writing;
