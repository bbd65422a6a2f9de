//! SQL over datasets: DataFusion, with the datasets as tables.

pub(crate) mod explain;
pub(crate) mod first_row;
pub(crate) mod ipc_table;
pub(crate) mod path;
pub(crate) mod physical;
pub(crate) mod query;
mod steps;
pub(crate) mod tables;
pub(crate) mod texts;
pub(crate) mod types;
