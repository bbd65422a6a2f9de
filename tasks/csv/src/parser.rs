//! Turns chunks of records into record batches, converting only the wanted columns.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};

use crate::CsvError;
use crate::bad_row::{BadRecord, never_closed, reason};
use crate::column::ColumnBuilder;
use crate::layout::Layout;
use crate::mask::{BLOCK, separators};
use crate::splitter::Chunk;

/// Rows of a batch at most.
const BATCH_ROWS: usize = 16_384;

/// What becomes of a record that does not fit the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// It ends the parsing.
    Fail,
    /// It is set aside.
    Collect,
}

/// The records of a chunk.
#[derive(Default)]
pub struct Parsed {
    pub batches: Vec<RecordBatch>,
    pub rejected: Vec<BadRecord>,
}

/// Parses chunks, one after the other.
pub struct Parser {
    layout: Arc<Layout>,
    on_bad: OnBad,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    /// Reasons against the record being read.
    reasons: Vec<String>,
    unquoted: Vec<u8>,
}

/// The record being read.
struct Cursor {
    record_start: usize,
    field_start: usize,
    column: usize,
    /// Whether the field began with a quote.
    quoted: bool,
    /// Whether that quote is still open.
    open: bool,
    /// Where the last quote closed.
    closed_at: usize,
}

impl Parser {
    pub fn new(layout: Arc<Layout>, on_bad: OnBad) -> Self {
        let builders =
            layout.kinds.iter().map(|kind| ColumnBuilder::new(kind, BATCH_ROWS / 2)).collect();
        Self { layout, on_bad, builders, rows: 0, reasons: Vec::new(), unquoted: Vec::new() }
    }

