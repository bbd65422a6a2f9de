//! Describes a dataset while it is written: rows, nulls, distinct values, limits, first rows.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use serde_json::Value;
use subak_task::{ColumnStats, DatasetStats, whole_rows};

use super::sketch::DistinctSketch;
use crate::error::DataError;

/// Rows of a preview.
pub(crate) const PREVIEW_ROWS: usize = 100;

/// What was seen so far.
pub(crate) struct Statistics {
    schema: SchemaRef,
    rows: u64,
    columns: Vec<ColumnStatistics>,
    preview: Vec<RecordBatch>,
    preview_rows: usize,
}

struct ColumnStatistics {
    nulls: u64,
    distinct: Option<DistinctSketch>,
    limits: Option<(MinAccumulator, MaxAccumulator)>,
}

impl Statistics {
    pub(crate) fn new(schema: SchemaRef) -> Result<Self, DataError> {
        let columns: Result<Vec<_>, _> =
            schema.fields().iter().map(|field| ColumnStatistics::new(field.data_type())).collect();
        Ok(Self { schema, rows: 0, columns: columns?, preview: Vec::new(), preview_rows: 0 })
    }

    /// Adds a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), DataError> {
        self.rows += batch.num_rows() as u64;
        for (statistics, column) in self.columns.iter_mut().zip(batch.columns()) {
            statistics.nulls += column.logical_null_count() as u64;
            if let Some(distinct) = &mut statistics.distinct {
                distinct.add(column)?;
            }
            if let Some((min, max)) = &mut statistics.limits {
                min.update_batch(std::slice::from_ref(column))?;
                max.update_batch(std::slice::from_ref(column))?;
            }
        }
        self.keep(batch);
        Ok(())
    }

    /// Adds what another saw of later rows.
    pub(crate) fn merge(&mut self, other: &mut Self) -> Result<(), DataError> {
        self.rows += other.rows;
        for (mine, theirs) in self.columns.iter_mut().zip(&mut other.columns) {
            mine.merge(theirs)?;
        }
        for batch in &other.preview {
            self.keep(batch);
        }
        Ok(())
    }

    /// Returns the description; `bytes` is the size of what was written.
    pub(crate) fn finish(mut self, bytes: u64) -> Result<DatasetStats, DataError> {
        let mut columns = BTreeMap::new();
        for (field, statistics) in self.schema.fields().iter().zip(&mut self.columns) {
            columns.insert(field.name().clone(), statistics.finish()?);
        }
        Ok(DatasetStats {
            rows: Some(self.rows),
            bytes: Some(bytes),
            columns,
            preview: json_rows(&self.preview)?,
        })
    }

    fn keep(&mut self, batch: &RecordBatch) {
        let wanted = (PREVIEW_ROWS - self.preview_rows).min(batch.num_rows());
        if wanted > 0 {
            self.preview_rows += wanted;
            self.preview.push(batch.slice(0, wanted));
        }
    }
}

impl ColumnStatistics {
    fn new(data_type: &DataType) -> Result<Self, DataError> {
        let comparable = data_type.is_primitive()
            || matches!(data_type, DataType::Utf8 | DataType::Boolean)
                && !matches!(data_type, DataType::Interval(_));
        let limits = if comparable {
            Some((MinAccumulator::try_new(data_type)?, MaxAccumulator::try_new(data_type)?))
        } else {
            None
        };
        let distinct = (!data_type.is_nested()).then(DistinctSketch::new);
        Ok(Self { nulls: 0, distinct, limits })
    }

    fn merge(&mut self, other: &mut Self) -> Result<(), DataError> {
        self.nulls += other.nulls;
        if let (Some(mine), Some(theirs)) = (&mut self.distinct, &other.distinct) {
            mine.merge(theirs);
        }
        if let (Some((min, max)), Some((other_min, other_max))) =
            (&mut self.limits, &mut other.limits)
        {
            min.update_batch(&[other_min.evaluate()?.to_array()?])?;
            max.update_batch(&[other_max.evaluate()?.to_array()?])?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ColumnStats, DataError> {
        let (min, max) = match &mut self.limits {
            Some((min, max)) => (text(&min.evaluate()?)?, text(&max.evaluate()?)?),
            None => (None, None),
        };
        let distinct = self.distinct.as_ref().map(DistinctSketch::estimate);
        Ok(ColumnStats { nulls: self.nulls, distinct, min, max })
    }
}

/// Longest text shown as a limit, in characters.
const LIMIT_CHARACTERS: usize = 100;

fn text(value: &ScalarValue) -> Result<Option<String>, DataError> {
    if value.is_null() {
        return Ok(None);
    }
    let array = value.to_array()?;
    let text = ArrayFormatter::try_new(&array, &FormatOptions::default())?.value(0).to_string();
    Ok(Some(text.chars().take(LIMIT_CHARACTERS).collect()))
}

/// Longest text of a preview's cell, in characters.
const CELL_CHARACTERS: usize = 1_000;

/// Elements of a list that a preview shows.
const CELL_ELEMENTS: usize = 100;

/// A preview's rows end when they have this many bytes.
const PREVIEW_BYTES: usize = 256 * 1_024;

/// Returns rows as JSON objects, nulls included; long values are cut, and so are the rows where they
/// are large together.
pub(crate) fn json_rows(batches: &[RecordBatch]) -> Result<Vec<Value>, DataError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for batch in batches {
        for at in 0..batch.num_rows() {
            // One by one: a hundred large rows at once would not fit into memory.
            for mut row in whole_rows(&batch.slice(at, 1))? {
                shorten(&mut row);
                bytes += row.to_string().len();
                if bytes > PREVIEW_BYTES {
                    return Ok(rows);
                }
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(CELL_CHARACTERS) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(values) => {
            values.truncate(CELL_ELEMENTS);
            values.iter_mut().for_each(shorten);
        }
        Value::Object(entries) => entries.values_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn batch(cells: Vec<String>) -> RecordBatch {
        let column = Arc::new(StringArray::from(cells)) as ArrayRef;
        RecordBatch::try_from_iter([("text", column)]).unwrap()
    }

    #[test]
    fn a_preview_is_small_whatever_the_cells_hold() {
        let rows = json_rows(&[batch(vec!["short".to_owned(), "ö".repeat(5 << 20)])]).unwrap();
        assert_eq!(rows[0]["text"], "short");
        let cut = rows[1]["text"].as_str().unwrap();
        assert!(cut.chars().count() == CELL_CHARACTERS + 1 && cut.ends_with('…'));
        let wide = json_rows(&[batch(vec!["x".repeat(900); 1_000])]).unwrap();
        let bytes: usize = wide.iter().map(|row| row.to_string().len()).sum();
        assert!(bytes <= PREVIEW_BYTES && wide.len() > 200, "{} rows", wide.len());
    }
}
