//! The end of a try as a worker, or the reaper, reports it.

use std::borrow::Cow;

use serde_json::Value;
use subak_core::decide::{MAP_MOST, TryEnd};
use subak_core::text::without_nul;
use subak_store::engine::Fence;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Skipped,
    Failed(TryEnd),
    /// At the server's word: a cancel or a clear.
    Stopped,
}

/// One report.
#[derive(Debug, Clone)]
pub struct TryReport {
    pub fence: Fence,
    pub outcome: Outcome,
    pub error: Option<String>,
    pub exit_code: Option<i32>,
    /// `return_value` is what the task returned.
    pub xcoms: Vec<XComReport>,
    pub datasets: Vec<DatasetReport>,
    pub rows_rejected: u64,
    /// The arguments once rendered, as people see them; absent: the task has no templates.
    pub rendered: Option<Value>,
    /// Rows of other tasks' scans that the try has counted: task id to rows.
    pub scans: Vec<(String, u64)>,
    /// Rejected records were sent ahead of this report.
    pub dead_letters: bool,
    /// The log's last chunk, where it was not sent before.
    pub log: Option<LogTail>,
    /// The database refused what it held: only the end is left of it.
    pub is_refused: bool,
}

/// A value that the try hands on.
#[derive(Debug, Clone, Default)]
pub struct XComReport {
    pub key: String,
    pub value: Value,
    /// As people see it, where that differs: secrets are hidden.
    pub shown: Option<Value>,
    /// The value lies under the storage URL; `value` and `shown` are the secrets in it.
    pub large: Option<LargeXCom>,
}

/// What is known of a large value without reading it.
#[derive(Debug, Clone, Copy)]
pub struct LargeXCom {
    pub bytes: u64,
    /// Of a list or a map; absent, it is a text.
    pub items: Option<u32>,
}

impl XComReport {
    /// What the engine reads of the value. Of a large one it asks only how many items it has.
    pub(crate) fn read(&self) -> Cow<'_, Value> {
        match self.large {
            None => Cow::Borrowed(&self.value),
            Some(LargeXCom { items: None, .. }) => Cow::Owned(Value::from("a long text")),
            Some(LargeXCom { items: Some(items), .. }) => {
                // One more than is allowed says as much as all of them.
                let items = items.min(MAP_MOST.unsigned_abs() + 1);
                Cow::Owned((0..items).map(|_| Value::Null).collect())
            }
        }
    }
}

/// A dataset that the try made.
#[derive(Debug, Clone)]
pub struct DatasetReport {
    pub name: String,
    pub reference: Value,
    pub stats: Value,
    pub preview: Value,
}

/// The last chunk of a log.
#[derive(Debug, Clone)]
pub struct LogTail {
    pub sequence: i32,
    pub first_line: i64,
    pub lines: i32,
    pub lz4: Vec<u8>,
}

/// What becomes of a report; given only after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Recorded, now or before.
    Accepted,
    /// The try no longer holds its task.
    Superseded,
    /// Could not be recorded now: report again.
    Later,
}

impl TryReport {
    /// A report with nothing but an outcome.
    #[must_use]
    pub fn bare(fence: Fence, outcome: Outcome, error: Option<String>) -> Self {
        Self {
            fence,
            outcome,
            error,
            exit_code: None,
            xcoms: Vec::new(),
            datasets: Vec::new(),
            rows_rejected: 0,
            rendered: None,
            scans: Vec::new(),
            dead_letters: false,
            log: None,
            is_refused: false,
        }
    }

    /// Drops what the database does not take; the try has failed because of it.
    pub(crate) fn refuse(&mut self, reason: &str) {
        let error = without_nul(format!("the result could not be recorded: {reason}"));
        let exit_code = self.exit_code;
        *self = Self {
            exit_code,
            is_refused: true,
            ..Self::bare(self.fence, Outcome::Failed(TryEnd::Permanent), Some(error))
        };
    }
}