    /// Parses all records of a chunk.
    pub fn parse(&mut self, chunk: &Chunk) -> Result<Parsed, CsvError> {
        let mut parsed = Parsed::default();
        let bytes = chunk.bytes();
        let dialect = self.layout.dialect;
        let mut cursor = Cursor {
            record_start: 0,
            field_start: 0,
            column: 0,
            quoted: false,
            open: false,
            closed_at: usize::MAX,
        };
        let (blocks, tail) = bytes.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            let mask = separators(block, dialect);
            self.walk(mask, index * BLOCK, chunk, &mut cursor, &mut parsed)?;
        }
        let mut block = [0; BLOCK];
        block[..tail.len()].copy_from_slice(tail);
        let mask = separators(&block, dialect) & ((1_u64 << tail.len()) - 1);
        self.walk(mask, blocks.len() * BLOCK, chunk, &mut cursor, &mut parsed)?;
        // The last record of a file may lack its newline, but no closing quote.
        if cursor.open {
            let columns = self.layout.slots.len();
            self.reasons.push(never_closed(self.layout.columns.get(cursor.column)));
            self.reject(columns, cursor.record_start..bytes.len(), chunk, &mut parsed)?;
        } else if cursor.record_start < bytes.len() {
            self.end_field(&cursor, bytes, bytes.len());
            self.end_record(&mut cursor, bytes.len(), bytes.len(), chunk, &mut parsed)?;
        }
        self.flush(&mut parsed)?;
        Ok(parsed)
    }

    /// Visits the separators of one block.
    #[inline(always)]
    fn walk(
        &mut self,
        mut mask: u64,
        base: usize,
        chunk: &Chunk,
        cursor: &mut Cursor,
        parsed: &mut Parsed,
    ) -> Result<(), CsvError> {
        let bytes = chunk.bytes();
        let dialect = self.layout.dialect;
        while mask != 0 {
            let at = base + mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let byte = bytes[at];
            if byte == dialect.quote {
                if cursor.open {
                    cursor.open = false;
                    cursor.closed_at = at;
                } else if at == cursor.field_start
                    || (cursor.quoted && at == cursor.closed_at.wrapping_add(1))
                {
                    cursor.quoted = true;
                    cursor.open = true;
                }
            } else if cursor.open {
            } else if byte == dialect.delimiter {
                self.end_field(cursor, bytes, at);
                cursor.column += 1;
                cursor.field_start = at + 1;
                cursor.quoted = false;
            } else if at == cursor.record_start {
                // A blank line, or the `\n` of `\r\n`.
                cursor.record_start = at + 1;
                cursor.field_start = at + 1;
            } else {
                self.end_field(cursor, bytes, at);
                self.end_record(cursor, at, at + 1, chunk, parsed)?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn end_field(&mut self, cursor: &Cursor, bytes: &[u8], end: usize) {
        let Some(&Some(slot)) = self.layout.slots.get(cursor.column) else { return };
        let mut field = &bytes[cursor.field_start..end];
        if cursor.quoted {
            field = unquote(field, self.layout.dialect.quote, &mut self.unquoted);
        }
        let builder = &mut self.builders[slot];
        if field.is_empty() || self.layout.null_values.iter().any(|null| null == field) {
            builder.push_null();
        } else if !builder.push(field) {
            self.reasons.push(reason(&self.layout.columns[cursor.column], field));
        }
    }

    #[inline(always)]
    fn end_record(
        &mut self,
        cursor: &mut Cursor,
        end: usize,
        next: usize,
        chunk: &Chunk,
        parsed: &mut Parsed,
    ) -> Result<(), CsvError> {
        let columns = cursor.column + 1;
        let start = cursor.record_start;
        *cursor = Cursor {
            record_start: next,
            field_start: next,
            column: 0,
            quoted: false,
            open: false,
            ..*cursor
        };
        if columns == self.layout.slots.len() && self.reasons.is_empty() {
            self.rows += 1;
        } else {
            self.reject(columns, start..end, chunk, parsed)?;
        }
        if self.rows >= BATCH_ROWS {
            self.flush(parsed)?;
        }
        Ok(())
    }

    /// Takes the record's values back, and ends the parsing or sets the record aside.
    #[cold]
    fn reject(
        &mut self,
        columns: usize,
        record: std::ops::Range<usize>,
        chunk: &Chunk,
        parsed: &mut Parsed,
    ) -> Result<(), CsvError> {
        for builder in &mut self.builders {
            builder.truncate(self.rows);
        }
        let mut reasons = std::mem::take(&mut self.reasons);
        let expected = self.layout.slots.len();
        if columns != expected {
            reasons.insert(0, format!("{columns} fields instead of {expected}"));
        }
        let bad = BadRecord {
            file: Arc::clone(&chunk.file),
            offset: chunk.offset + record.start as u64,
            reasons,
            raw: chunk.bytes()[record].to_vec(),
        };
        match self.on_bad {
            OnBad::Fail => Err(CsvError::BadRecord(Box::new(bad))),
            OnBad::Collect => {
                parsed.rejected.push(bad);
                Ok(())
            }
        }
    }

    fn flush(&mut self, parsed: &mut Parsed) -> Result<(), CsvError> {
        if self.rows == 0 {
            return Ok(());
        }
        let columns: Result<Vec<_>, _> =
            self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let schema = Arc::clone(&self.layout.schema);
        parsed.batches.push(RecordBatch::try_new_with_options(schema, columns?, &options)?);
        self.rows = 0;
        Ok(())
    }
}

/// Takes the quotes away, as `csv-core` does: what follows the closing quote belongs to the field.
fn unquote<'a>(field: &'a [u8], quote: u8, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = &field[1..];
    match memchr::memchr(quote, inner) {
        None => inner,
        Some(at) if at + 1 == inner.len() => &inner[..at],
        Some(_) => {
            scratch.clear();
            let mut rest = inner;
            while let Some(at) = memchr::memchr(quote, rest) {
                scratch.extend_from_slice(&rest[..at]);
                rest = &rest[at + 1..];
                if rest.first() != Some(&quote) {
                    break;
                }
                scratch.push(quote);
                rest = &rest[1..];
            }
            scratch.extend_from_slice(rest);
            scratch
        }
    }
}
