//! Columns by name, and fields of nested ones by path: `name.first`.

use arrow::datatypes::{DataType, Fields, SchemaRef};
use datafusion::functions::core::expr_ext::FieldAccessor as _;
use datafusion::logical_expr::{Expr, ident};

use crate::error::DataError;
use crate::suggest::did_you_mean;

/// Returns the expression and the type of what a path leads to. A column whose name has dots comes
/// before a path, and a path before the column that was made of the field: `name_first` of `name.first`.
pub(crate) fn resolve(path: &str, schema: &SchemaRef) -> Result<(Expr, DataType), DataError> {
    let whole = schema.fields().find(path).map(|(_, field)| field.data_type().clone());
    if let Some(data_type) = whole {
        return Ok((ident(path), data_type));
    }
    let mut segments = path.split('.');
    let first = segments.next().unwrap_or_default();
    let mut found = match schema.fields().find(first) {
        Some((_, field)) => (ident(first), field.data_type().clone()),
        None => {
            let flat = path.replace('.', "_");
            let found = schema.fields().find(&flat).filter(|_| flat != path);
            return match found {
                Some((_, field)) => Ok((ident(flat), field.data_type().clone())),
                None => Err(unknown(path, first, schema.fields())),
            };
        }
    };
    for segment in segments {
        let DataType::Struct(fields) = &found.1 else {
            return Err(DataError::permanent(format!(
                "no column `{path}`: what `{segment}` should be in has no fields, it is {}",
                found.1
            )));
        };
        let Some((_, field)) = fields.find(segment) else {
            return Err(unknown(path, segment, fields));
        };
        found = (found.0.field(segment), field.data_type().clone());
    }
    Ok(found)
}

fn unknown(path: &str, segment: &str, fields: &Fields) -> DataError {
    let names = || fields.iter().map(|field| field.name().as_str());
    DataError::permanent(format!(
        "no column `{path}`{}; there is: {}",
        did_you_mean(segment, names()),
        names().collect::<Vec<_>>().join(", ")
    ))
}
