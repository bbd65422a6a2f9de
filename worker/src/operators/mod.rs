//! The operators that are the worker's own: those that start a process, those that decide what runs
//! below them, and the one that does nothing.

mod bash;
mod flow;
mod noop;
mod process;
mod python;

pub(crate) use bash::BashOperator;
pub(crate) use flow::{BranchOperator, LatestOnlyOperator, ShortCircuitOperator};
pub(crate) use noop::Noop;
pub(crate) use python::PythonOperator;
