//! Ends what a worker started when the worker itself is gone.
//!
//! A worker that is killed with KILL can end nothing. So each worker has one *keeper*: a small
//! process in a group of its own that reads from a pipe which groups live, and kills them when the
//! pipe ends. A process that left its group, or one started in the very instant of the worker's
//! death, is found by the mark in its environment. The death signal of `prctl` would reach direct
//! children only, and would cost every spawn a fork.
//!
//! The keeper also holds the lock on the worker's state folder: who gets the lock knows that every
//! process of the former worker is dead.

mod client;
mod process;

pub(crate) use client::Keeper;
pub use process::main;

/// The environment variable that marks every process of a worker.
pub(crate) const MARK: &str = "SUBAK_KEEPER";
