//! Between a dataset's reference and arrow's schema.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use subak_core::operators::Input;
use subak_task::{Column, DatasetRef};

use crate::error::DataError;
use crate::location::to_path;

/// Returns the columns as a reference carries them.
pub(crate) fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        nullable: field.is_nullable(),
    };
    schema.fields().iter().map(column).collect()
}

/// Returns arrow's schema of a dataset.
pub(crate) fn schema(dataset: &DatasetRef) -> Result<SchemaRef, DataError> {
    let field = |column: &Column| {
        let data_type: DataType = column.data_type.parse().map_err(|error| {
            DataError::permanent(format!(
                "dataset of task {}: column {} has the unknown type `{}`: {error}",
                dataset.name, column.name, column.data_type
            ))
        })?;
        Ok(Field::new(&column.name, data_type, column.nullable))
    };
    let fields: Result<Vec<_>, DataError> = dataset.schema.iter().map(field).collect();
    Ok(Arc::new(Schema::new(fields?)))
}

/// Returns the dataset that a rendered `input` refers to.
pub(crate) fn dataset(input: &Input) -> Result<DatasetRef, DataError> {
    match &input.0 {
        Value::Object(_) => serde_json::from_value(input.0.clone()).map_err(|error| {
            DataError::permanent(format!(
                "`input` is not a dataset ({error}): write {{{{ tasks.<task id>.output }}}}"
            ))
        }),
        Value::Null => Err(DataError::permanent(
            "`input` refers to a task that made no dataset: it was skipped, or its operator hands on none",
        )),
        other => Err(DataError::permanent(format!(
            "`input` is `{other}`, not a dataset: write {{{{ tasks.<task id>.output }}}}"
        ))),
    }
}

/// Returns the files of URLs.
pub(crate) fn paths(urls: &[String]) -> Result<Vec<PathBuf>, DataError> {
    urls.iter().map(|url| to_path(url)).collect()
}

/// Returns the places of the columns wanted.
pub(crate) fn places(
    schema: &Schema,
    columns: Option<&[String]>,
    dataset: &str,
) -> Result<Vec<usize>, DataError> {
    let Some(columns) = columns else { return Ok((0..schema.fields().len()).collect()) };
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let place = |name: &String| {
        names().position(|known| known == name).ok_or_else(|| {
            let suggestion = crate::suggest::did_you_mean(name, names());
            DataError::permanent(format!(
                "the dataset of task {dataset} has no column `{name}`{suggestion}; it has: {}",
                names().collect::<Vec<_>>().join(", ")
            ))
        })
    };
    columns.iter().map(place).collect()
}
