//! The operators that are the worker's own: those that start a process, and the one that does
//! nothing.

mod bash;
mod noop;
mod process;
mod python;

pub(crate) use bash::BashOperator;
pub(crate) use noop::Noop;
pub(crate) use python::PythonOperator;
