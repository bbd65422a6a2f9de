//! From a topic to a table, by the real product on a real broker: each record once.

mod formats;
mod kills;
mod loads;
mod produce;
mod refused;
mod replays;
mod topics;
mod world;
