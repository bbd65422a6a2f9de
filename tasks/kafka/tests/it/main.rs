//! The operators on Kafka against a real broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod probe;
mod secured;
mod topics;
