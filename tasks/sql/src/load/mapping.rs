//! Which values of the dataset go into which column of the table.

use std::collections::BTreeMap;

use arrow::datatypes::{Fields, SchemaRef};
use subak_core::operators::kafka::METADATA;
use subak_task::{Column, TaskError};

use crate::copy::{Field, Source, Unknown, ddl_type};
use crate::load::catalog::Table;
use crate::name::{self, Identifier, did_you_mean};

/// What a column of the table is filled from.
pub(crate) struct Pair {
    /// Column of the table.
    pub(crate) target: String,
    /// The source as the user names it.
    pub(crate) named: String,
    pub(crate) source: Source,
}

/// Returns what fills the table's columns: what the user names, or the same names; in the dataset's
/// order, which a created table has too.
pub(crate) fn pairs(
    named: &BTreeMap<String, String>,
    schema: &SchemaRef,
    run_id: &str,
) -> Result<Vec<Pair>, TaskError> {
    let pair = |target: &str, name: &str| {
        let source = Source::resolve(name, schema, run_id);
        let source = source.map_err(|unknown| no_source(name, &unknown))?;
        Ok(Pair { target: target.to_owned(), named: name.to_owned(), source })
    };
    if named.is_empty() {
        // Where a record comes from is a column of the table only where somebody says so.
        let names = schema.fields().iter().map(|field| field.name());
        let names = names.filter(|name| !METADATA.contains(&name.as_str()));
        return names.map(|name| pair(name, name)).collect();
    }
    let pairs = named.iter().map(|(target, name)| pair(target, name));
    let mut pairs = pairs.collect::<Result<Vec<_>, TaskError>>()?;
    pairs.sort_by_key(|pair| match &pair.source {
        Source::Path(path) => path.clone(),
        Source::Record(_) | Source::Constant(_) => vec![usize::MAX],
    });
    Ok(pairs)
}

/// The columns of the dataset that are read, in its order, or `None` if all are: also if a name among
/// them leads nowhere, so that the error can name those there are.
pub(crate) fn read_columns(
    named: &BTreeMap<String, String>,
    also: &[&str],
    schema: &[Column],
) -> Option<Vec<String>> {
    if named.is_empty() {
        return None;
    }
    let columns: Vec<&str> = schema.iter().map(|column| column.name.as_str()).collect();
    let mut wanted: Vec<&str> =
        named.values().flat_map(|name| Source::reads(name, &columns)).collect();
    if wanted.is_empty() || wanted.iter().any(|name| !columns.contains(name)) {
        return None;
    }
    wanted.extend(also);
    let read = columns.iter().filter(|column| wanted.contains(column));
    Some(read.map(|column| (*column).to_owned()).collect())
}

/// Checks the pairs against table and dataset, and returns the columns to fill.
pub(crate) fn fields(
    pairs: Vec<Pair>,
    schema: &SchemaRef,
    table: &Table,
) -> Result<Vec<Field>, TaskError> {
    let fields: Vec<Field> =
        pairs.into_iter().map(|pair| field(pair, schema, table)).collect::<Result<_, _>>()?;
    let is_filled = |name: &Identifier| fields.iter().any(|field| field.target == name.as_str());
    let missing: Vec<&Identifier> = table
        .columns
        .iter()
        .filter(|column| column.required && !is_filled(&column.name))
        .map(|column| &column.name)
        .collect();
    if !missing.is_empty() {
        return Err(TaskError::permanent(format!(
            "table `{}` needs values for {}, which the dataset does not give: it has {}; give the \
             columns defaults, or map others to them with `columns`",
            table.shown,
            name::list(missing),
            names(schema.fields())
        )));
    }
    Ok(fields)
}

fn field(pair: Pair, schema: &SchemaRef, table: &Table) -> Result<Field, TaskError> {
    let target = &pair.target;
    let column = table.columns.iter().find(|column| column.name.as_str() == target);
    let column = column.ok_or_else(|| no_column(&pair, schema, table))?;
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
    let type_name = column.type_name.clone();
    Ok(Field { target: pair.target, pg_type, type_name, source: pair.source, named: pair.named })
}

fn no_source(name: &str, unknown: &Unknown<'_>) -> TaskError {
    let Some(fields) = unknown.fields else {
        return TaskError::permanent(format!(
            "the dataset has no `{name}`: what `{}` should be in has no fields",
            unknown.word
        ));
    };
    let near = did_you_mean(unknown.word, fields.iter().map(|field| field.name().as_str()));
    TaskError::permanent(format!(
        "the dataset has no column `{name}`{near}; it has {}",
        names(fields)
    ))
}

fn no_column(pair: &Pair, schema: &SchemaRef, table: &Table) -> TaskError {
    let Pair { target, named, source } = pair;
    let names = table.columns.iter().map(|column| column.name.as_str());
    let near = did_you_mean(target, names.clone());
    let map = match near.as_str() {
        "" => String::new(),
        _ => format!(" (`columns: {{<table column>: {named}}}` maps it)"),
    };
    let ddl = ddl_type(&source.data_type(schema))
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

fn names(fields: &Fields) -> String {
    let names = fields.iter().map(|field| format!("`{}`", field.name()));
    names.collect::<Vec<_>>().join(", ")
}
