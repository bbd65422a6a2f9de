//! CSV files as datasets: their columns inferred, their chunks parsed in parallel.

pub(crate) mod infer;
pub(crate) mod scan;
pub(crate) mod whole;
