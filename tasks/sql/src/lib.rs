//! Operators on PostgreSQL: `sql` and `postgres.load`.
//!
//! It owns the way from a connection to a session, from SQL's values to JSON and from Arrow to binary
//! COPY, and the ledger that makes a load happen once. It never sees the metadata database.

mod copy;
mod export;
mod failure;
mod ledgers;
mod load;
mod name;
mod session;
mod statement;
mod target;

use std::sync::Arc;

use serde_json::{Value, json};
use subak_task::{Connection, ErasedOperator, Ledgers, TaskError};

pub use crate::export::LetterTable;
use crate::session::Session;
use crate::target::Target;

/// Returns this crate's operators.
#[must_use]
pub fn operators() -> Vec<Arc<dyn ErasedOperator>> {
    vec![Arc::new(statement::SqlOperator), Arc::new(load::PostgresLoadOperator)]
}

/// Returns what reads the ledgers of this crate's loads.
#[must_use]
pub fn ledgers() -> Arc<dyn Ledgers> {
    Arc::new(ledgers::PostgresLedgers)
}

/// Connects and asks for the server's version: "test connection" of the UI and the CLI.
pub async fn probe(connection: &Connection) -> Result<Value, TaskError> {
    let target = Target::new("", connection)?;
    let mut session = Session::open(&target).await?;
    let (version, database, user): (String, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version'), current_database()::text, current_user::text",
    )
    .fetch_one(&mut session.db)
    .await
    .map_err(|error| target.failure(error))?;
    Ok(json!({ "server": "PostgreSQL", "version": version, "database": database, "user": user }))
}
