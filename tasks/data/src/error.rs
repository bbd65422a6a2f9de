//! How reading and computing fail, before it becomes one line for people.

use std::io;
use std::path::Path;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use subak_task::{ErrorClass, TaskError};

use subak_tasks_csv::{BadRecord, CsvError};

/// A failure inside this crate. It travels through DataFusion as an external error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// Already said in words for people.
    #[error("{message}")]
    Said { message: String, class: ErrorClass },
    /// A record that does not fit its columns.
    #[error("{0}")]
    BadRecord(Box<BadRecord>),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
}

impl DataError {
    /// Another try would fail the same way.
    pub(crate) fn permanent(message: impl Into<String>) -> Self {
        Self::Said { message: message.into(), class: ErrorClass::Permanent }
    }

    /// Puts before the message what it is about.
    pub(crate) fn within(self, what: &str) -> Self {
        match self {
            Self::Said { message, class } => {
                Self::Said { message: format!("{what}: {message}"), class }
            }
            other => other,
        }
    }

    /// Says what was being done to which file, why it failed and what to do.
    pub(crate) fn io(doing: &str, path: &Path, error: io::Error) -> Self {
        let path = path.display();
        let (class, message) = match error.kind() {
            io::ErrorKind::NotFound => (
                ErrorClass::Permanent,
                format!(
                    "{path} does not exist (while {doing} it): check the path; it is looked up on the worker"
                ),
            ),
            io::ErrorKind::PermissionDenied => (
                ErrorClass::Permanent,
                format!("{doing} {path}: permission denied: let the worker's user reach it"),
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                ErrorClass::Transient,
                format!(
                    "{doing} {path}: the disk is full: free some space; a file that was there before is untouched"
                ),
            ),
            io::ErrorKind::FileTooLarge => (
                ErrorClass::Permanent,
                format!(
                    "{doing} {path}: the file would be larger than the worker may write: raise its limit (ulimit -f); a file that was there before is untouched"
                ),
            ),
            io::ErrorKind::IsADirectory => (
                ErrorClass::Permanent,
                format!(
                    "{path} is a folder: name a file, or files by a pattern such as {path}/*.csv"
                ),
            ),
            _ => (ErrorClass::Transient, format!("{doing} {path}: {error}")),
        };
        Self::Said { message, class }
    }

    /// Becomes the line that the user sees.
    fn to_task_error(&self) -> TaskError {
        match self {
            Self::Said { message, class } => {
                TaskError { class: *class, message: message.clone(), exit_code: None }
            }
            Self::BadRecord(record) => TaskError::permanent(record.explain()),
            Self::Arrow(error) => from_arrow(error),
            Self::DataFusion(error) => from_datafusion(error),
        }
    }
}

impl From<CsvError> for DataError {
    fn from(error: CsvError) -> Self {
        match error {
            CsvError::Io { doing, path, source } => Self::io(doing, &path, source),
            CsvError::BadRecord(record) => Self::BadRecord(record),
            CsvError::Invalid(message) => Self::permanent(message),
            CsvError::Arrow(error) => Self::Arrow(error),
        }
    }
}

impl From<DataError> for DataFusionError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::DataFusion(error) => error,
            error => Self::External(Box::new(error)),
        }
    }
}

impl From<DataError> for TaskError {
    fn from(error: DataError) -> Self {
        error.to_task_error()
    }
}

fn from_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> TaskError {
    if let Some(error) = error.downcast_ref::<DataError>() {
        error.to_task_error()
    } else if let Some(error) = error.downcast_ref::<DataFusionError>() {
        from_datafusion(error)
    } else {
        TaskError::permanent(error)
    }
}

fn from_arrow(error: &ArrowError) -> TaskError {
    match error {
        ArrowError::ExternalError(error) => from_external(&**error),
        ArrowError::IoError(_, error) => from_io(error),
        error => TaskError::permanent(error),
    }
}

fn from_io(error: &io::Error) -> TaskError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TaskError::transient(
            "the disk of the worker's storage or scratch folder is full: free some space",
        ),
        io::ErrorKind::FileTooLarge => TaskError::permanent(
            "a file in the worker's storage or scratch folder would be larger than it may write: raise its limit (ulimit -f)",
        ),
        _ => TaskError::transient(error),
    }
}

fn from_datafusion(error: &DataFusionError) -> TaskError {
    match error {
        DataFusionError::External(error) => from_external(&**error),
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => {
            from_datafusion(error)
        }
        DataFusionError::Shared(error) => from_datafusion(error),
        DataFusionError::ArrowError(error, _) => from_arrow(error),
        DataFusionError::IoError(error) => from_io(error),
        DataFusionError::ResourcesExhausted(why) => TaskError::permanent(format!(
            "the query needs more memory than the task may use: read fewer columns, aggregate in steps, or give the worker more memory ({})",
            why.lines().next().unwrap_or_default()
        )),
        error => TaskError::permanent(error.strip_backtrace()),
    }
}

impl From<TaskError> for DataError {
    fn from(error: TaskError) -> Self {
        Self::Said { message: error.message, class: error.class }
    }
}
