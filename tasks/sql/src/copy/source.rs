//! Where the values of a table's column come from.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, Schema};
use subak_core::operators::kafka::{METADATA, WHOLE_RECORD};

/// The word that means the id of the run.
pub(crate) const RUN_ID: &str = "$run_id";

/// What fills a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A column by its place, or a field inside it, at each level by its place.
    Path(Vec<usize>),
    /// The whole row, without the columns that say where a record comes from.
    Record(Vec<usize>),
    /// The same text in every row.
    Constant(String),
}

impl Source {
    /// Returns what a name of `columns` means, or the word in it that is not known and the names that
    /// could have stood there.
    pub(crate) fn resolve<'a>(
        name: &'a str,
        schema: &'a Schema,
        run_id: &str,
    ) -> Result<Self, Unknown<'a>> {
        if let Ok(at) = schema.index_of(name) {
            return Ok(Self::Path(vec![at]));
        }
        match name {
            WHOLE_RECORD => return Ok(Self::Record(record_columns(schema))),
            RUN_ID => return Ok(Self::Constant(run_id.to_owned())),
            _ => {}
        }
        let mut path = Vec::new();
        let mut fields = Some(schema.fields());
        if let Some(at) = flat(name).and_then(|flat| schema.index_of(&flat).ok())
            && schema.fields().find(first(name)).is_none()
        {
            return Ok(Self::Path(vec![at]));
        }
        for word in name.split('.') {
            let found = fields.and_then(|fields| fields.find(word));
            let Some((at, field)) = found else { return Err(Unknown { word, fields }) };
            path.push(at);
            fields = match field.data_type() {
                DataType::Struct(fields) => Some(fields),
                _ => None,
            };
        }
        Ok(Self::Path(path))
    }

    /// The columns of the dataset that are read for it; a column with dots in its name comes before a
    /// path.
    pub(crate) fn reads<'a>(name: &'a str, columns: &[&'a str]) -> Vec<&'a str> {
        if columns.contains(&name) {
            return vec![name];
        }
        match name {
            WHOLE_RECORD => columns.to_vec(),
            RUN_ID => Vec::new(),
            path if columns.contains(&first(path)) => vec![first(path)],
            path => {
                let flat = flat(path);
                let made = columns.iter().find(|column| flat.as_deref() == Some(**column));
                vec![made.copied().unwrap_or_else(|| first(path))]
            }
        }
    }

    /// The type of its values.
    pub(crate) fn data_type(&self, schema: &Schema) -> DataType {
        match self {
            Self::Path(path) => {
                let (first, rest) = path.split_first().unwrap_or((&0, &[]));
                rest.iter().fold(
                    schema.field(*first).data_type().clone(),
                    |outer, at| match outer {
                        DataType::Struct(fields) => fields[*at].data_type().clone(),
                        other => other,
                    },
                )
            }
            Self::Record(columns) => DataType::Struct(fields(schema, columns)),
            Self::Constant(_) => DataType::Utf8,
        }
    }

    /// Its values in a batch, and which of them are null: a field of a null is null.
    pub(crate) fn values(&self, batch: &RecordBatch) -> (ArrayRef, Option<NullBuffer>) {
        match self {
            Self::Path(path) => {
                let (first, rest) = path.split_first().unwrap_or((&0, &[]));
                let whole = Arc::clone(batch.column(*first));
                let nulls = whole.logical_nulls();
                rest.iter().fold((whole, nulls), |(outer, nulls), at| {
                    let inner = Arc::clone(outer.as_struct().column(*at));
                    let nulls = NullBuffer::union(nulls.as_ref(), inner.logical_nulls().as_ref());
                    (inner, nulls)
                })
            }
            Self::Record(columns) => {
                let arrays = columns.iter().map(|at| Arc::clone(batch.column(*at))).collect();
                let fields = fields(batch.schema_ref(), columns);
                (Arc::new(StructArray::new(fields, arrays, None)), None)
            }
            Self::Constant(text) => {
                (Arc::new(StringArray::from_iter_values(repeat_n(text, batch.num_rows()))), None)
            }
        }
    }
}

/// The column of a path.
fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// The column that a reader of nested records has made of a field: `name_first` of `name.first`.
fn flat(path: &str) -> Option<String> {
    path.contains('.').then(|| path.replace('.', "_"))
}

/// A word of a name that leads nowhere.
pub(crate) struct Unknown<'a> {
    pub(crate) word: &'a str,
    /// What there is at that level; nothing is inside of what is not nested.
    pub(crate) fields: Option<&'a Fields>,
}

fn record_columns(schema: &Schema) -> Vec<usize> {
    let named = schema.fields().iter().enumerate();
    let named = named.filter(|(_, field)| !METADATA.contains(&field.name().as_str()));
    named.map(|(at, _)| at).collect()
}

fn fields(schema: &Schema, columns: &[usize]) -> Fields {
    columns.iter().map(|at| Arc::clone(&schema.fields()[*at])).collect()
}
