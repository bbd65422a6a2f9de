//! Rows as records: key and value.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use subak_core::operators::kafka::METADATA;
use subak_core::operators::produce::{KafkaProduce, ValueFormat};
use subak_task::TaskError;

/// The column that format `raw` writes.
const VALUE: &str = "value";

/// A name that has no value is there and null: whoever reads the JSON finds every name.
static OPTIONS: LazyLock<EncoderOptions> =
    LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));
/// The encoder of a struct asks its fields, not this one.
static FIELD: LazyLock<FieldRef> = LazyLock::new(|| Arc::new(Field::new("", DataType::Null, true)));

/// Which columns make a record.
pub(super) struct Values {
    key: Option<usize>,
    value: Value,
}

enum Value {
    /// The columns of the object.
    Json(Vec<usize>),
    Raw(usize),
}

/// The columns of a batch, ready to be written.
pub(super) struct Columns {
    keys: Option<BinaryArray>,
    values: ColumnValues,
}

enum ColumnValues {
    Json(ArrayRef),
    Raw(BinaryArray),
}

/// A batch's rows, one after the other.
pub(super) struct Rows<'a> {
    keys: Option<&'a BinaryArray>,
    values: RowValues<'a>,
}

enum RowValues<'a> {
    /// The encoder, and the value that it wrote last.
    Json(NullableEncoder<'a>, Vec<u8>),
    Raw(&'a BinaryArray),
}

/// One record; `None` is null.
pub(super) struct Record<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl Values {
    /// Finds the columns.
    pub(super) fn new(params: &KafkaProduce, schema: &SchemaRef) -> Result<Self, TaskError> {
        let find = |name: &str| {
            schema.index_of(name).map_err(|_| {
                let names = schema.fields().iter().map(|field| format!("`{}`", field.name()));
                let names = names.collect::<Vec<_>>().join(", ");
                TaskError::permanent(format!("the dataset has no column `{name}`; it has {names}"))
            })
        };
        let key = params.key.as_deref().map(find).transpose()?;
        let value = match params.format {
            ValueFormat::Raw => Value::Raw(find(VALUE)?),
            ValueFormat::Json => {
                let columns = schema.fields().iter().enumerate();
                let own = columns.filter(|(_, field)| !METADATA.contains(&field.name().as_str()));
                Value::Json(own.map(|(at, _)| at).collect())
            }
        };
        Ok(Self { key, value })
    }

    /// The columns of a batch.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Columns, TaskError> {
        let keys = self.key.map(|at| bytes(batch.column(at))).transpose()?;
        let values = match &self.value {
            Value::Raw(at) => ColumnValues::Raw(bytes(batch.column(*at))?),
            Value::Json(columns) => {
                let schema = batch.schema_ref();
                let fields: Fields =
                    columns.iter().map(|at| Arc::clone(&schema.fields()[*at])).collect();
                let arrays = columns.iter().map(|at| Arc::clone(batch.column(*at))).collect();
                ColumnValues::Json(Arc::new(StructArray::new(fields, arrays, None)))
            }
        };
        Ok(Columns { keys, values })
    }
}

impl Columns {
    /// The rows.
    pub(super) fn rows(&self) -> Result<Rows<'_>, TaskError> {
        let values = match &self.values {
            ColumnValues::Raw(values) => RowValues::Raw(values),
            ColumnValues::Json(rows) => {
                let encoder = make_encoder(&FIELD, rows, &OPTIONS).map_err(TaskError::permanent)?;
                RowValues::Json(encoder, Vec::new())
            }
        };
        Ok(Rows { keys: self.keys.as_ref(), values })
    }
}

impl Rows<'_> {
    /// The record of a row.
    pub(super) fn record(&mut self, row: usize) -> Record<'_> {
        let key = self.keys.and_then(|keys| at(keys, row));
        let value = match &mut self.values {
            RowValues::Raw(values) => at(values, row),
            RowValues::Json(encoder, json) => {
                json.clear();
                encoder.encode(row, json);
                Some(json.as_slice())
            }
        };
        Record { key, value }
    }
}

fn at(values: &BinaryArray, row: usize) -> Option<&[u8]> {
    values.is_valid(row).then(|| values.value(row))
}

/// A column's values as bytes: text and bytes as they are, others as they are printed.
fn bytes(column: &ArrayRef) -> Result<BinaryArray, TaskError> {
    let text = match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Arc::clone(column),
        _ => cast(column, &DataType::Utf8).map_err(TaskError::permanent)?,
    };
    let bytes = cast(&text, &DataType::Binary).map_err(TaskError::permanent)?;
    Ok(bytes.as_binary::<i32>().clone())
}
