//! What PostgreSQL's catalog says of a table.

use std::collections::BTreeSet;

use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use subak_task::TaskError;

use crate::copy::PgType;
use crate::name::{Identifier, TableName};
use crate::target::Target;

/// A table as it is, its name complete.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    /// `schema.table`, unquoted, for people.
    pub(crate) shown: String,
    pub(crate) columns: Vec<Column>,
    /// The column sets that are unique, without conditions and expressions.
    pub(crate) unique: Vec<BTreeSet<String>>,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Identifier,
    /// `None`: a type that COPY is not taught.
    pub(crate) pg_type: Option<PgType>,
    /// As PostgreSQL prints it: `character varying(40)`.
    pub(crate) type_name: String,
    /// A row needs a value for it.
    pub(crate) required: bool,
    /// PostgreSQL computes it.
    pub(crate) generated: bool,
}

#[derive(FromRow)]
struct Found {
    oid: i64,
    schema: String,
    name: String,
    kind: String,
}

#[derive(FromRow)]
struct FoundColumn {
    name: String,
    base_type: String,
    base_kind: String,
    type_name: String,
    required: bool,
    generated: bool,
}

/// Returns the table, or `None` if it does not exist.
pub(crate) async fn table(
    db: &mut PgConnection,
    target: &Target,
    wanted: &TableName,
) -> Result<Option<Table>, TaskError> {
    let Some(found) = find(db, wanted).await.map_err(|error| target.failure(error))? else {
        return Ok(None);
    };
    let shown = format!("{}.{}", found.schema, found.name);
    if !matches!(found.kind.as_str(), "r" | "p" | "f") {
        return Err(TaskError::permanent(format!(
            "`{shown}` is a view, but `postgres.load` needs a table: load the table behind it"
        )));
    }
    let columns = columns(db, found.oid).await.map_err(|error| target.failure(error))?;
    let unique = unique(db, found.oid).await.map_err(|error| target.failure(error))?;
    Ok(Some(Table {
        name: TableName {
            schema: Some(Identifier::new(&found.schema)?),
            table: Identifier::new(&found.name)?,
        },
        shown,
        columns: columns.into_iter().map(Column::try_from).collect::<Result<_, _>>()?,
        unique,
    }))
}

/// Returns the names of all tables, complete and for people.
pub(crate) async fn table_names(
    db: &mut PgConnection,
    target: &Target,
) -> Result<Vec<String>, TaskError> {
    sqlx::query_scalar(
        "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname
                     ELSE n.nspname || '.' || c.relname END
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND n.nspname NOT LIKE 'pg\\_%'
         ORDER BY 1 LIMIT 10000",
    )
    .fetch_all(db)
    .await
    .map_err(|error| target.failure(error))
}

async fn find(db: &mut PgConnection, wanted: &TableName) -> sqlx::Result<Option<Found>> {
    sqlx::query_as(
        "SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
                c.relkind::text AS kind
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
           AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2 END",
    )
    .bind(wanted.table.as_str())
    .bind(wanted.schema.as_ref().map(Identifier::as_str))
    .fetch_optional(db)
    .await
}

async fn columns(db: &mut PgConnection, table: i64) -> sqlx::Result<Vec<FoundColumn>> {
    sqlx::query_as(
        "SELECT a.attname::text AS name,
                base.typname::text AS base_type,
                base.typtype::text AS base_kind,
                format_type(a.atttypid, a.atttypmod) AS type_name,
                (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND a.attidentity = ''
                    AS required,
                a.attgenerated <> '' AS generated
         FROM pg_attribute a
         JOIN pg_type t ON t.oid = a.atttypid
         JOIN pg_type base ON base.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
         WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(db)
    .await
}

async fn unique(db: &mut PgConnection, table: i64) -> sqlx::Result<Vec<BTreeSet<String>>> {
    let sets: Vec<Vec<String>> = sqlx::query_scalar(
        "SELECT array_agg(a.attname::text)
         FROM pg_index i
         CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = $1::bigint::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
           AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
         GROUP BY i.indexrelid",
    )
    .bind(table)
    .fetch_all(db)
    .await?;
    Ok(sets.into_iter().map(|set| set.into_iter().collect()).collect())
}

impl TryFrom<FoundColumn> for Column {
    type Error = TaskError;

    fn try_from(found: FoundColumn) -> Result<Self, TaskError> {
        Ok(Self {
            name: Identifier::new(&found.name)?,
            pg_type: PgType::named(&found.base_type, &found.base_kind),
            type_name: found.type_name,
            required: found.required,
            generated: found.generated,
        })
    }
}
