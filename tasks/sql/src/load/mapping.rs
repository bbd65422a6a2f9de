//! Which column of the dataset goes into which column of the table.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use subak_core::operators::kafka::METADATA;
use subak_task::TaskError;

use crate::copy::{Field, ddl_type};
use crate::load::catalog::Table;
use crate::name::{self, Identifier, did_you_mean};

/// Returns pairs of table column and dataset column: those that the user names, or the same names; in
/// the dataset's order, which a created table has too.
pub(crate) fn pairs(named: &BTreeMap<String, String>, schema: &SchemaRef) -> Vec<(String, String)> {
    if named.is_empty() {
        // Where a record comes from is a column of the table only where somebody says so.
        let names = schema.fields().iter().map(|field| field.name());
        let names = names.filter(|name| !METADATA.contains(&name.as_str()));
        return names.map(|name| (name.clone(), name.clone())).collect();
    }
    let mut pairs: Vec<_> =
        named.iter().map(|(target, source)| (target.clone(), source.clone())).collect();
    // A column that the dataset does not have is reported later.
    pairs.sort_by_key(|(_, source)| schema.index_of(source).unwrap_or(usize::MAX));
    pairs
}

/// Checks the pairs against table and dataset, and returns the columns to fill.
pub(crate) fn fields(
    named: &BTreeMap<String, String>,
    schema: &SchemaRef,
    table: &Table,
) -> Result<Vec<Field>, TaskError> {
    let pairs = pairs(named, schema);
    let fields: Vec<Field> = pairs
        .iter()
        .map(|(target, source)| field(target, source, schema, table))
        .collect::<Result<_, _>>()?;
    let missing: Vec<&Identifier> = table
        .columns
        .iter()
        .filter(|column| column.required && !pairs.iter().any(|(to, _)| to == column.name.as_str()))
        .map(|column| &column.name)
        .collect();
    if !missing.is_empty() {
        return Err(TaskError::permanent(format!(
            "table `{}` needs values for {}, which the dataset does not give: it has {}; give the \
             columns defaults, or map others to them with `columns`",
            table.shown,
            name::list(missing),
            source_names(schema)
        )));
    }
    Ok(fields)
}

fn field(
    target: &str,
    source: &str,
    schema: &SchemaRef,
    table: &Table,
) -> Result<Field, TaskError> {
    let index = schema.index_of(source).map_err(|_| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        TaskError::permanent(format!(
            "the dataset has no column `{source}`{}; it has {}",
            did_you_mean(source, names),
            source_names(schema)
        ))
    })?;
    let column = table.columns.iter().find(|column| column.name.as_str() == target);
    let column = column.ok_or_else(|| no_column(target, source, schema, table))?;
    if column.generated {
        return Err(TaskError::permanent(format!(
            "column `{target}` of table `{}` is computed by PostgreSQL: name the others in `columns`",
            table.shown
        )));
    }
    let pg_type = column.pg_type.ok_or_else(|| {
        TaskError::permanent(format!(
            "column `{target}` of table `{}` is of type {}, which `postgres.load` cannot fill: load \
             a text column and convert it with `sql`",
            table.shown, column.type_name
        ))
    })?;
    Ok(Field {
        target: target.to_owned(),
        pg_type,
        type_name: column.type_name.clone(),
        index,
        source: source.to_owned(),
    })
}

fn no_column(target: &str, source: &str, schema: &SchemaRef, table: &Table) -> TaskError {
    let names = table.columns.iter().map(|column| column.name.as_str());
    let near = did_you_mean(target, names.clone());
    let map = match near.as_str() {
        "" => String::new(),
        _ => format!(" (`columns: {{<table column>: {source}}}` maps it)"),
    };
    let ddl = schema
        .field_with_name(source)
        .ok()
        .and_then(|field| ddl_type(field.data_type()))
        .zip(Identifier::new(target).ok())
        .map(|(ddl_type, name)| {
            format!("\nTo add it: ALTER TABLE {} ADD COLUMN {name} {ddl_type};", table.name)
        })
        .unwrap_or_default();
    TaskError::permanent(format!(
        "table `{}` has no column `{target}`{near}{map}; it has {}{ddl}",
        table.shown,
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    ))
}

fn source_names(schema: &SchemaRef) -> String {
    let names = schema.fields().iter().map(|field| format!("`{}`", field.name()));
    names.collect::<Vec<_>>().join(", ")
}
