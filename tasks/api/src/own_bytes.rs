//! The bytes that a row was made of, where its dataset hands them on: what a dead letter keeps of it, and
//! how it becomes the same row again.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use serde_json::{Value, json};
use subak_core::letter::Letter;
use subak_core::operators::kafka::{METADATA, OWN_BYTES};

use crate::rejected::row_text;

/// The column of a dataset of format `raw`.
const VALUE: &str = "value";

/// What a dead letter knows besides the record: the row without it, as text. A number of `jsonb` might come
/// back otherwise spelt.
const ROW: &str = "row";

/// A larger row is kept in the place of its record: a message to the server has room for one of them.
const ROW_BYTES_MOST: usize = 256 << 10;

/// The records of a batch, and its other columns.
pub(crate) struct OwnBytes<'b> {
    records: &'b BinaryArray,
    rest: RecordBatch,
}

impl<'b> OwnBytes<'b> {
    /// Finds them, if the batch has them.
    pub(crate) fn of(batch: &'b RecordBatch) -> Result<Option<Self>, ArrowError> {
        let Some(column) = column(batch.schema_ref()) else { return Ok(None) };
        let Some(records) = batch.column(column).as_binary_opt::<i32>() else { return Ok(None) };
        let others: Vec<usize> = (0..batch.num_columns()).filter(|at| *at != column).collect();
        Ok(Some(Self { records, rest: batch.project(&others)? }))
    }

    /// The record of a row, and what is needed besides to make that row again.
    pub(crate) fn at(&self, row: usize) -> Result<Option<(Vec<u8>, Value)>, ArrowError> {
        if self.records.is_null(row) {
            return Ok(None);
        }
        let rest = row_text(&self.rest, row)?;
        let fits = rest.len() <= ROW_BYTES_MOST;
        Ok(fits.then(|| (self.records.value(row).to_vec(), json!({ ROW: rest }))))
    }

    /// The batch without them.
    pub(crate) fn rest(&self) -> &RecordBatch {
        &self.rest
    }
}

/// The row of a dead letter as JSON: beside its record, or in the place of it.
pub(crate) fn row_of(letter: &Letter) -> &[u8] {
    letter.metadata[ROW].as_str().map_or(letter.raw.as_slice(), str::as_bytes)
}

/// Puts the record of a dead letter back into its row, where the dataset has a column for it.
pub(crate) fn put_back(row: RecordBatch, letter: &Letter) -> Result<RecordBatch, ArrowError> {
    let column = column(row.schema_ref()).filter(|_| letter.metadata[ROW].is_string());
    let Some(column) = column else { return Ok(row) };
    let mut columns = row.columns().to_vec();
    columns[column] = Arc::new(BinaryArray::from_vec(vec![letter.raw.as_slice()]));
    RecordBatch::try_new(row.schema(), columns)
}

/// The column of the records' own bytes.
fn column(schema: &Schema) -> Option<usize> {
    let [topic, ..] = METADATA;
    let named = match schema.index_of(OWN_BYTES) {
        Err(_) if schema.index_of(topic).is_ok() => schema.index_of(VALUE),
        found => found,
    };
    named.ok().filter(|column| *schema.field(*column).data_type() == DataType::Binary)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};

    use crate::{letters, rows_again};

    use super::*;

    /// Two rows of a topic, whose records stand in `column`.
    fn batch(column: &str, records: [&[u8]; 2]) -> RecordBatch {
        let columns: [(&str, ArrayRef); 5] = [
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("_topic", Arc::new(StringArray::from(vec!["users", "users"]))),
            ("_partition", Arc::new(Int32Array::from(vec![0, 2]))),
            ("_offset", Arc::new(Int64Array::from(vec![40, 41]))),
            (column, Arc::new(BinaryArray::from_vec(records.to_vec()))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// The dead letter of the second row, as it comes back.
    fn letter(batch: &RecordBatch) -> Letter {
        let row = letters(batch, &[(1, vec!["why".to_owned()])], "read", 0).unwrap().remove(0);
        Letter {
            id: 1,
            source: row.source,
            partition: row.partition,
            position: row.position,
            raw: row.raw,
            metadata: row.metadata,
        }
    }

    #[test]
    fn a_dead_letter_has_the_bytes_and_becomes_the_same_row_again() {
        let record = b" {\"id\": 8, \"more\": \"\xff\"}\n";
        for name in [OWN_BYTES, VALUE] {
            let batch = batch(name, [b"{}", record]);
            let letter = letter(&batch);
            assert_eq!(
                (letter.raw.as_slice(), letter.partition, letter.position),
                (&record[..], 2, 41)
            );
            let again = rows_again(vec![letter], &batch.schema()).unwrap();
            assert!(again.unfit.is_empty(), "{:?}", again.unfit);
            assert_eq!(again.batch, batch.slice(1, 1));
        }
    }

    #[test]
    fn a_row_that_is_too_large_is_kept_in_the_place_of_its_record() {
        let batch = batch(OWN_BYTES, [b"{}", b"{}"]);
        let large: ArrayRef =
            Arc::new(StringArray::from(vec![String::new(), "x".repeat(ROW_BYTES_MOST)]));
        let columns = batch.schema_ref().fields().iter().map(|field| field.name().clone());
        let columns = columns.zip(batch.columns().iter().cloned());
        let batch =
            RecordBatch::try_from_iter(columns.chain([("large".to_owned(), large)])).unwrap();
        let letter = letter(&batch);
        assert!(letter.metadata.is_null() && letter.raw.len() > ROW_BYTES_MOST);
        let again = rows_again(vec![letter], &batch.schema());
        // What cannot be null is missing now: the row is rejected again, and not made up.
        assert_eq!(again.unwrap().unfit.len(), 1);
    }

    #[test]
    fn bytes_of_no_topic_are_a_column_like_any_other() {
        let batch = batch(VALUE, [b"a", b"b"]);
        let batch = batch.project(&[0, 4]).unwrap();
        let letter = letter(&batch);
        assert_eq!(letter.raw, br#"{"id":8,"value":"62"}"#);
        assert!(letter.metadata.is_null());
    }
}
