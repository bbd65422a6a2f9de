//! How reading a CSV file fails.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;

use crate::BadRecord;

/// A failure to read a file.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A record that does not fit its columns.
    #[error("{0}")]
    BadRecord(Box<BadRecord>),
    /// Options or a file that make no sense, in words for people.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl CsvError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }
}
