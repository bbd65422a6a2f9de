//! SQL over datasets: DataFusion, with the datasets as tables.

pub(crate) mod explain;
pub(crate) mod ipc_table;
pub(crate) mod query;
pub(crate) mod tables;
