//! Says what is wrong with a query: where in it, and what was probably meant.

use std::ops::ControlFlow;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement as DFStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{Statement, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::tables::Tables;
use crate::error::DataError;
use crate::suggest::did_you_mean;

/// Parses the query: one `SELECT`, over the tables there are.
pub(crate) fn check(sql: &str, tables: &Tables) -> Result<(), DataError> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| syntax(&error))?;
    let [statement] = statements.as_slice() else {
        return Err(DataError::permanent(format!(
            "sql has {} statements: write one SELECT",
            statements.len()
        )));
    };
    if !matches!(statement, Statement::Query(_)) {
        return Err(DataError::permanent(
            "sql is not a query: aggregate and transform take one SELECT; the result is the task's dataset",
        ));
    }
    let (named, _) =
        resolve_table_references(&DFStatement::Statement(Box::new(statement.clone())), false)?;
    let unknown = visit_relations(statement, |relation| {
        let Some(name) = relation.0.last().and_then(|part| part.as_ident()) else {
            return ControlFlow::Continue(());
        };
        // Names that a WITH defines are not among those resolved.
        let is_table =
            named.iter().any(|table| table.schema().is_none() && table.table() == name.value);
        if !is_table || tables.contains_key(&name.value) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break((name.value.clone(), name.span.start))
    });
    match unknown {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((name, start)) => Err(DataError::permanent(format!(
            "sql:{}:{}: no table `{name}`{}; there is: {}",
            start.line,
            start.column,
            did_you_mean(&name, tables.keys().map(String::as_str)),
            tables.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Turns DataFusion's complaint about a query into one that names the place and a remedy.
pub(crate) fn planning(error: DataFusionError) -> DataError {
    let mut place = String::new();
    let mut cause = &error;
    loop {
        match cause {
            DataFusionError::Diagnostic(diagnostic, inner) => {
                if let Some(span) = diagnostic.span.filter(|_| place.is_empty()) {
                    place = format!("sql:{}:{}: ", span.start.line, span.start.column);
                }
                cause = inner;
            }
            DataFusionError::Context(_, inner) => cause = inner,
            DataFusionError::Shared(inner) => cause = inner,
            DataFusionError::Collection(errors) if !errors.is_empty() => cause = &errors[0],
            DataFusionError::External(inner) if inner.is::<DataError>() => {
                return DataError::DataFusion(error);
            }
            _ => break,
        }
    }
    let message = match cause {
        DataFusionError::SQL(parser, _) => return syntax(parser),
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { field, valid_fields } => no_column(field, valid_fields),
            other => other.to_string(),
        },
        DataFusionError::Plan(message) => message.lines().next().unwrap_or_default().to_owned(),
        other => values(other).unwrap_or_else(|| other.strip_backtrace()),
    };
    DataError::permanent(format!("{}{message}", if place.is_empty() { "sql: " } else { &place }))
}

/// Says what is wrong with the values that a computation failed at, and what to do; `None` if it failed
/// for another reason.
pub(crate) fn values(error: &DataFusionError) -> Option<String> {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => values(inner),
        DataFusionError::Shared(inner) => values(inner),
        DataFusionError::Collection(errors) => values(errors.first()?),
        DataFusionError::ArrowError(inner, _) => values_of_arrow(inner),
        DataFusionError::Execution(text) => {
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        _ => None,
    }
}

fn values_of_arrow(error: &ArrowError) -> Option<String> {
    match error {
        ArrowError::ExternalError(inner) => values(inner.downcast_ref::<DataFusionError>()?),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => Some(format!(
            "{text}: clean or leave out such values first, or write try_cast(… AS …) (in steps: by `set`), which gives null for them"
        )),
        ArrowError::DivideByZero => Some(
            "division by zero: divide by nullif(…, 0), which gives null, or leave such rows out first"
                .to_owned(),
        ),
        ArrowError::ArithmeticOverflow(text) => {
            Some(format!("{text}: cast to a wider type, such as double, before computing"))
        }
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => {
            Some(text.clone())
        }
        _ => None,
    }
}

fn no_column(field: &Column, valid: &[Column]) -> String {
    let names = || valid.iter().map(Column::name);
    format!(
        "no column `{}`{}; there is: {}",
        field.name,
        did_you_mean(&field.name, names()),
        names().collect::<Vec<_>>().join(", ")
    )
}

/// `Expected: …, found: … at Line: 2, Column: 8` becomes `sql:2:8: expected …, found …`.
fn syntax(error: &ParserError) -> DataError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "the query is nested too deeply",
    };
    let (what, place) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
    let place = match place.split_once(", Column: ") {
        Some((line, column)) => format!("sql:{line}:{column}: "),
        None => "sql: ".to_owned(),
    };
    let what = what.strip_prefix("sql parser error: ").unwrap_or(what);
    DataError::permanent(format!(
        "{place}{}",
        what.replace("Expected: ", "expected ").replace("found: ", "found ")
    ))
}
