//! The engine and the router on a real PostgreSQL, driven by workers in the same process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod chain;
mod gateway;
mod surface;
mod world;
