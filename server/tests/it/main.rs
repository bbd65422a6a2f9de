//! The engine and the router on a real PostgreSQL, driven by workers in the same process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod assets;
mod backfill;
mod cancel;
mod cascade;
mod chain;
mod checks;
mod clear;
mod clients;
mod cron;
mod drain;
mod drained;
mod explain;
mod fair;
mod faults;
mod flow;
mod forged;
mod gateway;
mod hands;
mod large;
mod limits;
mod mark;
mod notices;
mod oidc;
mod outage;
mod past;
mod pause;
mod pools;
mod previews;
mod probes;
mod reaper;
mod refused;
mod retention;
mod retries;
mod schema;
mod silence;
mod surface;
mod timers;
mod topics;
mod upkeep;
mod wide;
mod wire;
mod world;
mod yields;
