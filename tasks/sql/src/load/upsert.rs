//! Mode `upsert`: COPY into a temporary table, then one `INSERT … ON CONFLICT`.

use arrow::datatypes::SchemaRef;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use subak_core::operators::kafka::METADATA;
use subak_task::TaskError;

use crate::load::input::Input;

use crate::copy::{Encoder, Field, PgType, Source};
use crate::load::catalog::Table;
use crate::load::copy_in::Copied;
use crate::load::transaction::columns;
use crate::load::{Load, copy_in};
use crate::name::{self, Identifier};

/// Columns of a dataset that say which of two records of a topic is the later one, in this order.
pub(crate) const ORDER: [&str; 3] = {
    let [_, partition, offset, timestamp, ..] = METADATA;
    [timestamp, partition, offset]
};

/// What the columns of [`ORDER`] are in the temporary table.
const ORDER_TYPES: [(PgType, &str); 3] =
    [(PgType::Timestamp, "timestamp"), (PgType::Int4, "integer"), (PgType::Int8, "bigint")];

/// Upserts the dataset's rows; returns how many there are.
pub(crate) async fn in_tx(
    load: &Load<'_>,
    db: &mut PgConnection,
    table: &Table,
    fields: Vec<Field>,
    input: Input,
) -> Result<Copied, TaskError> {
    let loaded = columns(&fields)?;
    let number = free_name("subak_row", &loaded)?;
    let order = order(&input.schema, &loaded)?;
    let all: Vec<Field> = fields.into_iter().chain(order).collect();
    let batch = columns(&all)?;
    load.execute(db, create(&all, &batch, &number)).await?;
    let statement = format!(
        "COPY pg_temp.subak_batch ({number}, {}) FROM STDIN (FORMAT binary)",
        name::list(&batch)
    );
    let encoder = Encoder::new(&input.schema, all, true)?;
    let copied = copy_in::copy_in(load, db, &statement, encoder, input).await?;
    check_nulls(load, db, &number).await?;
    // The row's number decides last: where the dataset comes from no topic, the later row wins.
    let later: Vec<&Identifier> = batch[loaded.len()..].iter().chain([&number]).collect();
    let written = load.execute(db, insert(load, table, &loaded, &later)).await?;
    Ok(Copied { written: i64::try_from(written).unwrap_or(i64::MAX), ..copied })
}

/// A name that the table does not use.
fn free_name(name: &str, columns: &[Identifier]) -> Result<Identifier, TaskError> {
    let mut name = name.to_owned();
    while columns.iter().any(|column| column.as_str() == name) {
        name.push('_');
    }
    Identifier::new(&name)
}

/// The columns that order the records of a topic, if the dataset has them all.
fn order(schema: &SchemaRef, columns: &[Identifier]) -> Result<Vec<Field>, TaskError> {
    let places: Option<Vec<usize>> = ORDER.iter().map(|name| schema.index_of(name).ok()).collect();
    let places = places.unwrap_or_default();
    let described = places.into_iter().zip(ORDER).zip(ORDER_TYPES);
    let field = |((place, name), (pg_type, type_name)): ((usize, &str), (PgType, &str))| {
        Ok(Field {
            target: free_name(&format!("subak{name}"), columns)?.as_str().to_owned(),
            pg_type,
            type_name: type_name.to_owned(),
            source: Source::Path(vec![place]),
            named: name.to_owned(),
        })
    };
    described.map(field).collect()
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

/// The later row of a key wins: by the columns `later`, of which the first decides first. Sorted by key, so that two loads lock rows in the same order.
fn insert(load: &Load<'_>, table: &Table, columns: &[Identifier], later: &[&Identifier]) -> String {
    let later: Vec<String> = later.iter().map(|name| format!("{name} DESC NULLS LAST")).collect();
    let later = later.join(", ");
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
             SELECT DISTINCT ON ({key}) * FROM pg_temp.subak_batch ORDER BY {key}, {later}
         ) AS latest
         ON CONFLICT ({key}) DO {action}",
        table.name
    )
}
