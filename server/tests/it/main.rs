//! The engine on a real PostgreSQL, driven by workers in the same process.

mod chain;
mod world;
