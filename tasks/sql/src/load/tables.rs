//! The tables of ledgers: made where they are missing. Where the right to do so is missing, an
//! administrator is told of all of them at once.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_task::TaskError;

use crate::target::Target;

/// A table that a ledger needs.
pub(crate) struct LedgerTable {
    /// With its schema.
    pub(crate) name: String,
    /// The statement that creates it, for us or for an administrator.
    pub(crate) ddl: String,
    /// What PostgreSQL keeps in it, and what for.
    pub(crate) purpose: &'static str,
    /// Keeps two creators apart, anywhere in the database.
    pub(crate) lock: i64,
}

/// Creates those tables that do not exist, each in a transaction of its own.
pub(crate) async fn ensure(
    db: &mut PgConnection,
    target: &Target,
    tables: &[LedgerTable],
) -> Result<(), TaskError> {
    for (number, table) in tables.iter().enumerate() {
        // The tables before this one are there.
        let missing = &tables[number..];
        let exists = exists(db, table).await.map_err(|error| refused(target, missing, error))?;
        if !exists {
            // Several statements in one message are one transaction; the lock ends with it.
            let LedgerTable { ddl, lock, .. } = table;
            let create = format!("SELECT pg_advisory_xact_lock({lock}); {ddl}");
            sqlx::raw_sql(AssertSqlSafe(create))
                .execute(&mut *db)
                .await
                .map_err(|error| refused(target, missing, error))?;
        }
    }
    Ok(())
}

/// Whether a table is there.
pub(crate) async fn exists(db: &mut PgConnection, table: &LedgerTable) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(&table.name).fetch_one(db).await
}

/// Tells an administrator what to run where the right is missing.
pub(crate) fn refused(target: &Target, tables: &[LedgerTable], error: sqlx::Error) -> TaskError {
    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
    let failure = target.failure(error);
    if !matches!(code.as_deref(), Some("42501" | "3F000")) {
        return failure;
    }
    let all = |part: fn(&LedgerTable) -> &str, between: &str| {
        tables.iter().map(part).collect::<Vec<_>>().join(between)
    };
    TaskError::permanent(format!(
        "{}\nPostgreSQL keeps {}. Let somebody with the right run:\n\n{}\nGRANT SELECT, INSERT, UPDATE \
         ON {} TO the user of the connection;",
        failure.message,
        all(|table| table.purpose, ", and "),
        all(|table| &table.ddl, "\n"),
        all(|table| &table.name, ", ")
    ))
}
