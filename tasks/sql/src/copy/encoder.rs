//! Encodes record batches as rows of binary COPY.

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use subak_task::TaskError;

use super::cell::{Cell, cell};
use super::json::in_jsonb_order;
use super::pg_type::PgType;
use super::source::Source;

/// Begins every binary COPY: signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Ends every binary COPY.
const TRAILER: &[u8] = b"\xff\xff";
/// The length that stands for null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// A column to fill.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Column of the table.
    pub(crate) target: String,
    pub(crate) pg_type: PgType,
    /// The type as the catalog prints it.
    pub(crate) type_name: String,
    pub(crate) source: Source,
    /// The source as the user names it.
    pub(crate) named: String,
}

/// A column's values, and which of them are null.
type Values = (ArrayRef, Option<NullBuffer>);

/// Encodes batches of one schema, one after the other.
pub(crate) struct Encoder {
    fields: Vec<Field>,
    /// Writes the row's number as a first column.
    numbered: bool,
    rows: u64,
    out: Vec<u8>,
}

impl Encoder {
    /// Checks that every column's type fits and returns the encoder, or the error that names the
    /// column.
    pub(crate) fn new(
        schema: &SchemaRef,
        fields: Vec<Field>,
        numbered: bool,
    ) -> Result<Self, TaskError> {
        for field in &fields {
            let data_type = field.source.data_type(schema);
            // An empty column of the type finds out without a second list of what fits.
            let empty = plain(&new_empty_array(&data_type));
            empty
                .map_err(|error| error.to_string())
                .and_then(|empty| cell(&empty, field.pg_type).map(drop))
                .map_err(|why| {
                    TaskError::permanent(format!(
                        "column `{}` of the dataset ({data_type}) does not fit column `{}` of the \
                         table ({}): {why}",
                        field.named, field.target, field.type_name
                    ))
                })?;
        }
        Ok(Self { fields, numbered, rows: 0, out: HEADER.to_vec() })
    }

    /// Rows encoded so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Encodes a batch; `full` takes the bytes whenever there are about `chunk` of them, until it wants no
    /// more. Returns the rows that do not fit their columns, by their place in the batch, and why: they
    /// are left out.
    pub(crate) fn encode(
        &mut self,
        batch: &RecordBatch,
        chunk: usize,
        mut full: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<Vec<(usize, Vec<String>)>, TaskError> {
        let mut rejected = Vec::new();
        let values = self.values(batch)?;
        let mut cells = self.cells(&values)?;
        let count = i16::try_from(cells.len() + usize::from(self.numbered)).unwrap_or(i16::MAX);
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let begin = self.out.len();
            self.out.extend_from_slice(&count.to_be_bytes());
            if self.numbered {
                self.out.extend_from_slice(&8_i32.to_be_bytes());
                self.out.extend_from_slice(&self.rows.to_be_bytes());
            }
            let mut misfits = Vec::new();
            for (field, (cell, nulls)) in self.fields.iter().zip(&mut cells) {
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    self.out.extend_from_slice(&NULL);
                } else if let Err(why) = put(&mut self.out, |out| cell(row, out)) {
                    misfits.push(misfit(field, &why));
                }
            }
            if !misfits.is_empty() {
                self.out.truncate(begin);
                rejected.push((row, misfits));
            }
            if self.out.len() >= chunk {
                let bytes = std::mem::replace(&mut self.out, Vec::with_capacity(chunk + 4096));
                if !full(bytes) {
                    break;
                }
            }
        }
        Ok(rejected)
    }

    /// Returns what is left, with the end mark.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(TRAILER);
        self.out
    }

    fn values(&self, batch: &RecordBatch) -> Result<Vec<Values>, TaskError> {
        self.fields
            .iter()
            .map(|field| {
                let (array, nulls) = field.source.values(batch);
                let array = plain(&array).map_err(TaskError::permanent)?;
                Ok(match field.pg_type {
                    PgType::Jsonb => (in_jsonb_order(&array), nulls),
                    _ => (array, nulls),
                })
            })
            .collect()
    }

    fn cells<'a>(
        &self,
        values: &'a [Values],
    ) -> Result<Vec<(Cell<'a>, Option<&'a NullBuffer>)>, TaskError> {
        self.fields
            .iter()
            .zip(values)
            .map(|(field, (array, nulls))| {
                let cell = cell(array, field.pg_type);
                let cell = cell.map_err(|why| TaskError::permanent(misfit(field, &why)))?;
                Ok((cell, nulls.as_ref()))
            })
            .collect()
    }
}

fn misfit(field: &Field, why: &str) -> String {
    format!(
        "column `{}` of the dataset does not fit column `{}` of the table ({}): {why}",
        field.named, field.target, field.type_name
    )
}

/// Writes the length before what `write` adds.
fn put(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - at - 4).map_err(|_| "it is longer than 1 GiB")?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Resolves what only saves space.
fn plain(array: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value),
        DataType::RunEndEncoded(_, value) => cast(array, value.data_type()),
        DataType::Float16 => cast(array, &DataType::Float32),
        _ => Ok(ArrayRef::clone(array)),
    }
}
