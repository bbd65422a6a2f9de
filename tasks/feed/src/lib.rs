//! Operators that feed topics: `http.poll` asks an API, `generate` makes records of a known shape.
//!
//! How records reach brokers is the business of `tasks/kafka`, which the worker injects.

pub mod generate;
mod life;
mod path;
mod poll;

use std::sync::Arc;

use subak_task::ErasedOperator;

/// Returns the operators of this crate.
#[must_use]
pub fn operators() -> Vec<Arc<dyn ErasedOperator>> {
    vec![Arc::new(generate::GenerateOperator), Arc::new(poll::HttpPollOperator)]
}
