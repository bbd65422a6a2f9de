//! Rows that were rejected before, from the JSON that their dead letters have kept.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use subak_core::letter::Letter;

use crate::BadRow;
use crate::own_bytes::{put_back, row_of};

/// Dead letters as rows.
pub struct Again {
    pub batch: RecordBatch,
    /// Of each row of the batch its dead letter.
    pub letters: Vec<Letter>,
    /// Those that are no rows of the dataset any more.
    pub unfit: Vec<BadRow>,
}

/// Makes rows of a schema. A column that a record does not have is null in it.
pub fn rows_again(letters: Vec<Letter>, schema: &SchemaRef) -> Result<Again, ArrowError> {
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let lenient = Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()));
    let (mut batches, mut kept, mut unfit) = (Vec::new(), Vec::new(), Vec::new());
    for letter in letters {
        let row = row(row_of(&letter), &lenient).and_then(|row| put_back(row, &letter));
        let row = row.and_then(|row| strict(&row, schema));
        match row {
            Ok(row) => {
                batches.push(row);
                kept.push(letter);
            }
            Err(error) => {
                let reason = format!("is no row of the input any more: {error}");
                unfit.push(BadRow::again(letter, vec![reason]));
            }
        }
    }
    Ok(Again { batch: concat_batches(schema, &batches)?, letters: kept, unfit })
}

/// One row of one JSON object.
fn row(json: &[u8], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let no_row = || ArrowError::JsonError("the record is no JSON object".to_owned());
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(no_row());
    }
    let builder = ReaderBuilder::new(Arc::clone(schema)).with_coerce_primitive(true);
    let mut decoder = builder.build_decoder()?;
    let read = decoder.decode(json)?;
    let row = decoder.flush()?.filter(|row| row.num_rows() == 1);
    row.filter(|_| read == json.len()).ok_or_else(no_row)
}

/// The row, if no column is null that cannot be.
fn strict(row: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(Arc::clone(schema), row.columns().to_vec())
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringArray};
    use arrow::datatypes::DataType;

    use super::*;
    use crate::whole_rows;

    fn letter(id: i64, raw: &str) -> Letter {
        Letter {
            id,
            source: "read".to_owned(),
            partition: 0,
            position: id,
            raw: raw.as_bytes().to_vec(),
            metadata: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("key", DataType::Binary, true),
            Field::new("topic", DataType::Utf8, false),
        ]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
                Arc::new(StringArray::from(vec![Some("a \"b\" \u{1f600}"), None])),
                Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None])),
                Arc::new(StringArray::from(vec!["t", "t"])),
            ],
        )
        .unwrap();
        let texts = whole_rows(&batch).unwrap();
        let letters = (1..).zip(&texts).map(|(id, row)| letter(id, &row.to_string())).collect();
        let again = rows_again(letters, &schema).unwrap();
        assert!(again.unfit.is_empty(), "{:?}", again.unfit);
        assert_eq!(again.batch, batch);
    }

    #[test]
    fn what_does_not_fit_any_more_is_rejected_again() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("new", DataType::Utf8, true),
            Field::new("topic", DataType::Utf8, false),
        ]));
        let raw = [
            r#"{"id": 1, "old": true, "topic": "t"}"#,
            r#"{"id": "x", "topic": "t"}"#,
            r#"{"id": 3}"#,
            "{}{}",
            "oops",
        ];
        let letters = (1..).zip(raw).map(|(id, raw)| letter(id, raw)).collect();
        let again = rows_again(letters, &schema).unwrap();
        assert_eq!((again.batch.num_rows(), again.letters[0].id), (1, 1));
        let unfit: Vec<_> = again.unfit.iter().map(|row| row.replay_of.unwrap()).collect();
        assert_eq!(unfit, [2, 3, 4, 5]);
    }
}
