//! Cuts files into chunks of whole records, one after the other.
//!
//! Where a record ends depends on all quotes before it, so this part is sequential; it only looks at
//! quotes, many bytes at a time, and leaves everything else to the parsers.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use memchr::{memchr, memchr_iter, memrchr2};

use crate::CsvError;
use crate::Dialect;

/// A record longer than this is taken for a missing quote.
const LONGEST_RECORD: usize = 64 << 20;

/// Whole records of one file.
#[derive(Debug, Default)]
pub struct Chunk {
    pub file: Arc<PathBuf>,
    /// Where the records begin in the (decompressed) file.
    pub offset: u64,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Chunk {
    /// The records.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }
}

/// Reads files one after the other, in chunks of whole records.
pub struct Splitter {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Current>,
    dialect: Dialect,
    header: bool,
    chunk_bytes: usize,
}

/// The file being read.
struct Current {
    path: Arc<PathBuf>,
    source: Box<dyn Read + Send>,
    /// What was read but not handed out: the beginning of a record.
    rest: Vec<u8>,
    /// Where `rest` begins in the file.
    offset: u64,
    at_start: bool,
    ended: bool,
}

impl Splitter {
    /// Reads `files`; `header` says whether the first record of each names the columns.
    pub fn new(files: Vec<PathBuf>, dialect: Dialect, header: bool, chunk_bytes: usize) -> Self {
        Self { files: files.into_iter(), current: None, dialect, header, chunk_bytes }
    }

    /// Fills `chunk` with the next records, reusing its memory; `false` at the end of the last file.
    pub fn next(&mut self, chunk: &mut Chunk) -> Result<bool, CsvError> {
        loop {
            if self.current.is_none() {
                let Some(path) = self.files.next() else { return Ok(false) };
                self.current = Some(Current::open(path)?);
            }
            let Some(current) = &mut self.current else { return Ok(false) };
            if current.fill(chunk, self.dialect, self.header, self.chunk_bytes)? {
                return Ok(true);
            }
            self.current = None;
        }
    }
}

impl fmt::Debug for Splitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splitter").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Current {
    fn open(path: PathBuf) -> Result<Self, CsvError> {
        let source = open(&path)?;
        Ok(Self {
            path: Arc::new(path),
            source,
            rest: Vec::new(),
            offset: 0,
            at_start: true,
            ended: false,
        })
    }

    /// Fills `chunk`; `false` if the file has no more records.
    fn fill(
        &mut self,
        chunk: &mut Chunk,
        dialect: Dialect,
        header: bool,
        chunk_bytes: usize,
    ) -> Result<bool, CsvError> {
        let mut length = self.rest.len();
        let mut wanted = chunk_bytes.max(length * 2);
        if chunk.buffer.len() < wanted {
            chunk.buffer.resize(wanted, 0);
        }
        chunk.buffer[..length].copy_from_slice(&self.rest);
        loop {
            while length < wanted && !self.ended {
                let read = self.read(&mut chunk.buffer[length..wanted])?;
                self.ended = read == 0;
                length += read;
            }
            let bytes = &chunk.buffer[..length];
            let begin = if self.at_start { start_of_records(bytes, dialect, header) } else { 0 };
            let end =
                if self.ended { length } else { begin + last_record_end(&bytes[begin..], dialect) };
            if end > begin || self.ended {
                self.at_start = false;
                self.rest.clear();
                self.rest.extend_from_slice(&bytes[end..]);
                (chunk.begin, chunk.end) = (begin, end);
                chunk.file = Arc::clone(&self.path);
                chunk.offset = self.offset + begin as u64;
                self.offset += end as u64;
                return Ok(end > begin);
            }
            if wanted >= LONGEST_RECORD {
                return Err(CsvError::Invalid(format!(
                    "{}: no record ends within {} MiB after byte {}: is a closing quote missing, or is this not a CSV file?",
                    self.path.display(),
                    LONGEST_RECORD >> 20,
                    self.offset + begin as u64,
                )));
            }
            wanted *= 2;
            chunk.buffer.resize(wanted, 0);
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CsvError> {
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    return result.map_err(|error| CsvError::io("reading", &self.path, error));
                }
            }
        }
    }
}

/// Opens a file, decompressing it if its name ends in `.gz`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>, CsvError> {
    let file = File::open(path).map_err(|error| CsvError::io("opening", path, error))?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        Ok(Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(256 << 10, file))))
    } else {
        Ok(Box::new(file))
    }
}

/// Skips a byte order mark, blank lines and the header at the beginning of a file.
fn start_of_records(bytes: &[u8], dialect: Dialect, header: bool) -> usize {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    if !header {
        return mark;
    }
    let blank = bytes[mark..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let begin = mark + blank;
    first_record_end(&bytes[begin..], dialect).map_or(bytes.len(), |end| begin + end)
}

/// Returns where the record that `bytes` begin with ends, its newline included.
pub fn first_record_end(bytes: &[u8], dialect: Dialect) -> Option<usize> {
    let mut outside = 0;
    loop {
        let opening = opening_quote(bytes, outside, dialect);
        let end = opening.unwrap_or(bytes.len());
        if let Some(at) = memchr::memchr2(b'\n', b'\r', &bytes[outside..end]) {
            return Some(outside + at + 1);
        }
        outside = closing_quote(bytes, opening? + 1, dialect)? + 1;
    }
}

/// Returns where the last whole record of `bytes` ends, or 0; `bytes` begin with a record.
fn last_record_end(bytes: &[u8], dialect: Dialect) -> usize {
    let mut outside = 0;
    let mut last = 0;
    loop {
        let opening = opening_quote(bytes, outside, dialect);
        let end = opening.unwrap_or(bytes.len());
        if let Some(at) = memrchr2(b'\n', b'\r', &bytes[outside..end]) {
            last = outside + at + 1;
        }
        let Some(closing) = opening.and_then(|at| closing_quote(bytes, at + 1, dialect)) else {
            return last;
        };
        outside = closing + 1;
    }
}

/// Returns the next quote that opens a field: one that stands where a field begins.
fn opening_quote(bytes: &[u8], from: usize, dialect: Dialect) -> Option<usize> {
    memchr_iter(dialect.quote, &bytes[from..]).map(|at| from + at).find(|&at| {
        at == 0 || bytes[at - 1] == dialect.delimiter || matches!(bytes[at - 1], b'\n' | b'\r')
    })
}

/// Returns the quote that ends a quoted field: one that is not doubled.
fn closing_quote(bytes: &[u8], from: usize, dialect: Dialect) -> Option<usize> {
    let mut from = from;
    loop {
        let at = from + memchr(dialect.quote, bytes.get(from..)?)?;
        if bytes.get(at + 1) != Some(&dialect.quote) {
            return Some(at);
        }
        from = at + 2;
    }
}
