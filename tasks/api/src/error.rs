//! How a try fails.

use std::fmt;

/// Whether another try may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// A network, a lock, a busy server: try again.
    Transient,
    /// Wrong input, a missing table, a refused password: the next try would fail the same way.
    Permanent,
    /// Not an error: the task has nothing to do and is skipped.
    Skip,
    /// The worker or a user ended the try; only the worker makes these.
    Cancelled,
}

/// An operator's failure: one line for people that says what, where, why and what to do.
#[derive(Debug)]
pub struct TaskError {
    pub class: ErrorClass,
    pub message: String,
    /// Of the process, where there was one.
    pub exit_code: Option<i32>,
}

impl TaskError {
    /// Another try may succeed.
    pub fn transient(error: impl fmt::Display) -> Self {
        Self { class: ErrorClass::Transient, message: error.to_string(), exit_code: None }
    }

    /// Another try would fail the same way.
    pub fn permanent(error: impl fmt::Display) -> Self {
        Self { class: ErrorClass::Permanent, message: error.to_string(), exit_code: None }
    }

    /// The task has nothing to do.
    pub fn skip(reason: impl fmt::Display) -> Self {
        Self { class: ErrorClass::Skip, message: reason.to_string(), exit_code: None }
    }

    /// The try was ended from outside.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            class: ErrorClass::Cancelled,
            message: "the try was stopped".to_owned(),
            exit_code: None,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TaskError {}
