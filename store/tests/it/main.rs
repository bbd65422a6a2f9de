//! Queries on a real PostgreSQL.

#[cfg(test)]
mod plans;
