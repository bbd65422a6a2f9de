//! What tests are made of: random DAGs, a naive model to hold the engine against, a checker of the
//! database's history, PostgreSQL and Kafka themselves, and the product's processes.
//!
//! Nothing here is part of the product, and the judges share no code with what they judge.

pub mod checker;
pub mod collector;
pub mod dag_gen;
pub mod front;
pub mod kafka;
pub mod model;
pub mod network;
pub mod peek;
pub mod poke;
pub mod postgres;
pub mod settle;
pub mod sinks;
pub mod stack;

pub use postgres::{TestDatabase, database};
