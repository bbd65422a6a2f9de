//! Where records come from, as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use subak_core::operators::kafka::METADATA;

use super::Record;

/// The metadata of a batch's records.
pub(super) struct Metadata {
    topic: String,
    partitions: Int32Builder,
    offsets: Int64Builder,
    timestamps: TimestampMicrosecondBuilder,
    keys: BinaryBuilder,
    headers: StringBuilder,
}

/// The columns, in the order of [`METADATA`], but for the records' own bytes.
pub(super) fn fields() -> Vec<Field> {
    let types = [
        (DataType::Utf8, false),
        (DataType::Int32, false),
        (DataType::Int64, false),
        (DataType::Timestamp(TimeUnit::Microsecond, None), true),
        (DataType::Binary, true),
        (DataType::Utf8, true),
    ];
    let named = METADATA.into_iter().zip(types);
    named.map(|(name, (data_type, nullable))| Field::new(name, data_type, nullable)).collect()
}

impl Metadata {
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions: Int32Builder::new(),
            offsets: Int64Builder::new(),
            timestamps: TimestampMicrosecondBuilder::new(),
            keys: BinaryBuilder::new(),
            headers: StringBuilder::new(),
        }
    }

    pub(super) fn push(&mut self, record: &Record<'_>) {
        self.partitions.append_value(record.partition);
        self.offsets.append_value(record.offset);
        let millis = record.timestamp;
        self.timestamps.append_option(millis.map(|millis| millis.saturating_mul(1_000)));
        self.keys.append_option(record.key.as_deref());
        self.headers.append_option(record.headers.as_deref());
    }

    /// The columns of `rows` records.
    pub(super) fn finish(&mut self, rows: usize) -> [ArrayRef; 6] {
        let topics = StringArray::from_iter_values(std::iter::repeat_n(&self.topic, rows));
        [
            Arc::new(topics),
            Arc::new(self.partitions.finish()),
            Arc::new(self.offsets.finish()),
            Arc::new(self.timestamps.finish()),
            Arc::new(self.keys.finish()),
            Arc::new(self.headers.finish()),
        ]
    }
}
