//! Datasets: how they are written, described and read again.

pub(crate) mod ipc;
mod own;
pub(crate) mod parquet;
pub(crate) mod plain;
pub(crate) mod reader;
pub(crate) mod reference;
pub(crate) mod sketch;
pub(crate) mod statistics;
pub(crate) mod writing;
