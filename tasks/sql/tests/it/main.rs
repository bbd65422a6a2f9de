//! The operators against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod exactly_once;
mod failures;
mod faults;
mod load;
mod nested;
mod proxy;
mod rate;
mod rejected;
mod sql;
mod support;
mod types;
