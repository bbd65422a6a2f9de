//! Values that were seen before, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::physical_plan::PhysicalExpr;

use crate::error::DataError;
use subak_task::{bytes_text, rows_text};

/// What a value takes in the set, its share of free places included.
const BYTES_A_VALUE: usize = 40;

/// The values of a column that rows passed on have. A value is known by 128 bits of two hashes: among
/// a billion, two are taken for the same with a chance of 10⁻²¹.
pub(super) struct Unique {
    pub reason: String,
    column: String,
    values: Arc<dyn PhysicalExpr>,
    converter: Option<RowConverter>,
    seen: HashSet<u128>,
    hashers: [RandomState; 2],
    memory_bytes: usize,
}

impl Unique {
    pub(super) fn new(
        column: String,
        reason: Option<String>,
        values: Arc<dyn PhysicalExpr>,
        memory_bytes: usize,
    ) -> Self {
        Self {
            reason: reason.unwrap_or_else(|| format!("`{column}` is not unique")),
            column,
            values,
            converter: None,
            seen: HashSet::new(),
            hashers: [RandomState::new(), RandomState::new()],
            memory_bytes,
        }
    }

    /// Returns what stands for the value of each row, `None` for a null.
    pub(super) fn keys(&mut self, batch: &RecordBatch) -> Result<Vec<Option<u128>>, DataError> {
        let array = self.values.evaluate(batch)?.into_array(batch.num_rows())?;
        let rows = self.rows(&array)?;
        let key = |at: usize| {
            let bytes = rows.row(at);
            let half = |hasher: &RandomState| u128::from(hasher.hash_one(bytes.as_ref()));
            half(&self.hashers[0]) << 64 | half(&self.hashers[1])
        };
        let keys = (0..batch.num_rows()).map(|at| (!array.is_null(at)).then(|| key(at)));
        Ok(keys.collect())
    }

    pub(super) fn has(&self, key: u128) -> bool {
        self.seen.contains(&key)
    }

    /// Takes a value up.
    pub(super) fn add(&mut self, key: u128) -> Result<(), DataError> {
        if self.seen.len() * BYTES_A_VALUE >= self.memory_bytes {
            return Err(DataError::permanent(format!(
                "`{}` has more than {}, too many to compare within {}: give the worker more memory, or \
                 keep one row of each in a `transform`",
                self.column,
                rows_text(self.seen.len() as u64, "value"),
                bytes_text(self.memory_bytes as u64)
            )));
        }
        self.seen.insert(key);
        Ok(())
    }

    fn rows(&mut self, array: &arrow::array::ArrayRef) -> Result<Rows, DataError> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                none.insert(RowConverter::new(vec![SortField::new(array.data_type().clone())])?)
            }
        };
        Ok(converter.convert_columns(std::slice::from_ref(array))?)
    }
}
