//! Dead letters on their way into a topic or a table.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// A rejected record as it is exported. Exports are done at least once: whoever reads them knows a
/// record again by [`Self::key`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExportedLetter {
    pub id: i64,
    pub dag_id: String,
    pub task_id: String,
    /// The run, of a record of a file: the same line of another day is another record. Empty where
    /// the source is a topic.
    pub of_run: String,
    /// The topic, or the file.
    pub source: String,
    pub partition: i32,
    /// The offset, or the line.
    pub position: i64,
    pub reasons: Vec<String>,
    pub state: String,
    pub rejected_at: DateTime<Utc>,
    /// As people may see it.
    pub record: Vec<u8>,
    /// All of it, as the API spells it.
    pub value: Value,
}

impl ExportedLetter {
    /// What tells the record from every other: its pipeline, and where it was.
    #[must_use]
    pub fn key(&self) -> Value {
        let Self { dag_id, task_id, source, partition, position, of_run, .. } = self;
        match of_run.as_str() {
            "" => json!({
                "dag_id": dag_id, "task_id": task_id, "topic": source,
                "partition": partition, "offset": position,
            }),
            run => json!({
                "dag_id": dag_id, "task_id": task_id, "dag_run_id": run,
                "source": source, "line": position,
            }),
        }
    }
}
