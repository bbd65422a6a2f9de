//! Records that do not fit their columns, and what is said of them.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use crate::CsvError;
use crate::layout::CsvColumn;
use crate::splitter::open;

/// Characters of a bad value that are shown.
const SHOWN: usize = 60;

/// A record, where it stands, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct BadRecord {
    pub file: Arc<PathBuf>,
    /// Of its first byte in the (decompressed) file.
    pub offset: u64,
    pub reasons: Vec<String>,
    pub raw: Vec<u8>,
}

impl BadRecord {
    /// Says file, line, reasons and what to do. Reads the file again to find the line.
    pub fn explain(&self) -> String {
        let line = Lines::open(&self.file).and_then(|mut lines| lines.line_of(self.offset));
        let line = line.map_or_else(|_| "?".to_owned(), |line| line.to_string());
        format!(
            "{}:{line}: {}; correct the line, or set on_bad_row to skip or dead_letter",
            self.file.display(),
            self.reasons.join("; ")
        )
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: byte {}: {}", self.file.display(), self.offset, self.reasons.join("; "))
    }
}

/// Finds the lines of a file's bytes, in one more pass over the file.
pub struct Lines {
    path: Arc<PathBuf>,
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    offset: u64,
    line: u64,
}

impl Lines {
    /// Starts at the file's first byte.
    pub fn open(path: &Arc<PathBuf>) -> Result<Self, CsvError> {
        Ok(Self {
            source: open(path)?,
            path: Arc::clone(path),
            buffer: vec![0; 256 << 10],
            offset: 0,
            line: 1,
        })
    }

    /// Returns the line, from 1, of the byte at `offset` of the (decompressed) file; offsets must
    /// not go back.
    pub fn line_of(&mut self, offset: u64) -> Result<u64, CsvError> {
        while self.offset < offset {
            let wanted =
                usize::try_from(offset - self.offset).unwrap_or(usize::MAX).min(self.buffer.len());
            match self.source.read(&mut self.buffer[..wanted]) {
                Ok(0) => break,
                Ok(read) => {
                    self.line += memchr::memchr_iter(b'\n', &self.buffer[..read]).count() as u64;
                    self.offset += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CsvError::io("reading", &self.path, error)),
            }
        }
        Ok(self.line)
    }
}

/// Says what is wrong with a value of a column.
#[cold]
pub(crate) fn reason(column: &CsvColumn, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    let mut reason =
        format!("column {}: \"{shown}{more}\" is not {}", column.name, column.expectation());
    if column.inferred {
        reason.push_str(&format!(
            " (the type was taken from the first rows: declare another with `columns: {{{}: string}}`)",
            column.name
        ));
    } else if std::str::from_utf8(value).is_err() {
        reason.push_str(" (convert the file: iconv -f latin1 -t utf-8)");
    }
    reason
}

/// Says that a value begins with a quote and never ends.
#[cold]
pub(crate) fn never_closed(column: Option<&CsvColumn>) -> String {
    let place = column.map(|column| format!("column {}: ", column.name)).unwrap_or_default();
    format!(
        "{place}the quote that the value begins with is never closed, so the rest of the file is one value: close it, write a quote within a value twice, or set another `quote`"
    )
}
