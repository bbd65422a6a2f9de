//! The records of a topic that rows were, where their dataset says so.

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use subak_core::operators::kafka::METADATA;

/// The columns of a batch that name topic, partition and offset.
pub(super) struct Origin<'a> {
    topics: &'a StringArray,
    partitions: &'a Int32Array,
    offsets: &'a Int64Array,
}

impl<'a> Origin<'a> {
    /// Returns them if the batch has all three.
    pub(super) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let [topic, partition, offset, ..] = METADATA;
        Some(Self {
            topics: batch.column_by_name(topic)?.as_string_opt()?,
            partitions: batch.column_by_name(partition)?.as_primitive_opt::<Int32Type>()?,
            offsets: batch.column_by_name(offset)?.as_primitive_opt::<Int64Type>()?,
        })
    }

    /// Topic, partition and offset of a row, unless one of them was lost on the way.
    pub(super) fn at(&self, row: usize) -> Option<(&'a str, i32, i64)> {
        let columns: [&dyn Array; 3] = [self.topics, self.partitions, self.offsets];
        let is_whole = columns.iter().all(|column| column.is_valid(row));
        is_whole
            .then(|| (self.topics.value(row), self.partitions.value(row), self.offsets.value(row)))
    }
}
