//! The parser of CSV files: typed, projected, and exact about quotes and newlines.
//!
//! A [`Splitter`] cuts files into chunks of whole records; [`Parser`]s turn chunks into record
//! batches, converting only the columns that are wanted, and may do so in parallel. Quotes are read as
//! `csv-core` reads them, which arrow uses: a quote opens a field only where the field begins, blank
//! lines are skipped, and `\n`, `\r\n` or `\r` end a record.
//!
//! It is a crate of its own to be compiled at the highest level, without DataFusion's weight.

mod bad_row;
mod column;
mod error;
mod format;
mod layout;
mod mask;
mod parser;
mod splitter;
pub mod value;

pub use bad_row::{BadRecord, Lines};
pub use column::{ColumnBuilder, Kind};
pub use error::CsvError;
pub use format::Format;
pub use layout::{CsvColumn, CsvOptions, Layout};
pub use parser::{OnBad, Parsed, Parser};
pub use splitter::{Chunk, Splitter, first_record_end};

/// The bytes that give a file its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: u8,
    pub quote: u8,
}
