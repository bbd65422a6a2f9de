//! Benchmarks, with their baselines beside them.

pub mod engine;
