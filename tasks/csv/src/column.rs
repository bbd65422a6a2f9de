//! Builders of columns, from fields' bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, NullBufferBuilder,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::format::Format;
use crate::value;

/// What a column holds and how it is written.
#[derive(Debug, Clone)]
pub enum Kind {
    Text,
    Integer,
    Bigint,
    Double,
    Boolean,
    Date(Format),
    Timestamp(Format),
}

impl Kind {
    /// Returns arrow's type.
    pub fn data_type(&self) -> DataType {
        use arrow::datatypes::TimeUnit;
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date(_) => DataType::Date32,
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// The values of a column so far.
pub struct ColumnBuilder {
    nulls: NullBufferBuilder,
    values: Values,
}

enum Values {
    Text { bytes: Vec<u8>, offsets: Vec<i32> },
    Integer(Vec<i32>),
    Bigint(Vec<i64>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
    Date(Vec<i32>, Format),
    Timestamp(Timestamps),
}

/// Timestamps, with the last one's text: neighbours are often equal.
struct Timestamps {
    values: Vec<i64>,
    format: Format,
    last_text: Vec<u8>,
    last: i64,
}

impl ColumnBuilder {
    /// Starts a column with room for `rows`.
    pub fn new(kind: &Kind, rows: usize) -> Self {
        let values = match kind {
            Kind::Text => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Values::Text { bytes: Vec::with_capacity(rows * 16), offsets }
            }
            Kind::Integer => Values::Integer(Vec::with_capacity(rows)),
            Kind::Bigint => Values::Bigint(Vec::with_capacity(rows)),
            Kind::Double => Values::Double(Vec::with_capacity(rows)),
            Kind::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            Kind::Date(format) => Values::Date(Vec::with_capacity(rows), format.clone()),
            Kind::Timestamp(format) => Values::Timestamp(Timestamps {
                values: Vec::with_capacity(rows),
                format: format.clone(),
                last_text: Vec::new(),
                last: 0,
            }),
        };
        Self { nulls: NullBufferBuilder::new(rows), values }
    }

    /// Adds a null.
    #[inline]
    pub fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Text { bytes, offsets } => offsets.push(length(bytes)),
            Values::Integer(values) | Values::Date(values, _) => values.push(0),
            Values::Bigint(values) => values.push(0),
            Values::Double(values) => values.push(0.0),
            Values::Boolean(values) => values.push(false),
            Values::Timestamp(timestamps) => timestamps.values.push(0),
        }
    }

    /// Adds a field's value; `false` if it is none of the column's type (then nothing is added).
    #[inline]
    pub fn push(&mut self, field: &[u8]) -> bool {
        let fits = match &mut self.values {
            Values::Text { bytes, offsets } => push_text(bytes, offsets, field),
            Values::Integer(values) => {
                push(values, value::integer(field).and_then(|value| i32::try_from(value).ok()))
            }
            Values::Bigint(values) => push(values, value::integer(field)),
            Values::Double(values) => push(values, value::double(field)),
            Values::Boolean(values) => push(values, value::boolean(field)),
            Values::Date(values, format) => {
                push(values, format.date(field).or_else(|| format.date(value::trimmed(field)?)))
            }
            Values::Timestamp(timestamps) => timestamps.push(field),
        };
        if fits {
            self.nulls.append_non_null();
        }
        fits
    }

    /// Forgets all but the first `rows` values.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.values {
            Values::Text { bytes, offsets } => {
                offsets.truncate(rows + 1);
                bytes.truncate(offsets.last().map_or(0, |&end| end.cast_unsigned() as usize));
            }
            Values::Integer(values) | Values::Date(values, _) => values.truncate(rows),
            Values::Bigint(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Boolean(values) => values.truncate(rows),
            Values::Timestamp(timestamps) => timestamps.values.truncate(rows),
        }
    }

    /// Hands the values on and starts anew, with room for as many.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Text { bytes, offsets } => Arc::new(finish_text(bytes, offsets, nulls)?),
            Values::Integer(values) => Arc::new(Int32Array::new(take(values).into(), nulls)),
            Values::Bigint(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Values::Boolean(values) => Arc::new(BooleanArray::new(take(values).into(), nulls)),
            Values::Date(values, _) => Arc::new(Date32Array::new(take(values).into(), nulls)),
            Values::Timestamp(timestamps) => {
                Arc::new(TimestampMicrosecondArray::new(take(&mut timestamps.values).into(), nulls))
            }
        })
    }
}

impl Timestamps {
    #[inline]
    fn push(&mut self, field: &[u8]) -> bool {
        if field != self.last_text {
            let parsed = self.format.timestamp(field);
            let Some(value) = parsed.or_else(|| self.format.timestamp(value::trimmed(field)?))
            else {
                return false;
            };
            self.last = value;
            self.last_text.clear();
            self.last_text.extend_from_slice(field);
        }
        self.values.push(self.last);
        true
    }
}

#[inline]
fn push<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

#[inline]
fn push_text(bytes: &mut Vec<u8>, offsets: &mut Vec<i32>, field: &[u8]) -> bool {
    if !field.is_ascii() && std::str::from_utf8(field).is_err() {
        return false;
    }
    bytes.extend_from_slice(field);
    offsets.push(length(bytes));
    true
}

fn finish_text(
    bytes: &mut Vec<u8>,
    offsets: &mut Vec<i32>,
    nulls: Option<NullBuffer>,
) -> Result<StringArray, ArrowError> {
    let ends = take(offsets);
    offsets.push(0);
    StringArray::try_new(OffsetBuffer::new(ends.into()), take(bytes).into(), nulls)
}

/// A column is handed on long before it holds 2 GiB of text.
#[inline]
fn length(bytes: &[u8]) -> i32 {
    bytes.len() as i32
}

fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity))
}
