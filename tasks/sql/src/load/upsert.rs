//! Mode `upsert`: COPY into a temporary table, then one `INSERT … ON CONFLICT`.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_task::{RecordBatchStream, TaskError};

use crate::copy::{Encoder, Field};
use crate::load::catalog::Table;
use crate::load::transaction::columns;
use crate::load::{Load, copy_in};
use crate::name::{self, Identifier};

/// Upserts the dataset's rows; returns how many it has and how many were written.
pub(crate) async fn in_tx(
    load: &Load<'_>,
    db: &mut PgConnection,
    table: &Table,
    fields: Vec<Field>,
    stream: RecordBatchStream,
) -> Result<(i64, i64), TaskError> {
    let columns = columns(&fields)?;
    let number = number_column(&columns)?;
    load.execute(db, create(&fields, &columns, &number)).await?;
    let statement = format!(
        "COPY pg_temp.subak_batch ({number}, {}) FROM STDIN (FORMAT binary)",
        name::list(&columns)
    );
    let encoder = Encoder::new(&stream.schema, fields, true)?;
    let copied = copy_in::copy_in(load, db, &statement, encoder, stream).await?;
    check_nulls(load, db, &number).await?;
    let written = load.execute(db, insert(load, table, &columns, &number)).await?;
    Ok((copied.sent, i64::try_from(written).unwrap_or(i64::MAX)))
}

/// A name for the rows' numbers that the table does not use.
fn number_column(columns: &[Identifier]) -> Result<Identifier, TaskError> {
    let mut name = "subak_row".to_owned();
    while columns.iter().any(|column| column.as_str() == name) {
        name.push('_');
    }
    Identifier::new(&name)
}

fn create(fields: &[Field], columns: &[Identifier], number: &Identifier) -> String {
    let columns: Vec<String> = fields
        .iter()
        .zip(columns)
        .map(|(field, column)| format!("{column} {}", field.type_name))
        .collect();
    format!(
        "CREATE TEMPORARY TABLE subak_batch ({number} bigint NOT NULL, {}) ON COMMIT DROP",
        columns.join(", ")
    )
}

/// Two nulls are never in conflict: such rows would be added again by every load.
async fn check_nulls(
    load: &Load<'_>,
    db: &mut PgConnection,
    number: &Identifier,
) -> Result<(), TaskError> {
    for key in &load.key {
        let first = format!("SELECT min({number}) FROM pg_temp.subak_batch WHERE {key} IS NULL");
        let row: Option<i64> = sqlx::query_scalar(AssertSqlSafe(first))
            .fetch_one(&mut *db)
            .await
            .map_err(|error| load.target.failure(error))?;
        if let Some(row) = row {
            return Err(TaskError::permanent(format!(
                "row {row}: key column `{}` is null, so it cannot be found again: filter such rows \
                 out, or choose another `key`",
                key.as_str()
            )));
        }
    }
    Ok(())
}

/// The later row of a key wins. Sorted by key, so that two loads lock rows in the same order.
fn insert(load: &Load<'_>, table: &Table, columns: &[Identifier], number: &Identifier) -> String {
    let key = name::list(&load.key);
    let list = name::list(columns);
    let set: Vec<String> = columns
        .iter()
        .filter(|column| !load.key.contains(column))
        .map(|column| format!("{column} = EXCLUDED.{column}"))
        .collect();
    let action = match set.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", set.join(", ")),
    };
    format!(
        "INSERT INTO {} ({list}) OVERRIDING SYSTEM VALUE
         SELECT {list} FROM (
             SELECT DISTINCT ON ({key}) * FROM pg_temp.subak_batch ORDER BY {key}, {number} DESC
         ) AS latest
         ON CONFLICT ({key}) DO {action}",
        table.name
    )
}
